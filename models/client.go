package models

import (
	"cmp"
	"crypto/subtle"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/wordlist"
)

// The client authentication methods of RFC 7591 section 2, RFC 8705 and OpenID Connect
// Core section 9 that this package knows.
const (
	// ClientSecretBasic is HTTP Basic authentication with the client id and the secret. It
	// is the default.
	ClientSecretBasic = "client_secret_basic"
	// ClientSecretPost is the client id and the secret in the request body.
	ClientSecretPost = "client_secret_post"
	// PrivateKeyJWT is a JWT that the client signs with its private key.
	PrivateKeyJWT = "private_key_jwt"
	// ClientSecretJWT is a JWT that the client signs with its secret.
	ClientSecretJWT = "client_secret_jwt"
	// TLSClientAuth is a client certificate issued by a certificate authority (RFC 8705
	// section 2.1).
	TLSClientAuth = "tls_client_auth"
	// SelfSignedTLSClientAuth is a self-signed client certificate (RFC 8705 section 2.2).
	SelfSignedTLSClientAuth = "self_signed_tls_client_auth"
	// None is the method of a public client, which has no secret.
	None = "none"
)

// ClientMixin gives a model the columns and methods of an OAuth client
// (RFC 6749 section 2, RFC 7591 section 2).
type ClientMixin struct {
	// ClientID is the client identifier, or its digest (see [ClientKey]).
	ClientID string `gorm:"column:client_id;type:varchar(48);uniqueIndex" json:"client_id"`
	// LongClientID is the full client identifier where ClientID holds its digest; see
	// [ClientKey].
	LongClientID string `gorm:"column:long_client_id;type:text" json:"long_client_id,omitempty"`
	// ClientSecret is a self-describing digest of the secret (see [HashClientSecret]); empty
	// for a public client. A plaintext secret written by an older program still verifies
	// (see [IsPlaintextClientSecret]).
	ClientSecret string `gorm:"column:client_secret;type:varchar(120)" json:"-"`
	// ClientIDIssuedAt is when the client was created, in Unix seconds.
	ClientIDIssuedAt int64 `gorm:"column:client_id_issued_at;not null" json:"client_id_issued_at"`
	// ClientSecretExpiresAt is when the secret expires, in Unix seconds; 0 means never.
	ClientSecretExpiresAt int64 `gorm:"column:client_secret_expires_at;not null" json:"client_secret_expires_at"`
	// ClientMetadata is the client's registration, stored as JSON.
	ClientMetadata ClientMetadata `gorm:"column:client_metadata;type:text" json:"client_metadata"`

	// PreviousClientSecret is the secret before the current one. It remains valid until
	// PreviousClientSecretExpiresAt, so that a client that runs in many places can switch
	// over. It is empty when there is none.
	PreviousClientSecret string `gorm:"column:previous_client_secret;type:varchar(120);not null;default:''" json:"-"`
	// PreviousClientSecretExpiresAt is when the previous secret expires, in Unix seconds.
	PreviousClientSecretExpiresAt int64 `gorm:"column:previous_client_secret_expires_at;not null;default:0" json:"-"`
	// RegistrationAccessToken is the digest of the token with which the client manages its
	// own registration (RFC 7592); empty when it may not.
	RegistrationAccessToken string `gorm:"column:registration_access_token;type:varchar(64);not null;default:''" json:"-"`
	// ClientSource is how the client was created: [ClientByHand], [ClientByRegistration] or
	// [ClientByDocument]; empty for a client of an older program.
	ClientSource string `gorm:"column:client_source;type:varchar(16);not null;default:''" json:"client_source,omitempty"`
	// UnusedExpiresAt is when the client is pruned if it registered itself and has never
	// been used, or if its metadata document has not been fetched for a long time, in Unix
	// seconds; 0 means never.
	UnusedExpiresAt int64 `gorm:"column:unused_expires_at;not null;default:0;index" json:"-"`
	// DocumentFetchedAt is when the metadata of a [ClientByDocument] was last
	// fetched, in Unix seconds.
	DocumentFetchedAt int64 `gorm:"column:document_fetched_at;not null;default:0" json:"-"`
	// DocumentExpiresAt is when the metadata of a [ClientByDocument] has to be fetched
	// again, in Unix seconds; 0 in a row of an older program.
	DocumentExpiresAt int64 `gorm:"column:document_expires_at;not null;default:0" json:"-"`
	// DocumentValidator identifies the version of the document: its entity tag (RFC 9110
	// section 8.8.3), after a digest of what the server offers such clients. It is empty
	// when the document had no entity tag.
	DocumentValidator string `gorm:"column:document_validator;type:varchar(255);not null;default:''" json:"-"`
	// ClientDeletedAt is when the client was deleted, in Unix seconds; 0 if it was not. The
	// row of a deleted [ClientByDocument] is kept, so that the client's metadata document
	// does not recreate the client. Look-ups do not return such a row, and it is never
	// pruned: exclude it from the program's own lists.
	ClientDeletedAt int64 `gorm:"column:client_deleted_at;not null;default:0" json:"-"`
	// APIResources are the resources (RFC 8707) for which this client is the API, space
	// separated: it may introspect access tokens issued for any of them (RFC 7662). Only the
	// operator sets this column: a registration, update, metadata document or software
	// statement never does.
	APIResources string `gorm:"column:api_resources;type:text" json:"-"`
	// Generation counts how often all grants of the client were ended at once. Anything
	// issued under an earlier generation is refused from that moment on, even while its rows
	// are still being revoked.
	Generation int64 `gorm:"column:generation;not null;default:0" json:"-"`
	// EndedGeneration is the generation before which everything has been revoked. It is less
	// than Generation while rows are still being revoked, or when that was interrupted.
	EndedGeneration int64 `gorm:"column:ended_generation;not null;default:0" json:"-"`
}

