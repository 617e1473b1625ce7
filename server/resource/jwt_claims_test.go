package resource_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// fixedKeys are keys that stay, or that cannot be read.
type fixedKeys struct {
	set   jose.JSONWebKeySet
	fault error
}

func (k fixedKeys) SigningKey(context.Context, jose.SignatureAlgorithm, time.Time) (*jose.JSONWebKey, error) {
	return nil, errors.New("these keys verify")
}

func (k fixedKeys) PublicKeys(context.Context, time.Time) (*jose.JSONWebKeySet, error) {
	return &k.set, k.fault
}

// noReplays takes everything for new.
type noReplays struct{}

func (noReplays) FirstUse(context.Context, string, time.Time) (bool, error) { return true, nil }

// A token is what its JWT says: each claim is in the token that a handler gets.
func TestWhatAJWTSays(t *testing.T) {
	key := oauthtest.NewKey(t)
	validator := &resource.JWTAccessTokenValidator{
		Issuer: oauthtest.Issuer, Keys: fixedKeys{set: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256"}}}},
	}
	issuedAt := time.Now().Unix()
	sign := func(claims map[string]any) string {
		all := map[string]any{"iss": oauthtest.Issuer, "aud": api, "sub": "alice", "client_id": "app", "iat": issuedAt, "exp": issuedAt + 60, "jti": "j"}
		for name, value := range claims {
			all[name] = value
		}
		return oauthtest.SignJWT(t, key, jose.ES256, map[jose.HeaderKey]any{"typ": "at+jwt", "kid": "1"}, all)
	}
	token := func(change func(*models.TokenMixin)) *models.TokenMixin {
		m := &models.TokenMixin{TokenType: "Bearer", Audience: api, IssuedAt: issuedAt, ExpiresIn: 60}
		m.ClientID = "app"
		change(m)
		return m
	}
	const long = "https://client.example/a/document/with/an/address/that/is/longer/than/a/column/of/client/ids/may/be/in/any/of/the/tables/that/have/one.json"
	clientID, longClientID := models.SplitClientID(long)
	for name, row := range map[string]struct {
		claims map[string]any
		userID string
		want   *models.TokenMixin
	}{
		"the least":           {nil, "alice", token(func(*models.TokenMixin) {})},
		"a client for itself": {map[string]any{"sub": "app"}, "", token(func(*models.TokenMixin) {})},
		"everything": {
			map[string]any{
				"aud": []string{api, "https://other.example"}, "scope": "profile email", "auth_time": 7, "acr": "gold", "amr": []string{"pwd", "otp"},
				"act": map[string]any{"sub": "b"}, "authorization_details": []any{map[string]any{"type": "x"}}, "cnf": map[string]any{"x5t#S256": "t"},
			}, "alice", token(func(m *models.TokenMixin) {
				m.Audience, m.Scope, m.GrantedScope, m.AuthTime, m.ACR, m.AMR = api+" https://other.example", "profile email", "profile email", 7, "gold", "pwd otp"
				m.Actor, m.AuthorizationDetails, m.Confirmation = `{"sub":"b"}`, `[{"type":"x"}]`, `{"x5t#S256":"t"}`
			}),
		},
		"bound to a key":           {map[string]any{"cnf": map[string]any{"jkt": "t"}}, "alice", token(func(m *models.TokenMixin) { m.TokenType, m.Confirmation = "DPoP", `{"jkt":"t"}` })},
		"a client with a document": {map[string]any{"client_id": long}, "alice", token(func(m *models.TokenMixin) { m.ClientID, m.LongClientID = clientID, longClientID })},
	} {
		found, err := validator.AuthenticateToken(t.Context(), sign(row.claims))
		assert.NoError(t, err, name)
		assert.Equal(t, &storage.StoredToken{Token: row.want, UserID: row.userID}, found, name)
	}

	// Who looks tokens up gets the row, or nothing.
	text := sign(nil)
	row := &storage.StoredToken{Token: &models.TokenMixin{TokenType: "Bearer"}, UserID: "7"}
	var asked []storage.TokenQuery
	validator.QueryToken = func(_ context.Context, query storage.TokenQuery) (*storage.StoredToken, error) {
		asked = append(asked, query)
		return row, nil
	}
	found, err := validator.AuthenticateToken(t.Context(), text)
	assert.NoError(t, err)
	assert.Same(t, row, found)
	assert.Equal(t, []storage.TokenQuery{{AccessToken: secret.Digest(text)}}, asked)
	away := errors.New("away")
	validator.QueryToken = func(context.Context, storage.TokenQuery) (*storage.StoredToken, error) { return nil, away }
	found, err = validator.AuthenticateToken(t.Context(), text)
	assert.ErrorIs(t, err, away)
	assert.Nil(t, found)
	validator.Keys = fixedKeys{fault: away}
	found, err = validator.AuthenticateToken(t.Context(), text)
	assert.ErrorIs(t, err, away)
	assert.Nil(t, found)
	found, err = validator.AuthenticateToken(t.Context(), "opaque")
	assert.NoError(t, err)
	assert.Nil(t, found)
}

// reasonOf is what the log says of a refusal.
func reasonOf(failure *server.Error) string {
	for _, attr := range (server.Observation{Error: failure, Request: new(server.Request)}).LogAttrs() {
		if attr.Key == "reason" {
			return attr.Value.String()
		}
	}
	return ""
}

// The log says why a token is not taken, and the caller learns only that it is unknown.
func TestWhyATokenIsUnknown(t *testing.T) {
	key := oauthtest.NewKey(t)
	now := time.Unix(1_800_000_000, 0)
	validator := &resource.JWTAccessTokenValidator{
		Issuer: oauthtest.Issuer, Audience: api, Keys: fixedKeys{set: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256"}}}},
		Clock: func() time.Time { return now },
	}
	claims := func(name string, value any) map[string]any {
		all := map[string]any{"iss": oauthtest.Issuer, "aud": api, "sub": "alice", "client_id": "app", "iat": now.Unix(), "exp": now.Unix() + 60, "jti": "j"}
		if all[name] = value; value == nil {
			delete(all, name)
		}
		return all
	}
	sign := func(header map[jose.HeaderKey]any, claims map[string]any) string {
		all := map[jose.HeaderKey]any{"typ": "at+jwt", "kid": "1"}
		for name, value := range header {
			all[name] = value
		}
		return oauthtest.SignJWT(t, key, jose.ES256, all, claims)
	}
	for text, why := range map[string]string{
		"a.b.c": "the JWT is malformed, or signed with an algorithm that is not accepted",
		sign(map[jose.HeaderKey]any{"typ": "JWT"}, claims("", "")): "the JWT is not an access token",
		sign(map[jose.HeaderKey]any{"kid": "2"}, claims("", "")):   "the signature of the JWT is wrong, or its key is unknown",
		sign(nil, claims("sub", 7)):                                "the claims of the JWT are malformed",
		sign(nil, claims("iss", "https://other.example")):          "the JWT was issued by another issuer",
		sign(nil, claims("sub", nil)):                              "the JWT has no 'sub', no 'client_id' or no 'jti'",
		sign(nil, claims("exp", nil)):                              "the JWT has no 'iat', or no 'exp' after it",
		sign(nil, claims("nbf", now.Unix()+31)):                    "the JWT is not valid yet",
		sign(nil, claims("aud", nil)):                              "the JWT has no 'aud'",
		sign(nil, claims("aud", "https://other.example")):          "the JWT is for another resource",
	} {
		found, err := validator.AuthenticateToken(t.Context(), text)
		assert.Nil(t, found, why)
		var failure *server.Error
		if assert.ErrorAs(t, err, &failure, why) {
			assert.Equal(t, []string{server.InvalidToken, "The access token is unknown.", why}, []string{failure.Code, failure.Description, reasonOf(failure)}, why)
		}
	}
	for _, good := range []map[string]any{claims("nbf", now.Unix()+30), claims("iat", now.Unix()+30), claims("aud", []string{"https://other.example", api})} {
		_, err := validator.AuthenticateToken(t.Context(), sign(nil, good))
		assert.NoError(t, err, good)
	}

	opaque := &resource.BearerTokenValidator{Issuers: []string{oauthtest.Issuer}}
	stored := new(models.TokenMixin)
	opaque.QueryToken = func(context.Context, storage.TokenQuery) (*storage.StoredToken, error) {
		return &storage.StoredToken{Token: stored}, nil
	}
	for issuer, taken := range map[string]bool{oauthtest.Issuer: true, "": true, "https://other.example": false} {
		stored.Issuer = issuer
		found, err := opaque.AuthenticateToken(t.Context(), "t")
		assert.Equal(t, taken, found != nil, issuer)
		var failure *server.Error
		if !taken && assert.ErrorAs(t, err, &failure) {
			assert.Equal(t, "it was issued under another issuer", reasonOf(failure))
		}
	}
	found, err := opaque.AuthenticateToken(t.Context(), secret.Generate("goa", secret.RefreshToken))
	assert.Nil(t, found)
	var failure *server.Error
	if assert.ErrorAs(t, err, &failure) {
		assert.Equal(t, "the token is malformed, or a different kind of secret", reasonOf(failure))
	}
}

// The log has the scheme of a request that has another one, unless it may be a token; and which of
// two reasons a bound token is refused for.
func TestWhatTheLogHasOfARefusedRequest(t *testing.T) {
	bearer := &resource.BearerTokenValidator{QueryToken: noToken}
	p, err := resource.NewProtector(resource.Config{}, bearer)
	require.NoError(t, err)
	for scheme, logged := range map[string]string{
		"Basic": "Basic", strings.Repeat("s", 20): strings.Repeat("s", 20), strings.Repeat("s", 21): "unknown", "B1": "unknown",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("Authorization", scheme+" x")
		_, err := p.AcquireToken(r)
		said := fmt.Sprint(server.Observation{Error: server.AsError(err), Request: new(server.Request)}.LogAttrs())
		assert.Contains(t, said, "scheme="+logged+"]", scheme)
	}
	token := &storage.StoredToken{Token: &models.TokenMixin{TokenType: "Bearer", IssuedAt: 1, ExpiresIn: 60}}
	token.Token.(*models.TokenMixin).Confirmation = `{"x5t#S256":"t"}`
	for why, certificates := range map[string][]*x509.Certificate{
		"the request came without a client certificate": nil, "the token is bound to another certificate or key": {{Raw: []byte("x")}},
	} {
		bearer.ClientCertificates = func(*http.Request) []*x509.Certificate { return certificates }
		var failure *server.Error
		if assert.ErrorAs(t, bearer.ValidateToken(token, nil, httptest.NewRequest(http.MethodGet, "/", http.NoBody), time.Unix(2, 0)), &failure) {
			assert.Equal(t, why, reasonOf(failure))
		}
	}
}
