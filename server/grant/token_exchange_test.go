package grant_test

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/generator"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

const (
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessType    = "urn:ietf:params:oauth:token-type:access_token"
	jwtType       = "urn:ietf:params:oauth:token-type:jwt"
)

type exchangeTest struct {
	*oauthtest.Provider
	grant *grant.TokenExchange
	keys  *gormstore.SigningKeys
	// app has a user's consent; service and next are called on the user's behalf.
	app, service, next *oauthtest.Client
}

func newExchange(t *testing.T, db *gorm.DB) *exchangeTest {
	t.Helper()
	p := &exchangeTest{Provider: oauthtest.New(t, db), grant: gormoauth.CreateTokenExchangeGrant[oauthtest.Token](db)}
	p.keys = gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})
	p.grant.Policy = func(_ context.Context, req *server.Request, exchange *grant.Exchange) error {
		if strings.Contains(strings.Join(exchange.Audience, " "), "forbidden") {
			return server.NewError(server.InvalidTarget, "This server does not issue tokens for one of the requested 'resource' values.")
		}
		return nil
	}
	require.NoError(t, p.Server.RegisterGrant(p.grant))
	p.app = p.NewClient(nil)
	for _, client := range []**oauthtest.Client{&p.service, &p.next} {
		*client = p.NewClient(oauthtest.Grants(exchangeGrant, "client_credentials"))
	}
	return p
}

// userToken is an access token of the app's for a user, with its refresh token.
func (p *exchangeTest) userToken() (access, refresh string) {
	a := p.Redeem(p.app, p.Code(p.app, "scope=profile+email"))
	require.Equal(p.T, http.StatusOK, a.Status, a.Raw)
	return a.Body["access_token"], a.Body["refresh_token"]
}

func (p *exchangeTest) exchange(client *oauthtest.Client, subject string, more ...string) oauthtest.Answer {
	form := url.Values{"grant_type": {exchangeGrant}, "subject_token": {subject}, "subject_token_type": {accessType}}
	for i := 0; i+1 < len(more); i += 2 {
		if form.Add(more[i], more[i+1]); more[i] != "audience" && more[i] != "resource" {
			form.Set(more[i], more[i+1])
		}
	}
	return p.Token(client, form.Encode())
}