// How a client was created (ClientMixin.ClientSource).
const (
	// ClientByHand is a client that the operator or a user created.
	ClientByHand = "hand"
	// ClientByRegistration is a client that registered itself (RFC 7591).
	ClientByRegistration = "registration"
	// ClientByDocument is a client whose client id is the URL of its metadata document.
	ClientByDocument = "document"
)

// AsClientMixin returns the mixin itself. A model has this method exactly when it embeds
// ClientMixin by value; the storage accesses the columns through it.
func (c *ClientMixin) AsClientMixin() *ClientMixin { return c }

// DescribeTable describes the table of clients.
func (*ClientMixin) DescribeTable() Table {
	return Table{
		Key: "ClientID", Digests: []string{"RegistrationAccessToken"}, ExpiresAt: "UnusedExpiresAt", ZeroIsForever: true, KeptAt: "ClientDeletedAt",
	}
}

// GetGeneration returns how often all grants of the client were ended at once.
func (c *ClientMixin) GetGeneration() int64 { return c.Generation }

// GetClientID returns the client identifier (RFC 6749 section 2.2).
func (c *ClientMixin) GetClientID() string { return cmp.Or(c.LongClientID, c.ClientID) }

// GetDefaultRedirectURI returns the redirect URI for a request without one: the
// registered redirect URI if there is exactly one, otherwise an empty string (RFC 6749
// section 3.1.2.3).
func (c *ClientMixin) GetDefaultRedirectURI() string {
	if len(c.ClientMetadata.RedirectURIs) == 1 {
		return c.ClientMetadata.RedirectURIs[0]
	}
	return ""
}

