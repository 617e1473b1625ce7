package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/jwk"
)

// Issuer checks what clients see of a server: it fetches the server's metadata and keys
// over the network, from their public URLs, and compares them with the server's own. The
// server must be serving, so use it in an operator's command rather than at startup.
type Issuer struct {
	// Client sends the requests. nil means a client with a timeout of five seconds.
	// Redirects are not followed, since clients need not follow them.
	Client *http.Client
}

const (
	fetchLimit  = 5 * time.Second
	certificate = 14 * 24 * time.Hour // a certificate should be renewed before this much is left
	longestAge  = 24 * time.Hour
	largestSkew = 30 * time.Second
)

// Diagnose returns the problems that clients see.
func (i Issuer) Diagnose(ctx context.Context, s *server.Server) (findings finding.List) {
	client := &http.Client{Timeout: fetchLimit}
	if i.Client != nil {
		copied := *i.Client
		client = &copied
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	own := normalized(s.Metadata())
	for _, name := range []string{"metadata", "openid_configuration"} {
		if address := s.EndpointURL(name); address != "" {
			d := &document{ctx: ctx, client: client, server: s, address: address}
			d.fetch("application/json")
			d.compareMetadata(own)
			findings = append(findings, d.findings...)
		}
	}
	if address, ok := own["jwks_uri"].(string); ok {
		d := &document{ctx: ctx, client: client, server: s, address: address}
		d.fetch("application/json", "application/jwk-set+json")
		d.checkKeys()
		findings = append(findings, d.findings...)
	}
	return findings
}

// document is a fetched document, with the findings about it.
type document struct {
	ctx      context.Context
	client   *http.Client
	server   *server.Server
	address  string
	body     []byte // nil if it could not be fetched
	findings finding.List
}

func (d *document) find(check string, severity finding.Severity, problem, consequence, remedy string) {
	d.findings = append(d.findings, finding.Finding{Check: check, Severity: severity, Where: d.address, Problem: problem, Consequence: consequence, Remedy: remedy})
}

// fetch fetches the document, and checks its response and connection.
func (d *document) fetch(contentTypes ...string) {
	const unreachable = "clients cannot find the server"
	sent := d.server.Now()
	response, err := d.get()
	if err != nil {
		d.find("issuer_reachable", finding.Grave, "cannot be fetched: "+err.Error(), unreachable, "check the name, the certificate, the proxy or the firewall, as the error says")
		return
	}
	defer func() { _ = response.Body.Close() }()
	d.checkCertificate(response)
	d.checkClock(response, sent)
	switch {
	case response.StatusCode/100 == 3:
		d.find("issuer_reachable", finding.Grave, "is redirected to "+response.Header.Get("Location"), unreachable, "serve it without a redirect, or set Config.Issuer to the target")
		return
	case response.StatusCode != http.StatusOK:
		d.find("issuer_reachable", finding.Grave, "has the response "+response.Status, unreachable, "have the proxy forward the path to the server")
		return
	}
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); !slices.Contains(contentTypes, kind) {
		d.find("issuer_content_type", finding.Warning, fmt.Sprintf("has the Content-Type %q", response.Header.Get("Content-Type")), "some clients refuse it", "have the proxy keep the server's header: "+contentTypes[len(contentTypes)-1])
	}
	if age := cachedFor(response.Header); age > longestAge {
		d.find("issuer_cache", finding.Warning, "may be cached for "+age.String(), "clients learn late of changes such as a new key", "have the proxy keep the server's Cache-Control")
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, largestBody))
	if err != nil {
		d.find("issuer_reachable", finding.Grave, "cannot be read to its end: "+err.Error(), unreachable, "see the log of the proxy")
		return
	}
	d.body = body
}