func TestTokenExchange(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newExchange(t, db)
		row := func(a oauthtest.Answer) (row oauthtest.Token) {
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			require.NoError(t, db.Where("access_token = ?", secret.Digest(a.Body["access_token"])).First(&row).Error)
			return row
		}
		subject, refresh := p.userToken()

		t.Run("impersonation", func(t *testing.T) {
			a := p.exchange(p.service, subject, "audience", "billing", "resource", "https://a.example")
			got := row(a)
			assert.Equal(t, accessType, a.Body["issued_token_type"])
			assert.Equal(t, "Bearer", a.Body["token_type"])
			assert.NotContains(t, a.Body, "refresh_token")
			assert.Equal(t, p.service.ClientID, got.ClientID)
			assert.Equal(t, p.User.ID, *got.UserID)
			assert.Equal(t, "profile email", got.Scope)
			assert.Equal(t, "https://a.example billing", got.Audience)
			assert.Empty(t, got.Actor)
			assert.True(t, p.Valid(a.Body["access_token"]))
			assert.True(t, p.Valid(subject), "what was exchanged stays as it was")
			assert.Equal(t, "profile", row(p.exchange(p.service, subject, "scope", "profile")).Scope)
		})
		t.Run("delegation, and again", func(t *testing.T) {
			own := p.Token(p.service, "grant_type=client_credentials").Body["access_token"]
			first := p.exchange(p.service, subject, "actor_token", own, "actor_token_type", accessType)
			act := `{"iss":"` + oauthtest.Issuer + `","sub":"` + p.service.ClientID + `","client_id":"` + p.service.ClientID + `"}`
			assert.JSONEq(t, act, row(first).Actor)
			told := p.Introspect(p.service, "token="+first.Body["access_token"])
			assert.JSONEq(t, act, told.Body["act"])

			nextOwn := p.Token(p.next, "grant_type=client_credentials").Body["access_token"]
			second := p.exchange(p.next, first.Body["access_token"], "actor_token", nextOwn, "actor_token_type", accessType)
			assert.JSONEq(t, `{"iss":"`+oauthtest.Issuer+`","sub":"`+p.next.ClientID+`","client_id":"`+p.next.ClientID+`","act":`+act+`}`, row(second).Actor)
			third := p.exchange(p.next, second.Body["access_token"])
			assert.JSONEq(t, row(second).Actor, row(third).Actor, "who acted before is not forgotten")
		})
		t.Run("but not without end", func(t *testing.T) {
			own := p.Token(p.service, "grant_type=client_credentials").Body["access_token"]
			token := subject
			for range 100 {
				a := p.exchange(p.service, token, "actor_token", own, "actor_token_type", accessType)
				if token = a.Body["access_token"]; a.Status != http.StatusOK {
					assert.Equal(t, server.InvalidRequest, a.Body["error"])
					return
				}
			}
			t.Error("a hundred may act one for the other")
		})
		t.Run("what comes of it ends with the grant, and with what it was exchanged for", func(t *testing.T) {
			other, otherRefresh := p.userToken()
			p.Now = p.Now.Add(50 * time.Minute)
			a := p.exchange(p.service, other)
			assert.Equal(t, "600", a.Body["expires_in"])
			assert.True(t, p.Valid(a.Body["access_token"]))
			require.Equal(t, http.StatusOK, p.Revoke(p.app, "token="+otherRefresh).Status)
			assert.False(t, p.Valid(a.Body["access_token"]))
			assert.Equal(t, server.InvalidRequest, p.exchange(p.service, other).Body["error"])
			p.Now = p.Now.Add(-50 * time.Minute)
		})
		t.Run("a refresh of the app leaves it alone", func(t *testing.T) {
			a := p.exchange(p.service, subject)
			answer := p.Refresh(p.app, refresh, "")
			require.Equal(t, http.StatusOK, answer.Status)
			subject, refresh = answer.Body["access_token"], answer.Body["refresh_token"]
			assert.True(t, p.Valid(a.Body["access_token"]))
		})
		t.Run("what is refused", func(t *testing.T) {
			own := p.Token(p.service, "grant_type=client_credentials").Body["access_token"]
			ended, endedRefresh := p.userToken()
			p.Revoke(p.app, "token="+endedRefresh)
			for rule, r := range map[string]struct {
				a    oauthtest.Answer
				code string
			}{
				"no subject token":           {p.exchange(p.service, ""), server.InvalidRequest},
				"no type":                    {p.exchange(p.service, subject, "subject_token_type", ""), server.InvalidRequest},
				"another type":               {p.exchange(p.service, subject, "subject_token_type", "urn:ietf:params:oauth:token-type:saml2"), server.InvalidRequest},
				"an unknown token":           {p.exchange(p.service, "x"), server.InvalidRequest},
				"a damaged token":            {p.exchange(p.service, subject[:len(subject)-1]+"x"), server.InvalidRequest},
				"a revoked token":            {p.exchange(p.service, ended), server.InvalidRequest},
				"a refresh token":            {p.exchange(p.service, refresh), server.InvalidRequest},
				"a client's own token":       {p.exchange(p.service, own), server.InvalidRequest},
				"a JWT of nobody known":      {p.exchange(p.service, "e30.e30.e30", "subject_token_type", jwtType), server.InvalidRequest},
				"an actor token and no type": {p.exchange(p.service, subject, "actor_token", own), server.InvalidRequest},
				"a type and no actor token":  {p.exchange(p.service, subject, "actor_token_type", accessType), server.InvalidRequest},
				"an unknown actor":           {p.exchange(p.service, subject, "actor_token", "x", "actor_token_type", accessType), server.InvalidRequest},
				"another requested type":     {p.exchange(p.service, subject, "requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), server.InvalidRequest},
				"a JWT where there are none": {p.exchange(p.service, subject, "requested_token_type", jwtType), server.InvalidRequest},
				"more scope":                 {p.exchange(p.service, row(p.exchange(p.service, subject, "scope", "email")).AccessToken, "scope", "profile"), server.InvalidRequest},
				"scope that nobody has":      {p.exchange(p.service, subject, "scope", "admin"), server.InvalidScope},
				"a relative resource":        {p.exchange(p.service, subject, "resource", "/api"), server.InvalidTarget},
				"a resource with a fragment": {p.exchange(p.service, subject, "resource", "https://a.example#f"), server.InvalidTarget},
				"an audience with a space":   {p.exchange(p.service, subject, "audience", "a b"), server.InvalidTarget},
				"what the policy forbids":    {p.exchange(p.service, subject, "audience", "forbidden"), server.InvalidTarget},
				"a client without the grant": {p.exchange(p.app, subject), server.UnauthorizedClient},
			} {
				assert.Equal(t, r.code, r.a.Body["error"], "%s: %s", rule, r.a.Raw)
				assert.Equal(t, http.StatusBadRequest, r.a.Status, rule)
			}
			less := p.exchange(p.service, subject, "scope", "email").Body["access_token"]
			assert.Equal(t, server.InvalidScope, p.exchange(p.next, less, "scope", "profile").Body["error"], "more than the subject token has")
			spa := p.StoreClient(oauthtest.All(oauthtest.Public, oauthtest.Grants(exchangeGrant)))
			assert.Equal(t, server.InvalidClient, p.exchange(spa, subject).Body["error"], "whoever stole a token could exchange it")
			require.NoError(t, db.Model(p.User).UpdateColumn("disabled", true).Error)
			assert.Equal(t, server.InvalidGrant, p.exchange(p.service, subject).Body["error"], "the user is gone")
			require.NoError(t, db.Model(p.User).UpdateColumn("disabled", false).Error)
			p.Now = p.Now.Add(2 * time.Hour)
			assert.Equal(t, server.InvalidRequest, p.exchange(p.service, subject).Body["error"], "it has expired")
			p.Now = p.Now.Add(-2 * time.Hour)
		})
		t.Run("as JWTs, with act and may_act", func(t *testing.T) {
			may := map[string]any{"sub": p.service.ClientID}
			generate := &generator.JWTAccessToken{Keys: p.keys, Audience: apiA, Claims: func(context.Context, server.TokenInput) (map[string]any, error) {
				return map[string]any{"may_act": may}, nil
			}}
			p.Server.RegisterTokenGenerator("authorization_code", generate.Generate)
			p.Server.RegisterTokenGenerator(exchangeGrant, (&generator.JWTAccessToken{Keys: p.keys, Audience: apiA}).Generate)
			token, _ := p.userToken()
			a := p.exchange(p.service, token, "subject_token_type", jwtType, "requested_token_type", jwtType)
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			assert.Equal(t, jwtType, a.Body["issued_token_type"])
			assert.Equal(t, server.InvalidRequest, p.exchange(p.next, token).Body["error"], "somebody else may act")
			own := p.Token(p.service, "grant_type=client_credentials").Body["access_token"]
			delegated := p.exchange(p.next, token, "actor_token", own, "actor_token_type", accessType)
			require.Equal(t, http.StatusOK, delegated.Status, delegated.Raw)
			assert.Contains(t, string(claimsOf(t, delegated.Body["access_token"])["act"]), p.service.ClientID)
			for _, strange := range []any{map[string]any{"sub": p.service.ClientID, "email": "x"}, "x", []string{}, map[string]any{}} {
				generate.Claims = func(context.Context, server.TokenInput) (map[string]any, error) {
					return map[string]any{"may_act": strange}, nil
				}
				token, _ := p.userToken()
				assert.Equal(t, server.InvalidRequest, p.exchange(p.service, token).Body["error"], "%v", strange)
			}
		})
		t.Run("another issuer's JWT", func(t *testing.T) {
			key := oauthtest.NewKey(t)
			var set jose.JSONWebKeySet
			require.NoError(t, json.Unmarshal(oauthtest.KeySet(t, key), &set))
			p.grant.Keys = func(_ context.Context, issuer string) (*jose.JSONWebKeySet, error) {
				if issuer != "https://other.example" {
					return nil, nil
				}
				return &set, nil
			}
			p.grant.QueryUser = func(_ context.Context, _ *server.Request, assertion *assertion.Assertion) (storage.User, error) {
				if assertion.Subject != "them" {
					return nil, nil
				}
				return p.User, nil
			}
			claims := map[string]any{"iss": "https://other.example", "sub": "them", "aud": oauthtest.Issuer, "exp": p.Now.Add(time.Minute).Unix(), "jti": "1", "scope": "profile"}
			sign := func(key any, more ...any) oauthtest.Answer {
				return p.exchange(p.service, oauthtest.SignJWT(t, key, jose.ES256, nil, oauthtest.Claims(claims, more...)), "subject_token_type", jwtType)
			}
			a := sign(key)
			assert.Equal(t, "60", a.Body["expires_in"])
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			late := sign(key, "exp", p.Now.Add(-10*time.Second).Unix(), "jti", "late")
			assert.Equal(t, "1", late.Body["expires_in"], "one that has ended but for the leeway lasts no longer, and has an end: %s", late.Raw)
			assert.Equal(t, "1", sign(key, "exp", p.Now.Unix()).Body["expires_in"])
			for rule, a := range map[string]oauthtest.Answer{
				"by somebody else": sign(oauthtest.NewKey(t)), "of nobody trusted": sign(key, "iss", "https://x.example"), "for another server": sign(key, "aud", "https://x.example"),
				"expired": sign(key, "exp", p.Now.Add(-time.Minute).Unix()), "of an unknown user": sign(key, "sub", "x"), "with a scope that is none": sign(key, "scope", 1),
			} {
				assert.Equal(t, server.InvalidRequest, a.Body["error"], rule)
			}
		})
		assert.Contains(t, p.Get("/.well-known/oauth-authorization-server").Body["grant_types_supported"], exchangeGrant)
	})
}

