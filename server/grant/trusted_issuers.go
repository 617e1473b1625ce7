package grant

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/server"
)

// trustedIssuers verifies JWTs of other issuers about users of this server.
type trustedIssuers struct {
	keys       func(ctx context.Context, issuer string) (*jose.JSONWebKeySet, error)
	queryUser  func(ctx context.Context, req *server.Request, assertion *server.Assertion) (server.User, error)
	algorithms []jose.SignatureAlgorithm
	types      []string
}

// verify returns a trusted issuer's JWT that is valid now and for this server, and the user
// whom it is about. Otherwise why is the reason.
func (t trustedIssuers) verify(ctx context.Context, req *server.Request, text string) (assertion *server.Assertion, user server.User, why, err error) {
	if assertion, why = server.ParseAssertion(text, t.algorithms); why != nil {
		return nil, nil, why, nil
	}
	if why := cmp.Or(assertion.CheckType(t.types...), assertion.CheckFor(req)); why != nil {
		return nil, nil, why, nil
	}
	keys, err := t.keys(ctx, assertion.Issuer)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("find the keys of an assertion's issuer: %w", err)
	}
	if keys == nil {
		return nil, nil, server.NewReason("the issuer of the JWT is not trusted", slog.String("iss", assertion.Issuer)), nil
	}
	if why := assertion.VerifyByKeys(keys); why != nil {
		return nil, nil, why, nil
	}
	if user, err = t.queryUser(ctx, req, assertion); err != nil {
		return nil, nil, nil, fmt.Errorf("find the user of an assertion: %w", err)
	}
	if server.IsNilUser(user) {
		return nil, nil, server.NewReason("the subject of the JWT is not a user", slog.String("iss", assertion.Issuer), slog.String("user", assertion.Subject)), nil
	}
	return assertion, user, nil, nil
}
