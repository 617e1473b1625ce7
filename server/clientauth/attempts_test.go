package clientauth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/storage"
)

// named is a client with an id that shares its count with no other of these tests.
func named(id string) func(*oauthtest.Client) {
	return func(c *oauthtest.Client) { c.ClientID = id }
}

// Whoever guesses a secret soon gets nowhere, also with the right one, and shuts
// out nobody else.
func TestNobodyGuessesASecret(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) {
		c.FailedAuthentications = ratelimit.New(3, time.Hour)
	})
	basicClient := p.NewClient(oauthtest.All(named("basic"), oauthtest.Grants("client_credentials")))
	post := p.NewClient(oauthtest.All(named("post"), oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) {
		c.ClientMetadata.TokenEndpointAuthMethod = models.ClientSecretPost
	}))
	for _, row := range []struct {
		method string
		client *oauthtest.Client
		ask    func(r *http.Request, secret string) *http.Request
	}{
		{"client_secret_basic", basicClient, func(r *http.Request, secret string) *http.Request {
			r.SetBasicAuth(basicClient.ClientID, secret)
			return r
		}},
		{"client_secret_post", post, nil},
	} {
		t.Run(row.method, func(t *testing.T) {
			from := func(address, secret string) oauthtest.Answer {
				body := "grant_type=client_credentials"
				if row.ask == nil {
					body += "&client_id=" + row.client.ClientID + "&client_secret=" + secret
				}
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth/token", strings.NewReader(body))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.RemoteAddr = address
				if row.ask != nil {
					r = row.ask(r, secret)
				}
				return p.Serve(r)
			}
			for range 20 {
				assert.Equal(t, http.StatusOK, from("192.0.2.1:1", row.client.Secret).Status, "success is not counted")
			}
			for range 3 {
				assert.Equal(t, server.InvalidClient, from("192.0.2.1:1", "wrong").Body["error"])
			}
			for _, secret := range []string{"wrong", row.client.Secret} {
				a := from("192.0.2.1:2", secret)
				assert.Equal(t, http.StatusTooManyRequests, a.Status, a.Raw)
				assert.Equal(t, server.TemporarilyUnavailable, a.Body["error"])
				assert.NotEmpty(t, a.Header.Get("Retry-After"))
			}
			assert.Equal(t, http.StatusOK, from("192.0.2.2:1", row.client.Secret).Status, "the client itself, elsewhere")
		})
	}
	t.Run("header and body are one count, and a public client is not held up by what strangers try with its name", func(t *testing.T) {
		both, public := p.NewClient(oauthtest.All(named("both"), oauthtest.Grants("client_credentials"))), p.NewClient(oauthtest.All(named("spa"), oauthtest.Public))
		for _, client := range []*oauthtest.Client{both, public} {
			guess := []func() oauthtest.Answer{
				func() oauthtest.Answer {
					return p.Token(nil, "grant_type=client_credentials", basic(client.ClientID, "wrong")...)
				},
				func() oauthtest.Answer {
					return p.Token(nil, "grant_type=client_credentials&client_secret=wrong&client_id="+client.ClientID)
				},
			}
			for i := range 3 {
				assert.Equal(t, server.InvalidClient, guess[i%2]().Body["error"])
			}
			for _, ask := range guess {
				assert.Equal(t, http.StatusTooManyRequests, ask().Status)
			}
		}
		assert.Equal(t, http.StatusTooManyRequests, p.Token(both, "grant_type=client_credentials").Status)
		assert.Equal(t, server.InvalidGrant, p.Refresh(public, "x", "").Body["error"])
	})
	t.Run("an unknown client is told the same", func(t *testing.T) {
		for range 3 {
			assert.Equal(t, server.InvalidClient, p.Token(nil, "grant_type=client_credentials", basic("nobody", "wrong")...).Body["error"])
		}
		assert.Equal(t, http.StatusTooManyRequests, p.Token(nil, "grant_type=client_credentials", basic("nobody", "wrong")...).Status)
	})
}

// Retry-After is the second from which on the right secret is taken again.
func TestRetryAfterTellsTheTruth(t *testing.T) {
	client := &oauthtest.Client{ClientMixin: models.ClientMixin{
		ClientID: "web", ClientSecret: models.HashClientSecret("right"), ClientMetadata: models.ClientMetadata{GrantTypes: []string{"client_credentials"}},
	}}
	for name, limiter := range map[string]ratelimit.Limiter{
		"the default": nil, "whole seconds": ratelimit.New(3, time.Hour), "parts of one": ratelimit.New(3, 10*time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			srv, err := server.New(server.Config{
				Issuer: oauthtest.Issuer, ClientAuthMethods: clientauth.Defaults(), FailedAuthentications: limiter,
				QueryClient: func(context.Context, string) (storage.Client, error) { return client, nil },
				SaveToken:   func(context.Context, storage.Exchange) error { return nil },
			})
			require.NoError(t, err)
			require.NoError(t, srv.RegisterGrant(&grant.ClientCredentials{}))
			synctest.Test(t, func(t *testing.T) {
				ask := func(secret string) *httptest.ResponseRecorder {
					r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth/token", strings.NewReader("grant_type=client_credentials"))
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					r.SetBasicAuth("web", secret)
					w := httptest.NewRecorder()
					srv.CreateTokenResponse(w, r)
					return w
				}
				var refused *httptest.ResponseRecorder
				for refused == nil || refused.Code != http.StatusTooManyRequests {
					refused = ask("wrong")
				}
				seconds, err := strconv.Atoi(refused.Header().Get("Retry-After"))
				require.NoError(t, err)
				time.Sleep(time.Duration(seconds-1) * time.Second)
				assert.Equal(t, http.StatusTooManyRequests, ask("right").Code, "not before")
				time.Sleep(time.Second)
				assert.Equal(t, http.StatusOK, ask("right").Code)
			})
		})
	}
}

