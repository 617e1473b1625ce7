package endpoint

import (
	"context"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/jwk"
)

// Metadata is the authorization server metadata document (RFC 8414), named "metadata". It
// describes exactly what is registered on the server; the fields add what only the operator
// knows. A [server.MetadataHook] of the program can add members too.
type Metadata struct {
	// ServiceDocumentation is the URL of a page for developers.
	ServiceDocumentation string
	// OpPolicyURI is the URL of the operator's requirements for clients.
	OpPolicyURI string
	// OpTosURI is the URL of the operator's terms of service.
	OpTosURI string
	// Keys sign the document (RFC 8414 section 2.1), in its member signed_metadata. nil
	// omits that member.
	Keys jwk.SigningKeys
	// Algorithm is the signing algorithm. Empty means ES256.
	Algorithm jose.SignatureAlgorithm
	// UILocalesSupported are the languages of the program's pages (BCP 47).
	UILocalesSupported []string

	mu       sync.Mutex
	signed   string
	signedAt time.Time
}

// EndpointName returns "metadata".
func (*Metadata) EndpointName() string { return "metadata" }

// EndpointPath returns "/.well-known/oauth-authorization-server".
func (*Metadata) EndpointPath() string { return "/.well-known/oauth-authorization-server" }

// Methods returns "GET".
func (*Metadata) Methods() []string { return []string{http.MethodGet} }

// CheckConfig returns an error if the profile forbids Algorithm.
func (e *Metadata) CheckConfig(config *server.Config) error {
	return jwk.CheckAlgorithms(config.Profile, "endpoint: Metadata.Algorithm", e.algorithm())
}

func (e *Metadata) algorithm() jose.SignatureAlgorithm {
	if e.Algorithm == "" {
		return jose.ES256
	}
	return e.Algorithm
}

// PrepareMetadata adds the members from the fields.
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

// CreateResponse returns the document, which may be cached for five minutes.
func (e *Metadata) CreateResponse(ctx context.Context, req *server.Request) (*server.Response, error) {
	document := req.Server.Metadata()
	if e.Keys != nil {
		signed, err := e.sign(ctx, req, document)
		if err != nil {
			return nil, err
		}
		document["signed_metadata"] = signed
	}
	return &server.Response{Header: http.Header{"Cache-Control": {"public, max-age=300"}}, Body: document}, nil
}

// sign returns the document as a JWT. Since anyone can request it, it is signed at most
// once in five minutes.
func (e *Metadata) sign(ctx context.Context, req *server.Request, document server.Metadata) (string, error) {
	const signedFor = 5 * time.Minute
	e.mu.Lock()
	defer e.mu.Unlock()
	if age := req.Time.Sub(e.signedAt); e.signed != "" && age >= 0 && age < signedFor {
		return e.signed, nil
	}
	claims := maps.Clone(document)
	claims["iss"], claims["iat"] = req.Server.Issuer(), req.Time.Unix()
	signed, err := jwk.SignJWT(ctx, e.Keys, e.algorithm(), req.Time, "JWT", claims)
	if err == nil {
		e.signed, e.signedAt = signed, req.Time
	}
	return signed, err
}
