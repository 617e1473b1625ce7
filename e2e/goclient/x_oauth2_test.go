// Package goclient has golang.org/x/oauth2 as a client. Nothing else is here, so that the race
// detector costs little.
package goclient

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

func TestMain(m *testing.M) { testdb.Main(m) }

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// goClient is golang.org/x/oauth2 without an AuthStyle: it tries client_secret_basic,
// and repeats any failed request with the credentials in the body. It forgets what
// worked, so that each call is its first.
type goClient struct {
	oauth2.Config

	requests int
}

func newGoClient(t *testing.T, p *oauthtest.Provider, client *oauthtest.Client) *goClient {
	t.Helper()
	c := new(goClient)
	mux := http.NewServeMux()
	for path, handler := range p.Server.Routes() {
		mux.Handle(path, handler)
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.requests++
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(site.Close)
	c.Config = oauth2.Config{ClientID: client.ClientID, ClientSecret: client.Secret, RedirectURL: oauthtest.RedirectURI, Endpoint: oauth2.Endpoint{TokenURL: site.URL + "/oauth/token"}}
	return c
}

func (c *goClient) fresh() *oauth2.Config {
	c.requests = 0
	config := oauth2.Config{ClientID: c.ClientID, ClientSecret: c.ClientSecret, RedirectURL: c.RedirectURL, Endpoint: c.Endpoint}
	return &config
}

func (c *goClient) refresh(ctx context.Context, token string) error {
	_, err := c.fresh().TokenSource(ctx, &oauth2.Token{RefreshToken: token, Expiry: time.Now().Add(-time.Hour)}).Token()
	return err
}

// codeOf returns the error code that a client was told.
func codeOf(t *testing.T, err error) string {
	t.Helper()
	var failure *oauth2.RetrieveError
	require.ErrorAs(t, err, &failure)
	return failure.ErrorCode
}

func byPost(c *oauthtest.Client) {
	c.ClientMetadata.TokenEndpointAuthMethod = models.ClientSecretPost
}

// Go's own client learns the true error, whatever its client is registered for, and
// none of its requests is taken for a guess.
func TestGosOwnClient(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db, func(c *server.Config) { c.FailedAuthentications = ratelimit.New(1, time.Hour) })
		require.NoError(t, p.Server.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db)))
		require.NoError(t, p.Server.RegisterEndpoint(gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)))
		grants := oauthtest.Grants("authorization_code", "refresh_token", "client_credentials", "password", deviceGrant)
		for name, client := range map[string]*oauthtest.Client{
			"client_secret_basic": p.NewClient(grants),
			"client_secret_post":  p.NewClient(oauthtest.All(grants, byPost)),
			"none":                p.NewClient(oauthtest.All(oauthtest.Grants("authorization_code", "refresh_token", "password", deviceGrant), oauthtest.Public)),
		} {
			t.Run(name, func(t *testing.T) {
				c := newGoClient(t, p, client)
				ctx := t.Context()
				token, err := c.fresh().Exchange(ctx, p.Code(client, "redirect_uri="+oauthtest.RedirectURI), oauth2.VerifierOption(oauthtest.Verifier))
				require.NoError(t, err)
				assert.Equal(t, 1, c.requests, "the first way does")
				require.NoError(t, c.refresh(ctx, token.RefreshToken))
				p.Now = p.Now.Add(time.Minute) // too late for a tab beside it

				for range 3 {
					assert.Equal(t, server.InvalidGrant, codeOf(t, c.refresh(ctx, token.RefreshToken)), "a stale refresh token")
					assert.Equal(t, server.InvalidGrant, codeOf(t, c.refresh(ctx, "a-refresh-token-of-nobody")))
					_, err = c.fresh().Exchange(ctx, "a-code-of-nobody", oauth2.VerifierOption(oauthtest.Verifier))
					assert.Equal(t, server.InvalidGrant, codeOf(t, err))
					_, err = c.fresh().PasswordCredentialsToken(ctx, "alice", "wrong")
					assert.Equal(t, server.InvalidGrant, codeOf(t, err))
					_, err = c.fresh().Exchange(ctx, "x", oauth2.SetAuthURLParam("grant_type", "unknown"))
					assert.Equal(t, server.UnsupportedGrantType, codeOf(t, err))
					assert.Equal(t, 2, c.requests, "each failed request is repeated")
				}
				if client.Secret != "" {
					service := clientcredentials.Config{ClientID: client.ClientID, ClientSecret: client.Secret, TokenURL: c.Endpoint.TokenURL, Scopes: []string{"admin"}}
					_, err = service.Token(ctx)
					assert.Equal(t, server.InvalidScope, codeOf(t, err))
					service.Scopes = nil
					_, err = service.Token(ctx)
					require.NoError(t, err)
				}
				codes := p.Post("/oauth/device_authorization", client, "").Body
				for range 2 {
					_, err = c.fresh().Exchange(ctx, "", oauth2.SetAuthURLParam("grant_type", deviceGrant), oauth2.SetAuthURLParam("device_code", codes["device_code"]))
					assert.Equal(t, server.AuthorizationPending, codeOf(t, err), "a repeat is no second poll")
					p.Now = p.Now.Add(5 * time.Second)
				}
				require.NoError(t, c.refresh(ctx, p.Redeem(client, p.Code(client, "")).Body["refresh_token"]), "nothing was a guess")
			})
		}
		t.Run("with a wrong secret", func(t *testing.T) {
			client := p.NewClient(grants)
			c := newGoClient(t, p, client)
			c.ClientSecret = "wrong"
			err := c.refresh(t.Context(), "x")
			var failure *oauth2.RetrieveError
			require.ErrorAs(t, err, &failure)
			assert.Equal(t, http.StatusTooManyRequests, failure.Response.StatusCode, "of its two guesses one was too many")
		})
	})
}
