package grant

import (
	"context"
	"errors"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Password is the resource owner password credentials grant (RFC 6749 section 4.3). OAuth
// 2.1 removed it, since every client that uses it sees the user's password. Register it
// only for clients that cannot be changed.
type Password struct {
	// AuthenticateUser returns the user with these credentials, or nil if they are wrong.
	// It must limit the rate of guesses: req has the client and its address. For a caller
	// that has to wait, return [server.TooManyRequests]. A [*reason.Reason] means that the
	// credentials are wrong, and is written only to the log; any other error means an
	// internal failure, never a wrong password.
	AuthenticateUser func(ctx context.Context, req *server.Request, username, password string) (storage.User, error)
}

// GrantType returns "password".
func (*Password) GrantType() string { return "password" }

// CheckConfig returns an error if AuthenticateUser is missing.
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
	var why *reason.Reason
	if errors.As(err, &why) || err == nil && server.IsNilUser(user) {
		return nil, server.NewError(server.InvalidGrant, "The user name or the password is wrong.").BecauseOf(err)
	}
	if err != nil {
		return nil, err
	}
	return &server.Issuance{User: user, Scope: req.Params.Get("scope"), RefreshToken: true}, nil
}
