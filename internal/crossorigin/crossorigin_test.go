package crossorigin_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/internal/crossorigin"
)

// Whether a request was answered, and every header of the answer.
func TestHandle(t *testing.T) {
	const origin = "https://app.example"
	open, closed := crossorigin.New(nil), crossorigin.New(func(o string) bool { return o == origin })
	type headers = map[string]string
	for rule, c := range map[string]struct {
		sharing  *crossorigin.Sharing
		method   string
		request  headers
		before   headers // those of the program's own middleware
		answered bool
		status   int
		want     headers
	}{
		"a request": {open, http.MethodPost, headers{"Origin": origin}, nil, false, 200, headers{
			"Vary": "Origin", "Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Dpop-Nonce, Www-Authenticate, Retry-After",
		}},
		"a request of an origin that may": {closed, http.MethodGet, headers{"Origin": origin}, nil, false, 200, headers{
			"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "Dpop-Nonce, Www-Authenticate, Retry-After",
		}},
		"a request of another origin": {closed, http.MethodGet, headers{"Origin": "https://other.example"}, nil, false, 200, headers{"Vary": "Origin"}},
		"a request of no page":        {open, http.MethodGet, nil, nil, false, 200, headers{"Vary": "Origin"}},
		"a preflight request": {open, http.MethodOptions, headers{"Origin": origin, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "dpop"}, nil, true, 204, headers{
			"Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers", "Access-Control-Allow-Origin": "*",
			"Access-Control-Allow-Methods": "PATCH", "Access-Control-Allow-Headers": "dpop", "Access-Control-Max-Age": "7200",
		}},
		"OPTIONS that asks for nothing":   {open, http.MethodOptions, headers{"Origin": origin}, nil, false, 200, nil},
		"another method that asks for it": {open, http.MethodPost, headers{"Access-Control-Request-Method": "PUT"}, nil, false, 200, headers{"Vary": "Origin"}},
		"what the program allows": {closed, http.MethodGet, headers{"Origin": origin}, headers{"Access-Control-Allow-Origin": "https://its.example"}, false, 200, headers{
			"Access-Control-Allow-Origin": "https://its.example",
		}},
		"a preflight request that the program allows": {closed, http.MethodOptions, headers{"Origin": origin, "Access-Control-Request-Method": "PUT"},
			headers{"Access-Control-Allow-Origin": "https://its.example"}, true, 204, headers{"Access-Control-Allow-Origin": "https://its.example"}},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(c.method, "/token", nil)
		for name, value := range c.request {
			r.Header.Set(name, value)
		}
		for name, value := range c.before {
			w.Header().Set(name, value)
		}
		assert.Equal(t, c.answered, c.sharing.Handle(w, r), rule)
		assert.Equal(t, c.status, w.Code, rule)
		got := headers{}
		for name := range w.Header() {
			got[name] = w.Header().Get(name)
		}
		if c.want != nil {
			assert.Equal(t, c.want, got, rule)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodConnect} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodOptions, "/", nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", method)
		open.Handle(w, r)
		assert.Equal(t, method != http.MethodConnect, w.Header().Get("Access-Control-Allow-Methods") == method, method)
	}
}
