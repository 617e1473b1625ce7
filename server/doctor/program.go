package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// Program describes the program around a server, which the server itself does not know.
// Requests are sent to its handler in this process, without the network: for each page and
// for the metadata, first as a browser would send them, then with forged headers.
type Program struct {
	// Handler is the program's handler. nil skips all checks that need it.
	Handler http.Handler
	// Pages are the paths of pages for users, such as "/login", with a query if they need
	// one. Each is requested by GET, without a signed-in user.
	Pages []string
	// TLS says that the program terminates TLS itself. Otherwise a proxy in front of it
	// does so for an https issuer.
	TLS bool
	// Instances is how many instances serve the issuer. 0 means unknown.
	Instances int
}

// Diagnose returns the problems of the program.
func (p Program) Diagnose(ctx context.Context, s *server.Server) (findings finding.List) {
	issuer, err := url.Parse(s.Issuer())
	if err != nil {
		return nil
	}
	findings = slices.Concat(p.diagnoseProxy(s, issuer), diagnoseAddresses(ctx, s), diagnoseCertificates(ctx, s), p.diagnoseLimiters(s))
	if p.Handler == nil {
		return findings
	}
	a := asking{ctx: ctx, program: p, issuer: issuer}
	for _, address := range addresses(s) {
		findings = append(findings, a.diagnoseEndpoint(address)...)
	}
	for _, name := range []string{"metadata", "openid_configuration"} {
		if u, err := url.Parse(s.EndpointURL(name)); err == nil && u.Path != "" {
			findings = append(findings, a.diagnoseForgery(u.Path)...)
		}
	}
	for _, page := range p.Pages {
		findings = append(findings, a.diagnosePage(page)...)
		findings = append(findings, a.diagnoseForgery(page)...)
	}
	return findings
}

