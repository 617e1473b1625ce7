package clientauth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// A document is JSON, and says so: what is served as something else may be what somebody
// uploaded to another's site.
func TestADocumentIsJSON(t *testing.T) {
	p, _, s := newDocuments(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	id := s.put("/client", app())
	for mediaType, good := range map[string]bool{
		"application/json": true, "application/json;charset=utf-8": true, "application/client+json": true,
		"text/html": false, "text/plain; charset=utf-8": false, "application/octet-stream": false, "image/png": false, "": false,
	} {
		s.say("Content-Type", mediaType)
		a := p.Consent(oauthtest.AuthorizeQuery(by(id), ""))
		assert.Equal(t, good, a.Status == http.StatusOK, "%q: %s", mediaType, a.Raw)
	}
}

// What a document says about how long it counts is obeyed, between a minute and a day.
func TestADocumentCountsForAsLongAsItSays(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for says, life := range map[string]time.Duration{
		"max-age=7200": 2 * time.Hour, "no-store": time.Minute, "no-cache": time.Minute, "max-age=1": time.Minute, "max-age=31536000": 24 * time.Hour, "": time.Hour,
	} {
		p, documents, s := newDocuments(t, db)
		s.say("Cache-Control", says)
		client := by(s.put("/client", app()))
		require.Equal(t, http.StatusOK, p.Redeem(client, p.Code(client, "")).Status)
		asked := func(after time.Duration) bool {
			before := s.asked.Load()
			documents.Fetcher = fetch.New(fetch.Options{AllowPrivateAddresses: true}) // which remembers nothing
			p.Now = p.Now.Add(after)
			require.Equal(t, http.StatusOK, p.Consent(oauthtest.AuthorizeQuery(client, "")).Status)
			return s.asked.Load() > before
		}
		assert.False(t, asked(life-time.Second), "%q", says)
		assert.True(t, asked(time.Second), "%q", says)
		assert.False(t, asked(life-time.Second), "%q: and again", says)
		assert.True(t, asked(time.Second), "%q", says)
	}
}

// A document that has not changed is not sent again, and one that was filtered by what the
// server offered then is looked at again once it offers something else.
func TestADocumentIsAskedForByItsValidator(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p, documents, s := newDocuments(t, db)
	s.say("ETag", `W/"1"`)
	client := by(s.put("/client", app("scope", "profile email later")))
	require.Equal(t, http.StatusOK, p.Redeem(client, p.Code(client, "")).Status)
	again := func() *oauthtest.Client {
		documents.Fetcher = fetch.New(fetch.Options{AllowPrivateAddresses: true})
		p.Now = p.Now.Add(time.Hour)
		found, err := p.Server.QueryClient(t.Context(), client.ClientID)
		require.NoError(t, err)
		require.NotNil(t, found)
		return found.(*oauthtest.Client)
	}
	for round := range int32(3) {
		found := again()
		assert.Equal(t, round+1, s.unchanged.Load())
		assert.Equal(t, "profile email", found.GetScope())
		assert.Equal(t, p.Now.Unix(), found.DocumentFetchedAt, "it counts anew")
	}
	documents.Scope = "profile email later"
	assert.Equal(t, "profile email later", again().GetScope())
	assert.EqualValues(t, 3, s.unchanged.Load())
	again()
	assert.EqualValues(t, 4, s.unchanged.Load())
	s.put("/client", app("client_name", "Renamed"))
	s.say("ETag", `W/"2"`)
	assert.Equal(t, "Renamed", again().GetClientName())

	// The operator's own check is asked about one that has not changed as well.
	documents.Check = func(context.Context, *url.URL, *models.ClientMetadata) error { return assert.AnError }
	p.Now = p.Now.Add(time.Hour)
	found, err := p.Server.QueryClient(t.Context(), client.ClientID)
	require.NoError(t, err)
	assert.Nil(t, found)
}

// A first sign-in is decided by what the document says now.
func TestAFirstSignInIsDecidedByWhatTheDocumentSaysNow(t *testing.T) {
	p, _, s := newDocuments(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	s.say("Cache-Control", "max-age=86400")
	id := s.put("/client", app("redirect_uris", []string{oauthtest.RedirectURI, "https://sold.example/cb"}))
	sold := oauthtest.AuthorizeQuery(by(id), "redirect_uri="+url.QueryEscape("https://sold.example/cb"))
	require.Equal(t, http.StatusOK, p.Consent(sold).Status)
	s.put("/client", app())
	assert.Equal(t, server.InvalidRequest, p.Consent(sold).Body["error"], "a redirect URI that was taken out a moment ago is out")
	assert.Equal(t, server.InvalidRequest, p.Grant(sold).Body["error"])
	s.remove("/client")
	assert.Equal(t, server.InvalidClient, p.Consent(oauthtest.AuthorizeQuery(by(id), "")).Body["error"])
	s.put("/client", app())
	assert.Equal(t, http.StatusOK, p.Consent(oauthtest.AuthorizeQuery(by(id), "")).Status)
	before := s.asked.Load()
	for range 5 {
		p.Token(by(id), "grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code=x")
	}
	assert.Equal(t, before, s.asked.Load(), "a device that asks again and again has nothing decided")
}

// One address cannot have documents fetched without end; clients that have a row are known.
func TestAFloodOfDocumentsFromOneAddress(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p, documents, s := newDocuments(t, db)
	known := by(s.put("/known", app()))
	require.Equal(t, http.StatusOK, p.Redeem(known, p.Code(known, "")).Status)
	documents.Attempts = ratelimit.New(3, time.Hour)
	from := func(address, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/authorize?"+oauthtest.AuthorizeQuery(by(url.QueryEscape(s.URL+path)), ""), http.NoBody)
		r.RemoteAddr = address
		return p.Record(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := p.Server.GetConsentGrant(r, p.User); err != nil {
				p.Server.WriteError(w, r, err)
			}
		}), r)
	}
	for i := range 3 {
		from("192.0.2.66:1", "/flood/"+string(rune('a'+i)))
	}
	asked := s.asked.Load()
	w := from("192.0.2.66:2", "/flood/d")
	assert.Equal(t, http.StatusTooManyRequests, w.Code, w.Body)
	assert.NotEmpty(t, w.Header().Get("Retry-After"))
	assert.Equal(t, asked, s.asked.Load(), "nothing was fetched")
	assert.Equal(t, http.StatusOK, from("192.0.2.66:3", "/known").Code, "who has a row needs no document")
	s.put("/other", app())
	assert.Equal(t, http.StatusOK, from("192.0.2.1:1", "/other").Code, "others may")
}

