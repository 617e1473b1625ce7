package storage

import (
	"time"

	"github.com/gormoauth/gormoauth/models"
)

// AuthorizationCode is a stored authorization code (RFC 6749 section 4.1.2).
// [github.com/gormoauth/gormoauth/models.AuthorizationCodeMixin] implements all of it; a method
// declared on the program's model takes precedence.
type AuthorizationCode interface {
	CredentialRecord
	// GetRedirectURI returns the redirect_uri that the authorization request sent, or "" if it
	// sent none.
	GetRedirectURI() string
	// GetGranted returns the scope, audience and authorization details that the user granted.
	GetGranted() models.Granted
	// GetAuthorization returns what the code passes on to its tokens.
	GetAuthorization() models.Authorization
	// GetCodeChallenge returns the PKCE challenge, or "" if there was none.
	GetCodeChallenge() string
	// GetCodeChallengeMethod returns the PKCE method.
	GetCodeChallengeMethod() string
	// IsExpired reports whether the code has expired.
	IsExpired(now time.Time) bool
	// IsRedeemed reports whether the code has been spent.
	IsRedeemed() bool
}