// A service cannot have more in detail than the user has granted, either.
func TestAnExchangeHasNoMoreDetailsThanItsSubject(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newExchange(t, db)
	require.NoError(t, p.Server.Register(payments()))
	pay := func(amount string) string { return `[{"type":"payment","amount":` + amount + `}]` }
	plain, _ := p.userToken()
	assert.Equal(t, server.InvalidAuthorizationDetails, p.exchange(p.service, plain, "authorization_details", pay("1")).Body["error"])
	paying := p.Redeem(p.app, p.Code(p.app, details(pay("50")))).Body["access_token"]
	assert.JSONEq(t, pay("20"), p.exchange(p.service, paying, "authorization_details", pay("20")).Body["authorization_details"])
	assert.Equal(t, server.InvalidAuthorizationDetails, p.exchange(p.service, paying, "authorization_details", pay("60")).Body["error"])
	assert.NotContains(t, p.exchange(p.service, paying).Raw, "authorization_details", "it gets those that it asks for")
	legacy := p.NewClient(oauthtest.Grants("password"))
	assert.Equal(t, server.InvalidAuthorizationDetails, p.Token(legacy, "grant_type=password&username=x&password="+oauthtest.Password+"&"+details(pay("1"))).Body["error"], "nobody was asked")
}

// Of an exchange and a revocation of the grant at the same moment, one sees the
// other: no token survives its grant.
func TestAnExchangeRacesARevocation(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newExchange(t, db)
		for range 20 {
			subject, refresh := p.userToken()
			answers := make([]oauthtest.Answer, 6)
			var wait sync.WaitGroup
			start := make(chan struct{})
			for i := range answers {
				wait.Go(func() { <-start; answers[i] = p.exchange(p.service, subject) })
			}
			wait.Go(func() { <-start; p.Revoke(p.app, "token="+refresh) })
			close(start)
			wait.Wait()
			for _, a := range answers {
				if a.Status == http.StatusOK {
					assert.False(t, p.Valid(a.Body["access_token"]))
				} else {
					assert.Equal(t, server.InvalidRequest, a.Body["error"], a.Raw)
				}
			}
		}
	})
}

