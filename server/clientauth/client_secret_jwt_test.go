package clientauth_test

import (
	"net/http"
	"strings"
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
	"github.com/gormoauth/gormoauth/server/clientauth"
)

func TestClientSecretJWT(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		replays := gormoauth.CreateReplayStorage[oauthtest.Replay](db)
		require.NoError(t, p.Server.RegisterClientAuthMethod(
			&clientauth.ClientSecretJWT{Key: []byte(strings.Repeat("k", 32)), Replays: replays}, &clientauth.PrivateKeyJWT{Replays: replays}))
		factory := gormoauth.CreateClientFactory[oauthtest.Client](db, p.Server)
		create := func() (*oauthtest.Client, string) {
			client := &oauthtest.Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{
				TokenEndpointAuthMethod: models.ClientSecretJWT, GrantTypes: []string{"client_credentials"},
			}}}
			secret, err := factory.Create(t.Context(), client)
			require.NoError(t, err)
			return client, secret
		}
		client, secret := create()
		other, otherSecret := create()
		next := 0
		sign := func(secret string, more ...any) string {
			next++
			claims := map[string]any{"iss": client.ClientID, "sub": client.ClientID, "aud": oauthtest.Issuer, "exp": p.Now.Unix() + 60, "jti": strings.Repeat("j", next)}
			return oauthtest.SignJWT(t, []byte(secret), jose.HS256, nil, oauthtest.Claims(claims, more...))
		}
		ask := func(assertion string) oauthtest.Answer { return p.Token(nil, assertionBody(assertion)) }

		assert.Equal(t, http.StatusOK, ask(sign(secret)).Status)
		var row oauthtest.Client
		require.NoError(t, db.First(&row, client.ID).Error)
		assert.NotContains(t, row.ClientSecret, secret, "the database does not hold it")
		assert.NotEqual(t, secret, otherSecret)

		once := sign(secret)
		assert.Equal(t, http.StatusOK, ask(once).Status)
		for rule, assertion := range map[string]string{
			"a second time":                  once,
			"by another client's secret":     sign(otherSecret),
			"for another client":             sign(secret, "iss", other.ClientID, "sub", other.ClientID),
			"by what the database holds":     sign(row.ClientSecret),
			"by the part that is no scheme":  sign(strings.TrimPrefix(row.ClientSecret, "$derived$") + "padding"),
			"for another server":             sign(secret, "aud", "https://x.example"),
			"expired":                        sign(secret, "exp", p.Now.Unix()-60),
			"without an id":                  sign(secret, "jti", nil),
			"by HS512":                       oauthtest.SignJWT(t, []byte(secret+secret), jose.HS512, nil, map[string]any{"iss": client.ClientID, "sub": client.ClientID}),
			"of a client that has no secret": sign(secret, "iss", "nobody", "sub", "nobody"),
			"not signed":                     strings.Join(append(strings.Split(sign(secret), ".")[:2], ""), "."),
		} {
			a := ask(assertion)
			assert.Equal(t, server.InvalidClient, a.Body["error"], "%s: %s", rule, a.Raw)
			assert.Equal(t, http.StatusUnauthorized, a.Status, rule)
		}
		basicClient := p.NewClient(oauthtest.Grants("client_credentials"))
		assert.Equal(t, server.InvalidClient, ask(sign(basicClient.Secret, "iss", basicClient.ClientID, "sub", basicClient.ClientID)).Body["error"], "a secret that is not derived signs nothing")
		for _, sent := range []string{secret, row.ClientSecret} {
			a := p.Token(nil, "grant_type=client_credentials", basic(client.ClientID, sent)...)
			assert.Equal(t, server.InvalidClient, a.Body["error"], "nor is one sent that signs")
			assert.Equal(t, sent == secret, strings.Contains(a.Body["error_description"], "'client_secret_jwt'"), "whoever has it learns where it belongs")
		}

		t.Run("two secrets live while one takes the other's place", func(t *testing.T) {
			renewed, err := factory.RotateSecret(t.Context(), client.ClientID, gormstore.SecretRotation{Overlap: time.Hour, ExpiresIn: 2 * time.Hour})
			require.NoError(t, err)
			assert.NotEqual(t, secret, renewed)
			assert.Equal(t, http.StatusOK, ask(sign(secret)).Status)
			assert.Equal(t, http.StatusOK, ask(sign(renewed)).Status)
			p.Now = p.Now.Add(time.Hour)
			assert.Equal(t, server.InvalidClient, ask(sign(secret)).Body["error"])
			assert.Equal(t, http.StatusOK, ask(sign(renewed)).Status)
			p.Now = p.Now.Add(time.Hour)
			assert.Equal(t, server.InvalidClient, ask(sign(renewed)).Body["error"])
		})
		t.Run("by registration", func(t *testing.T) {
			e := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
			e.Open, e.GrantTypes = true, []string{"client_credentials"}
			require.NoError(t, p.Server.RegisterEndpoint(e))
			a := p.Register(`{"token_endpoint_auth_method":"client_secret_jwt","grant_types":["client_credentials"]}`)
			require.Equal(t, http.StatusCreated, a.Status, a.Raw)
			assert.Equal(t, http.StatusOK, ask(sign(a.Body["client_secret"], "iss", a.Body["client_id"], "sub", a.Body["client_id"])).Status)
			assert.Equal(t, server.InvalidClientMetadata, p.Register(`{"token_endpoint_auth_method":"client_secret_jwt","token_endpoint_auth_signing_alg":"RS256"}`).Body["error"])
		})
		assert.Contains(t, p.Get("/.well-known/oauth-authorization-server").Body["token_endpoint_auth_signing_alg_values_supported"], "HS256")
	})
}

func TestClientSecretJWTNeedsItsSettings(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	err := p.Server.RegisterClientAuthMethod(&clientauth.ClientSecretJWT{Key: []byte("short")})
	require.ErrorContains(t, err, "Key")
	require.ErrorContains(t, err, "Replays")
	_, err = gormoauth.CreateClientFactory[oauthtest.Client](db, p.Server).Create(t.Context(), &oauthtest.Client{ClientMixin: models.ClientMixin{
		ClientMetadata: models.ClientMetadata{TokenEndpointAuthMethod: models.ClientSecretJWT, GrantTypes: []string{"client_credentials"}},
	}})
	require.ErrorContains(t, err, "token_endpoint_auth_method", "the server does not have the method")
}
