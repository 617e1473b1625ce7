package doctor_test

import (
	"crypto/x509"
	"fmt"
	"html"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/doctor"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/forwarded"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// checks are the names of the rules that were broken, each once.
func checks(t *testing.T, findings finding.List) (all []string) {
	t.Helper()
	oauthtest.KnowFindings(t, findings)
	for _, finding := range findings {
		if len(all) == 0 || all[len(all)-1] != finding.Check {
			all = append(all, finding.Check)
		}
	}
	return all
}

func newServer(t *testing.T, configure ...func(*server.Config)) *server.Server {
	t.Helper()
	return oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), configure...).Server
}

// page answers as a page should, unless it is changed.
func page(change func(w http.ResponseWriter, r *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		w.Header().Set("Referrer-Policy", "same-origin")
		w.Header().Set("Cache-Control", "no-store")
		if change != nil {
			change(w, r)
		}
		_, _ = fmt.Fprint(w, "<p>Hello")
	}
}

func program(s *server.Server, change func(w http.ResponseWriter, r *http.Request)) doctor.Program {
	mux := http.NewServeMux()
	for path, handler := range s.Routes() {
		mux.Handle(path, handler)
	}
	mux.Handle("/oauth/authorize", page(nil))
	mux.Handle("GET /login", page(change))
	return doctor.Program{Handler: mux, Pages: []string{"/login?next=%2F"}, TLS: true}
}

func session(change func(*http.Cookie)) func(w http.ResponseWriter, r *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		cookie := &http.Cookie{Name: "__Host-session", Value: "x", Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
		if change != nil {
			change(cookie)
		}
		http.SetCookie(w, cookie)
	}
}

func TestAPageIsDiagnosed(t *testing.T) {
	s := newServer(t)
	header := func(name, value string) func(w http.ResponseWriter, r *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(name, value) }
	}
	for rule, c := range map[string]struct {
		change func(w http.ResponseWriter, r *http.Request)
		want   []string
	}{
		"a sound page":             {nil, nil},
		"a sound cookie":           {session(nil), nil},
		"a cookie is Secure":       {session(func(c *http.Cookie) { c.Secure = false }), []string{"cookie"}},
		"a cookie is HttpOnly":     {session(func(c *http.Cookie) { c.HttpOnly = false }), []string{"cookie"}},
		"but not one for a script": {session(func(c *http.Cookie) { c.HttpOnly, c.Name = false, "csrf_token" }), nil},
		"a cookie says SameSite":   {session(func(c *http.Cookie) { c.SameSite = 0 }), []string{"cookie"}},
		"and something by it":      {session(func(c *http.Cookie) { c.SameSite = http.SameSiteNoneMode }), []string{"cookie"}},
		"a cookie is for one host": {session(func(c *http.Cookie) { c.Domain = "example" }), []string{"cookie"}},
		"a page is in no frame":    {header("Content-Security-Policy", "default-src 'none'"), []string{"frame"}},
		"nor in anybody's":         {header("Content-Security-Policy", "frame-ancestors *"), []string{"frame"}},
		"an older header will do": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Del("Content-Security-Policy")
			w.Header().Set("X-Frame-Options", "DENY")
		}, nil},
		"a page has a Referrer-Policy": {header("Referrer-Policy", ""), []string{"referrer"}},
		"and one that keeps something": {header("Referrer-Policy", "unsafe-url"), []string{"referrer"}},
		"a page is not kept":           {header("Cache-Control", "public, max-age=60"), []string{"cache"}},
		"what is no page may be": {func(w http.ResponseWriter, _ *http.Request) {
			clear(w.Header())
			w.Header().Set("Content-Type", "text/css")
		}, nil},
		"a page does not fail":               {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, []string{"page"}},
		"nor panic":                          {func(http.ResponseWriter, *http.Request) { panic("x") }, []string{"page"}},
		"a page that refuses has been found": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }, nil},
		"a redirect shows nothing": {func(w http.ResponseWriter, r *http.Request) {
			clear(w.Header())
			http.Redirect(w, r, "/oauth/authorize", http.StatusSeeOther)
		}, nil},
		"by Host": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://"+r.Host+"/x", http.StatusSeeOther)
		}, []string{"forged_header"}},
		"by X-Forwarded-Host": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, `<a href="https://%s/reset">`, html.EscapeString(r.Header.Get("X-Forwarded-Host")))
		}, []string{"forged_header"}},
		"by Forwarded": {func(w http.ResponseWriter, r *http.Request) {
			if _, after, ok := strings.Cut(r.Header.Get("Forwarded"), "host="); ok {
				host, _, _ := strings.Cut(after, ";")
				http.Redirect(w, r, "https://"+host+"/x", http.StatusSeeOther)
			}
		}, []string{"forged_header"}},
		"by X-Forwarded-Proto": {func(w http.ResponseWriter, r *http.Request) {
			scheme := "https"
			if r.Header.Get("X-Forwarded-Proto") == "http" {
				scheme = "http"
			}
			http.Redirect(w, r, scheme+"://id.example/x", http.StatusSeeOther)
		}, []string{"forged_header"}},
	} {
		findings := program(s, c.change).Diagnose(t.Context(), s)
		assert.Equal(t, c.want, checks(t, findings), "%s: %v", rule, findings)
	}
	missing := program(s, nil)
	missing.Pages = []string{"/signin"}
	assert.Equal(t, []string{"page"}, checks(t, missing.Diagnose(t.Context(), s)))
}

