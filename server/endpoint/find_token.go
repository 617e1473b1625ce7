package endpoint

import (
	"context"
	"fmt"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// findToken finds an access token or a refresh token, and returns the query that found it.
// token_type_hint is only a hint: both kinds are searched (RFC 7009 section 2.1, RFC 7662
// section 2.1). It returns nil if there is no such token.
func findToken(ctx context.Context, req *server.Request, queryToken storage.QueryTokenFunc, token string) (*storage.StoredToken, storage.TokenQuery, error) {
	if secret.Malformed(token, secret.AccessToken) && secret.Malformed(token, secret.RefreshToken) {
		return nil, storage.TokenQuery{}, nil
	}
	presented := secret.Present(token)
	queries := []storage.TokenQuery{{RefreshToken: presented.Digest, GrantID: presented.GrantID}, {AccessToken: presented.Digest}}
	if presented.GrantID == "" && req.Params.Get("token_type_hint") != "refresh_token" {
		queries[0], queries[1] = queries[1], queries[0]
	}
	for _, query := range queries {
		stored, err := queryToken(ctx, query)
		if err != nil {
			return nil, query, fmt.Errorf("query token: %w", err)
		}
		if stored != nil {
			return stored, query, nil
		}
	}
	return nil, storage.TokenQuery{}, nil
}
