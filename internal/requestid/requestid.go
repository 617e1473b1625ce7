// Package requestid names requests, so that all lines of a log that come of one request
// can be found.
package requestid

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
)

type key struct{}

// entry is the name of one request, which is looked for when it is first asked for.
type entry struct {
	once sync.Once
	r    *http.Request
	of   func(r *http.Request) string
	id   string
}

// With returns a context in which the request has a name: that of the context, if it has
// one, or what the function says. nil is [Header]. What is not well-formed is replaced by
// a random name.
func With(ctx context.Context, r *http.Request, of func(r *http.Request) string) context.Context {
	if _, ok := ctx.Value(key{}).(*entry); ok {
		return ctx
	}
	if of == nil {
		of = Header
	}
	return context.WithValue(ctx, key{}, &entry{r: r, of: of})
}

// Enter returns the request with such a context.
func Enter(r *http.Request, of func(r *http.Request) string) *http.Request {
	if _, ok := r.Context().Value(key{}).(*entry); ok {
		return r
	}
	return r.WithContext(With(r.Context(), r, of))
}

// From returns the name of the context's request, empty when it has none.
func From(ctx context.Context) string {
	e, ok := ctx.Value(key{}).(*entry)
	if !ok {
		return ""
	}
	e.once.Do(func() {
		if e.id = e.of(e.r); !wellFormed(e.id) {
			e.id = rand.Text()
		}
		e.r, e.of = nil, nil
	})
	return e.id
}

// Header returns the request's X-Request-Id.
func Header(r *http.Request) string { return r.Header.Get("X-Request-Id") }

const longest = 64

// wellFormed reports whether an id from a stranger can be written to any log as it is.
func wellFormed(id string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/+="
	return id != "" && len(id) <= longest && strings.Trim(id, alphabet) == ""
}
