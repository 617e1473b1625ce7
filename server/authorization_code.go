package server

import "time"

// AuthorizationCode is what the engine asks of a stored code (RFC 6749
// section 4.1.2). [github.com/gormoauth/gormoauth/models.AuthorizationCodeMixin]
// has all of it; a method that the program's model declares itself wins.
type AuthorizationCode interface {
	CredentialRecord
	// GetRedirectURI returns the redirect_uri that the request sent, empty
	// when it sent none.
	GetRedirectURI() string
	// GetScope returns what the user granted, space separated.
	GetScope() string
	// GetAudience returns the resources that it is for, space separated (RFC
	// 8707), empty when the request named none.
	GetAudience() string
	// GetAuthorizationDetails returns what the user granted in detail, as JSON (RFC
	// 9396), empty when the scope says all of it.
	GetAuthorizationDetails() string
	// GetConfirmation returns the key that the code is bound to, as JSON, empty
	// when it is bound to none.
	GetConfirmation() string
	// GetAuthTime returns when the user signed in, in Unix seconds.
	GetAuthTime() int64
	// GetACR returns the authentication context class that the user reached,
	// empty when unknown.
	GetACR() string
	// GetAMR returns the authentication methods that the user used, space
	// separated.
	GetAMR() string
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