func TestTokenExchangeNeedsItsSettings(t *testing.T) {
	srv, err := server.New(minimalConfig())
	require.NoError(t, err)
	for _, missing := range []string{"QueryToken", "Policy"} {
		require.ErrorContains(t, srv.RegisterGrant(&grant.TokenExchange{}), missing)
	}
	half := &grant.TokenExchange{Keys: func(context.Context, string) (*jose.JSONWebKeySet, error) { return nil, nil }}
	require.ErrorContains(t, srv.RegisterGrant(half), "go together")
}

// What a request leaves out is the subject's: its scope, as far as the client may have it, and
// whom it is for. A default of the client's own says nothing (RFC 9700 section 2.3).
func TestAnExchangeInheritsWhatItLeavesOut(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newExchange(t, db)
		require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{apiA, apiB}}))
		service := p.NewClient(oauthtest.All(oauthtest.Grants(exchangeGrant), func(c *oauthtest.Client) { c.DefaultScope = "email phone" }))
		for _, row := range []struct {
			ask             string
			more            []string
			scope, audience string
		}{
			{"scope=profile+email&resource=" + apiA, nil, "profile email", apiA},
			{"scope=profile&resource=" + apiA + "&resource=" + apiB, nil, "profile", apiA + " " + apiB},
			{"resource=" + apiA, nil, "", apiA},
			{"scope=profile", nil, "profile", ""},
			{"scope=profile+email&resource=" + apiA, []string{"scope", "email"}, "email", apiA},
			{"scope=profile&resource=" + apiA, []string{"resource", apiB}, "profile", apiB},
			{"scope=profile&resource=" + apiA, []string{"audience", "billing"}, "profile", "billing"},
		} {
			subject := p.Redeem(p.app, p.Code(p.app, row.ask)).Body["access_token"]
			a := p.exchange(service, subject, row.more...)
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			var got oauthtest.Token
			require.NoError(t, db.Where("access_token = ?", secret.Digest(a.Body["access_token"])).First(&got).Error)
			assert.Equal(t, [2]string{row.scope, row.audience}, [2]string{got.Scope, got.Audience}, "%s, %v", row.ask, row.more)
		}
	})
}

