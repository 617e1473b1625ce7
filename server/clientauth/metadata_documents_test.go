package clientauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
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
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/storage"
)

// site serves documents, and counts how often it was asked.
type site struct {
	*httptest.Server
	mu        sync.Mutex
	documents map[string]string
	header    map[string]string // of every answer
	asked     atomic.Int32
	unchanged atomic.Int32 // how often it answered that nothing has changed
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{documents: make(map[string]string)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.mu.Lock()
		defer s.mu.Unlock()
		document, ok := s.documents[r.URL.RequestURI()]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		for name, value := range s.header {
			w.Header().Set(name, value)
		}
		if tag := w.Header().Get("ETag"); tag != "" && r.Header.Get("If-None-Match") == tag {
			s.unchanged.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write([]byte(document))
	}))
	t.Cleanup(s.Close)
	return s
}

// put serves a document with the members, and returns its address.
func (s *site) put(path string, members map[string]any) (clientID string) {
	clientID = s.URL + path
	if _, ok := members["client_id"]; !ok {
		members["client_id"] = clientID
	}
	text, _ := json.Marshal(members)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.documents[path] = string(text)
	return clientID
}

// say sets a field in the header of every answer from now on.
func (s *site) say(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.header == nil {
		s.header = make(map[string]string)
	}
	s.header[name] = value
}

func (s *site) remove(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.documents, path)
}

func app(more ...any) map[string]any {
	return oauthtest.Claims(map[string]any{
		"client_name": "An app", "redirect_uris": []string{oauthtest.RedirectURI}, "grant_types": []string{"authorization_code", "refresh_token"},
	}, more...)
}

func newDocuments(t *testing.T, db *gorm.DB) (*oauthtest.Provider, *clientauth.MetadataDocuments, *site) {
	t.Helper()
	documents := gormoauth.CreateMetadataDocuments[oauthtest.Client](db, fetch.New(fetch.Options{AllowPrivateAddresses: true}))
	documents.Scope = "profile email"
	p := oauthtest.New(t, db)
	require.NoError(t, p.Server.Register(documents))
	return p, documents, newSite(t)
}

// by is the client of an address, as the tests' provider wants it.
func by(clientID string) *oauthtest.Client {
	return &oauthtest.Client{ClientMixin: models.ClientMixin{ClientID: clientID, ClientMetadata: models.ClientMetadata{TokenEndpointAuthMethod: models.None}}}
}

