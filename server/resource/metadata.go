package resource

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/server"
)

// Metadata is the protected resource metadata of an API (RFC 9728), from which a client
// that was refused can find the authorization server.
type Metadata struct {
	// Resource is the API's resource identifier: the https URL below which it is
	// served. Tokens must have been issued for it (RFC 8707).
	Resource string `json:"resource"`
	// AuthorizationServers are the issuers whose tokens the API accepts.
	AuthorizationServers []string `json:"authorization_servers,omitempty"`
	// ScopesSupported are the scopes that tokens for the API may need.
	ScopesSupported []string `json:"scopes_supported,omitempty"`
	// BearerMethodsSupported are the ways to send tokens. Empty means "header".
	BearerMethodsSupported []string `json:"bearer_methods_supported,omitempty"`
	// ResourceName is the human-readable name of the API.
	ResourceName string `json:"resource_name,omitempty"`
	// ResourceDocumentation is the URL of a page for developers.
	ResourceDocumentation string `json:"resource_documentation,omitempty"`
	// ResourcePolicyURI is the URL of the API's requirements for clients.
	ResourcePolicyURI string `json:"resource_policy_uri,omitempty"`
	// ResourceTosURI is the URL of the API's terms of service.
	ResourceTosURI string `json:"resource_tos_uri,omitempty"`
}

const metadataPath = "/.well-known/oauth-protected-resource"

// address returns the URL of the metadata: the well-known path is inserted before the
// resource's path (RFC 9728 section 3.1).
func (m *Metadata) address() (*url.URL, error) {
	u, err := weburi.ParseServed(m.Resource)
	switch {
	case err != nil:
		return nil, fmt.Errorf("resource: Metadata.Resource: %q %w", m.Resource, err)
	case len(m.AuthorizationServers) == 0:
		return nil, errors.New("resource: Metadata.AuthorizationServers is missing: set the issuers whose tokens the API accepts")
	}
	u.Path, u.RawPath = metadataPath+strings.TrimSuffix(u.Path, "/"), ""
	return u, nil
}

// Routes returns the paths that the protector serves itself, with their handlers: the path
// of its metadata, if it has any.
func (p *Protector) Routes() iter.Seq2[string, http.Handler] {
	return func(yield func(string, http.Handler) bool) {
		if p.metadata != nil {
			yield(p.metadata.Path, http.HandlerFunc(p.serveMetadata))
		}
	}
}

func (p *Protector) serveMetadata(w http.ResponseWriter, r *http.Request) {
	if p.crossOrigin.Handle(w, r) {
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		failure := server.NewError(server.InvalidRequest, "The request method must be %s.", http.MethodGet)
		failure.Status, failure.Header = http.StatusMethodNotAllowed, http.Header{"Allow": {http.MethodGet}}
		p.write(w, r, failure)
		return
	}
	document := *p.config.Metadata
	if document.BearerMethodsSupported == nil {
		document.BearerMethodsSupported = []string{"header"}
	}
	text, _ := json.Marshal(document) // strings alone cannot fail
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}
