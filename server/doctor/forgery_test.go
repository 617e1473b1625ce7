package doctor_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/server/doctor"
)

// forgeable are the headers from which programs and their proxies make URLs.
func forgeable() []string {
	return []string{"Host", "X-Forwarded-Host", "X-Forwarded-Server", "X-Original-Host", "X-Host", "X-Forwarded-Prefix", "Forwarded", "X-Forwarded-Proto"}
}

// echo answers with the value of a header.
func echo(header string) func(w http.ResponseWriter, r *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		switch header {
		case "Host":
			_, _ = io.WriteString(w, r.Host)
		case "X-Forwarded-Proto":
			_, _ = io.WriteString(w, r.Header.Get(header)+"://id.example/")
		default:
			_, _ = io.WriteString(w, r.Header.Get(header))
		}
	}
}

// No header that a client sends is in a URL, on a page or in the metadata.
func TestEveryHeaderThatCanBeForgedIsTried(t *testing.T) {
	s := newServer(t)
	for _, header := range forgeable() {
		findings := program(s, echo(header)).Diagnose(t.Context(), s)
		assert.Equal(t, []string{"forged_header"}, checks(t, findings), header)
		if assert.Len(t, findings, 1, header) {
			assert.Contains(t, findings[0].Problem, " "+header)
		}

		for _, endpoint := range []string{"metadata", "openid_configuration"} {
			address := s.EndpointURL(endpoint)
			if address == "" {
				continue
			}
			path := address[len("https://id.example"):]
			p := program(s, nil)
			inner := p.Handler
			p.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == path {
					echo(header)(w, r)
					return
				}
				inner.ServeHTTP(w, r)
			})
			findings = p.Diagnose(t.Context(), s)
			assert.Equal(t, []string{"forged_header"}, checks(t, findings), "%s in %s", header, endpoint)
		}
	}
}

// A page whose path no request can have is none.
func TestAPageNeedsAPath(t *testing.T) {
	s := newServer(t)
	p := program(s, nil)
	p.Pages = []string{"/%zz"}
	assert.Equal(t, []string{"page"}, checks(t, p.Diagnose(t.Context(), s)))
	p = doctor.Program{TLS: true, Pages: p.Pages}
	assert.Empty(t, p.Diagnose(t.Context(), s), "without a handler no page is asked for")
}