func TestMetadataDocuments(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p, _, s := newDocuments(t, db)
		path := "/" + strings.Repeat("long/", 20) + "client.json"
		id := s.put(path, app())
		client := by(id)

		t.Run("a client that nobody registered", func(t *testing.T) {
			a := p.Redeem(client, p.Code(client, "scope=profile"))
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			assert.True(t, p.Valid(a.Body["access_token"]))
			next := p.Refresh(client, a.Body["refresh_token"], "")
			require.Equal(t, http.StatusOK, next.Status, next.Raw)
			assert.EqualValues(t, 2, s.asked.Load(), "its document was fetched for the page and for the decision, and is remembered for the rest")
			var row oauthtest.Client
			require.NoError(t, db.Where("client_source = ?", models.ClientByDocument).First(&row).Error)
			assert.Equal(t, id, row.GetClientID())
			assert.Equal(t, "An app", row.GetClientName())
			assert.LessOrEqual(t, len(row.ClientID), 48)
			var token oauthtest.Token
			require.NoError(t, db.Last(&token).Error)
			assert.Equal(t, id, token.GetClientID())
			assert.Equal(t, row.ClientID, token.ClientID, "they can be joined")
			watcher := p.NewClient(nil)
			require.NoError(t, p.Server.RegisterEndpoint(&endpoint.Introspection{
				QueryToken:      gormoauth.CreateQueryTokenFunc[oauthtest.Token](db),
				CheckPermission: func(context.Context, *server.Request, *storage.StoredToken) (bool, error) { return true, nil },
			}))
			assert.Equal(t, id, p.Introspect(watcher, "token="+next.Body["access_token"]).Body["client_id"])
			require.Equal(t, http.StatusOK, p.Revoke(client, "token="+next.Body["refresh_token"]).Status)
			assert.False(t, p.Valid(next.Body["access_token"]))
			assert.Equal(t, server.InvalidClient, p.Consent("response_type=code&client_id=" + row.ClientID).Body["error"], "its digest is nobody's id")
		})
		t.Run("who has no token has no row", func(t *testing.T) {
			before := p.Rows(&oauthtest.Client{})
			assert.Equal(t, http.StatusOK, p.Consent(oauthtest.AuthorizeQuery(by(s.put("/visitor", app())), "")).Status)
			assert.Equal(t, before, p.Rows(&oauthtest.Client{}))
		})
		t.Run("what no document may be", func(t *testing.T) {
			for rule, document := range map[string]map[string]any{
				"another client's":        app("client_id", s.URL+"/other"),
				"without a client id":     app("client_id", 1),
				"with a secret":           app("client_secret", "x"),
				"with an end of a secret": app("client_secret_expires_at", 0),
				"for who has a secret":    app("token_endpoint_auth_method", "client_secret_basic"),
				"without a redirect URI":  app("redirect_uris", nil),
				"with one for a thief":    app("redirect_uris", []string{"http://thief.example/"}),
				"of other types":          app("redirect_uris", "x"),
				"very long":               app("x", strings.Repeat("x", 17<<10)),
				"with a very long name":   app("client_name", strings.Repeat("x", 3<<10)),
				"a script in Japanese":    app("policy_uri#ja", "javascript:alert(1)"),
				"a host like another":     app("redirect_uris", []string{"https://аpple.com/cb"}),
				"a scheme of anybody":     app("redirect_uris", []string{"myapp:/cb"}),
				"a scheme of the system":  app("redirect_uris", []string{"ms-settings:x"}),
				"a name turned around":    app("client_name", "App\u202e"),
				"a name with NUL":         app("client_name", "a\x00"+strings.Repeat("b", 90)),
				"a name of 5000 letters":  app("client_name", strings.Repeat("a", 5000)+"\x00\u202e"),
				"a blank name":            app("client_name#ko", "\u3164"),
				"a signer without keys":   app("token_endpoint_auth_method", "private_key_jwt", "jwks", json.RawMessage(`{}`)),
			} {
				id := s.put("/"+strings.ReplaceAll(rule, " ", "-"), document)
				assert.Equal(t, server.InvalidClient, p.Consent(oauthtest.AuthorizeQuery(by(id), "")).Body["error"], rule)
			}
			for _, id := range []string{s.URL + "/gone", s.URL, s.URL + "/", s.URL + "/a/../client", s.URL + "/client#x", s.URL + "/" + strings.Repeat("x", 1100), strings.Replace(s.URL, "//", "//user@", 1) + "/x", "https://", "ftp://client.example/x"} {
				asked := s.asked.Load()
				assert.Equal(t, server.InvalidClient, p.Consent(oauthtest.AuthorizeQuery(by(url.QueryEscape(id)), "")).Body["error"], id)
				assert.LessOrEqual(t, s.asked.Load()-asked, int32(1))
			}
			s.put("/no-json", app())
			s.mu.Lock()
			s.documents["/no-json"] = "<html>"
			s.mu.Unlock()
			assert.Equal(t, server.InvalidClient, p.Consent(oauthtest.AuthorizeQuery(by(s.URL+"/no-json"), "")).Body["error"])
			ask := func() { p.Token(by(s.URL+"/gone"), "grant_type=authorization_code&code=x") }
			ask()
			asked := s.asked.Load()
			for range 3 {
				ask()
			}
			assert.Equal(t, asked, s.asked.Load(), "what is not there is not asked for again at once")
		})
		t.Run("it gets what users consent to, of what the operator allows", func(t *testing.T) {
			greedy := by(s.put("/greedy", app("grant_types", []string{"client_credentials", "password", "authorization_code"}, "scope", "admin profile")))
			assert.Equal(t, server.UnauthorizedClient, p.Token(greedy, "grant_type=password&username=x&password="+oauthtest.Password).Body["error"])
			assert.Equal(t, server.InvalidScope, p.Consent(oauthtest.AuthorizeQuery(greedy, "scope=admin")).Body["error"], "on a page: nobody has decided")
			assert.Equal(t, http.StatusOK, p.Consent(oauthtest.AuthorizeQuery(greedy, "scope=profile")).Status)
			assert.Equal(t, server.InvalidScope, p.Consent(oauthtest.AuthorizeQuery(greedy, "scope=email")).Body["error"], "which it does not ask for")
		})
		t.Run("one that signs with a key of its own", func(t *testing.T) {
			require.NoError(t, p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db)}))
			key := oauthtest.NewKey(t)
			id := s.put("/signer", app("token_endpoint_auth_method", "private_key_jwt", "jwks", oauthtest.KeySet(t, key)))
			code := p.Code(by(id), "")
			claims := map[string]any{"iss": id, "sub": id, "aud": oauthtest.Issuer, "exp": p.Now.Unix() + 60, "jti": "1"}
			form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {oauthtest.Verifier}, "client_assertion_type": {jwtBearer}}
			assert.Equal(t, server.InvalidClient, p.Token(nil, form.Encode()+"&client_id="+url.QueryEscape(id)).Body["error"], "it is no public client")
			form.Set("client_assertion", oauthtest.SignJWT(t, key, jose.ES256, nil, claims))
			assert.Equal(t, http.StatusOK, p.Token(nil, form.Encode()).Status)
		})
		assert.Equal(t, "true", p.Get("/.well-known/oauth-authorization-server").Body["client_id_metadata_document_supported"])
	})
}

