package endpoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
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
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

const inactive = `{"active":false}`

func TestIntrospection(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		require.NoError(t, p.Server.RegisterEndpoint(&endpoint.Introspection{
			QueryToken: gormoauth.CreateQueryTokenFunc[oauthtest.Token](db),
			Username:   func(user storage.User) string { return "user " + user.GetUserID() },
		}))
		web, public, other := p.NewClient(nil), p.NewClient(oauthtest.Public), p.NewClient(nil)
		service := p.NewClient(oauthtest.Grants("client_credentials"))
		tokens := p.Redeem(web, p.Code(web, "scope=profile+email")).Body
		narrow := p.Refresh(web, tokens["refresh_token"], "&scope=email").Body
		now, user := p.Now.Unix(), p.User.GetUserID()

		t.Run("an access token", func(t *testing.T) {
			a := p.Introspect(web, "token="+narrow["access_token"])
			assert.Equal(t, http.StatusOK, a.Status)
			assert.Equal(t, "application/json", a.Header.Get("Content-Type"))
			assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))
			assert.JSONEq(t, fmtJSON(map[string]any{
				"active": true, "scope": "email", "client_id": web.ClientID, "username": "user " + user, "token_type": "Bearer",
				"iat": now, "exp": now + 3600, "sub": user, "iss": oauthtest.Issuer,
			}), a.Raw)
		})
		t.Run("a refresh token, which stands for the whole grant", func(t *testing.T) {
			assert.JSONEq(t, fmtJSON(map[string]any{
				"active": true, "scope": "profile email", "client_id": web.ClientID, "username": "user " + user,
				"exp": now + 30*24*3600, "sub": user, "iss": oauthtest.Issuer,
			}), p.Introspect(web, "token="+narrow["refresh_token"]).Raw)
		})
		t.Run("a client's own token", func(t *testing.T) {
			own := p.Token(service, "grant_type=client_credentials").Body["access_token"]
			assert.JSONEq(t, fmtJSON(map[string]any{
				"active": true, "client_id": service.ClientID, "token_type": "Bearer", "iat": now, "exp": now + 3600, "sub": service.ClientID, "iss": oauthtest.Issuer,
			}), p.Introspect(service, "token="+own).Raw)
		})
		t.Run("a hint is but a hint", func(t *testing.T) {
			for _, hint := range []string{"access_token", "refresh_token", "whatever"} {
				for _, token := range []string{narrow["access_token"], narrow["refresh_token"]} {
					assert.Equal(t, "true", p.Introspect(web, "token="+token+"&token_type_hint="+hint).Body["active"], hint)
				}
			}
		})
		t.Run("what is inactive says nothing more", func(t *testing.T) {
			revoked := p.Redeem(web, p.Code(web, "")).Body
			p.Revoke(web, "token="+revoked["refresh_token"])
			alone := p.Redeem(web, p.Code(web, "")).Body
			p.Revoke(web, "token="+alone["access_token"])
			for rule, token := range map[string]string{
				"unknown": "unknown", "malformed": narrow["access_token"] + "x", "rotated": tokens["access_token"], "a rotated refresh token": tokens["refresh_token"],
				"of a revoked grant": revoked["access_token"], "a revoked refresh token": revoked["refresh_token"], "revoked alone": alone["access_token"],
			} {
				assert.Equal(t, inactive, p.Introspect(web, "token="+token).Raw, rule)
			}
			assert.Equal(t, "true", p.Introspect(web, "token="+alone["refresh_token"]).Body["active"], "which lives on")
			for _, token := range []string{narrow["access_token"], narrow["refresh_token"]} {
				assert.Equal(t, inactive, p.Introspect(other, "token="+token).Raw, "another client's")
			}
			assert.Equal(t, "true", p.Introspect(web, "token="+narrow["refresh_token"]).Body["active"], "and to look is not to use")
		})
		t.Run("an audience and a key", func(t *testing.T) {
			require.NoError(t, db.Model(&oauthtest.Token{}).Where("access_token = ?", secret.Digest(narrow["access_token"])).
				Updates(map[string]any{"audience": "https://api.example " + other.ClientID, "confirmation": `{"jkt":"abc"}`}).Error)
			a := p.Introspect(web, "token="+narrow["access_token"])
			assert.Equal(t, `["https://api.example","`+other.ClientID+`"]`, a.Body["aud"])
			assert.JSONEq(t, `{"jkt":"abc"}`, a.Body["cnf"])
			assert.Equal(t, inactive, p.Introspect(other, "token="+narrow["access_token"]).Raw, "a client's id is not a resource that it is the API of")
		})
		t.Run("who may not ask", func(t *testing.T) {
			a := p.Introspect(nil, "token="+narrow["access_token"])
			assert.Equal(t, http.StatusUnauthorized, a.Status)
			assert.Equal(t, "invalid_client", a.Body["error"])
			mine := p.Redeem(public, p.Code(public, "")).Body["access_token"]
			assert.Equal(t, "invalid_client", p.Introspect(public, "token="+mine).Body["error"], "whoever can pose as the client")
			assert.Equal(t, "invalid_request", p.Introspect(web, "").Body["error"])
			assert.Equal(t, "invalid_request", p.Introspect(web, "token=a&token=b").Body["error"])
			w := p.Serve(get("/oauth/introspect?token=" + mine))
			assert.Equal(t, http.StatusMethodNotAllowed, w.Status, "a token does not belong into an address")
			assert.Equal(t, "POST", w.Header.Get("Allow"))
		})
		t.Run("a disabled user", func(t *testing.T) {
			require.NoError(t, db.Model(p.User).Update("disabled", true).Error)
			assert.Equal(t, inactive, p.Introspect(web, "token="+narrow["access_token"]).Raw)
			require.NoError(t, db.Model(p.User).Update("disabled", false).Error)
		})
		t.Run("an end", func(t *testing.T) {
			p.Now = p.Now.Add(time.Hour - time.Second)
			assert.Equal(t, "true", p.Introspect(web, "token="+narrow["access_token"]).Body["active"])
			p.Now = p.Now.Add(time.Second)
			assert.Equal(t, inactive, p.Introspect(web, "token="+narrow["access_token"]).Raw)
			p.Now = p.Now.Add(30*24*time.Hour - time.Hour)
			assert.Equal(t, inactive, p.Introspect(web, "token="+narrow["refresh_token"]).Raw)
		})
	})
}