func (d *document) get() (*http.Response, error) {
	r, err := http.NewRequestWithContext(d.ctx, http.MethodGet, d.address, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	return d.client.Do(r)
}

// checkCertificate reports a certificate that was not renewed in time.
func (d *document) checkCertificate(response *http.Response) {
	if response.TLS == nil || len(response.TLS.PeerCertificates) == 0 {
		return
	}
	end := response.TLS.PeerCertificates[0].NotAfter
	if left := end.Sub(d.server.Now()); left < certificate {
		d.find("certificate", finding.Warning, "has a certificate that expires at "+end.UTC().Format(time.RFC3339), "clients cannot reach the server after that", "renew the certificate")
	}
}

// checkClock reports a difference between the clock of this process and that of the
// responding host.
func (d *document) checkClock(response *http.Response, sent time.Time) {
	there, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil || response.Header.Get("Age") != "" { // a cache responds with an old date
		return
	}
	// A date is in whole seconds, and of any moment between request and response.
	skew := max(sent.Truncate(time.Second).Sub(there), there.Sub(d.server.Now()))
	if skew > largestSkew {
		d.find("clock", finding.Warning, fmt.Sprintf("has a Date that differs from this clock by %s", skew.Round(time.Second)), "tokens are refused as expired, or as not valid yet", "synchronize the clocks by NTP")
	}
}

// cachedFor returns how long caches may keep a response.
func cachedFor(header http.Header) time.Duration {
	for directive := range strings.SplitSeq(strings.ToLower(header.Get("Cache-Control")), ",") {
		if text, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age="); ok {
			seconds, _ := strconv.Atoi(text)
			return time.Duration(min(seconds, 1<<31)) * time.Second
		}
	}
	return 0
}

// compareMetadata reports a document of another server, or of another configuration.
func (d *document) compareMetadata(own map[string]any) {
	if d.body == nil {
		return
	}
	var theirs map[string]any
	if err := strictjson.Unmarshal(d.body, &theirs); err != nil {
		d.find("issuer_metadata", finding.Grave, "is not a JSON object", "clients cannot find the server", "have the proxy forward the path to the server")
		return
	}
	if theirs["issuer"] != own["issuer"] {
		d.find("issuer_metadata", finding.Grave, fmt.Sprintf("has the issuer %q", theirs["issuer"]), "clients refuse it (RFC 8414 section 3.3)", fmt.Sprintf("set Issuer: %q, or have the proxy forward to this server", theirs["issuer"]))
		return
	}
	delete(theirs, "signed_metadata") // different each time
	var different []string
	for _, one := range []map[string]any{own, theirs} {
		for member := range one {
			if !reflect.DeepEqual(own[member], theirs[member]) {
				different = append(different, member)
			}
		}
	}
	if len(different) > 0 {
		slices.Sort(different)
		d.find("issuer_metadata", finding.Warning, "differs from this server's own in "+strings.Join(slices.Compact(different), ", "), "some clients act on wrong metadata", "give all instances the same configuration, or wait until caches have expired")
	}
}

// normalized returns metadata as a client parses it.
func normalized(metadata server.Metadata) (members map[string]any) {
	text, err := json.Marshal(metadata)
	if err == nil {
		err = strictjson.Unmarshal(text, &members)
	}
	if err != nil {
		return nil
	}
	return members
}

// checkKeys reports a key set without keys, or with private keys.
func (d *document) checkKeys() {
	if d.body == nil {
		return
	}
	keys, err := jwk.ParseSet(d.body)
	if err != nil || len(keys.Keys) == 0 {
		d.find("issuer_keys", finding.Grave, "has no key: "+fmt.Sprint(errors.Join(err)), "clients cannot verify a token", "serve endpoint.JWKS there")
		return
	}
	if slices.ContainsFunc(keys.Keys, func(key jose.JSONWebKey) bool { return !key.IsPublic() }) {
		d.find("issuer_keys", finding.Grave, "publishes a key that is not public", "anyone can sign in the name of the server", "remove it at once, and rotate the keys")
	}
}
