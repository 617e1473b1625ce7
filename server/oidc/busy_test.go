package oidc_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/secret"
)

// patience is how long a request waits for its turn.
const patience = 20 * time.Millisecond

// oneTurn returns a fetcher that fetches one document at a time, and a function that calls f while another fetch holds
// that turn.
func oneTurn(t *testing.T) (*fetch.Fetcher, func(f func())) {
	var asked atomic.Bool
	held, release := make(chan struct{}), make(chan struct{})
	fetcher := fetch.New(fetch.Options{AllowPrivateAddresses: true, Concurrency: 1, Timeout: patience, Clock: func() time.Time {
		if asked.CompareAndSwap(true, false) { // the fetcher has the answer of this address
			close(held)
			<-release
		}
		return time.Now()
	}})
	address := serve(t, func(http.ResponseWriter, *http.Request) { asked.Store(true) })
	return fetcher, func(f func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for attempt := 0; ; attempt++ { // the machine may be too slow for the first
				_, _ = fetcher.Get(t.Context(), address+"/"+strconv.Itoa(attempt))
				select {
				case <-held:
					return
				default:
				}
			}
		}()
		<-held
		f()
		close(release)
		<-done
	}
}

// A request that waits too long for its turn to fetch a document, or to have a slow secret checked, is told to come
// back: it is not the client's fault, and nothing is decided.
func TestABusyServerTellsClientsToComeBack(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	fetcher, whileFetching := oneTurn(t)
	secrets := ratelimit.NewConcurrency(1, patience)
	p := newConfiguredProvider(t, db, func(c *server.Config) { c.PKCE, c.SlowSecrets = server.PKCEOptional, secrets }, func(o *oidc.Provider) { o.Fetcher = fetcher })
	replays := gormoauth.CreateReplayStorage[oauthtest.Replay](db)
	require.NoError(t, errors.Join(
		p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: replays, Fetcher: fetcher}, &clientauth.SelfSignedTLSClientAuth{Fetcher: fetcher}),
		p.Server.Register(
			gormoauth.CreateMetadataDocuments[oauthtest.Client](db, fetcher), &grant.RequestObjects{Replays: replays, Fetcher: fetcher},
			&grant.JARM{Keys: signingKeys(), Fetcher: fetcher},
		),
	))
	key := oauthtest.NewKey(t)
	const site = "http://127.0.0.1/" // of which nothing is fetched here
	signer := p.NewClient(func(c *oauthtest.Client) {
		c.ClientMetadata.TokenEndpointAuthMethod, c.ClientMetadata.JWKsURI = models.PrivateKeyJWT, site+"keys"
		c.ClientMetadata.GrantTypes = append(c.ClientMetadata.GrantTypes, "client_credentials")
	})
	signed := func(header map[jose.HeaderKey]any) string {
		return oauthtest.SignJWT(t, key, jose.ES256, header, map[string]any{
			"iss": signer.ClientID, "sub": signer.ClientID, "aud": oauthtest.Issuer, "exp": p.Now.Unix() + 60, "iat": p.Now.Unix(), "jti": "x",
			"response_type": "code", "redirect_uri": oauthtest.RedirectURI,
		})
	}
	referring := p.client("request_uris", []string{site + "request"})
	certified := p.StoreClient(func(c *oauthtest.Client) {
		c.ClientMetadata.TokenEndpointAuthMethod, c.ClientMetadata.JWKsURI = models.SelfSignedTLSClientAuth, site+"keys"
	})
	encrypted := p.client("id_token_encrypted_response_alg", "ECDH-ES", "authorization_encrypted_response_alg", "ECDH-ES", "jwks_uri", site+"keys")
	code := p.authorize(encrypted)["code"]
	whileFetching(func() {
		for what, a := range map[string]oauthtest.Answer{
			"a registration in a sector":               p.Register(`{"redirect_uris":["` + oauthtest.RedirectURI + `"],"sector_identifier_uri":"` + site + `sector"}`),
			"a request object at an address":           p.Consent(query(referring, "request_uri="+site+"request")),
			"a request object by keys at an address":   p.Consent("client_id=" + signer.ClientID + "&request=" + signed(map[jose.HeaderKey]any{"typ": "oauth-authz-req+jwt"})),
			"an assertion by keys at an address":       p.Token(nil, "grant_type=client_credentials&"+asserted(signed(nil))),
			"a certificate among keys at an address":   p.PostTLS("/oauth/token", "grant_type=authorization_code&code=x&client_id="+certified.ClientID, []*oauthtest.Certificate{p.NewCertificate(nil, nil)}),
			"a client with a document":                 p.Consent("response_type=code&client_id=" + url.QueryEscape(site+"client")),
			"an ID token for a key at an address":      p.Token(encrypted, "grant_type=authorization_code&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code="+code),
			"a response, a JWT, for a key as well":     p.Decide(query(encrypted, "response_mode=jwt"), "confirm=yes", p.alice()),
			"an error for a key, a JWT, at an address": p.Decide(query(encrypted, "response_mode=jwt"), "", nil),
		} {
			isToldToComeBack(t, what, a)
		}
	})
	assert.Equal(t, server.InvalidRequest, p.Token(encrypted, "grant_type=authorization_code&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code="+code).Body["error"], "the code is not spent; the keys are not there")

	slow := p.NewClient(oauthtest.Grants("client_credentials"))
	registered := p.Register(`{"redirect_uris":["` + oauthtest.RedirectURI + `"]}`)
	digest, err := bcrypt.GenerateFromPassword([]byte("correct horse"), bcrypt.MinCost)
	require.NoError(t, err)
	require.NoError(t, db.Model(&oauthtest.Client{}).Where("client_id IN ?", []string{slow.ClientID, registered.Body["client_id"]}).Update("client_secret", string(digest)).Error)
	slow.Secret = "correct horse"
	update := func(secret string) oauthtest.Answer {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, strings.TrimPrefix(registered.Body["registration_client_uri"], oauthtest.Issuer),
			strings.NewReader(`{"client_id":"`+registered.Body["client_id"]+`","client_secret":"`+secret+`","redirect_uris":["`+oauthtest.RedirectURI+`"]}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+registered.Body["registration_access_token"])
		return p.Serve(r)
	}
	whileChecking := func(f func()) {
		require.NoError(t, secrets.Do(t.Context(), "somebody", func() bool { f(); return true }))
	}
	whileChecking(func() {
		isToldToComeBack(t, "a client with a slow secret", p.Token(slow, "grant_type=client_credentials"))
		isToldToComeBack(t, "a change of a registration by a client with one", update("correct horse"))
	})
	assert.Equal(t, http.StatusOK, p.Token(slow, "grant_type=client_credentials").Status)
	assert.Equal(t, http.StatusOK, update("correct horse").Status)
	assert.Equal(t, server.InvalidRequest, update(secret.Generate("goa", secret.ClientSecret)).Body["error"])
	require.NoError(t, db.Model(&oauthtest.Client{}).Where("client_id = ?", registered.Body["client_id"]).Updates(map[string]any{
		"client_secret": models.HashClientSecret("another"), "previous_client_secret": string(digest), "previous_client_secret_expires_at": p.Now.Unix() + 3600,
	}).Error)
	whileChecking(func() {
		isToldToComeBack(t, "a change of a registration by a client whose previous secret is slow", update("correct horse"))
		assert.Equal(t, http.StatusOK, update("another").Status, "its current one is not")
	})
	assert.NotEmpty(t, update("correct horse").Body["client_secret"], "it never received the current one")
}

func isToldToComeBack(t *testing.T, what string, a oauthtest.Answer) {
	t.Helper()
	assert.Equal(t, http.StatusServiceUnavailable, a.Status, "%s: %s", what, a.Raw)
	assert.Equal(t, server.TemporarilyUnavailable, a.Body["error"], what)
	assert.NotEmpty(t, a.Header.Get("Retry-After"), what)
	assert.Empty(t, a.To, what)
}