// GetAllowedScope returns the part of the requested scope that the client is registered
// for, in the order of the request. ok is false when none of a non-empty scope is left;
// the request is then refused with invalid_scope. The response tells the client when the
// scope was narrowed (RFC 6749 section 3.3). Override it to supply a default for an empty
// scope, to refuse an empty scope, or to refuse an excessive scope (return false) instead
// of narrowing it.
func (c *ClientMixin) GetAllowedScope(scope string) (allowed string, ok bool) {
	allowed = wordlist.Keep(scope, func(word string) bool { return wordlist.Has(c.ClientMetadata.Scope, word) })
	return allowed, allowed != "" || strings.TrimSpace(scope) == ""
}

// CheckRedirectURI reports whether uri is registered. The strings have to be identical,
// except for the port of a loopback address (RFC 9700 section 2.1, RFC 8252 section 7.3).
func (c *ClientMixin) CheckRedirectURI(uri string) bool {
	return slices.ContainsFunc(c.ClientMetadata.RedirectURIs, func(registered string) bool {
		return uri == registered || sameLoopbackURI(uri, registered)
	})
}

// CheckClientSecret reports whether secret is the client's current or previous secret and
// still valid at now. It is false for a client without a stored secret. Digests are
// compared in constant time.
func (c *ClientMixin) CheckClientSecret(secret string, now time.Time) bool {
	current := c.ClientSecretExpiresAt == 0 || now.Unix() < c.ClientSecretExpiresAt
	if current && verifyClientSecret(c.ClientSecret, secret) {
		return true
	}
	previous := now.Unix() < c.PreviousClientSecretExpiresAt
	return previous && verifyClientSecret(c.PreviousClientSecret, secret)
}

// HasExpiredClientSecret reports whether secret is the client's current or previous
// secret but no longer valid at now. It lets a log distinguish an expired secret from a
// wrong one; the client must not be told the difference.
func (c *ClientMixin) HasExpiredClientSecret(secret string, now time.Time) bool {
	current := c.ClientSecretExpiresAt != 0 && now.Unix() >= c.ClientSecretExpiresAt
	if current && verifyClientSecret(c.ClientSecret, secret) {
		return true
	}
	previous := now.Unix() >= c.PreviousClientSecretExpiresAt
	return previous && verifyClientSecret(c.PreviousClientSecret, secret)
}

// HasPasswordDigest reports whether a secret of the client is stored as a bcrypt or
// argon2id hash, which is slow to check by design.
func (c *ClientMixin) HasPasswordDigest() bool {
	slow := func(stored string) bool { return isBcrypt(stored) || isArgon2id(stored) }
	return slow(c.ClientSecret) || slow(c.PreviousClientSecret)
}

// CheckRegistrationAccessToken reports whether digest is the digest of the client's
// registration access token (RFC 7592).
func (c *ClientMixin) CheckRegistrationAccessToken(digest string) bool {
	return c.RegistrationAccessToken != "" && subtle.ConstantTimeCompare([]byte(c.RegistrationAccessToken), []byte(digest)) == 1
}

// CheckEndpointAuthMethod reports whether the client may authenticate with method at
// endpoint ("token", "revocation", …). The registered token_endpoint_auth_method applies
// to all endpoints; it defaults to client_secret_basic (RFC 7591 section 2).
func (c *ClientMixin) CheckEndpointAuthMethod(method, _ string) bool {
	registered := c.ClientMetadata.TokenEndpointAuthMethod
	if registered == "" {
		registered = ClientSecretBasic
	}
	return method == registered
}

// CheckResponseType reports whether the client is registered for the response
// type. The order of its words does not matter (RFC 6749 section 3.1.1).
func (c *ClientMixin) CheckResponseType(responseType string) bool {
	wanted := sortedWords(responseType)
	return slices.ContainsFunc(c.ClientMetadata.ResponseTypes, func(registered string) bool {
		return slices.Equal(sortedWords(registered), wanted)
	})
}

// CheckGrantType reports whether the client is registered for the grant type.
func (c *ClientMixin) CheckGrantType(grantType string) bool {
	return slices.Contains(c.ClientMetadata.GrantTypes, grantType)
}

