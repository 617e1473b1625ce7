package server

import (
	"net/http"

	"github.com/rs/cors"
)

// CrossOrigin lets pages of other origins call what programs call (the Fetch
// standard's CORS protocol), without credentials: nothing here looks at cookies, so
// a page can do no more than any other program. It answers preflights, and lets the
// page read the headers that a client needs: DPoP-Nonce (RFC 9449 section 8),
// WWW-Authenticate and Retry-After.
type CrossOrigin struct{ cors *cors.Cors }

const preflightMaxAge = 2 * 60 * 60 // seconds, the longest that a browser keeps one

// NewCrossOrigin returns what lets pages of those origins call that allow accepts;
// nil accepts every origin.
func NewCrossOrigin(allow func(origin string) bool) *CrossOrigin {
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
	return &CrossOrigin{cors.New(options)}
}

// Handle adds the headers that a page of another origin needs. It reports whether
// the request was a preflight, which is then answered. Where the program's own
// middleware has added such headers, they stand.
func (c *CrossOrigin) Handle(w http.ResponseWriter, r *http.Request) (answered bool) {
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
