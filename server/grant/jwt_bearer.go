package grant

import (
	"context"
	"errors"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/server"
)

// JWTBearer is the JWT bearer grant (RFC 7523 section 2.1): a client exchanges
// what a trusted issuer says of a user for a token of that user, without the
// user being asked. There is no refresh token: the client asks the issuer again.
type JWTBearer struct {
	// Keys returns the public keys of an issuer that is trusted, and nil for one
	// that is not.
	Keys func(ctx context.Context, issuer string) (*jose.JSONWebKeySet, error)
	// QueryUser returns the user whom the assertion is about, or nil when there is
	// none of whom this client may be told.
	QueryUser func(ctx context.Context, req *server.Request, assertion *server.Assertion) (server.User, error)
	// Replays remembers which assertions were presented.
	Replays server.ReplayStorage
	// Algorithms are those by which issuers may sign; nil is all that the server takes.
	Algorithms []jose.SignatureAlgorithm
	// Types are the types that an assertion may name in its header as "typ", beside "JWT"
	// and none. A JWT of any other type was made for something else, and is refused (RFC
	// 8725 section 3.11).
	Types []string
}

// GrantType returns "urn:ietf:params:oauth:grant-type:jwt-bearer".
func (*JWTBearer) GrantType() string { return "urn:ietf:params:oauth:grant-type:jwt-bearer" }

// CheckConfig names what is missing.
func (g *JWTBearer) CheckConfig(config *server.Config) error {
	var faults []error
	if g.Keys == nil {
		faults = append(faults, errors.New("grant: JWTBearer.Keys is missing: whose assertions are trusted?"))
	}
	if g.QueryUser == nil {
		faults = append(faults, errors.New("grant: JWTBearer.QueryUser is missing: whom is an assertion about?"))
	}
	if g.Replays == nil {
		faults = append(faults, errors.New("grant: JWTBearer.Replays is missing: write gormoauth.CreateReplayStorage[Replay](db)"))
	}
	return errors.Join(append(faults, server.CheckAlgorithms(config.Profile, "grant: JWTBearer.Algorithms", g.Algorithms...))...)
}

// PrepareIssuance verifies the assertion. It is good once, and is spent by the token that it
// gets: what is refused leaves it as it was.
func (g *JWTBearer) PrepareIssuance(ctx context.Context, req *server.Request) (*server.Issuance, error) {
	text := req.Params.Get("assertion")
	if text == "" {
		return nil, server.NewError(server.InvalidRequest, "The request has no 'assertion'.")
	}
	assertion, user, why, err := trustedIssuers{g.Keys, g.QueryUser, req.Server.SignatureAlgorithms(g.Algorithms), g.Types}.verify(ctx, req, text)
	if err != nil {
		return nil, err
	}
	if why != nil {
		return nil, errNoAssertion().BecauseOf(why)
	}
	req.Spend(server.Spend{
		Replays: g.Replays, Key: assertion.ReplayKey(), ExpiresAt: assertion.RememberUntil(),
		Refusal: errNoAssertion().Because("the assertion was used before"),
	})
	return &server.Issuance{User: user, Scope: req.Params.Get("scope")}, nil
}

func errNoAssertion() *server.Error {
	return server.NewError(server.InvalidGrant, "The 'assertion' is not one that the server trusts and takes now.")
}
