package grant

import (
	"context"
	"errors"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/storage"
)

// JWTBearer is the JWT bearer grant (RFC 7523 section 2.1): a client exchanges a trusted
// issuer's assertion about a user for a token of that user, without asking the user. There
// is no refresh token: the client gets a new assertion from the issuer.
type JWTBearer struct {
	// Keys returns the public keys of a trusted issuer, or nil if the issuer is not
	// trusted.
	Keys func(ctx context.Context, issuer string) (*jose.JSONWebKeySet, error)
	// QueryUser returns the user whom the assertion is about, or nil if there is no such
	// user, or none that this client may learn of.
	QueryUser func(ctx context.Context, req *server.Request, assertion *assertion.Assertion) (storage.User, error)
	// Replays remembers which assertions were used.
	Replays storage.Replays
	// Algorithms are the algorithms with which issuers may sign. nil means all that the
	// server accepts.
	Algorithms []jose.SignatureAlgorithm
	// Types are the accepted values of the "typ" header of an assertion, in addition to
	// "JWT" and none. A JWT of any other type was made for a different purpose, and is
	// refused (RFC 8725 section 3.11).
	Types []string
}

// GrantType returns "urn:ietf:params:oauth:grant-type:jwt-bearer".
func (*JWTBearer) GrantType() string { return "urn:ietf:params:oauth:grant-type:jwt-bearer" }

// CheckConfig returns an error for each missing or invalid field.
func (g *JWTBearer) CheckConfig(config *server.Config) error {
	var faults []error
	if g.Keys == nil {
		faults = append(faults, errors.New("grant: JWTBearer.Keys is missing: give a function that returns the keys of trusted issuers"))
	}
	if g.QueryUser == nil {
		faults = append(faults, errors.New("grant: JWTBearer.QueryUser is missing: give a function that finds the user of an assertion"))
	}
	if g.Replays == nil {
		faults = append(faults, errors.New("grant: JWTBearer.Replays is missing: write gormoauth.CreateReplayStorage[Replay](db)"))
	}
	return errors.Join(append(faults, jwk.CheckAlgorithms(config.Profile, "grant: JWTBearer.Algorithms", g.Algorithms...))...)
}

// PrepareIssuance verifies the assertion. An assertion can be used once, and is spent when
// the token is issued; a refused request does not spend it.
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
	req.Spend(storage.Spend{
		Replays: g.Replays, Key: assertion.ReplayKey(), ExpiresAt: assertion.RememberUntil(),
		Refusal: errNoAssertion().Because("the assertion was used before"),
	})
	return &server.Issuance{User: user, Scope: req.Params.Get("scope")}, nil
}

func errNoAssertion() *server.Error {
	return server.NewError(server.InvalidGrant, "The 'assertion' is not valid now, or the server does not trust its issuer.")
}
