package grant_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/on"
)

// clientOf is a client that authenticates in one way.
type clientOf struct {
	*oauthtest.Provider
	client *oauthtest.Client
	key    *ecdsa.PrivateKey // of private_key_jwt
	told   *[]server.Revocation
}

// everyClient runs a test for each kind of client, with refresh tokens and without: since the
// client may not use them, or since the server has none.
func everyClient(t *testing.T, test func(t *testing.T, c *clientOf, refreshes bool)) {
	t.Helper()
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		for _, method := range []string{models.None, models.ClientSecretBasic, models.ClientSecretPost, models.PrivateKeyJWT} {
			for rule, without := range map[string]struct{ client, server bool }{
				"with refresh tokens": {}, "that may not refresh": {client: true}, "of a server without refresh tokens": {server: true},
			} {
				t.Run(method+" "+rule, func(t *testing.T) {
					p := oauthtest.New(t, db, func(c *server.Config) { c.NoRefreshTokens = without.server })
					told := new([]server.Revocation)
					require.NoError(t, p.Server.Register(on.TokenRevoked(func(_ context.Context, _ *server.Request, r server.Revocation) { *told = append(*told, r) })))
					require.NoError(t, p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db)}))
					c := &clientOf{Provider: p, key: oauthtest.NewKey(t), told: told}
					c.client = p.NewClient(func(client *oauthtest.Client) {
						m := &client.ClientMetadata
						if m.TokenEndpointAuthMethod = method; method == models.PrivateKeyJWT {
							m.JWKs = oauthtest.KeySet(t, c.key)
						}
						if without.client {
							m.GrantTypes = []string{"authorization_code"}
						}
					})
					test(t, c, !without.client && !without.server)
				})
			}
		}
	})
}

// post asks the token endpoint as the client.
func (c *clientOf) post(body string) oauthtest.Answer {
	c.T.Helper()
	if c.client.GetTokenEndpointAuthMethod() == models.PrivateKeyJWT {
		assertion := oauthtest.SignJWT(c.T, c.key, jose.ES256, nil, map[string]any{
			"iss": c.client.ClientID, "sub": c.client.ClientID, "aud": oauthtest.Issuer, "exp": c.Now.Unix() + 60, "iat": c.Now.Unix(), "jti": rand.Text(),
		})
		return c.Token(nil, body+"&client_assertion_type="+url.QueryEscape("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")+"&client_assertion="+assertion)
	}
	return c.Token(c.client, body)
}

func (c *clientOf) redeem(code string) oauthtest.Answer {
	c.T.Helper()
	return c.post("grant_type=authorization_code&code_verifier=" + oauthtest.Verifier + "&code=" + code)
}

func (c *clientOf) refresh(token string) oauthtest.Answer {
	c.T.Helper()
	return c.post("grant_type=refresh_token&refresh_token=" + token)
}

// isReuse checks that a grant ended because something of it was presented again.
func (c *clientOf) isReuse(t *testing.T, a oauthtest.Answer) {
	t.Helper()
	assert.Equal(t, http.StatusBadRequest, a.Status, a.Raw)
	assert.Equal(t, server.InvalidGrant, a.Body["error"], a.Raw)
	assert.Empty(t, a.Body["access_token"]+a.Body["refresh_token"])
	assert.Equal(t, "true", a.Refusal().Keys["reuse"], a.Refusal())
	require.Len(t, *c.told, 1)
	told := (*c.told)[0]
	assert.True(t, told.Reuse)
	assert.Equal(t, server.RevokedByReuse, told.Reason)
	assert.Equal(t, c.client.ClientID, told.ClientID)
	assert.Equal(t, c.User.GetUserID(), told.UserID)
}

