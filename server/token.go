package server

import (
	"time"

	"github.com/gormoauth/gormoauth/models"
)

// Token is what the engine asks of a stored token: an access token and, where
// the grant has one, its refresh token.
// [github.com/gormoauth/gormoauth/models.TokenMixin] has all of it; a method
// that the program's model declares itself wins.
type Token interface {
	CredentialRecord
	// GetClientID returns the client that the token was issued to.
	GetClientID() string
	// GetTokenType returns how the access token is presented: "Bearer".
	GetTokenType() string
	// GetScope returns the access token's scope, space separated.
	GetScope() string
	// GetAudience returns the resources that the access token is for, space
	// separated (RFC 8707).
	GetAudience() string
	// GetAuthorizationDetails returns what the access token stands for in detail,
	// as JSON (RFC 9396), empty when the scope says all of it.
	GetAuthorizationDetails() string
	// GetActor returns who acts for the user with this token, as JSON (RFC 8693
	// "act"), empty when nobody does but the client.
	GetActor() string
	// GetConfirmation returns the key that the access token is bound to, as JSON
	// (the claim "cnf" of RFC 7800), empty when it is bound to none.
	GetConfirmation() string
	// GetIssuedAt returns when the access token was issued, in Unix seconds.
	GetIssuedAt() int64
	// GetExpiresAt returns when the access token ends, in Unix seconds, 0 is never.
	GetExpiresAt() int64
	// GetExpiresIn returns the access token's lifetime in seconds, 0 without end.
	GetExpiresIn() int64
	// IsExpired reports whether the access token has ended.
	IsExpired(now time.Time) bool
	// IsRevoked reports whether the access token was revoked.
	IsRevoked() bool

	// GetGranted returns how much the grant stands for: all that the refresh token can be
	// exchanged for.
	GetGranted() models.Granted
	// GetAuthorization returns what everything of the grant has in common.
	GetAuthorization() models.Authorization
	// GetTokenID returns what names the row, empty for a row of an older release.
	GetTokenID() string
	// GetRotatedAt returns when the refresh token was last rotated, in Unix
	// seconds, 0 when never.
	GetRotatedAt() int64
	// GetRefreshTokenExpiresAt returns when the refresh token ends, in Unix
	// seconds, 0 is never.
	GetRefreshTokenExpiresAt() int64
	// GetRefreshedFor returns the digest of what the last refresh asked for, and
	// GetSuccessorSalt what its tokens were derived from beside the refresh token that was
	// presented; both are empty where the last refresh was that of an older release.
	GetRefreshedFor() string
	GetSuccessorSalt() string
	// CheckRefreshToken reports whether digest is the current refresh token's.
	CheckRefreshToken(digest string) bool
	// IsRefreshTokenExpired reports whether the refresh token has ended.
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