// GetClientMetadata returns the client's registration.
func (c *ClientMixin) GetClientMetadata() ClientMetadata { return c.ClientMetadata }

// SetClientMetadata replaces the client's registration.
func (c *ClientMixin) SetClientMetadata(metadata ClientMetadata) { c.ClientMetadata = metadata }

// GetRedirectURIs returns the registered redirect URIs.
func (c *ClientMixin) GetRedirectURIs() []string { return c.ClientMetadata.RedirectURIs }

// GetTokenEndpointAuthMethod returns the registered client authentication
// method, client_secret_basic when none is registered.
func (c *ClientMixin) GetTokenEndpointAuthMethod() string {
	if c.ClientMetadata.TokenEndpointAuthMethod == "" {
		return ClientSecretBasic
	}
	return c.ClientMetadata.TokenEndpointAuthMethod
}

// GetGrantTypes returns the registered grant types.
func (c *ClientMixin) GetGrantTypes() []string { return c.ClientMetadata.GrantTypes }

// GetResponseTypes returns the registered response types.
func (c *ClientMixin) GetResponseTypes() []string { return c.ClientMetadata.ResponseTypes }

// GetClientName returns the name to show to users; empty when there is none.
func (c *ClientMixin) GetClientName() string { return c.ClientMetadata.ClientName }

// GetClientURI returns the address of the client's home page, if any.
func (c *ClientMixin) GetClientURI() string { return c.ClientMetadata.ClientURI }

// GetLogoURI returns the address of the client's logo, if any.
func (c *ClientMixin) GetLogoURI() string { return c.ClientMetadata.LogoURI }

// GetScope returns the registered scope, space separated.
func (c *ClientMixin) GetScope() string { return c.ClientMetadata.Scope }

// GetContacts returns the addresses of the people responsible for the client.
func (c *ClientMixin) GetContacts() []string { return c.ClientMetadata.Contacts }

// GetTosURI returns the address of the terms of service, if any.
func (c *ClientMixin) GetTosURI() string { return c.ClientMetadata.TosURI }

// GetPolicyURI returns the address of the privacy policy, if any.
func (c *ClientMixin) GetPolicyURI() string { return c.ClientMetadata.PolicyURI }

// GetJWKsURI returns the address of the client's key set, if any.
func (c *ClientMixin) GetJWKsURI() string { return c.ClientMetadata.JWKsURI }

// GetJWKs returns the client's key set as JSON, nil when there is none.
func (c *ClientMixin) GetJWKs() []byte { return c.ClientMetadata.JWKs }

// GetSoftwareID returns the identifier of the client's software, if any.
func (c *ClientMixin) GetSoftwareID() string { return c.ClientMetadata.SoftwareID }

// GetSoftwareVersion returns the version of the client's software, if any.
func (c *ClientMixin) GetSoftwareVersion() string { return c.ClientMetadata.SoftwareVersion }

// GetAPIResources returns the resources for which this client is the API (RFC 8707).
func (c *ClientMixin) GetAPIResources() []string { return strings.Fields(c.APIResources) }

// ClientInfo is the information about a client's own credentials that is returned to the
// client (RFC 7591 section 3.2.1). It lacks the secret, of which only the digest is
// stored.
type ClientInfo struct {
	ClientID              string `json:"client_id"`
	ClientIDIssuedAt      int64  `json:"client_id_issued_at"`
	ClientSecretExpiresAt int64  `json:"client_secret_expires_at"`
}

// GetClientInfo returns the information about the client's credentials that may be
// returned to the client.
func (c *ClientMixin) GetClientInfo() ClientInfo {
	return ClientInfo{cmp.Or(c.LongClientID, c.ClientID), c.ClientIDIssuedAt, c.ClientSecretExpiresAt}
}

func sortedWords(s string) []string {
	words := strings.Fields(s)
	slices.Sort(words)
	return words
}
