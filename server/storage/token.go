package storage

import (
	"context"
	"time"

	"github.com/gormoauth/gormoauth/models"
)

// QueryTokenFunc looks up a token. It returns nil, nil if there is none.
type QueryTokenFunc func(ctx context.Context, query TokenQuery) (*StoredToken, error)

// TokenQuery selects a token. Exactly one field is set, except for a refresh token that contains
// its grant.
type TokenQuery struct {
	// AccessToken is the digest of an access token.
	AccessToken string
	// RefreshToken is the digest of a refresh token.
	RefreshToken string
	// GrantID is set together with RefreshToken: look up the row of the grant, whether or not it
	// still has that refresh token.
	GrantID string
}

// Token is a stored token: an access token and, if the grant has one, its refresh token.
// [github.com/gormoauth/gormoauth/models.TokenMixin] implements all of it; a method declared on
// the program's model takes precedence.
type Token interface {
	CredentialRecord
	// GetClientID returns the id of the client that the token was issued to.
	GetClientID() string
	// GetTokenType returns how the access token is presented: "Bearer".
	GetTokenType() string
	// GetScope returns the access token's scope, space separated.
	GetScope() string
	// GetAudience returns the resources that the access token is for, space
	// separated (RFC 8707).
	GetAudience() string
	// GetAuthorizationDetails returns the authorization details of the access token as JSON (RFC
	// 9396), or "" if it has none beyond the scope.
	GetAuthorizationDetails() string
	// GetActor returns who acts for the user with this token, as JSON (RFC 8693 "act"), or "" if
	// only the client does.
	GetActor() string
	// GetConfirmation returns the key that the access token is bound to, as JSON (the claim "cnf"
	// of RFC 7800), or "" if it is not bound.
	GetConfirmation() string
	// GetIssuedAt returns when the access token was issued, in Unix seconds.
	GetIssuedAt() int64
	// GetExpiresAt returns when the access token expires, in Unix seconds; 0 is never.
	GetExpiresAt() int64
	// GetExpiresIn returns the access token's lifetime in seconds; 0 is forever.
	GetExpiresIn() int64
	// IsExpired reports whether the access token has expired.
	IsExpired(now time.Time) bool
	// IsRevoked reports whether the access token was revoked.
	IsRevoked() bool

	// GetGranted returns the scope, audience and authorization details of the whole grant: the
	// most that the refresh token can be exchanged for.
	GetGranted() models.Granted
	// GetAuthorization returns what everything that belongs to the grant has in common.
	GetAuthorization() models.Authorization
	// GetTokenID returns the id of the row, or "" for a row of an older release.
	GetTokenID() string
	// GetRotatedAt returns when the refresh token was last rotated, in Unix seconds; 0 is never.
	GetRotatedAt() int64
	// GetRefreshTokenExpiresAt returns when the refresh token expires, in Unix seconds; 0 is
	// never.
	GetRefreshTokenExpiresAt() int64
	// GetRefreshedFor returns the digest of what the last refresh asked for. GetSuccessorSalt
	// returns the salt that its tokens were derived from, together with the refresh token that
	// was presented. Both return "" if the last refresh was made by an older release.
	GetRefreshedFor() string
	GetSuccessorSalt() string
	// CheckRefreshToken reports whether digest is the current refresh token's.
	CheckRefreshToken(digest string) bool
	// IsRefreshTokenExpired reports whether the refresh token has expired.
	IsRefreshTokenExpired(now time.Time) bool
	// IsRefreshTokenRevoked reports whether the grant was revoked.
	IsRefreshTokenRevoked() bool
}

// StoredToken is a token as storage found it, with the id of its user.
type StoredToken struct {
	// Token is a pointer to the program's own model, as in
	// stored.Token.(*Token).
	Token Token
	// UserID is the UserID column as text, empty for a token without a user.
	UserID string
}
