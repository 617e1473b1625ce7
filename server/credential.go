package server

import (
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Credential is what a token request exchanges, once, for a token: a code, a refresh token, or a
// credential of the program's own grant. The grant fills it in, the engine checks it, and
// SaveToken spends it.
type Credential struct {
	// Presented is the credential as the client presented it.
	Presented secret.Presented
	// Record is the row that storage found.
	Record storage.CredentialRecord
	// UserID is the user who granted it, empty if there is none.
	UserID string
	// Granted is the most that the credential can be exchanged for.
	models.Granted
	// Authorization is what the credential passes on to its token. If it has a Confirmation, the
	// request must prove possession of that key.
	Authorization models.Authorization
	// AnyKey allows the request to prove possession of a key other than that of the
	// Authorization, because the credential is also bound to the client. The token is then bound
	// to the new key.
	AnyKey bool
	// RedirectURI is the redirect_uri that the token request must repeat, nil if the credential
	// is not bound to one.
	RedirectURI *string
	// Spent is true if the credential was used before. The engine then revokes its grant.
	Spent bool
	// QueryToken looks up tokens, for a refresh token that is presented again within the grace
	// period. If nil, the client then gets a new access token.
	QueryToken storage.QueryTokenFunc
	// Keep is true if a refresh token is not rotated when it is used. An [IssuanceHook] sets it,
	// for a refresh token that is useless to a thief.
	Keep bool
	// Expired is true if the credential has expired or was revoked.
	Expired bool
}
