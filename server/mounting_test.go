package server_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
)

// A server is found where its metadata says, wherever the program or a proxy has put
// it: below a prefix that is left as it is, or that is taken off.
func TestMounting(t *testing.T) {
	const authorize = "/oauth/authorize"
	for name, row := range map[string]struct {
		issuer string
		mount  func(routes http.Handler) http.Handler // what the router or the proxy does
		prefix string                                 // what stands before every path for the browser
	}{
		"at the root":                               {"https://id.example", func(h http.Handler) http.Handler { return h }, ""},
		"an issuer with a path":                     {"https://id.example/auth", func(h http.Handler) http.Handler { return h }, "/auth"},
		"http.StripPrefix takes the path off":       {"https://id.example/auth", func(h http.Handler) http.Handler { return http.StripPrefix("/auth", h) }, "/auth"},
		"a proxy takes the path off":                {"https://id.example/auth", proxy("/auth"), "/auth"},
		"a path of two segments, below one of them": {"https://id.example/a/b", func(h http.Handler) http.Handler { return http.StripPrefix("/a/b", h) }, "/a/b"},
	} {
		t.Run(name, func(t *testing.T) {
			p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(config *server.Config) { config.Issuer = row.issuer })
			client := p.NewClient(nil)
			mux := http.NewServeMux()
			for path, handler := range p.Server.Routes() {
				mux.Handle(path, handler)
			}
			var returnTo string
			page := func(_ http.ResponseWriter, r *http.Request) {
				consent, err := p.Server.GetConsentGrant(r, p.User)
				if assert.NoError(t, err) {
					returnTo = consent.ReturnTo
				}
			}
			mux.HandleFunc(authorize, page)
			if row.prefix != "" {
				mux.HandleFunc(row.prefix+authorize, page)
			}
			get := func(target string) *httptest.ResponseRecorder {
				w := p.Record(row.mount(mux), httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody))
				return w
			}
			query := oauthtest.AuthorizeQuery(client, "")
			get(row.prefix + authorize + "?" + query)
			assert.Equal(t, row.prefix+authorize+"?"+query, returnTo)
			for _, path := range []string{"/oauth/token", "/oauth/revoke"} {
				assert.Equal(t, http.StatusMethodNotAllowed, get(row.prefix+path).Code, path)
			}
			assert.Equal(t, row.issuer+"/oauth/token", p.Server.EndpointURL("token"))
		})
	}
}

// proxy forwards requests without the prefix, as a program of its own would.
func proxy(prefix string) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			forwarded := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.RequestURI()[len(prefix):], r.Body)
			h.ServeHTTP(w, forwarded)
		})
	}
}
