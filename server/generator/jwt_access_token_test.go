package generator_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/generator"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// What a JWT is like, and who takes it, is tested in server/resource.
func TestClaimsOfTheProgramsOwn(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	jwt := &generator.JWTAccessToken{}
	p := oauthtest.New(t, db, func(c *server.Config) { c.AccessTokenGenerator = jwt.Generate })
	service := p.NewClient(oauthtest.Grants("client_credentials"))
	issue := func() (oauthtest.Answer, map[string]any) {
		a := p.Token(service, "grant_type=client_credentials")
		if a.Status != http.StatusOK {
			return a, nil
		}
		text, err := base64.RawURLEncoding.DecodeString(strings.Split(a.Body["access_token"], ".")[1])
		require.NoError(t, err)
		var claims map[string]any
		require.NoError(t, json.Unmarshal(text, &claims))
		return a, claims
	}
	a, _ := issue()
	assert.Equal(t, http.StatusInternalServerError, a.Status, "nothing is signed without keys")
	jwt.Keys = gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})
	a, _ = issue()
	assert.Equal(t, server.InvalidTarget, a.Body["error"], "a token is for somebody")
	jwt.Audience = "https://api.example"
	jwt.Claims = func(_ context.Context, input server.TokenInput) (map[string]any, error) {
		return map[string]any{
			"roles": []string{"reader"}, "client_name": input.Client.GetClientID(),
			"iss": "x", "sub": "x", "aud": "x", "exp": 1, "iat": 1, "jti": "x", "client_id": "x", "scope": "admin", "acr": "x", "amr": "x", "auth_time": 1, "cnf": "x",
		}, nil
	}
	_, claims := issue()
	assert.Equal(t, []any{"reader"}, claims["roles"])
	assert.Equal(t, service.ClientID, claims["client_name"])
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "acr", "amr", "auth_time", "cnf"} {
		assert.NotContains(t, []any{"x", "admin", 1.0}, claims[name], "what RFC 9068 names is not the program's to say: %s", name)
	}
	jwt.Claims = func(context.Context, server.TokenInput) (map[string]any, error) {
		return nil, errors.New("roles are out of reach")
	}
	a, _ = issue()
	assert.Equal(t, http.StatusInternalServerError, a.Status)
	assert.NotContains(t, a.Raw, "roles")
}
