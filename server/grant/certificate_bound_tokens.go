package grant

import (
	"context"
	"maps"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/cnf"
)

// CertificateBoundTokens binds tokens to the certificate that the client presents (RFC 8705
// section 3), for clients whose metadata has tls_client_certificate_bound_access_tokens.
// Register it for every request:
//
//	srv.Register(&grant.CertificateBoundTokens{})
//
// A public client's refresh token is bound too (section 4). [server.Config] says where the
// server reads client certificates.
type CertificateBoundTokens struct {
	// EveryClient binds the tokens of every client that presents a certificate.
	EveryClient bool
	// EndpointAliases are the URLs of the endpoints at which clients present certificates,
	// if they differ from the usual ones. The keys are metadata names such as
	// "token_endpoint" (RFC 8705 section 5).
	EndpointAliases map[string]string
}

const certificateBound = "tls_client_certificate_bound_access_tokens"

// PrepareMetadata announces certificate-bound tokens (RFC 8705 section 3.3).
func (c *CertificateBoundTokens) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata[certificateBound] = true
	if len(c.EndpointAliases) > 0 {
		metadata["mtls_endpoint_aliases"] = maps.Clone(c.EndpointAliases)
	}
}

// CheckIssuance binds the token to the certificate of a token request. If the request has
// already proved possession of another kind of key, the token stays bound to that key.
func (c *CertificateBoundTokens) CheckIssuance(_ context.Context, req *server.Request, _ *server.Issuance) error {
	if req.Endpoint != "token" || req.Authorization.Confirmation != "" {
		return nil
	}
	asked := clientmeta.AsksFor(req.Client, certificateBound)
	certificates := req.ClientCertificates()
	switch {
	case len(certificates) > 0 && (asked || c.EveryClient):
		req.Authorization.Confirmation = cnf.OfCertificate(certificates[0])
	case asked:
		return server.NewError(server.InvalidRequest, "The client's tokens are bound to its certificate, but the request came without one.")
	}
	return nil
}

// ClientMetadataMembers returns "tls_client_certificate_bound_access_tokens", by which a
// client asks for bound tokens.
func (*CertificateBoundTokens) ClientMetadataMembers() []string { return []string{certificateBound} }

// CheckClientMetadata checks that the member is a boolean.
func (*CertificateBoundTokens) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	return clientmeta.CheckBool(metadata, certificateBound)
}
