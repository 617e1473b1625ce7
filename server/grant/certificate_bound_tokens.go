package grant

import (
	"context"
	"maps"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// CertificateBoundTokens binds tokens to the certificate that the client
// presented (RFC 8705 section 3), for clients whose metadata asks for it by
// tls_client_certificate_bound_access_tokens. Register it for every request:
//
//	srv.Register(&grant.CertificateBoundTokens{})
//
// A public client's refresh token is bound, too (section 4). Where the
// certificates are is said in [server.Config].
type CertificateBoundTokens struct {
	// EveryClient binds the tokens of every client that presents a certificate.
	EveryClient bool
	// EndpointAliases are the addresses at which clients present certificates,
	// where they are not the usual ones, by the name in the metadata, such as
	// "token_endpoint" (RFC 8705 section 5).
	EndpointAliases map[string]string
}

const certificateBound = "tls_client_certificate_bound_access_tokens"

// PrepareMetadata says that it is done (RFC 8705 section 3.3).
func (c *CertificateBoundTokens) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata[certificateBound] = true
	if len(c.EndpointAliases) > 0 {
		metadata["mtls_endpoint_aliases"] = maps.Clone(c.EndpointAliases)
	}
}

// CheckIssuance takes the certificate of a token request. A request that proved
// a key of another kind is bound to that one.
func (c *CertificateBoundTokens) CheckIssuance(_ context.Context, req *server.Request, _ *server.Issuance) error {
	if req.Endpoint != "token" || req.Authorization.Confirmation != "" {
		return nil
	}
	asked := server.AsksFor(req.Client, certificateBound)
	certificates := req.ClientCertificates()
	switch {
	case len(certificates) > 0 && (asked || c.EveryClient):
		req.Authorization.Confirmation = server.CertificateConfirmation(certificates[0])
	case asked:
		return server.NewError(server.InvalidRequest, "The client's tokens are bound to its certificate, and the request came without one.")
	}
	return nil
}

// ClientMetadataMembers returns the member by which a client asks for this.
func (*CertificateBoundTokens) ClientMetadataMembers() []string { return []string{certificateBound} }

// CheckClientMetadata checks its type.
func (*CertificateBoundTokens) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	return server.CheckBoolMember(metadata, certificateBound)
}