// addresses returns the URLs in the server's metadata, and those of its routes.
func addresses(s *server.Server) (all []string) {
	for member, value := range s.Metadata() {
		address, ok := value.(string)
		if ok && (strings.HasSuffix(member, "_endpoint") || member == "jwks_uri") && strings.HasPrefix(address, strings.TrimSuffix(s.Issuer(), "/")+"/") {
			all = append(all, address)
		}
	}
	for path := range s.Routes() {
		if u, err := url.Parse(s.Issuer()); err == nil {
			all = append(all, u.Scheme+"://"+u.Host+path)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// diagnoseProxy reports that all clients appear to have the address of the proxy.
func (p Program) diagnoseProxy(s *server.Server, issuer *url.URL) finding.List {
	if issuer.Scheme != "https" || p.TLS || s.GivenConfig().RemoteAddress != nil {
		return nil
	}
	return finding.List{{
		Check: "remote_address", Severity: finding.Warning, Where: "Config.RemoteAddress", Problem: "is missing behind the proxy that ends TLS",
		Consequence: "all clients appear to have the proxy's address, and one that fails to authenticate too often locks out the others",
		Remedy:      `set RemoteAddress: forwarded.Address("X-Forwarded-For", netip.MustParsePrefix("…")), with the network of the proxies`,
	}}
}

// diagnoseLimiters reports limits that each instance counts separately.
func (p Program) diagnoseLimiters(s *server.Server) finding.List {
	limiter := s.GivenConfig().FailedAuthentications
	if _, own := limiter.(*ratelimit.InProcess); p.Instances < 2 || limiter != nil && !own {
		return nil
	}
	return finding.List{{
		Check: "limiter", Severity: finding.Hint, Where: "Config.FailedAuthentications", Problem: fmt.Sprintf("counts separately in each of %d instances", p.Instances),
		Consequence: "an attacker who guesses has that many times the attempts", Remedy: "use a ratelimit.Limiter that the instances share, or a lower limit",
	}}
}

// strangers are addresses reserved for documentation (RFC 5737, RFC 3849), which no proxy
// has.
var strangers = []string{"192.0.2.77:443", "198.51.100.77:443", "203.0.113.77:443", "[2001:db8::77]:443"}

// addressHeaders are the headers in which proxies usually send the client's address.
var addressHeaders = []string{
	"X-Forwarded-For", "Forwarded", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Fly-Client-Ip", "X-Envoy-External-Address",
}

// diagnoseAddresses reports that an address header is trusted from anyone.
func diagnoseAddresses(ctx context.Context, s *server.Server) finding.List {
	for _, stranger := range strangers {
		for _, header := range addressHeaders {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Issuer(), http.NoBody)
			if err != nil {
				return nil
			}
			r.RemoteAddr = stranger
			said := s.RemoteAddress(r)
			r.Header.Set(header, map[bool]string{true: "for=192.0.2.99", false: "192.0.2.99"}[header == "Forwarded"])
			if s.RemoteAddress(r) != said {
				return finding.List{{
					Check: "forwarded_address", Severity: finding.Warning, Where: "Config.RemoteAddress", Problem: "trusts the header " + header + " from " + stranger + ", and so from anyone",
					Consequence: "an attacker can use a new address for each guess, lock out others by theirs, and write any address into the log and the audit trail",
					Remedy:      fmt.Sprintf(`use forwarded.Address(%q, netip.MustParsePrefix("…")), with the network of the proxies`, header),
				}}
			}
		}
	}
	return nil
}

// certificateHeaders are the headers in which proxies usually send a client certificate.
var certificateHeaders = []string{
	"Client-Cert", "X-Client-Cert", "X-Ssl-Cert", "X-Ssl-Client-Cert", "Ssl-Client-Cert", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert",
	"X-Client-Certificate", "X-Arr-Clientcert",
}

// diagnoseCertificates reports that a certificate header is trusted from anyone (RFC 9440
// section 4).
func diagnoseCertificates(ctx context.Context, s *server.Server) finding.List {
	certificates := s.GivenConfig().ClientCertificates
	if certificates == nil {
		return nil
	}
	forged, err := forgedCertificate()
	if err != nil {
		return nil
	}
	for _, stranger := range strangers {
		for _, header := range certificateHeaders {
			for _, text := range forged {
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Issuer(), http.NoBody)
				if err != nil {
					return nil
				}
				r.RemoteAddr = stranger
				r.Header.Set(header, text)
				if len(certificates(r)) > 0 {
					return finding.List{{
						Check: "client_certificates", Severity: finding.Grave, Where: "Config.ClientCertificates", Problem: "trusts the header " + header + " from " + stranger + ", and so from anyone",
						Consequence: "anyone can impersonate any client that authenticates by its certificate",
						Remedy:      fmt.Sprintf(`use forwarded.ClientCertificates(%q, netip.MustParsePrefix("…")), with the network of the proxies`, header),
					}}
				}
			}
		}
	}
	return nil
}

// forgedCertificate returns a certificate in each format that proxies use.
func forgedCertificate() ([]string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return []string{":" + base64.StdEncoding.EncodeToString(der) + ":", url.PathEscape(string(block)), base64.StdEncoding.EncodeToString(der)}, nil
}

// diagnoseEndpoint reports a published URL at which nothing is served. OPTIONS has no
// effect at any endpoint.
func (a asking) diagnoseEndpoint(address string) finding.List {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	if answer := a.ask(http.MethodOptions, u.Path, nil); answer.status != http.StatusNotFound {
		return nil
	}
	return finding.List{{
		Check: "endpoint_served", Severity: finding.Grave, Where: address, Problem: "is not served: the handler answers 404 to " + u.Path,
		Consequence: "clients that use it fail", Remedy: fmt.Sprintf("mux.Handle(%q, …), see Server.Routes; or set Config.EndpointPaths", u.Path),
	}}
}

// diagnosePage reports a page that other sites can abuse, or that caches may keep.
func (a asking) diagnosePage(page string) (findings finding.List) {
	answer := a.ask(http.MethodGet, page, nil)
	where := "the page " + page
	find := func(check string, problem, consequence, remedy string) {
		findings = append(findings, finding.Finding{Check: check, Severity: finding.Warning, Where: where, Problem: problem, Consequence: consequence, Remedy: remedy})
	}
	if answer.status == http.StatusNotFound || answer.status >= http.StatusInternalServerError {
		find("page", fmt.Sprintf("has the response status %d", answer.status), "users cannot use it", "serve it, or correct Program.Pages")
	}
	findings = append(findings, a.diagnoseCookies(where, answer)...)
	if kind, _, _ := mime.ParseMediaType(answer.header.Get("Content-Type")); kind != "text/html" || answer.status/100 == 3 {
		return findings // the browser does not show its body
	}
	policy := strings.ToLower(strings.Join(answer.header.Values("Content-Security-Policy"), ", "))
	frame := strings.ToUpper(answer.header.Get("X-Frame-Options"))
	if framed := !strings.Contains(policy, "frame-ancestors") || strings.Contains(policy, "frame-ancestors *"); framed && frame != "DENY" && frame != "SAMEORIGIN" {
		find("frame", "can be put into a frame", "another site can trick users into clicking on it (RFC 9700 section 4.16)",
			"Content-Security-Policy: frame-ancestors 'none'")
	}
	if policy := strings.ToLower(answer.header.Get("Referrer-Policy")); (policy == "" || policy == "unsafe-url") && !answer.contains(`name="referrer"`) {
		find("referrer", "has no Referrer-Policy", "a link on it may reveal its URL to another site (RFC 9700 section 4.2.4)",
			"Referrer-Policy: same-origin")
	}
	if cache := strings.ToLower(answer.header.Get("Cache-Control")); !strings.Contains(cache, "no-store") && !strings.Contains(cache, "private") && !strings.Contains(cache, "no-cache") {
		find("cache", "may be cached", "one user may be shown the page of another", "Cache-Control: no-store")
	}
	return findings
}

// diagnoseCookies reports cookies that are sent or readable more widely than necessary.
func (a asking) diagnoseCookies(where string, answer *answer) (findings finding.List) {
	for _, cookie := range (&http.Response{Header: answer.header}).Cookies() {
		find := func(severity finding.Severity, problem, consequence, remedy string) {
			findings = append(findings, finding.Finding{Check: "cookie", Severity: severity, Where: "the cookie " + cookie.Name + " of " + where, Problem: problem, Consequence: consequence, Remedy: remedy})
		}
		if a.issuer.Scheme == "https" && !cookie.Secure {
			find(finding.Grave, "is not Secure", "browsers also send it without encryption", "Secure: true, and a name that begins with __Host-")
		}
		if name := strings.ToLower(cookie.Name); !cookie.HttpOnly && !strings.Contains(name, "csrf") && !strings.Contains(name, "xsrf") {
			find(finding.Warning, "is not HttpOnly", "a script injected into a page can read it", "HttpOnly: true")
		}
		if cookie.SameSite != http.SameSiteLaxMode && cookie.SameSite != http.SameSiteStrictMode {
			find(finding.Warning, "is sent with requests of other sites", "another site can act in the name of a user", "SameSite: http.SameSiteLaxMode")
		}
		if cookie.Domain != "" {
			find(finding.Warning, "has the domain "+cookie.Domain, "every host below it gets the cookie, and can set it", "leave Domain out")
		}
	}
	return findings
}

// forgedHost is a reserved name that does not exist (RFC 6761).
const forgedHost = "forged.invalid"

// diagnoseForgery reports a response with a URL that a forged header can change.
func (a asking) diagnoseForgery(path string) (findings finding.List) {
	for _, header := range []string{"Host", "X-Forwarded-Host", "X-Forwarded-Server", "X-Original-Host", "X-Host", "X-Forwarded-Prefix", "Forwarded"} {
		answer := a.ask(http.MethodGet, path, func(r *http.Request) {
			switch header {
			case "Host":
				r.Host = forgedHost
			case "Forwarded":
				r.Header.Set(header, "for=192.0.2.77;host="+forgedHost+";proto=http")
			case "X-Forwarded-Prefix":
				r.Header.Set(header, "//"+forgedHost)
			default:
				r.Header.Set(header, forgedHost)
			}
		})
		if answer.contains(forgedHost) {
			findings = append(findings, forgery(path, header))
		}
	}
	insecure := "http://" + a.issuer.Host
	if a.issuer.Scheme == "https" {
		answer := a.ask(http.MethodGet, path, func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "http") })
		if answer.contains(insecure) && !a.ask(http.MethodGet, path, nil).contains(insecure) {
			findings = append(findings, forgery(path, "X-Forwarded-Proto"))
		}
	}
	return findings
}

func forgery(path, header string) finding.Finding {
	return finding.Finding{
		Check: "forged_header", Severity: finding.Grave, Where: "the response to " + path, Problem: "has a URL made from the header " + header,
		Consequence: "an attacker can send users and clients elsewhere, also through a cache",
		Remedy:      "make URLs from the issuer only, or trust the header only from the proxy, which must overwrite it",
	}
}
