package models

import (
	"cmp"
	"strconv"
)

// What an audit trail tells of (AuditMixin.Event).
const (
	// AuditAuthorizationGranted is a user who let a client in: a code was issued,
	// or a device was allowed.
	AuditAuthorizationGranted = "authorization_granted"
	// AuditTokenIssued is a token that a client got for a code, for a device or for
	// what it brought itself, or at once, with the implicit grant.
	AuditTokenIssued = "token_issued"
	// AuditTokenRefreshed is a token that a client got for a refresh token.
	AuditTokenRefreshed = "token_refreshed"
	// AuditTokenExchanged is a token that a client got for another token of this
	// server's (RFC 8693).
	AuditTokenExchanged = "token_exchanged"
	// AuditTokenRevoked is one access token that was revoked alone.
	AuditTokenRevoked = "token_revoked"
	// AuditGrantRevoked is a grant of which every token was revoked.
	AuditGrantRevoked = "grant_revoked"
	// AuditAllRevoked is every grant of a client, or of a user, that was revoked.
	AuditAllRevoked = "all_revoked"
	// AuditConsentRevoked is a user who took back all that a client was allowed.
	AuditConsentRevoked = "consent_revoked"
	// AuditSessionEnded is a user's session that ended at a client.
	AuditSessionEnded = "session_ended"
	// AuditClientRegistered is a client that was made, or that registered itself.
	AuditClientRegistered = "client_registered"
	// AuditClientUpdated is a client that changed its registration (RFC 7592).
	AuditClientUpdated = "client_updated"
	// AuditClientDeleted is a client that is gone, and all of its tokens with it.
	AuditClientDeleted = "client_deleted"
	// AuditClientSecretRotated is a client that got a new secret.
	AuditClientSecretRotated = "client_secret_rotated"
)

// Why something was revoked, where nobody asked for it (AuditMixin.Reason).
const (
	// AuditByReuse is a code or a refresh token that was presented again.
	AuditByReuse = "reuse"
	// AuditBySession is a session that ended, and the grant with it.
	AuditBySession = "session"
	// AuditByErasure is a user who was erased.
	AuditByErasure = "erasure"
)

// AuditMixin gives a model the columns of an entry in an audit trail: who granted,
// refreshed, revoked or registered what, and from where. The model's UserID is the
// user in whose name it happened; give it an index with the time, by which a user's
// entries are read page by page:
//
//	type Audit struct {
//		ID     uint
//		UserID *uint `gorm:"index:,composite:user,priority:1"`
//		models.AuditMixin
//	}
//
// No entry has a secret, or the digest of one.
type AuditMixin struct {
	// AuditKey names the entry. It begins with the nanoseconds within its second, so
	// that entries of one second are in the order in which they happened.
	AuditKey string `gorm:"column:audit_key;type:varchar(64);not null;uniqueIndex" json:"-"`
	// Event is what happened, such as [AuditTokenIssued].
	Event string `gorm:"column:event;type:varchar(40);not null" json:"event"`
	// OccurredAt is when, in Unix seconds.
	OccurredAt int64 `gorm:"column:occurred_at;not null;index;index:,composite:user,priority:2;index:,composite:client,priority:2;index:,composite:grant,priority:2" json:"occurred_at"`
	// ClientID is the client, empty where there is none.
	ClientID string `gorm:"column:client_id;type:varchar(48);not null;index:,composite:client,priority:1" json:"client_id"`
	// LongClientID is the whole client identifier where ClientID is its digest, see
	// [ClientKey].
	LongClientID string `gorm:"column:long_client_id;type:text" json:"long_client_id,omitempty"`
	// GrantID is the grant, see [TokenMixin], by which all that came of one
	// authorization is found; empty where there is none.
	GrantID string `gorm:"column:grant_id;type:varchar(64);not null;index:,composite:grant,priority:1" json:"-"`
	// GrantType is the grant type by which a token was issued.
	GrantType string `gorm:"column:grant_type;type:varchar(100);not null" json:"grant_type,omitempty"`
	// Scope is what was granted, or what a token stands for, space separated.
	Scope string `gorm:"column:scope;type:text" json:"scope,omitempty"`
	// Audience is the resources that it is for, space separated (RFC 8707).
	Audience string `gorm:"column:audience;type:text" json:"audience,omitempty"`
	// AuthorizationDetails is what was granted in detail, as JSON (RFC 9396), empty
	// when the scope says all of it.
	AuthorizationDetails string `gorm:"column:authorization_details;type:text" json:"-"`
	// Endpoint is where it came in: "token", "authorization", the name of an endpoint
	// or of a page; empty when the program did it by itself.
	Endpoint string `gorm:"column:endpoint;type:varchar(64);not null" json:"endpoint,omitempty"`
	// RemoteAddress is where the request came from, by the server's
	// Config.RemoteAddress; empty when there was none.
	RemoteAddress string `gorm:"column:remote_address;type:varchar(64);not null" json:"remote_address,omitempty"`
	// Reason is why something was revoked for which nobody asked, such as
	// [AuditByReuse].
	Reason string `gorm:"column:reason;type:varchar(40);not null" json:"reason,omitempty"`
}

// AsAuditMixin returns the mixin itself. A model has it exactly when it embeds
// AuditMixin by value; storage reaches the columns through it.
func (a *AuditMixin) AsAuditMixin() *AuditMixin { return a }

// DescribeTable describes the table of entries. Erasing a user keeps an entry and takes
// the user out of it. How long after OccurredAt an entry is pruned, the program says.
func (*AuditMixin) DescribeTable() Table {
	return Table{
		Key: "AuditKey", Digests: []string{"GrantID"}, OfUser: true, Blank: []string{"RemoteAddress", "AuthorizationDetails"},
		JSONLists: []string{"AuthorizationDetails"},
	}
}

// GetClientID returns the client, empty where there is none.
func (a *AuditMixin) GetClientID() string { return cmp.Or(a.LongClientID, a.ClientID) }

// GetCursor returns the place of the entry in the trail, for an address: those that
// come before it are on the next page.
func (a *AuditMixin) GetCursor() string {
	return strconv.FormatInt(a.OccurredAt, 10) + "." + a.AuditKey
}
