package endpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Revocation is the token revocation endpoint (RFC 7009), named "revocation". Revoking a
// refresh token revokes its whole grant; revoking an access token revokes only that token.
type Revocation struct {
	// QueryToken finds an access token or a refresh token.
	QueryToken storage.QueryTokenFunc
	// RevokeToken revokes an access token.
	RevokeToken RevokeTokenFunc
	// RevokeGrant revokes all tokens of a grant.
	RevokeGrant storage.RevokeGrantFunc
}

// EndpointName returns "revocation".
func (*Revocation) EndpointName() string { return "revocation" }

// EndpointPath returns "/oauth/revoke".
func (*Revocation) EndpointPath() string { return "/oauth/revoke" }

// PrepareMetadata adds the endpoint's URL (RFC 8414 section 2).
func (*Revocation) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	metadata["revocation_endpoint"] = s.EndpointURL("revocation")
	metadata["revocation_endpoint_auth_methods_supported"] = s.AuthMethods()
}

// CheckConfig returns an error if a function is missing.
func (e *Revocation) CheckConfig(*server.Config) error {
	if e.QueryToken == nil || e.RevokeToken == nil || e.RevokeGrant == nil {
		return errors.New("endpoint: Revocation has a nil function: write gormoauth.CreateRevocationEndpoint[Token](db)")
	}
	return nil
}

// IsReplaySafe marks the endpoint as one where a replayed request does no harm: revoking a
// token twice changes nothing.
func (*Revocation) IsReplaySafe() {}

// CreateResponse revokes the token. A token that is unknown or already revoked also gets a
// 200 response, since the client has what it wants (RFC 7009 section 2.2). token_type_hint
// is only a hint: every kind of token is searched.
func (e *Revocation) CreateResponse(ctx context.Context, req *server.Request) (*server.Response, error) {
	token := req.Params.Get("token")
	if token == "" {
		return nil, server.NewError(server.InvalidRequest, "The request has no 'token'.")
	}
	done := &server.Response{Body: struct{}{}}
	stored, query, err := findToken(ctx, req, e.QueryToken, token)
	if err != nil || stored == nil {
		return done, err
	}
	if authorization := stored.Token.GetAuthorization(); !req.Server.Issued(authorization) {
		req.LogRefusal(storage.NotIssued(authorization))
		return done, nil
	}
	if !stored.Token.CheckClient(req.Client.GetClientID()) {
		return nil, server.NewError(server.InvalidGrant, "The token was issued to another client.")
	}
	return done, e.revoke(ctx, req, stored, query)
}

func (e *Revocation) revoke(ctx context.Context, req *server.Request, stored *storage.StoredToken, query storage.TokenQuery) error {
	if stored.UserID != "" {
		req.User = storage.UserID(stored.UserID)
	}
	var err error
	if query.AccessToken != "" {
		err = e.RevokeToken(ctx, query.AccessToken, req.Time)
	} else {
		err = e.RevokeGrant(ctx, stored.Token.GetGrantID(), req.Time)
	}
	if err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	req.TokenRevoked(ctx, server.Revocation{
		GrantID: stored.Token.GetGrantID(), ClientID: stored.Token.GetClientID(), UserID: stored.UserID, Reason: server.RevokedByRequest,
		Token: stored, AccessTokenOnly: query.AccessToken != "",
	})
	return nil
}

// RevokeTokenFunc revokes one access token, found by its digest, and nothing else. It is no error
// if the token does not exist or is already revoked.
type RevokeTokenFunc func(ctx context.Context, accessToken string, now time.Time) error