func TestIntrospectionByPermission(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	web, api := p.NewClient(nil), p.NewClient(nil)
	token := p.Redeem(web, p.Code(web, "")).Body["access_token"]
	permitted, failure := true, error(nil)
	require.NoError(t, p.Server.RegisterEndpoint(&endpoint.Introspection{
		QueryToken: gormoauth.CreateQueryTokenFunc[oauthtest.Token](db),
		CheckPermission: func(_ context.Context, req *server.Request, stored *storage.StoredToken) (bool, error) {
			assert.Equal(t, web.ClientID, stored.Token.GetClientID())
			return permitted && req.Client.GetClientID() == api.ClientID, failure
		},
	}))
	require.NoError(t, p.Server.Register(addRoles{}))
	a := p.Introspect(api, "token="+token)
	assert.Equal(t, "true", a.Body["active"])
	assert.Equal(t, `["reader"]`, a.Body["roles"], "what a hook adds")
	assert.NotContains(t, a.Body, "username")
	assert.Equal(t, inactive, p.Introspect(web, "token="+token).Raw)
	permitted = false
	assert.Equal(t, inactive, p.Introspect(api, "token="+token).Raw)
	failure = errors.New("the policy is out of reach")
	a = p.Introspect(api, "token="+token)
	assert.Equal(t, http.StatusInternalServerError, a.Status)
	assert.NotContains(t, a.Raw, "policy")
	assert.ErrorContains(t, p.Server.RegisterEndpoint(&endpoint.Introspection{}), "QueryToken is missing")
}

type addRoles struct{}

func (addRoles) PrepareIntrospection(_ context.Context, _ *server.Request, _ *storage.StoredToken, response map[string]any) error {
	response["roles"] = []string{"reader"}
	return nil
}

