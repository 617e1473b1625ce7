package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
)

// Pages of every origin may call what programs call, without credentials, and read
// what a client needs of the answer.
func TestPagesOfOtherOrigins(t *testing.T) {
	for name, row := range map[string]struct {
		allow   func(origin string) bool
		origin  string
		allowed string
	}{
		"every origin, by default":     {nil, "https://app.example", "*"},
		"one that the program allows":  {func(origin string) bool { return origin == "https://app.example" }, "https://app.example", "https://app.example"},
		"one that it does not":         {func(origin string) bool { return origin == "https://app.example" }, "https://evil.example", ""},
		"a request without any origin": {nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(config *server.Config) { config.AllowOrigin = row.allow })
			call := func(method, path string, header http.Header) *httptest.ResponseRecorder {
				r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader("grant_type=client_credentials"))
				r.Header = header
				if row.origin != "" {
					r.Header.Set("Origin", row.origin)
				}
				w := httptest.NewRecorder()
				mux := http.NewServeMux()
				for path, handler := range p.Server.Routes() {
					mux.Handle(path, handler)
				}
				mux.ServeHTTP(w, r)
				return w
			}
			paths := 0
			for path := range p.Server.Routes() {
				paths++
				w := call(http.MethodOptions, path, http.Header{
					"Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,content-type,dpop"},
				})
				assert.Equal(t, http.StatusNoContent, w.Code, path)
				assert.Equal(t, row.allowed, w.Header().Get("Access-Control-Allow-Origin"), path)
				if row.allowed != "" {
					assert.Equal(t, "authorization,content-type,dpop", w.Header().Get("Access-Control-Allow-Headers"), path)
					assert.Equal(t, "POST", w.Header().Get("Access-Control-Allow-Methods"), path)
				}
				assert.Empty(t, w.Header().Get("Access-Control-Allow-Credentials"), path)

				w = call(http.MethodPost, path, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
				assert.Equal(t, row.allowed, w.Header().Get("Access-Control-Allow-Origin"), "an error, too, can be read: %s", path)
				assert.Empty(t, w.Header().Get("Access-Control-Allow-Credentials"), path)
				if row.allowed != "" {
					assert.Equal(t, "Dpop-Nonce, Www-Authenticate, Retry-After", http.CanonicalHeaderKey("")+w.Header().Get("Access-Control-Expose-Headers"), path)
				}
			}
			assert.Greater(t, paths, 3)
		})
	}
}

// What the program's own middleware has said stands.
func TestAProgramsOwnCrossOriginHeadersStand(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	for _, method := range []string{http.MethodOptions, http.MethodPost} {
		w := httptest.NewRecorder()
		w.Header().Set("Access-Control-Allow-Origin", "https://app.example")
		r := httptest.NewRequestWithContext(t.Context(), method, "/oauth/token", http.NoBody)
		r.Header.Set("Origin", "https://app.example")
		r.Header.Set("Access-Control-Request-Method", "POST")
		p.Server.CreateTokenResponse(w, r)
		require.Equal(t, []string{"https://app.example"}, w.Header().Values("Access-Control-Allow-Origin"))
	}
}

// The authorization endpoint is a page: no other page may read it.
func TestTheAuthorizationEndpointIsNotForOtherPages(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.NewClient(nil)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/authorize?"+oauthtest.AuthorizeQuery(client, ""), http.NoBody)
	r.Header.Set("Origin", "https://app.example")
	w := httptest.NewRecorder()
	p.Server.CreateAuthorizationResponse(w, r, nil)
	assert.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
}
