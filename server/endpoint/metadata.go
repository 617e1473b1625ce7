package endpoint

import (
	"context"
	"net/http"

	"github.com/gormoauth/gormoauth/server"
)

// Metadata is the authorization server's metadata document (RFC 8414), named
// "metadata". It lists what is registered, and nothing else; its fields are what
// nothing registered can know. The document also names what a
// [server.MetadataHook] of the program's own adds.
type Metadata struct {
	// ServiceDocumentation is the address of a page for developers.
	ServiceDocumentation string
	// OpPolicyURI is the address of what the operator asks of clients.
	OpPolicyURI string
	// OpTosURI is the address of the operator's terms of service.
	OpTosURI string
	// UILocalesSupported are the languages of the program's pages (BCP 47).
	UILocalesSupported []string
}

// EndpointName returns "metadata".
func (*Metadata) EndpointName() string { return "metadata" }

// EndpointPath returns "/.well-known/oauth-authorization-server".
func (*Metadata) EndpointPath() string { return "/.well-known/oauth-authorization-server" }

// Methods returns "GET".
func (*Metadata) Methods() []string { return []string{http.MethodGet} }

// PrepareMetadata names what the fields know.
func (e *Metadata) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	for member, uri := range map[string]string{
		"service_documentation": e.ServiceDocumentation, "op_policy_uri": e.OpPolicyURI, "op_tos_uri": e.OpTosURI,
	} {
		if uri != "" {
			metadata[member] = uri
		}
	}
	if len(e.UILocalesSupported) > 0 {
		metadata["ui_locales_supported"] = e.UILocalesSupported
	}
}

// CreateResponse writes the document, which may be cached for five minutes.
func (e *Metadata) CreateResponse(_ context.Context, req *server.Request) (*server.Response, error) {
	return &server.Response{Header: http.Header{"Cache-Control": {"public, max-age=300"}}, Body: req.Server.Metadata()}, nil
}
