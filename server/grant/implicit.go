package grant

import (
	"context"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// Implicit is the implicit grant (RFC 6749 section 4.2): the access token comes
// in the fragment of the redirect. OAuth 2.1 has dropped it, since the token
// leaks into histories and logs: register it for clients that cannot change
// any more.
type Implicit struct {
	// AllowConfidentialClients lets a client that has a secret use it; without
	// it the grant is for public clients alone.
	AllowConfidentialClients bool
}

const grantTypeImplicit = "implicit"

// ResponseTypes returns "token".
func (*Implicit) ResponseTypes() []string { return []string{"token"} }

// ResponseMode returns "fragment".
func (*Implicit) ResponseMode() string { return "fragment" }

// PrepareMetadata names the grant type, which no token request has.
func (*Implicit) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata.Add("grant_types_supported", grantTypeImplicit)
}

// CheckAuthorizationRequest refuses a confidential client, and one that may
// not use the grant, before the user is asked.
func (g *Implicit) CheckAuthorizationRequest(_ context.Context, req *server.Request) error {
	public := req.Client.CheckEndpointAuthMethod(models.None, "token")
	if !public && !g.AllowConfidentialClients || !req.Client.CheckGrantType(grantTypeImplicit) {
		return server.NewError(server.UnauthorizedClient, "The client may not use the implicit grant.")
	}
	return nil
}

// Authorize issues the token.
func (*Implicit) Authorize(ctx context.Context, req *server.Request) (map[string][]string, error) {
	response, err := req.IssueToken(ctx, grantTypeImplicit, &server.Issuance{User: req.User, Scope: req.Scope})
	if err != nil {
		return nil, err
	}
	return response.Parameters(), nil
}