// A cookie that is not Secure is all that there can be without https.
func TestWithoutTLSACookieNeedNotBeSecure(t *testing.T) {
	s := newServer(t, func(c *server.Config) { c.Issuer = "http://127.0.0.1:8080" })
	p := program(s, session(func(c *http.Cookie) { c.Secure, c.Name = false, "session" }))
	p.TLS = false
	assert.Empty(t, p.Diagnose(t.Context(), s))
}

func TestWhatTheMetadataNamesIsServed(t *testing.T) {
	s := newServer(t)
	p := program(s, nil)
	assert.Empty(t, p.Diagnose(t.Context(), s))

	stripped := p
	stripped.Handler = http.StripPrefix("/oauth", p.Handler)
	assert.ErrorContains(t, stripped.Diagnose(t.Context(), s).Err(), "https://id.example/oauth/token is not served: the handler answers 404 to /oauth/token")
	moved := newServer(t, func(c *server.Config) { c.EndpointPaths = map[string]string{"revocation": "/revoke"} })
	err := p.Diagnose(t.Context(), moved).Err()
	assert.ErrorContains(t, err, "https://id.example/revoke is not served")
	assert.NotContains(t, err.Error(), "/oauth/token", "the others are")
}

func TestAProxyIsKnown(t *testing.T) {
	behind := doctor.Program{}
	from := func(*http.Request) string { return "" }
	assert.Equal(t, []string{"remote_address"}, checks(t, behind.Diagnose(t.Context(), newServer(t))))
	assert.Empty(t, doctor.Program{TLS: true}.Diagnose(t.Context(), newServer(t)), "there is none")
	assert.Empty(t, behind.Diagnose(t.Context(), newServer(t, func(c *server.Config) { c.RemoteAddress = from })))
	assert.Empty(t, behind.Diagnose(t.Context(), newServer(t, func(c *server.Config) { c.Issuer = "http://localhost:8080" })))
}

func TestAnAddressThatAnybodyWritesIsFound(t *testing.T) {
	everywhere := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	written := func(header string) func(*http.Request) string {
		return func(r *http.Request) string { return r.Header.Get(header) }
	}
	for rule, c := range map[string]struct {
		address func(r *http.Request) string
		want    []string
	}{
		"of the connection":             {nil, nil},
		"of one proxy":                  {forwarded.Address("X-Forwarded-For", netip.MustParsePrefix("10.0.0.7/32")), nil},
		"of no proxy":                   {forwarded.Address("X-Forwarded-For"), nil},
		"of anybody":                    {forwarded.Address("X-Forwarded-For", everywhere...), []string{"forwarded_address"}},
		"of anybody with IPv6":          {forwarded.Address("X-Real-IP", everywhere[1]), []string{"forwarded_address"}},
		"of anybody, by RFC 7239":       {forwarded.Address("Forwarded", everywhere...), []string{"forwarded_address"}},
		"of anybody, by the program's":  {written("X-Forwarded-For"), []string{"forwarded_address"}},
		"of anybody, by another header": {written("Cf-Connecting-Ip"), []string{"forwarded_address"}},
	} {
		s := newServer(t, func(config *server.Config) { config.RemoteAddress = c.address })
		assert.Equal(t, c.want, checks(t, doctor.Program{TLS: true}.Diagnose(t.Context(), s)), rule)
	}
}

func TestACertificateOfAnybodyIsRefused(t *testing.T) {
	everywhere := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	for rule, c := range map[string]struct {
		certificates forwarded.CertificatesFunc
		want         []string
	}{
		"of the connection": {nil, nil},
		"of one proxy":      {forwarded.ClientCertificates("Client-Cert", netip.MustParsePrefix("10.0.0.7/32")), nil},
		"of anybody":        {forwarded.ClientCertificates("Client-Cert", everywhere...), []string{"client_certificates"}},
		"of anybody, by another header": {
			forwarded.ClientCertificates("X-SSL-Client-Cert", everywhere[0]), []string{"client_certificates"}},
		"of anybody with IPv6": {forwarded.ClientCertificates("Client-Cert", everywhere[1]), []string{"client_certificates"}},
		"of anybody, by the program's own": {func(r *http.Request) []*x509.Certificate {
			if r.Header.Get("Ssl-Client-Cert") == "" {
				return nil
			}
			return []*x509.Certificate{{}}
		}, []string{"client_certificates"}},
	} {
		s := newServer(t, func(config *server.Config) { config.ClientCertificates = c.certificates })
		assert.Equal(t, c.want, checks(t, doctor.Program{TLS: true}.Diagnose(t.Context(), s)), rule)
	}
}

func TestWhatEachInstanceCountsIsAHint(t *testing.T) {
	for rule, c := range map[string]struct {
		instances int
		limiter   ratelimit.Limiter
		want      []string
	}{
		"nobody knows how many":   {0, nil, nil},
		"there is one":            {1, nil, nil},
		"there are several":       {3, nil, []string{"limiter"}},
		"with one of the kind":    {3, ratelimit.New(5, time.Minute), []string{"limiter"}},
		"that have one in common": {3, ratelimit.Unlimited{}, nil},
	} {
		s := newServer(t, func(config *server.Config) { config.FailedAuthentications = c.limiter })
		findings := doctor.Program{TLS: true, Instances: c.instances}.Diagnose(t.Context(), s)
		assert.Equal(t, c.want, checks(t, findings), rule)
		require.NoError(t, findings.Err())
	}
}
