package header_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/internal/header"
)

// Nobody is sent to what a browser would run, or to what is no URI.
func TestRedirect(t *testing.T) {
	for uri, good := range map[string]bool{
		"https://app.example/cb?code=x&state=%22": true, "cursor://x/cb?code=1": true, "com.example.app:/cb?code=1": true,
		"javascript:alert(1)": false, "data:text/html,x": false, "ms-settings:": false, "https://аpple.com/cb": false, "https://a;b/": false,
		"https://app.example/\r\nX: y": false, "/local": false, "": false,
	} {
		w := httptest.NewRecorder()
		err := header.Redirect(w, uri, http.StatusSeeOther)
		assert.Equal(t, good, err == nil, uri)
		if good {
			assert.Equal(t, uri, w.Header().Get("Location"))
			assert.Equal(t, http.StatusSeeOther, w.Code)
		} else {
			assert.Empty(t, w.Header().Get("Location"), uri)
		}
	}
}

func TestChallenge(t *testing.T) {
	assert.Equal(t, "Basic", header.Challenge("Basic"))
	assert.Equal(t, `Bearer realm=" ~"`, header.Challenge("Bearer", "realm", " ~", "name without a value"), "the first and the last printable character")
	assert.Equal(t, `Bearer realm="api", scope="a b"`, header.Challenge("Bearer", "realm", "api", "error", "", "scope", "a b"))
	for _, value := range []string{`a"b`, `a\b`, "a\nb", "ü", "\x00", "\x7f"} {
		assert.Equal(t, `Bearer realm="api"`, header.Challenge("Bearer", "realm", "api", "scope", value), value)
	}
}

func TestCopy(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Cache-Control", "no-store")
	header.Copy(w, http.Header{"Cache-Control": {"public"}, "Www-Authenticate": {"Bearer", "DPoP ü", "Basic"}, "Retry-After": {"1\r\nX: y"}, "Link": {"<\x00>"}})
	assert.Equal(t, http.Header{"Cache-Control": {"public"}, "Www-Authenticate": {"Bearer", "Basic"}}, w.Header())
	header.Set(w, "Allow", "GET\n")
	header.Set(w, "Allow", "GET, POST")
	assert.Equal(t, "GET, POST", w.Header().Get("Allow"))
}
