package grant

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

// trustedIssuers verifies JWTs of other issuers about users of this server.
type trustedIssuers struct {
	keys       func(ctx context.Context, issuer string) (*jose.JSONWebKeySet, error)
	queryUser  func(ctx context.Context, req *server.Request, assertion *assertion.Assertion) (storage.User, error)
	algorithms []jose.SignatureAlgorithm
	types      []string
}

// verify returns a trusted issuer's JWT that is valid now and for this server, and the user
// whom it is about. Otherwise why is the reason.
func (t trustedIssuers) verify(ctx context.Context, req *server.Request, text string) (presented *assertion.Assertion, user storage.User, why, err error) {
	if presented, why = assertion.Parse(text, t.algorithms); why != nil {
		return nil, nil, why, nil
	}
	if why := cmp.Or(presented.CheckType(t.types...), req.CheckAssertion(presented)); why != nil {
		return nil, nil, why, nil
	}
	keys, err := t.keys(ctx, presented.Issuer)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("find the keys of an assertion's issuer: %w", err)
	}
	if keys == nil {
		return nil, nil, reason.New("the issuer of the JWT is not trusted", slog.String("iss", presented.Issuer)), nil
	}
	if why := presented.VerifyByKeys(keys); why != nil {
		return nil, nil, why, nil
	}
	if user, err = t.queryUser(ctx, req, presented); err != nil {
		return nil, nil, nil, fmt.Errorf("find the user of an assertion: %w", err)
	}
	if server.IsNilUser(user) {
		return nil, nil, reason.New("the subject of the JWT is not a user", slog.String("iss", presented.Issuer), slog.String("user", presented.Subject)), nil
	}
	return presented, user, nil, nil
}
