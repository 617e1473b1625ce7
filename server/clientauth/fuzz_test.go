package clientauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server/fetch"
)

// FuzzMetadataDocument serves any document as a client's metadata: what becomes a
// client is the one that the document names, without a secret, and with redirect URIs
// that a browser may be sent to.
func FuzzMetadataDocument(f *testing.F) {
	for _, seed := range []string{
		`{"client_id":"{id}","redirect_uris":["http://127.0.0.1/cb"]}`, `{"client_id":"{id}","redirect_uris":["javascript:alert(1)"],"client_secret":"x"}`,
		`{"client_id":"{id}","redirect_uris":["https://a@b/"],"token_endpoint_auth_method":"client_secret_basic"}`, `{"client_id":"https://x.example/"}`,
		`{"client_id":"{id}","redirect_uris":[null,1]}`, "[", "null", strings.Repeat("[", 5000),
	} {
		f.Add(seed)
	}
	var document atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(document.Load().(string)))
	}))
	f.Cleanup(s.Close)
	db := testdb.Open(f, testdb.SQLiteGo, oauthtest.Models()...)
	documents := gormoauth.CreateMetadataDocuments[oauthtest.Client](db, fetch.New(fetch.Options{AllowPrivateAddresses: true}))
	p := oauthtest.New(f, db)
	if err := p.Server.Register(documents); err != nil {
		f.Fatal(err)
	}
	number := 0
	f.Fuzz(func(t *testing.T, text string) {
		number++
		clientID := fmt.Sprintf("%s/%d", s.URL, number)
		document.Store(strings.ReplaceAll(text, "{id}", clientID))
		client, err := p.Server.QueryClient(t.Context(), clientID)
		if err != nil {
			t.Fatal(err)
		}
		if client == nil {
			return
		}
		found := client.(*oauthtest.Client)
		if found.GetClientID() != clientID || found.ClientMixin.ClientSecret != "" {
			t.Fatalf("%q became %+v", text, found)
		}
		for _, uri := range found.GetRedirectURIs() {
			if !strings.Contains(uri, ":") || strings.HasPrefix(strings.ToLower(uri), "javascript:") || strings.Contains(uri, "#") {
				t.Fatalf("%q has the redirect URI %q", text, uri)
			}
		}
	})
}
