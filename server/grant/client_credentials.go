package grant

import (
	"context"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// ClientCredentials is the client credentials grant (RFC 6749 section 4.4): a
// token for the client itself, without a user and without a refresh token.
type ClientCredentials struct{}

// GrantType returns "client_credentials".
func (*ClientCredentials) GrantType() string { return "client_credentials" }

// CheckAuthMethod refuses public clients, which do not prove who they are.
func (*ClientCredentials) CheckAuthMethod(method string) bool { return method != models.None }

// PrepareIssuance returns an issuance with the requested scope.
func (*ClientCredentials) PrepareIssuance(_ context.Context, req *server.Request) (*server.Issuance, error) {
	return &server.Issuance{Scope: req.Params.Get("scope")}, nil
}
