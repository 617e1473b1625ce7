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
)

// Issuer is what clients see of a server: its metadata and its keys are fetched over
// the network, from where the issuer says that they are, and compared with what the
// server itself says. It is for when the server serves, so rather for an operator's
// command than for the start.
type Issuer struct {
	// Client fetches; nil is one with a limit of five seconds. It follows no
	// redirect, as no client has to.
	Client *http.Client
}

const (
	fetchLimit  = 5 * time.Second
	certificate = 14 * 24 * time.Hour // by then it should have been renewed
	longestAge  = 24 * time.Hour
	largestSkew = 30 * time.Second
)

// Diagnose returns what is wrong with what clients see.
func (i Issuer) Diagnose(ctx context.Context, s *server.Server) (findings server.Findings) {
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

// document is one that was fetched, and what is wrong with it.
type document struct {
	ctx      context.Context
	client   *http.Client
	server   *server.Server
	address  string
	body     []byte // nil when there is none
	findings server.Findings
}

func (d *document) find(check string, severity server.Severity, problem, consequence, remedy string) {
	d.findings = append(d.findings, server.Finding{Check: check, Severity: severity, Where: d.address, Problem: problem, Consequence: consequence, Remedy: remedy})
}

// fetch gets the document, and looks at all that is around it.
func (d *document) fetch(contentTypes ...string) {
	const unreachable = "clients cannot find the server"
	sent := d.server.Now()
	response, err := d.get()
	if err != nil {
		d.find("issuer_reachable", server.Grave, "cannot be fetched: "+err.Error(), unreachable, "the name, the certificate, the proxy or the firewall, as it says")
		return
	}
	defer func() { _ = response.Body.Close() }()
	d.checkCertificate(response)
	d.checkClock(response, sent)
	switch {
	case response.StatusCode/100 == 3:
		d.find("issuer_reachable", server.Grave, "is redirected to "+response.Header.Get("Location"), unreachable, "serve it where it is, or let Config.Issuer be what it leads to")
		return
	case response.StatusCode != http.StatusOK:
		d.find("issuer_reachable", server.Grave, "is answered with "+response.Status, unreachable, "have the proxy hand the path on to the server")
		return
	}
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); !slices.Contains(contentTypes, kind) {
		d.find("issuer_content_type", server.Warning, fmt.Sprintf("has the Content-Type %q", response.Header.Get("Content-Type")), "some clients refuse it", "have the proxy leave it as the server sets it: "+contentTypes[len(contentTypes)-1])
	}
	if age := cachedFor(response.Header); age > longestAge {
		d.find("issuer_cache", server.Warning, "may be kept by caches for "+age.String(), "clients learn late of what has changed, such as a new key", "have the proxy leave Cache-Control as the server sets it")
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, largestBody))
	if err != nil {
		d.find("issuer_reachable", server.Grave, "breaks off: "+err.Error(), unreachable, "see the log of the proxy")
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

// checkCertificate finds one that nobody has renewed.
func (d *document) checkCertificate(response *http.Response) {
	if response.TLS == nil || len(response.TLS.PeerCertificates) == 0 {
		return
	}
	end := response.TLS.PeerCertificates[0].NotAfter
	if left := end.Sub(d.server.Now()); left < certificate {
		d.find("certificate", server.Warning, "has a certificate that ends at "+end.UTC().Format(time.RFC3339), "nobody reaches the server from then on", "renew the certificate")
	}
}

// checkClock finds that the clocks of the server and of who answers go differently.
func (d *document) checkClock(response *http.Response, sent time.Time) {
	there, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil || response.Header.Get("Age") != "" { // of a cache, which answers with an old date
		return
	}
	// A date is in whole seconds, and of any moment between the question and the answer.
	skew := max(sent.Truncate(time.Second).Sub(there), there.Sub(d.server.Now()))
	if skew > largestSkew {
		d.find("clock", server.Warning, fmt.Sprintf("is answered by a clock that differs from this one by %s", skew.Round(time.Second)), "tokens are refused as expired, or as not valid yet", "keep the clocks in time, by NTP")
	}
}

// cachedFor is for how long caches may keep an answer.
func cachedFor(header http.Header) time.Duration {
	for directive := range strings.SplitSeq(strings.ToLower(header.Get("Cache-Control")), ",") {
		if text, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age="); ok {
			seconds, _ := strconv.Atoi(text)
			return time.Duration(min(seconds, 1<<31)) * time.Second
		}
	}
	return 0
}

// compareMetadata finds a document of another server, or of another configuration.
func (d *document) compareMetadata(own map[string]any) {
	if d.body == nil {
		return
	}
	var theirs map[string]any
	if err := strictjson.Unmarshal(d.body, &theirs); err != nil {
		d.find("issuer_metadata", server.Grave, "is no JSON object", "clients cannot find the server", "have the proxy hand the path on to the server")
		return
	}
	if theirs["issuer"] != own["issuer"] {
		d.find("issuer_metadata", server.Grave, fmt.Sprintf("is of the issuer %q", theirs["issuer"]), "clients refuse it (RFC 8414 section 3.3)", fmt.Sprintf("Issuer: %q, or have the proxy lead to this server", theirs["issuer"]))
		return
	}
	delete(theirs, "signed_metadata") // differs each time
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
		d.find("issuer_metadata", server.Warning, "says something else than this server in "+strings.Join(slices.Compact(different), ", "), "some clients act on what does not hold", "let all instances have one configuration, or wait until caches have forgotten")
	}
}

// normalized is metadata as a client reads it.
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

// checkKeys finds a key set that verifies nothing, or that tells everything.
func (d *document) checkKeys() {
	if d.body == nil {
		return
	}
	keys, err := server.ParseKeySet(d.body)
	if err != nil || len(keys.Keys) == 0 {
		d.find("issuer_keys", server.Grave, "has no key: "+fmt.Sprint(errors.Join(err)), "no client can verify a token", "serve the endpoint of endpoint.JWKS there")
		return
	}
	if slices.ContainsFunc(keys.Keys, func(key jose.JSONWebKey) bool { return !key.IsPublic() }) {
		d.find("issuer_keys", server.Grave, "publishes a key that is not public", "anybody can sign in the name of the server", "take it away at once, and rotate the keys")
	}
}