// A row of an older program never went through the door: it counts once its document has.
func TestADocumentOfAnOlderProgramIsFetchedFirst(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p, documents, s := newDocuments(t, db)
	id := s.put("/client", app())
	key, long := models.SplitClientID(id)
	row := &oauthtest.Client{ClientMixin: models.ClientMixin{
		ClientID: key, LongClientID: long, ClientSource: models.ClientByDocument, ClientIDIssuedAt: p.Now.Unix(), DocumentFetchedAt: p.Now.Unix(),
		ClientMetadata: models.ClientMetadata{
			TokenEndpointAuthMethod: models.None, GrantTypes: []string{"client_credentials", "authorization_code"}, ResponseTypes: []string{"code"},
			RedirectURIs: []string{"https://old.example/cb"}, Scope: "admin",
		},
	}}
	require.NoError(t, db.Create(row).Error)
	found, err := p.Server.QueryClient(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, []string{oauthtest.RedirectURI}, found.(*oauthtest.Client).GetRedirectURIs())
	assert.Equal(t, []string{"authorization_code", "refresh_token"}, found.(*oauthtest.Client).GetGrantTypes())

	require.NoError(t, db.Model(row).UpdateColumn("document_expires_at", 0).Error)
	s.remove("/client")
	documents.Fetcher = fetch.New(fetch.Options{AllowPrivateAddresses: true}) // which remembers nothing
	found, err = p.Server.QueryClient(t.Context(), id)
	require.NoError(t, err)
	assert.Nil(t, found, "what never went through is not kept while its document is missing")
}

// What is registered decides: a document asks for it like any registration.
func TestADocumentIsFilteredLikeARegistration(t *testing.T) {
	p, documents, s := newDocuments(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	documents.Scope = "profile email"
	for rule, c := range map[string]struct {
		document map[string]any
		good     bool
		scope    string
	}{
		"an editor's": {app("client_uri", "https://code.visualstudio.com", "grant_types", []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"},
			"response_types", []string{"code"}, "redirect_uris", []string{"http://127.0.0.1:33418/", "https://vscode.dev/redirect"}, "application_type", "native"), true, "profile email"},
		"one with any port":           {app("redirect_uris", []string{"http://localhost:*/callback"}), true, "profile email"},
		"one unknown scope":           {app("scope", "email admin"), true, "email"},
		"no known scope":              {app("scope", "admin"), true, "profile email"},
		"keys that are null":          {app("jwks", nil, "jwks_uri", nil), true, "profile email"},
		"no grant type that there is": {app("grant_types", []string{"client_credentials"}), false, ""},
		"bound tokens":                {app("dpop_bound_access_tokens", true), false, ""},
		"pushed requests":             {app("require_pushed_authorization_requests", true), false, ""},
		"a method that there is not":  {app("token_endpoint_auth_method", "tls_client_auth"), false, ""},
	} {
		id := s.put("/"+strings.ReplaceAll(rule, " ", "-"), c.document)
		found, err := p.Server.QueryClient(t.Context(), id)
		require.NoError(t, err, rule)
		if !c.good {
			assert.Nil(t, found, rule)
			continue
		}
		require.NotNil(t, found, rule)
		client := found.(*oauthtest.Client)
		assert.Equal(t, c.scope, client.GetScope(), rule)
		assert.Empty(t, client.ClientMetadata.Extra, rule)
		assert.NotContains(t, client.GetGrantTypes(), "urn:ietf:params:oauth:grant-type:device_code", rule)
	}
	found, err := p.Server.QueryClient(t.Context(), s.URL+"/one-with-any-port")
	require.NoError(t, err)
	assert.True(t, found.CheckRedirectURI("http://localhost:49152/callback"))
	assert.False(t, found.CheckRedirectURI("http://localhost:49152/other"))
}

// A server that takes no public clients takes none by a document, either.
func TestADocumentNeedsAMethodOfTheServer(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	documents := gormoauth.CreateMetadataDocuments[oauthtest.Client](db, fetch.New(fetch.Options{AllowPrivateAddresses: true}))
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.ClientAuthMethods = []server.ClientAuthMethod{&clientauth.PrivateKeyJWT{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db)}}
	})
	require.NoError(t, p.Server.Register(documents))
	s := newSite(t)
	public, err := p.Server.QueryClient(t.Context(), s.put("/public", app()))
	require.NoError(t, err)
	assert.Nil(t, public)
	var keys = oauthtest.KeySet(t, oauthtest.NewKey(t))
	signs, err := p.Server.QueryClient(t.Context(), s.put("/signs", app("token_endpoint_auth_method", "private_key_jwt", "jwks", keys)))
	require.NoError(t, err)
	assert.NotNil(t, signs)
}
