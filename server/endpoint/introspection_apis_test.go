package endpoint_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/storage"
)

const (
	apiA = "https://a.example"
	apiB = "https://b.example/v1"
)

// apiAt makes a client the API at resources. It has no grant.
func apiAt(resources string) func(*oauthtest.Client) {
	return func(c *oauthtest.Client) {
		c.APIResources, c.ClientMetadata = resources, models.ClientMetadata{GrantTypes: []string{}}
	}
}

// An API may ask about access tokens that are meant for it (RFC 7662, RFC 8707), and a
// client about its own; nobody else is told anything, and the log has the reason.
func TestIntrospectionByAPIs(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		log := new(bytes.Buffer)
		p := oauthtest.New(t, db, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
		introspection := gormoauth.CreateIntrospectionEndpoint[oauthtest.Token](db)
		require.NoError(t, p.Server.RegisterEndpoint(introspection))
		require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{apiA, apiB}}))
		owner, other := p.NewClient(nil), p.NewClient(nil)
		atA, atBoth, atB := p.NewClient(apiAt(apiA+"/")), p.NewClient(apiAt(apiB+"  HTTPS://A.example:443")), p.NewClient(apiAt(apiB))
		// One whose id is the resource's address, as a client of a document chooses it.
		named := p.NewClient(func(c *oauthtest.Client) {
			c.ClientID, c.ClientMetadata.TokenEndpointAuthMethod = apiA, models.ClientSecretPost
		})
		longer := p.NewClient(apiAt(apiA + "/v1 https://a.example.evil.example https://a.exampl"))
		public := p.NewClient(oauthtest.All(apiAt(apiA), oauthtest.Public))

		ask := func(resources ...string) string {
			return "scope=profile&" + url.Values{"resource": resources}.Encode()
		}
		forA, forAB := p.Redeem(owner, p.Code(owner, ask(apiA))).Body, p.Redeem(owner, p.Code(owner, ask(apiA, apiB))).Body
		forNothing := p.Redeem(owner, p.Code(owner, "scope=profile")).Body
		forNamed := p.Redeem(named, p.Code(named, ask(apiA))).Body
		inactiveTo := func(client *oauthtest.Client, token, reason string) {
			t.Helper()
			log.Reset()
			assert.Equal(t, inactive, p.Introspect(client, "token="+token).Raw)
			assert.Contains(t, log.String(), reason)
			assert.Contains(t, log.String(), "client_id="+client.ClientID)
			assert.NotContains(t, log.String(), token)
		}
		const notAPI, notIts, noResource = "this client is not an API", "not for a resource of this API", "the token has no audience"

		for _, row := range []struct {
			rule   string
			client *oauthtest.Client
			token  string
			reason string // empty where it is told
		}{
			{"its own client", owner, forA["access_token"], ""},
			{"its own client, for no resource", owner, forNothing["access_token"], ""},
			{"the API that it is for, in another spelling", atA, forA["access_token"], ""},
			{"an API at several resources", atBoth, forA["access_token"], ""},
			{"a token for several resources", atA, forAB["access_token"], ""},
			{"a token for several resources, at another of them", atB, forAB["access_token"], ""},
			{"another client's token", atA, forNamed["access_token"], ""},
			{"another client", other, forA["access_token"], notAPI},
			{"a client whose id is the resource", named, forA["access_token"], notAPI},
			{"and it still knows its own", named, forNamed["access_token"], ""},
			{"another API", atB, forA["access_token"], notIts},
			{"an API at what only looks like it", longer, forA["access_token"], notIts},
			{"an API about a token for nothing", atA, forNothing["access_token"], noResource},
			{"an API about a refresh token", atA, forA["refresh_token"], "only its own client may introspect a refresh token"},
			{"its client about a refresh token", owner, forA["refresh_token"], ""},
			{"an API about what is no token", atA, "no-token", "the token is unknown"},
		} {
			if row.reason == "" {
				assert.Equal(t, "true", p.Introspect(row.client, "token="+row.token).Body["active"], row.rule)
				continue
			}
			inactiveTo(row.client, row.token, row.reason)
		}

		t.Run("what the API is told", func(t *testing.T) {
			now := p.Now.Unix()
			assert.JSONEq(t, fmtJSON(map[string]any{
				"active": true, "scope": "profile", "client_id": owner.ClientID, "token_type": "Bearer", "iat": now, "exp": now + 3600, "sub": p.User.GetUserID(),
				"iss": oauthtest.Issuer, "aud": []string{apiA, apiB},
			}), p.Introspect(atB, "token="+forAB["access_token"]).Raw)
		})
		t.Run("a public client is not an API", func(t *testing.T) {
			assert.Equal(t, server.InvalidClient, p.Introspect(public, "token="+forA["access_token"]).Body["error"])
		})
		t.Run("an API gets no tokens", func(t *testing.T) {
			for _, grantType := range []string{"client_credentials", "authorization_code&code=x&code_verifier=" + oauthtest.Verifier, "refresh_token&refresh_token=x"} {
				assert.Equal(t, server.UnauthorizedClient, p.Token(atA, "grant_type="+grantType).Body["error"], grantType)
			}
		})
		t.Run("what was narrowed", func(t *testing.T) {
			onlyB := p.Refresh(owner, forAB["refresh_token"], "&"+url.Values{"resource": {apiB}}.Encode()).Body["access_token"]
			inactiveTo(atA, onlyB, notIts)
			assert.Equal(t, "true", p.Introspect(atB, "token="+onlyB).Body["active"])
		})
		t.Run("a setting of the endpoint", func(t *testing.T) {
			introspection.APIs, introspection.DefaultResource = map[string][]string{other.ClientID: {apiA + ":443"}}, apiA
			defer func() { introspection.APIs, introspection.DefaultResource = nil, "" }()
			assert.Equal(t, "true", p.Introspect(other, "token="+forA["access_token"]).Body["active"])
			assert.Equal(t, "true", p.Introspect(other, "token="+forNothing["access_token"]).Body["active"], "what a token without an audience is for")
			assert.Equal(t, "true", p.Introspect(atA, "token="+forNothing["access_token"]).Body["active"])
			assert.NotContains(t, p.Introspect(atA, "token="+forNothing["access_token"]).Body, "aud")
			inactiveTo(atB, forNothing["access_token"], notIts)
			inactiveTo(other, forNothing["refresh_token"], "a refresh token")
		})
		t.Run("what ends, ends for the API as well", func(t *testing.T) {
			p.Revoke(owner, "token="+forA["access_token"])
			inactiveTo(atA, forA["access_token"], "the token was revoked")
			require.NoError(t, db.Model(p.User).Update("disabled", true).Error)
			inactiveTo(atB, forAB["access_token"], "the user of the token is gone or disabled")
		})
	})
}

