package grant

import (
	"context"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/server"
)

// trustedIssuers are those whose JWTs say something of users here.
type trustedIssuers struct {
	keys       func(ctx context.Context, issuer string) (*jose.JSONWebKeySet, error)
	queryUser  func(ctx context.Context, req *server.Request, assertion *server.Assertion) (server.User, error)
	algorithms []jose.SignatureAlgorithm
}

// verify returns what one of them says now, to this server, of a user who is
// known here; nil for anything else.
func (t trustedIssuers) verify(ctx context.Context, req *server.Request, text string) (*server.Assertion, server.User, error) {
	assertion := server.ParseAssertion(text, t.algorithms)
	if assertion == nil || !assertion.IsFor(req) {
		return nil, nil, nil
	}
	keys, err := t.keys(ctx, assertion.Issuer)
	if err != nil {
		return nil, nil, fmt.Errorf("find the keys of an assertion's issuer: %w", err)
	}
	if !assertion.VerifiedByKeys(keys) {
		return nil, nil, nil
	}
	user, err := t.queryUser(ctx, req, assertion)
	if err != nil {
		return nil, nil, fmt.Errorf("find the user of an assertion: %w", err)
	}
	if server.IsNilUser(user) {
		return nil, nil, nil
	}
	return assertion, user, nil
}
