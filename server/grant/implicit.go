package grant

import (
	"context"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// Implicit is the implicit grant (RFC 6749 section 4.2): the access token is in the
// fragment of the redirect. OAuth 2.1 removed it, since the token leaks into browser
// histories and logs. Register it only for clients that cannot be changed.
type Implicit struct {
	// AllowConfidentialClients lets clients with a secret use the grant. Otherwise only
	// public clients can use it.
	AllowConfidentialClients bool
}

const grantTypeImplicit = "implicit"

// ResponseTypes returns "token".
func (*Implicit) ResponseTypes() []string { return []string{"token"} }

// ResponseMode returns "fragment".
func (*Implicit) ResponseMode() string { return "fragment" }

// PrepareMetadata adds the grant type "implicit", which no token request uses.
func (*Implicit) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata.Add("grant_types_supported", grantTypeImplicit)
}

// CheckAuthorizationRequest refuses a client that may not use the grant, before the user is
// asked. Confidential clients need AllowConfidentialClients.
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