// An answer that is a JWT is for who asked, be that the token's client or an API (RFC
// 9701 section 5).
func TestIntrospectionOfAnAPIAsJWT(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	introspection := gormoauth.CreateIntrospectionEndpoint[oauthtest.Token](db)
	introspection.Keys = gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})
	require.NoError(t, p.Server.RegisterEndpoint(introspection))
	require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{apiA}}))
	owner, api := p.NewClient(nil), p.NewClient(apiAt(apiA))
	token := p.Redeem(owner, p.Code(owner, "resource="+url.QueryEscape(apiA))).Body["access_token"]
	a := p.Introspect(api, "token="+token, "Accept", "application/token-introspection+jwt")
	require.Equal(t, http.StatusOK, a.Status, a.Raw)
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(a.Raw, ".")[1])
	require.NoError(t, err)
	var claims struct {
		Audience      string         `json:"aud"`
		Introspection map[string]any `json:"token_introspection"`
	}
	require.NoError(t, json.Unmarshal(payload, &claims))
	assert.Equal(t, api.ClientID, claims.Audience)
	assert.Equal(t, true, claims.Introspection["active"])
	assert.Equal(t, []any{apiA}, claims.Introspection["aud"])
}

func TestIntrospectionSettingsThatMakeNoSense(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	query := gormoauth.CreateQueryTokenFunc[oauthtest.Token](p.DB)
	for fault, introspection := range map[string]*endpoint.Introspection{
		`Introspection.APIs["x"]: server: the API resource "/v1:2"`:                    {QueryToken: query, APIs: map[string][]string{"x": {apiA, "/v1:2"}}},
		`Introspection.APIs["y"]: server: the API resource "https://a.example/#f" has`: {QueryToken: query, APIs: map[string][]string{"y": {apiA + "/#f"}}},
		`Introspection.DefaultResource: server: the API resource "https://a;b/"`:       {QueryToken: query, DefaultResource: "https://a;b/"},
	} {
		assert.ErrorContains(t, p.Server.RegisterEndpoint(introspection), fault)
	}
}

// An API that nobody can be asks nothing, and the doctor says so. Of many it looks up some.
func TestAnAPIThatIsNotThereIsDiagnosed(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		secret, public := p.NewClient(apiAt("")), p.NewClient(oauthtest.Public)
		apis := map[string][]string{"nobody": {apiA}, secret.ClientID: {apiA}, public.ClientID: {apiA, "https://b.example"}}
		e := &endpoint.Introspection{QueryToken: gormoauth.CreateQueryTokenFunc[oauthtest.Token](db), APIs: apis}
		require.NoError(t, p.Server.RegisterEndpoint(e))
		found := make(map[string]string)
		for _, one := range p.Server.Diagnose(t.Context()) {
			assert.Equal(t, finding.Warning, one.Severity)
			assert.Equal(t, "api_client", one.Check)
			found[one.Where] = one.Problem + ", so " + one.Consequence
		}
		assert.Equal(t, map[string]string{
			`endpoint.Introspection.APIs["nobody"]`:                  "names a client that does not exist, so no API can introspect a token for " + apiA,
			`endpoint.Introspection.APIs["` + public.ClientID + `"]`: "names a client that cannot authenticate here, so no API can introspect a token for " + apiA + " https://b.example",
		}, found)

		for i := range 1000 {
			apis[fmt.Sprintf("nobody %d", i)] = []string{apiA}
		}
		looked := 0
		counting := oauthtest.New(t, db, func(config *server.Config) {
			query := gormoauth.CreateQueryClientFunc[oauthtest.Client](db)
			config.QueryClient = func(ctx context.Context, clientID string) (storage.Client, error) {
				looked++
				return query(ctx, clientID)
			}
		})
		require.NoError(t, counting.Server.RegisterEndpoint(e))
		assert.NotEmpty(t, counting.Server.Diagnose(t.Context()))
		assert.Less(t, looked, 200)
	})
}

