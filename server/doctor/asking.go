package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
)

// asking sends requests to a program's handler in this process.
type asking struct {
	ctx     context.Context
	program Program
	issuer  *url.URL
}

// answer is the recorded response of a handler.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

const largestBody = 1 << 20

// Header returns the response headers.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader records the status.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write records the beginning of the body.
func (a *answer) Write(text []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len() < largestBody {
		_, _ = a.body.Write(text)
	}
	return len(text), nil
}

// contains reports whether a text is in the response, including its headers.
func (a *answer) contains(text string) bool {
	for _, values := range a.header {
		if strings.Contains(strings.Join(values, "\n"), text) {
			return true
		}
	}
	return bytes.Contains(a.body.Bytes(), []byte(text))
}

// ask sends the handler a request as it would receive it: from the proxy in front of it, or
// over TLS. A handler that panics counts as a response with status 500.
func (a asking) ask(method, path string, change func(*http.Request)) (got *answer) {
	got = &answer{header: make(http.Header)}
	r, err := http.NewRequestWithContext(a.ctx, method, a.issuer.Scheme+"://"+a.issuer.Host+path, http.NoBody)
	if err != nil {
		got.status = http.StatusNotFound
		return got
	}
	r.URL.Scheme, r.URL.Host, r.RequestURI, r.RemoteAddr = "", "", path, "127.0.0.1:443"
	switch {
	case a.issuer.Scheme != "https":
	case a.program.TLS:
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: a.issuer.Hostname()}
	default:
		r.Header.Set("X-Forwarded-Proto", "https")
	}
	if change != nil {
		change(r)
	}
	defer func() {
		if recover() != nil {
			got.status = http.StatusInternalServerError
		}
	}()
	a.program.Handler.ServeHTTP(got, r)
	got.WriteHeader(http.StatusOK)
	return got
}