// Whoever the client is, and whether it has a refresh token or not, a code that is presented
// twice ends what came of it, also when it has expired since.
func TestAReplayedCodeEndsTheGrantOfEveryClient(t *testing.T) {
	for rule, later := range map[string]time.Duration{"at once": 0, "when the code has expired": 30 * time.Minute} {
		t.Run(rule, func(t *testing.T) {
			everyClient(t, func(t *testing.T, c *clientOf, refreshes bool) {
				code, other := c.Code(c.client, ""), c.redeem(c.Code(c.client, ""))
				first := c.redeem(code)
				require.Equal(t, http.StatusOK, first.Status, first.Raw)
				require.Equal(t, refreshes, first.Body["refresh_token"] != "")
				access := []string{first.Body["access_token"]}
				refresh := first.Body["refresh_token"]
				if refreshes {
					again := c.refresh(refresh)
					require.Equal(t, http.StatusOK, again.Status, again.Raw)
					access, refresh = append(access, again.Body["access_token"]), again.Body["refresh_token"]
				}
				c.Now = c.Now.Add(later)
				require.True(t, c.Valid(access[len(access)-1]))

				c.isReuse(t, c.redeem(code))
				for i, token := range access {
					assert.False(t, c.Valid(token), "access token %d", i)
				}
				if refreshes {
					assert.Equal(t, server.InvalidGrant, c.refresh(refresh).Body["error"])
				}
				assert.True(t, c.Valid(other.Body["access_token"]), "another grant of the client stays")
				assert.Equal(t, server.InvalidGrant, c.redeem(code).Body["error"], "a third time")
			})
		})
	}
}

// Whoever the client is, a refresh token that was replaced ends the grant when it comes back,
// and a client without refresh tokens cannot use one.
func TestARefreshTokenOfEveryClient(t *testing.T) {
	everyClient(t, func(t *testing.T, c *clientOf, refreshes bool) {
		first := c.redeem(c.Code(c.client, "scope=profile"))
		require.Equal(t, http.StatusOK, first.Status, first.Raw)
		if !refreshes {
			assert.NotContains(t, first.Body, "refresh_token")
			a := c.refresh("goa_rt_x")
			want := server.InvalidGrant // the server knows no such token
			if !c.client.CheckGrantType("refresh_token") {
				want = server.UnauthorizedClient
			}
			assert.Equal(t, want, a.Body["error"], a.Raw)
			assert.True(t, c.Valid(first.Body["access_token"]))
			return
		}
		second := c.refresh(first.Body["refresh_token"])
		require.Equal(t, http.StatusOK, second.Status, second.Raw)
		assert.Equal(t, "profile", second.Body["scope"])
		assert.NotEqual(t, first.Body["refresh_token"], second.Body["refresh_token"], "it is rotated")
		assert.True(t, c.Valid(second.Body["access_token"]))
		lost := c.refresh(first.Body["refresh_token"])
		assert.Equal(t, second.Body["refresh_token"], lost.Body["refresh_token"], "the answer was lost: there is one successor")
		third := c.refresh(second.Body["refresh_token"])
		require.Equal(t, http.StatusOK, third.Status, third.Raw)
		assert.Empty(t, *c.told)

		c.isReuse(t, c.refresh(first.Body["refresh_token"]))
		for i, a := range []oauthtest.Answer{first, second, lost, third} {
			assert.False(t, c.Valid(a.Body["access_token"]), "access token %d", i)
			assert.Equal(t, server.InvalidGrant, c.refresh(a.Body["refresh_token"]).Body["error"], "refresh token %d", i)
		}
	})
}

// What one client holds is of no use to another of its kind, and ends nothing when it tries.
func TestWhatAClientHoldsIsItsOwn(t *testing.T) {
	everyClient(t, func(t *testing.T, c *clientOf, refreshes bool) {
		tokens, code := c.redeem(c.Code(c.client, "")).Body, c.Code(c.client, "")
		thief := *c
		thief.key = oauthtest.NewKey(t)
		thief.client = c.NewClient(func(client *oauthtest.Client) {
			client.ClientMetadata = c.client.ClientMetadata
			if c.client.GetTokenEndpointAuthMethod() == models.PrivateKeyJWT {
				client.ClientMetadata.JWKs = oauthtest.KeySet(t, thief.key)
			}
		})
		assert.Equal(t, server.InvalidGrant, thief.redeem(code).Body["error"])
		if refreshes {
			assert.Equal(t, server.InvalidGrant, thief.refresh(tokens["refresh_token"]).Body["error"])
			assert.Equal(t, http.StatusOK, c.refresh(tokens["refresh_token"]).Status)
		} else {
			assert.True(t, c.Valid(tokens["access_token"]))
		}
		assert.Equal(t, http.StatusOK, c.redeem(code).Status)
		assert.Empty(t, *c.told)
	})
}