func TestADocumentChanges(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p, documents, s := newDocuments(t, db)
	client := by(s.put("/client", app()))
	require.Equal(t, http.StatusOK, p.Redeem(client, p.Code(client, "")).Status)
	name := func() string {
		found, err := p.Server.QueryClient(t.Context(), client.ClientID)
		require.NoError(t, err)
		if found == nil {
			return ""
		}
		return found.(*oauthtest.Client).GetClientName()
	}
	s.put("/client", app("client_name", "Another name"))
	assert.Equal(t, "An app", name(), "what is stored counts for an hour")
	documents.Fetcher = fetch.New(fetch.Options{AllowPrivateAddresses: true}) // which remembers nothing
	p.Now = p.Now.Add(time.Hour)
	assert.Equal(t, "Another name", name())
	var row oauthtest.Client
	require.NoError(t, db.First(&row).Error)
	assert.Equal(t, "Another name", row.GetClientName())

	s.remove("/client")
	documents.Fetcher = fetch.New(fetch.Options{AllowPrivateAddresses: true})
	p.Now = p.Now.Add(23 * time.Hour)
	assert.Equal(t, "Another name", name(), "while it cannot be fetched, for a day")
	p.Now = p.Now.Add(time.Hour)
	assert.Empty(t, name())

	documents.Check = func(_ context.Context, clientID *url.URL, _ *models.ClientMetadata) error {
		if clientID.Path == "/unwanted" {
			return errors.New("unwanted")
		}
		return nil
	}
	assert.Equal(t, server.InvalidClient, p.Consent(oauthtest.AuthorizeQuery(by(s.put("/unwanted", app())), "")).Body["error"])
	assert.Equal(t, http.StatusOK, p.Consent(oauthtest.AuthorizeQuery(by(s.put("/wanted", app())), "")).Status)
}

// What a document says makes no client an API, at first and later; what the operator says
// of its row stays, and goes with the client.
func TestADocumentMakesNoClientAnAPI(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p, documents, s := newDocuments(t, db)
		const api = "https://api.example"
		said := app("api_resources", api, "APIResources", api, "api_resource\u017f", api, "resource", api)
		client := by(s.put("/client", said))
		require.Equal(t, http.StatusOK, p.Redeem(client, p.Code(client, "")).Status)
		resources := func() []string {
			found, err := p.Server.QueryClient(t.Context(), client.ClientID)
			require.NoError(t, err)
			require.NotNil(t, found)
			return found.(*oauthtest.Client).GetAPIResources()
		}
		changed := func() {
			said["client_name"] = "Another name"
			s.put("/client", said)
			documents.Fetcher = fetch.New(fetch.Options{AllowPrivateAddresses: true}) // which remembers nothing
			p.Now = p.Now.Add(24 * time.Hour)
		}
		assert.Empty(t, resources())
		changed()
		assert.Empty(t, resources())

		factory := gormoauth.CreateClientFactory[oauthtest.Client](db, p.Server)
		require.NoError(t, factory.SetAPIResources(t.Context(), client.ClientID, "https://own.example"))
		assert.Equal(t, []string{"https://own.example"}, resources())
		changed()
		assert.Equal(t, []string{"https://own.example"}, resources())

		registrations := gormoauth.CreateClientRegistrationStorage[oauthtest.Client, oauthtest.Token](db)
		require.NoError(t, registrations.DeleteClient(oauthtest.Brief(t), client.ClientID, p.Now))
		var row oauthtest.Client
		require.NoError(t, db.Unscoped().Where("long_client_id = ? OR client_id = ?", client.ClientID, client.ClientID).First(&row).Error)
		assert.Empty(t, row.APIResources)
	})
}

