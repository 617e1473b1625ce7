// Package crossorigin answers the pages of other origins (CORS).
package crossorigin

import (
	"net/http"

	"github.com/rs/cors"
)

// Sharing lets pages of other origins call endpoints that are meant for programs (CORS, in
// the Fetch standard), without credentials. These endpoints do not use cookies, so a page can do
// no more than any other program. Sharing answers preflight requests, and exposes the
// response headers that a client needs: DPoP-Nonce (RFC 9449 section 8), WWW-Authenticate and
// Retry-After.
type Sharing struct{ cors *cors.Cors }

const preflightMaxAge = 2 * 60 * 60 // in seconds, the longest that browsers cache one

// New returns a Sharing for the origins that allow accepts; nil accepts every origin.
func New(allow func(origin string) bool) *Sharing {
	options := cors.Options{
		AllowedMethods: []string{
			http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		},
		AllowedHeaders: []string{"*"},
		ExposedHeaders: []string{"DPoP-Nonce", "WWW-Authenticate", "Retry-After"},
		MaxAge:         preflightMaxAge,
	}
	if allow == nil {
		options.AllowedOrigins = []string{"*"}
	} else {
		options.AllowOriginFunc = allow
	}
	return &Sharing{cors.New(options)}
}

// Handle adds the headers that a page of another origin needs. It reports whether the request was
// a preflight request, which has then been answered. CORS headers that the program's own
// middleware has already set are kept.
func (c *Sharing) Handle(w http.ResponseWriter, r *http.Request) (answered bool) {
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	if w.Header().Get("Access-Control-Allow-Origin") == "" {
		c.cors.HandlerFunc(w, r)
		return preflight
	}
	if preflight {
		w.WriteHeader(http.StatusNoContent)
	}
	return preflight
}