// A token that is bound to a key is not exchanged by who has stolen it: the request has to
// prove the key, unless the program says otherwise by a setting that says so.
func TestABoundTokenIsExchangedByItsKeyAlone(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newExchange(t, db)
		require.NoError(t, p.Server.Register(gormoauth.CreateDPoP[oauthtest.Replay](db)))
		key, other := oauthtest.NewKey(t), oauthtest.NewKey(t)
		proof := func(key *ecdsa.PrivateKey) []string {
			return []string{"DPoP", p.DPoP(key, http.MethodPost, oauthtest.Issuer+"/oauth/token")}
		}
		code := p.Code(p.app, "scope=profile")
		bound := p.Token(p.app, "grant_type=authorization_code&code_verifier="+oauthtest.Verifier+"&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code="+code, proof(key)...).Body["access_token"]
		require.NotEmpty(t, bound)
		free, _ := p.userToken()
		ask := func(subject, actor string, header ...string) oauthtest.Answer {
			form := url.Values{"grant_type": {exchangeGrant}, "subject_token": {subject}, "subject_token_type": {accessType}}
			if actor != "" {
				form.Set("actor_token", actor)
				form.Set("actor_token_type", accessType)
			}
			return p.Token(p.service, form.Encode(), header...)
		}
		for rule, row := range map[string]struct {
			subject, actor string
			header         []string
			status         int
		}{
			"a bound subject without a proof":         {bound, "", nil, http.StatusBadRequest},
			"by another key":                          {bound, "", proof(other), http.StatusBadRequest},
			"by its key":                              {bound, "", proof(key), http.StatusOK},
			"a bound actor without a proof":           {free, bound, nil, http.StatusBadRequest},
			"a bound actor by its key":                {free, bound, proof(key), http.StatusOK},
			"a token that is free, by any key":        {free, "", proof(other), http.StatusOK},
			"both bound, and the proof is of neither": {bound, bound, proof(other), http.StatusBadRequest},
		} {
			a := ask(row.subject, row.actor, row.header...)
			assert.Equal(t, row.status, a.Status, "%s: %s", rule, a.Raw)
		}
		p.grant.TakeBoundTokensWithoutProof = true
		assert.Equal(t, http.StatusOK, ask(bound, "").Status)
	})
}