// Strangers name addresses that never answer, as many as they like: nobody else has to
// wait for them, and they are told to come back.
func TestAFloodOfDocumentsThatNeverCome(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p, documents, s := newDocuments(t, db)
	var waiting atomic.Int32
	come := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		waiting.Add(1)
		<-come
	}))
	t.Cleanup(slow.Close)
	documents.Fetcher = fetch.New(fetch.Options{AllowPrivateAddresses: true, Concurrency: 2, Timeout: 500 * time.Millisecond})
	ask := func(from, clientID string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/token", strings.NewReader("grant_type=authorization_code&code=x&client_id="+url.QueryEscape(clientID)))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = from + ":1"
		w := p.Record(http.HandlerFunc(p.Server.CreateTokenResponse), r)
		return w
	}
	const flood = 5
	var all sync.WaitGroup
	var statuses [flood]int
	for i := range flood {
		all.Go(func() { statuses[i] = ask("192.0.2.66", slow.URL+"/app-"+string(rune('a'+i))).Code })
	}
	require.Eventually(t, func() bool { return waiting.Load() > 0 }, 10*time.Second, time.Millisecond)
	answered := ask("192.0.2.1", s.put("/app", app()))
	assert.Contains(t, answered.Body.String(), server.InvalidGrant, "a client at another address is known at once")
	assert.EqualValues(t, 1, waiting.Load(), "one address has half of what is fetched at once")
	all.Wait()
	close(come)
	assert.Contains(t, statuses, http.StatusServiceUnavailable, "it was not its turn in time")
	for _, status := range statuses {
		assert.Contains(t, []int{http.StatusServiceUnavailable, http.StatusBadRequest, http.StatusUnauthorized}, status)
	}
}

// A client that the operator made keeps what the operator said, whatever is at
// the address that its id happens to be.
func TestAClientMadeByHandHasNoDocument(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p, _, s := newDocuments(t, db)
	id := s.put("/client", app())
	made := p.NewClient(oauthtest.All(oauthtest.Public, func(c *oauthtest.Client) { c.ClientID = id }))
	assert.Equal(t, http.StatusOK, p.Consent(oauthtest.AuthorizeQuery(by(id), "")).Status)
	assert.Equal(t, id, made.GetClientID())
	assert.Zero(t, s.asked.Load())
}

// A client that there is not has one line in the log, as every refusal, and the line says
// why its document does not count, or that its id is the address of none.
func TestWhyThereIsNoSuchClient(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p, _, s := newDocuments(t, db)
		require.NoError(t, p.Server.RegisterEndpoint(gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db)))
		s.mu.Lock()
		s.documents["/page"] = "<html>"
		s.mu.Unlock()
		const notTaken, noAddress = "the client's metadata document is not accepted", "the client id is not the URL of a metadata document"
		deleted := s.put("/deleted", app())
		require.Equal(t, http.StatusOK, p.Redeem(by(deleted), p.Code(by(deleted), "")).Status)
		key, _ := models.SplitClientID(deleted)
		require.NoError(t, db.Model(&oauthtest.Client{}).Where("client_id = ?", key).Update("client_deleted_at", p.Now.Unix()).Error)
		for id, why := range map[string][2]string{
			s.put("/other", app("client_id", s.URL+"/another")):             {notTaken, "its client_id is not its own URL"},
			s.put("/thief", app("redirect_uris", []string{"http://e.com"})): {notTaken, "must be https; http is allowed only for loopback addresses"},
			s.URL + "/page":                {notTaken, "the text is not JSON"},
			s.URL + "/gone":                {notTaken, "answers with 404"},
			s.URL:                          {noAddress, "it has no path"},
			"https://client.example/":      {noAddress, "it has no path"},
			"https://client.example/a#f":   {noAddress, "it has a fragment"},
			"https://u:p@client.example/a": {noAddress, "it has a user name"},
			"https://client.example/../a":  {noAddress, "it has a segment . or .. in its path"},
			"https://client.example/" + strings.Repeat("x", 1100): {noAddress, "it is longer than 1024 characters"},
			"http://client.example/a":                             {noAddress, "must be https"},
			"https://":                                            {noAddress, "it has no host"},
			deleted:                                               {"the client was deleted, or the handle's condition excludes it", ""},
		} {
			form := "grant_type=authorization_code&code=x&client_id=" + url.QueryEscape(id)
			for where, a := range map[string]oauthtest.Answer{
				"authorization": p.Consent(oauthtest.AuthorizeQuery(by(url.QueryEscape(id)), "")), "token": p.Token(nil, form),
				"pushed_authorization_request": p.Post("/oauth/par", nil, form),
			} {
				require.Len(t, a.Log(), 1, "%s of %s: %v", where, id, a.Log())
				line := a.Refusal()
				assert.True(t, line.Has("endpoint", where, "error", "invalid_client", "reason", why[0]), "%s of %s: %v", where, id, line)
				assert.NotEmpty(t, line.Keys["remote_address"])
				assert.Contains(t, line.Keys["values.fault"], why[1], "%s of %s", where, id)
			}
		}
	})
}

