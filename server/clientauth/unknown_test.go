package clientauth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/secret"
)

// Whoever cannot be verified now is not let in, right key or wrong.
func TestNobodyEntersWhileKeysCannotBeFetched(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	pair := newKeyPair(t, "1")
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(pair.set(t)) }))
	t.Cleanup(site.Close)
	var calls atomic.Int32
	held, goOn, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	fetcher := fetch.New(fetch.Options{AllowPrivateAddresses: true, Concurrency: 1, Timeout: 50 * time.Millisecond, Clock: func() time.Time {
		if calls.Add(1) == 2 { // in the only slot
			close(held)
			<-goOn
		}
		return time.Now()
	}})
	go func() {
		defer close(done)
		_, _ = fetcher.Get(context.Background(), site.URL+"/another")
	}()
	<-held
	require.NoError(t, p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{
		Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db), Fetcher: fetcher,
	}))
	client := p.NewClient(signsItself(nil, site.URL+"/keys"))
	try := func(pair keyPair) oauthtest.Answer {
		return p.Token(nil, assertionBody(signAssertion(t, pair.private, jose.ES256, pair.id, map[string]any{
			"iss": client.ClientID, "sub": client.ClientID, "aud": oauthtest.Issuer, "exp": p.Now.Unix() + 60, "jti": secret.Generate("j", secret.AccessToken),
		})))
	}
	for who, one := range map[string]keyPair{"the client": pair, "somebody else": newKeyPair(t, "1")} {
		answer := try(one)
		assert.Equal(t, http.StatusServiceUnavailable, answer.Status, "%s: %s", who, answer.Raw)
		assert.Empty(t, answer.Body["access_token"], who)
	}
	close(goOn)
	<-done
	assert.Equal(t, http.StatusOK, try(pair).Status, "when there is a slot")
}

// A secret cannot be derived without a key; what made the method and never registered it has none.
func TestASecretIsNotDerivedFromNothing(t *testing.T) {
	assert.Panics(t, func() { new(clientauth.ClientSecretJWT).NewClientSecret("client") })
}

// A client that somebody registered under the address of a host is no document's.
func TestAClientMadeByHandHasAnyID(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p, _, _ := newDocuments(t, db)
	for _, id := range []string{"https://client.example", "https://client.example/#1", "app://client", "plain"} {
		p.NewClient(oauthtest.All(oauthtest.Public, func(c *oauthtest.Client) { c.ClientID = id }))
		client, err := p.Server.QueryClient(t.Context(), id)
		require.NoError(t, err, id)
		require.NotNil(t, client, id)
		assert.Equal(t, id, client.GetClientID())
	}
}

// The program itself looks up clients as often as it wants to.
func TestTheProgramHasDocumentsFetchedWithoutLimit(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p, documents, s := newDocuments(t, db)
	documents.Attempts = ratelimit.New(1, time.Hour)
	for _, name := range []string{"a", "b", "c"} {
		client, err := p.Server.QueryClient(t.Context(), s.put("/"+name, app()))
		require.NoError(t, err, name)
		require.NotNil(t, client, name)
	}
}

// A client whose row is there and whose document is not has the same line in the log as one that never was.
func TestWhyAStoredClientIsNoMore(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for fault, c := range map[string]struct {
		change func(s *site, path string)
		why    string
	}{
		"it is gone":         {func(s *site, path string) { s.remove(path) }, "answers with 404"},
		"it is another's":    {func(s *site, path string) { s.put(path, app("client_id", s.URL+"/another")) }, "its client_id is not its own URL"},
		"it has a bad URI":   {func(s *site, path string) { s.put(path, app("redirect_uris", []string{"http://e.com"})) }, "must be https"},
		"it has become long": {func(s *site, path string) { s.put(path, app("x", strings.Repeat("x", 17<<10))) }, "is longer than"},
	} {
		t.Run(fault, func(t *testing.T) {
			p, documents, s := newDocuments(t, db)
			documents.KeepFor = time.Second
			path := "/" + strings.ReplaceAll(fault, " ", "-")
			client := by(s.put(path, app()))
			require.Equal(t, http.StatusOK, p.Redeem(client, p.Code(client, "")).Status)
			c.change(s, path)
			p.Now = p.Now.Add(25 * time.Hour)
			documents.Fetcher = fetch.New(fetch.Options{AllowPrivateAddresses: true})
			line := p.Consent(oauthtest.AuthorizeQuery(client, "")).Refusal()
			assert.True(t, line.Has("error", "invalid_client", "reason", "the client's metadata document is not accepted"), "%v", line)
			assert.Contains(t, line.Keys["values.fault"], c.why)
		})
	}
}
