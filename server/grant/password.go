package grant

import (
	"context"
	"errors"

	"github.com/gormoauth/gormoauth/server"
)

// Password is the resource owner password credentials grant (RFC 6749 section
// 4.3). OAuth 2.1 has dropped it, since every client that uses it sees the
// user's password: register it for clients that cannot change any more.
type Password struct {
	// AuthenticateUser returns the user whose credentials these are, or nil. It
	// bounds how often somebody may guess, by who asks: req has the client and the
	// address. To one who has to wait the error is [server.TooManyRequests]. A
	// [*server.Reason] says to the log, and to nobody else, why these are nobody's
	// credentials; any other error is a failure inside, never a wrong password.
	AuthenticateUser func(ctx context.Context, req *server.Request, username, password string) (server.User, error)
}

// GrantType returns "password".
func (*Password) GrantType() string { return "password" }

// CheckConfig names what is missing.
func (g *Password) CheckConfig(*server.Config) error {
	if g.AuthenticateUser == nil {
		return errors.New("grant: Password.AuthenticateUser is missing: give a function that checks a user's password")
	}
	return nil
}

// PrepareIssuance checks the user's password.
func (g *Password) PrepareIssuance(ctx context.Context, req *server.Request) (*server.Issuance, error) {
	username, password := req.Params.Get("username"), req.Params.Get("password")
	if username == "" {
		return nil, server.NewError(server.InvalidRequest, "The request has no 'username'.")
	}
	if password == "" {
		return nil, server.NewError(server.InvalidRequest, "The request has no 'password'.")
	}
	user, err := g.AuthenticateUser(ctx, req, username, password)
	var why *server.Reason
	if errors.As(err, &why) || err == nil && server.IsNilUser(user) {
		return nil, server.NewError(server.InvalidGrant, "The user name or the password is wrong.").BecauseOf(err)
	}
	if err != nil {
		return nil, err
	}
	return &server.Issuance{User: user, Scope: req.Params.Get("scope"), RefreshToken: true}, nil
}