// Nothing that a client says of itself makes it an API: neither its registration, nor an
// update, nor a statement of somebody who is trusted.
func TestNoClientMakesItselfAnAPI(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		trusted := oauthtest.NewKey(t)
		r := newRegistrar(t, db, func(e *endpoint.Registration) { e.SoftwareStatements = statementsOf(trusted) })
		require.NoError(t, r.Server.RegisterEndpoint(gormoauth.CreateIntrospectionEndpoint[oauthtest.Token](db)))
		require.NoError(t, r.Server.Register(grant.ResourceIndicators{Resources: []string{apiA}, Default: apiA}))
		owner := r.NewClient(nil)
		token := r.Redeem(owner, r.Code(owner, "scope=profile")).Body["access_token"]
		members := `"api_resources":"` + apiA + `","APIResources":"` + apiA + `","apiresources":["` + apiA + `"],"resources":["` + apiA + `"],"aud":"` + apiA + `","client_id":"` + apiA + `"`
		isNoAPI := func(rule string, told registered) {
			t.Helper()
			var row oauthtest.Client
			require.NoError(t, db.Where("client_id = ?", told.ID).First(&row).Error)
			assert.Empty(t, row.GetAPIResources(), rule)
			assert.NotEqual(t, apiA, row.ClientID, rule)
			text, err := json.Marshal(row.ClientMetadata)
			require.NoError(t, err)
			assert.NotContains(t, string(text), "a.example", rule)
			client := told.client(models.ClientMetadata{TokenEndpointAuthMethod: models.ClientSecretBasic})
			assert.Equal(t, inactive, r.Introspect(client, "token="+token).Raw, rule)
		}
		a, told := r.register(`{` + webClient + `,` + members + `}`)
		require.Equal(t, http.StatusCreated, a.Status, a.Raw)
		isNoAPI("registration", told)
		assert.NotContains(t, a.Raw, "a.example")

		statement := oauthtest.SignJWT(t, trusted, jose.ES256, map[jose.HeaderKey]any{"kid": "1"}, map[string]any{"iss": publisher, "software_id": "x", "api_resources": apiA, "APIResources": apiA})
		a, stated := r.register(`{` + webClient + `,"software_statement":"` + statement + `"}`)
		require.Equal(t, http.StatusCreated, a.Status, a.Raw)
		isNoAPI("a software statement", stated)

		update := `{"client_id":"` + told.ID + `",` + webClient + `,` + strings.Replace(members, `,"client_id":"`+apiA+`"`, "", 1) + `}`
		a, updated := r.send(http.MethodPut, "/oauth/register?client_id="+told.ID, told.Token, update)
		require.Equal(t, http.StatusOK, a.Status, a.Raw)
		updated.Secret = told.Secret
		isNoAPI("an update", updated)

		t.Run("what the operator said stays, whatever the client says", func(t *testing.T) {
			factory := gormoauth.CreateClientFactory[oauthtest.Client](db, r.Server)
			require.NoError(t, factory.SetAPIResources(t.Context(), updated.ID, apiA))
			a, again := r.send(http.MethodPut, "/oauth/register?client_id="+updated.ID, updated.Token, `{"client_id":"`+updated.ID+`",`+webClient+`,"api_resources":"https://elsewhere.example"}`)
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			again.Secret = told.Secret
			client := again.client(models.ClientMetadata{TokenEndpointAuthMethod: models.ClientSecretBasic})
			assert.Equal(t, "true", r.Introspect(client, "token="+token).Body["active"])
			require.NoError(t, factory.SetAPIResources(t.Context(), updated.ID))
			assert.Equal(t, inactive, r.Introspect(client, "token="+token).Raw)
		})
	})
}

const publisher = "https://publisher.example"

// statementsOf trusts the publisher's key.
func statementsOf(key *ecdsa.PrivateKey) *endpoint.SoftwareStatements {
	return &endpoint.SoftwareStatements{Keys: func(_ context.Context, issuer string) (*jose.JSONWebKeySet, error) {
		if issuer != publisher {
			return nil, nil
		}
		return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1"}}}, nil
	}}
}
