package server

import "github.com/gormoauth/gormoauth/models"

// CredentialRecord is the stored row behind a credential.
type CredentialRecord interface {
	// CheckClient reports whether the row was made for the client.
	CheckClient(clientID string) bool
	// GetGrantID returns what everything of one authorization has in common.
	GetGrantID() string
}

// Credential is what a token request exchanges, once, for a token: a code, a
// refresh token, or what a grant of the program's own takes. The grant fills
// it; the engine checks it; SaveToken spends it.
type Credential struct {
	// Presented is the credential as the client presented it.
	Presented Presented
	// Record is the row that storage found.
	Record CredentialRecord
	// UserID is the user who granted it, empty when there is none.
	UserID string
	// Granted is the most that it can be exchanged for.
	models.Granted
	// Authorization is what its token has in common with it. Where it has a Confirmation,
	// the request must prove to have that key.
	Authorization models.Authorization
	// AnyKey lets the request prove to have another key than that of the Authorization:
	// the credential is bound to the client, too. The token is bound to that one then.
	AnyKey bool
	// RedirectURI is the redirect_uri that the token request must repeat,
	// nil where the credential is not bound to one.
	RedirectURI *string
	// Spent is true for a credential that was used before. The engine then
	// revokes its grant.
	Spent bool
	// QueryToken finds tokens, for a refresh token that is presented again in time; nil
	// gives its client another access token then.
	QueryToken QueryTokenFunc
	// Keep is true for a refresh token that stays as it is when it is used: an
	// [IssuanceHook] sets it, for one that is of no use to a thief.
	Keep bool
	// Expired is true for a credential that has ended or was revoked.
	Expired bool
}
