package server

import (
	"time"

	"github.com/gormoauth/gormoauth/models"
)

// AuthorizationCode is what the engine asks of a stored code (RFC 6749
// section 4.1.2). [github.com/gormoauth/gormoauth/models.AuthorizationCodeMixin]
// has all of it; a method that the program's model declares itself wins.
type AuthorizationCode interface {
	CredentialRecord
	// GetRedirectURI returns the redirect_uri that the request sent, empty
	// when it sent none.
	GetRedirectURI() string
	// GetGranted returns how much the user granted.
	GetGranted() models.Granted
	// GetAuthorization returns what its tokens will have in common with it.
	GetAuthorization() models.Authorization
	// GetCodeChallenge returns the PKCE challenge, empty when there was none.
	GetCodeChallenge() string
	// GetCodeChallengeMethod returns the PKCE method.
	GetCodeChallengeMethod() string
	// IsExpired reports whether the code has ended.
	IsExpired(now time.Time) bool
	// IsRedeemed reports whether the code was spent.
	IsRedeemed() bool
}

// StoredAuthorizationCode is a code as storage found it, with the id of its
// user.
type StoredAuthorizationCode struct {
	// AuthorizationCode is a pointer to the program's own model.
	AuthorizationCode AuthorizationCode
	// UserID is the UserID column as text.
	UserID string
}
