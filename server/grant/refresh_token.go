package grant

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// RefreshToken is the refresh token grant (RFC 6749 section 6). Each use rotates the
// refresh token; using an earlier one again revokes the grant (RFC 9700 section 4.14.2).
type RefreshToken struct {
	// QueryToken finds the token record of the grant.
	QueryToken storage.QueryTokenFunc
}

// GrantType returns "refresh_token".
func (*RefreshToken) GrantType() string { return "refresh_token" }

// CheckConfig returns an error for each missing field.
func (g *RefreshToken) CheckConfig(config *server.Config) error {
	var fault error
	if g.QueryToken == nil {
		fault = errors.New("grant: RefreshToken.QueryToken is missing: write gormoauth.CreateQueryTokenFunc[Token](db)")
	}
	return errors.Join(fault, needsRevokeGrant("RefreshToken", config))
}

// Diagnose checks that the look-up of a token that does not exist finds none.
func (g *RefreshToken) Diagnose(ctx context.Context, _ *server.Server) finding.List {
	return finding.LookUp("grant.RefreshToken.QueryToken", func() (bool, error) {
		token, err := g.QueryToken(ctx, storage.TokenQuery{RefreshToken: secret.Digest(rand.Text()), GrantID: secret.Digest(rand.Text())})
		return token != nil, err
	})
}

// PrepareIssuance finds the grant. A request may ask for less than was granted: this
// narrows the access token, not the grant.
func (g *RefreshToken) PrepareIssuance(ctx context.Context, req *server.Request) (*server.Issuance, error) {
	token := req.Params.Get("refresh_token")
	if token == "" {
		return nil, server.NewError(server.InvalidRequest, "The request has no 'refresh_token'.")
	}
	if secret.Malformed(token, secret.RefreshToken) {
		return nil, errNoSuchRefreshToken().Because("the refresh token is malformed, or a different kind of secret")
	}
	presented := secret.Present(token)
	stored, err := g.QueryToken(ctx, storage.TokenQuery{RefreshToken: presented.Digest, GrantID: presented.GrantID})
	if err != nil {
		return nil, err
	}
	if stored == nil || stored.UserID == "" {
		return nil, errNoSuchRefreshToken().Because("the refresh token and its grant are unknown")
	}
	record := stored.Token
	granted, scope := record.GetGranted(), req.Params.Get("scope")
	if scope == "" {
		scope = granted.Scope
	}
	revoked := record.IsRefreshTokenRevoked()
	return &server.Issuance{
		Credential: &server.Credential{
			Presented:     presented,
			QueryToken:    g.QueryToken,
			Record:        record,
			UserID:        stored.UserID,
			Granted:       granted,
			Authorization: record.GetAuthorization(),
			AnyKey:        req.AuthMethod != models.None, // for a public client, only the key binds the token to the client
			Spent:         !revoked && !record.CheckRefreshToken(presented.Digest),
			Expired:       revoked || record.IsRefreshTokenExpired(req.Time),
		},
		Scope:        scope,
		RefreshToken: true,
	}, nil
}

func errNoSuchRefreshToken() *server.Error {
	return server.NewError(server.InvalidGrant, "The 'refresh_token' was not issued by this server.")
}