// Whoever invents clients, one for each attempt, makes few keys: in a limiter with a
// bounded memory nobody else's failures are forgotten for them.
func TestInventedClientsShareTheirFailures(t *testing.T) {
	counted := &countedKeys{Limiter: ratelimit.New(3, time.Hour), keys: make(map[string]bool)}
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) { c.FailedAuthentications = counted })
	guessed := p.NewClient(oauthtest.Grants("client_credentials"))
	for range 3 {
		p.Token(nil, "grant_type=client_credentials", basic(guessed.ClientID, "wrong")...)
	}
	for i := range 4500 {
		p.Token(nil, "grant_type=client_credentials", basic("nobody-"+strconv.Itoa(i), "wrong")...)
	}
	assert.LessOrEqual(t, len(counted.keys), 4096)
	assert.Greater(t, len(counted.keys), 2000, "they are spread")
	assert.Equal(t, http.StatusTooManyRequests, p.Token(nil, "grant_type=client_credentials", basic(guessed.ClientID, guessed.Secret)...).Status)
}

// countedKeys remembers what was counted.
type countedKeys struct {
	ratelimit.Limiter
	keys map[string]bool
}

func (c *countedKeys) Allow(ctx context.Context, key string) (time.Duration, error) {
	c.keys[key] = true
	return c.Limiter.Allow(ctx, key)
}

// While a flood of wrong secrets is checked against a slow digest, a client with
// another secret is answered, and the flood is answered, too.
func TestAFloodOfWrongSecretsStarvesNobody(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db, func(c *server.Config) { c.FailedAuthentications = ratelimit.New(8, time.Hour) })
		slow, honest := p.NewClient(oauthtest.All(named("slow"), oauthtest.Grants("client_credentials"))), p.NewClient(oauthtest.All(named("honest"), oauthtest.Grants("client_credentials")))
		digest, err := bcrypt.GenerateFromPassword([]byte("correct horse"), 8)
		require.NoError(t, err)
		setSecret(t, db, slow, string(digest))

		const flood = 60
		answers := make([]oauthtest.Answer, flood)
		var wait sync.WaitGroup
		for i := range flood {
			wait.Go(func() {
				answers[i] = p.Token(nil, "grant_type=client_credentials", basic(slow.ClientID, "wrong")...)
			})
		}
		for range 10 {
			assert.Equal(t, http.StatusOK, p.Token(honest, "grant_type=client_credentials").Status)
		}
		wait.Wait()
		refused := 0
		for _, a := range answers {
			assert.Contains(t, []int{http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable}, a.Status, a.Raw)
			if a.Status != http.StatusUnauthorized {
				refused++
			}
		}
		assert.GreaterOrEqual(t, refused, flood-8, "no more guesses than the limit")
		elsewhere := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth/token", strings.NewReader("grant_type=client_credentials"))
		elsewhere.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		elsewhere.SetBasicAuth(slow.ClientID, "correct horse")
		elsewhere.RemoteAddr = "192.0.2.77:1"
		assert.Equal(t, http.StatusOK, p.Serve(elsewhere).Status)
	})
}

// A program that checks passwords has one bound for these and the secrets of clients:
// who finds no slot is told so, and clients without a slow secret need none.
func TestSlowSecretsShareABound(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	shared := ratelimit.NewConcurrency(1, time.Millisecond)
	p := oauthtest.New(t, db, func(c *server.Config) { c.SlowSecrets = shared })
	slow, fast := p.NewClient(oauthtest.Grants("client_credentials")), p.NewClient(oauthtest.Grants("client_credentials"))
	digest, err := bcrypt.GenerateFromPassword([]byte("correct horse"), bcrypt.MinCost)
	require.NoError(t, err)
	setSecret(t, db, slow, string(digest))
	ask := func() oauthtest.Answer {
		return p.Token(nil, "grant_type=client_credentials", basic(slow.ClientID, "correct horse")...)
	}
	require.NoError(t, shared.Do(t.Context(), "a password", func() bool {
		a := ask()
		assert.Equal(t, http.StatusServiceUnavailable, a.Status, a.Raw)
		assert.Equal(t, server.TemporarilyUnavailable, a.Body["error"])
		assert.NotEmpty(t, a.Header.Get("Retry-After"))
		assert.Equal(t, http.StatusOK, p.Token(fast, "grant_type=client_credentials").Status)
		return true
	}))
	assert.Equal(t, http.StatusOK, ask().Status)
}