func TestIntrospectionAsJWT(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	token := p.Redeem(client, p.Code(client, "scope=profile")).Body["access_token"]
	const media = "application/token-introspection+jwt"
	assert.Equal(t, "true", p.Introspect(client, "token="+token, "Accept", media).Body["active"], "without keys it is JSON")
	keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})
	require.NoError(t, p.Server.RegisterEndpoint(&endpoint.Introspection{QueryToken: gormoauth.CreateQueryTokenFunc[oauthtest.Token](db), Keys: keys}))
	for text, active := range map[string]bool{token: true, "unknown": false} {
		plain := p.Introspect(client, "token="+text, "Accept", "application/json")
		assert.Equal(t, "application/json", plain.Header.Get("Content-Type"))
		a := p.Introspect(client, "token="+text, "Accept", "text/html, "+media+";q=0.9")
		assert.Equal(t, http.StatusOK, a.Status)
		assert.Equal(t, media, a.Header.Get("Content-Type"))
		assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))
		claims := verifiedBy(t, keys, p, a.Raw, "token-introspection+jwt")
		assert.Equal(t, oauthtest.Issuer, claims["iss"])
		assert.Equal(t, client.ClientID, claims["aud"])
		assert.InDelta(t, p.Now.Unix(), claims["iat"], 0)
		told := claims["token_introspection"].(map[string]any)
		assert.Equal(t, active, told["active"])
		assert.JSONEq(t, plain.Raw, fmtJSON(told))
	}
	a := p.Introspect(client, "", "Accept", media)
	assert.Equal(t, "application/json", a.Header.Get("Content-Type"), "an error is JSON")
	assert.JSONEq(t, `["ES256"]`, p.Get("/.well-known/oauth-authorization-server").Body["introspection_signing_alg_values_supported"])
}

// A caller says by what answers are signed and encrypted (RFC 9701 section 6).
func TestIntrospectionAsTheCallerAsksForIt(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{Algorithms: []jose.SignatureAlgorithm{jose.ES256, jose.RS256}})
	require.NoError(t, p.Server.RegisterEndpoint(&endpoint.Introspection{QueryToken: gormoauth.CreateQueryTokenFunc[oauthtest.Token](db), Keys: keys}))
	private := oauthtest.NewKey(t)
	caller := func(members map[string]json.RawMessage) *oauthtest.Client {
		return p.NewClient(func(c *oauthtest.Client) {
			c.ClientMetadata.Extra, c.ClientMetadata.JWKs = members, oauthtest.KeySet(t, private)
		})
	}
	ask := func(client *oauthtest.Client) string {
		a := p.Introspect(client, "token=unknown", "Accept", "application/token-introspection+jwt")
		require.Equal(t, http.StatusOK, a.Status, a.Raw)
		return a.Raw
	}
	signedBy := func(text string, algorithm jose.SignatureAlgorithm) {
		_, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{algorithm})
		require.NoError(t, err, algorithm)
	}
	signedBy(ask(caller(nil)), jose.RS256)
	signedBy(ask(caller(map[string]json.RawMessage{"introspection_signed_response_alg": json.RawMessage(`"ES256"`)})), jose.ES256)
	text := ask(caller(map[string]json.RawMessage{
		"introspection_encrypted_response_alg": json.RawMessage(`"ECDH-ES+A256KW"`), "introspection_encrypted_response_enc": json.RawMessage(`"A256GCM"`),
	}))
	encrypted, err := jose.ParseEncryptedCompact(text, []jose.KeyAlgorithm{jose.ECDH_ES_A256KW}, []jose.ContentEncryption{jose.A256GCM})
	require.NoError(t, err)
	plain, err := encrypted.Decrypt(private)
	require.NoError(t, err)
	signedBy(string(plain), jose.RS256)

	factory := gormoauth.CreateClientFactory[oauthtest.Client](db, p.Server)
	for member, value := range map[string]string{
		"introspection_signed_response_alg": `"none"`, "introspection_encrypted_response_alg": `"dir"`, "introspection_encrypted_response_enc": `"A128GCM"`,
	} {
		_, err := factory.Create(t.Context(), &oauthtest.Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{
			GrantTypes: []string{"client_credentials"}, Extra: map[string]json.RawMessage{member: json.RawMessage(value)},
		}}})
		require.ErrorContains(t, err, member)
	}
}