func TestWhichIDsAreAddressesOfDocuments(t *testing.T) {
	for id, is := range map[string]bool{
		"https://client.example/app.json": true, "https://client.example:8443/a/b?c=d": true, "http://127.0.0.1:4711/app.json": true,
		"http://client.example/app.json": false, "https://client.example": false, "https://client.example/": false, "https:///app.json": false,
		"https://user@client.example/app.json": false, "https://client.example/app.json#f": false, "https://client.example/a/../app.json": false,
		"https://client.example/./app.json": false, "https://client.example/" + strings.Repeat("x", 1100): false, "demo-web": false, "": false,
	} {
		assert.Equal(t, is, clientauth.IsDocumentURL(id), id)
	}
}

func TestMetadataDocumentsNeedTheirSettings(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	require.ErrorContains(t, p.Server.Register(&clientauth.MetadataDocuments{}), "CreateMetadataDocuments")
}

// A client of a document that nobody uses is forgotten, and comes back when somebody does.
// One that is used stays, and so does one in which the operator keeps something.
func TestDocumentClientsThatNobodyUsesAreForgotten(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p, documents, s := newDocuments(t, db)
		p.Now = time.Now().AddDate(-1, 0, 0)
		storage := documents.Storage.(*gormstore.ClientDocuments)
		prune := gormoauth.CreatePruneFunc[oauthtest.Token, oauthtest.AuthorizationCode](db, storage)
		clients := make(map[string]*oauthtest.Client)
		for _, name := range []string{"used", "unused", "kept", "taken over"} {
			clients[name] = by(s.put("/"+strings.ReplaceAll(name, " ", "-"), app()))
			require.Equal(t, http.StatusOK, p.Redeem(clients[name], p.Code(clients[name], "")).Status)
		}
		factory := gormoauth.CreateClientFactory[oauthtest.Client](db, p.Server)
		require.NoError(t, factory.SetAPIResources(t.Context(), clients["kept"].ClientID, "https://own.example"))
		own := clients["taken over"].ClientMetadata
		own.TokenEndpointAuthMethod, own.RedirectURIs, own.GrantTypes = models.None, []string{oauthtest.RedirectURI}, []string{"authorization_code"}
		_, err := factory.Update(t.Context(), clients["taken over"].ClientID, own)
		require.NoError(t, err)
		for range 6 {
			p.Now = p.Now.AddDate(0, 0, 20)
			documents.Fetcher = fetch.New(fetch.Options{AllowPrivateAddresses: true}) // which remembers nothing
			_, err := p.Server.QueryClient(t.Context(), clients["used"].ClientID)
			require.NoError(t, err)
			require.NoError(t, prune(t.Context(), gormstore.PruneOptions{Before: p.Now}))
		}
		for name, client := range clients {
			var rows int64
			require.NoError(t, db.Model(&oauthtest.Client{}).Where("client_id = ?", models.ClientKey(client.ClientID)).Count(&rows).Error)
			assert.Equal(t, map[bool]int64{true: 0, false: 1}[name == "unused"], rows, name)
		}
		found, err := p.Server.QueryClient(t.Context(), clients["unused"].ClientID)
		require.NoError(t, err)
		assert.NotNil(t, found)
	})
}
