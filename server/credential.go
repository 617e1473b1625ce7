package server

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
	// Scope is the most that it can be exchanged for.
	Scope string
	// Audience is the resources that it is for, space separated (RFC 8707).
	Audience string
	// AuthorizationDetails is the most that it can be exchanged for in detail, as
	// JSON (RFC 9396).
	AuthorizationDetails string
	// Confirmation is the key that it is bound to, as JSON (RFC 7800 "cnf"): the
	// request must prove to have it. Empty where it is bound to none.
	Confirmation string
	// RedirectURI is the redirect_uri that the token request must repeat,
	// nil where the credential is not bound to one.
	RedirectURI *string
	// Authentication is when and how the user signed in.
	Authentication Authentication
	// Spent is true for a credential that was used before. The engine then
	// revokes its grant.
	Spent bool
	// Keep is true for a refresh token that stays as it is when it is used: an
	// [IssuanceHook] sets it, for one that is of no use to a thief.
	Keep bool
	// Expired is true for a credential that has ended or was revoked.
	Expired bool
}
