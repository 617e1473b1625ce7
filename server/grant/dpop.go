package grant

import (
	"context"
	"encoding/base64"
	"errors"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/cnf"
	"github.com/gormoauth/gormoauth/server/dpop"
	"github.com/gormoauth/gormoauth/server/jwk"
)

// DPoP binds tokens to a key of the client (RFC 9449), so that a stolen token cannot be
// used. Register it for every request:
//
//	srv.Register(gormoauth.CreateDPoP[Replay](db))
//
// A client that sends a proof gets a bound token; a public client's refresh token is bound
// too. Once a grant is bound, it stays bound.
type DPoP struct {
	// Proofs verifies the proofs.
	Proofs dpop.Proofs
	// Required refuses token requests without a proof. Otherwise a client's metadata can
	// require them: dpop_bound_access_tokens.
	Required bool
}

const dpopBound = "dpop_bound_access_tokens"

// CheckConfig returns an error for each missing or invalid field.
func (d *DPoP) CheckConfig(config *server.Config) error {
	return errors.Join(d.Proofs.CheckSettings(), jwk.CheckAlgorithms(config.Profile, "grant: DPoP.Proofs.Algorithms", d.Proofs.Algorithms...))
}

// PrepareMetadata adds the supported algorithms (RFC 9449 section 5.1).
func (d *DPoP) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	metadata.Add("dpop_signing_alg_values_supported", d.Proofs.For(s.Profile()).AlgorithmNames()...)
}

// CheckAuthorizationRequest determines the key to which the code will be bound (RFC 9449
// section 10): from dpop_jkt, or from the proof of a pushed request.
func (d *DPoP) CheckAuthorizationRequest(_ context.Context, req *server.Request) error {
	thumbprint := req.Params.Get("dpop_jkt")
	if req.Endpoint == "pushed_authorization_request" && d.presented(req) {
		proved, err := d.prove(req)
		if err != nil {
			return err
		}
		if thumbprint != "" && thumbprint != proved {
			return server.NewError(server.InvalidDPoPProof, "The DPoP proof is not signed with the key of 'dpop_jkt'.")
		}
		thumbprint = proved
		req.Params.Set("dpop_jkt", proved) // stored with the request
	}
	if thumbprint == "" {
		return nil
	}
	const size = 32
	if sum, err := base64.RawURLEncoding.DecodeString(thumbprint); err != nil || len(sum) != size {
		return server.NewError(server.InvalidRequest, "The 'dpop_jkt' is not the SHA-256 thumbprint of a key.")
	}
	req.Authorization.Confirmation = cnf.New(cnf.JWKThumbprint, thumbprint)
	return nil
}

// prove returns the thumbprint of the key that signed the request's proof. A proof can be
// used only once.
func (d *DPoP) prove(req *server.Request) (thumbprint string, err error) {
	thumbprint, spend, err := d.Proofs.For(req.Server.Profile()).Verify(req.HTTP, req.Server.EndpointURL(req.Endpoint), "", req.Time)
	if err == nil {
		req.Spend(spend)
	}
	return thumbprint, err
}

func (*DPoP) presented(req *server.Request) bool { return len(req.HTTP.Header.Values("DPoP")) > 0 }

// CheckIssuance checks the proof of a token request.
func (d *DPoP) CheckIssuance(_ context.Context, req *server.Request, issuance *server.Issuance) error {
	switch {
	case req.Endpoint != "token": // a token sent through the browser cannot be bound
		req.Authorization.Confirmation = ""
		return nil
	case cnf.Method(req.Authorization.Confirmation) == cnf.JWKThumbprint: // already checked; a proof can be used only once
		return nil
	case d.presented(req):
		thumbprint, err := d.prove(req)
		if err != nil {
			return err
		}
		req.Authorization.Confirmation = cnf.New(cnf.JWKThumbprint, thumbprint)
		return nil
	case d.Required || clientmeta.AsksFor(req.Client, dpopBound) || bound(issuance.Credential):
		return server.NewError(server.InvalidDPoPProof, "The request needs a DPoP proof.")
	}
	return nil
}

// bound reports whether a credential is bound to a DPoP key.
func bound(credential *server.Credential) bool {
	return credential != nil && cnf.Method(credential.Authorization.Confirmation) == cnf.JWKThumbprint
}

// PrepareToken sets the token type of a bound token to "DPoP" (RFC 9449 section 5).
func (*DPoP) PrepareToken(_ context.Context, req *server.Request, record *models.TokenMixin) error {
	if cnf.Method(req.Authorization.Confirmation) == cnf.JWKThumbprint {
		record.TokenType = "DPoP"
	}
	return nil
}

// ClientMetadataMembers returns "dpop_bound_access_tokens", by which a client requires
// bound tokens.
func (*DPoP) ClientMetadataMembers() []string { return []string{dpopBound} }

// CheckClientMetadata checks that the member is a boolean.
func (*DPoP) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	return clientmeta.CheckBool(metadata, dpopBound)
}
