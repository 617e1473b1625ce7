package models

import (
	"cmp"
	"strconv"
)

// The events of an audit trail (AuditMixin.Event).
const (
	// AuditAuthorizationGranted records that a user granted a client access: a code was
	// issued, or a device was approved.
	AuditAuthorizationGranted = "authorization_granted"
	// AuditTokenIssued records that a client obtained a token for a code, a device code, its
	// own credentials or an assertion, or directly from the implicit grant.
	AuditTokenIssued = "token_issued"
	// AuditTokenRefreshed records that a client obtained a token with a refresh token.
	AuditTokenRefreshed = "token_refreshed"
	// AuditTokenExchanged records that a client exchanged a token of this server for another
	// (RFC 8693).
	AuditTokenExchanged = "token_exchanged"
	// AuditTokenRevoked records that a single access token was revoked.
	AuditTokenRevoked = "token_revoked"
	// AuditGrantRevoked records that a grant was revoked with all of its tokens.
	AuditGrantRevoked = "grant_revoked"
	// AuditAllRevoked records that all grants of a client or of a user were revoked.
	AuditAllRevoked = "all_revoked"
	// AuditConsentRevoked records that a user withdrew everything they had allowed a client.
	AuditConsentRevoked = "consent_revoked"
	// AuditSessionEnded records that a user's session at a client ended.
	AuditSessionEnded = "session_ended"
	// AuditClientRegistered records that a client was created, or registered itself.
	AuditClientRegistered = "client_registered"
	// AuditClientUpdated records that a client changed its registration (RFC 7592).
	AuditClientUpdated = "client_updated"
	// AuditClientDeleted records that a client was deleted, together with all of its tokens.
	AuditClientDeleted = "client_deleted"
	// AuditClientSecretRotated records that a client was given a new secret.
	AuditClientSecretRotated = "client_secret_rotated"
)

// Why something was revoked without a request to revoke it (AuditMixin.Reason).
const (
	// AuditByReuse means that a spent code or refresh token was presented again.
	AuditByReuse = "reuse"
	// AuditBySession means that the grant ended with its session.
	AuditBySession = "session"
	// AuditByErasure means that the user was erased.
	AuditByErasure = "erasure"
)

// AuditMixin gives a model the columns of an audit trail entry: who granted, refreshed,
// revoked or registered what, and from where. The model's UserID is the user on whose
// behalf it happened; give it a composite index with the time, which serves reading a
// user's entries page by page:
//
//	type Audit struct {
//		ID     uint
//		UserID *uint `gorm:"index:,composite:user,priority:1"`
//		models.AuditMixin
//	}
//
// No entry contains a secret or the digest of one.
type AuditMixin struct {
	// AuditKey identifies the entry. It begins with the nanoseconds within its second, so
	// that entries of the same second sort in the order in which they happened.
	AuditKey string `gorm:"column:audit_key;type:varchar(64);not null;uniqueIndex" json:"-"`
	// Event is what happened, such as [AuditTokenIssued].
	Event string `gorm:"column:event;type:varchar(40);not null" json:"event"`
	// OccurredAt is when it happened, in Unix seconds.
	OccurredAt int64 `gorm:"column:occurred_at;not null;index;index:,composite:user,priority:2;index:,composite:client,priority:2;index:,composite:grant,priority:2" json:"occurred_at"`
	// ClientID is the client's identifier, or its digest (see [ClientKey]); empty where
	// there is no client.
	ClientID string `gorm:"column:client_id;type:varchar(48);not null;index:,composite:client,priority:1" json:"client_id"`
	// LongClientID is the full client identifier where ClientID holds its digest; see
	// [ClientKey].
	LongClientID string `gorm:"column:long_client_id;type:text" json:"long_client_id,omitempty"`
	// GrantID is the grant that the event belongs to, shared by everything that descends
	// from one authorization (see [TokenMixin]); empty where there is none.
	GrantID string `gorm:"column:grant_id;type:varchar(64);not null;index:,composite:grant,priority:1" json:"-"`
	// GrantType is the grant type by which a token was issued.
	GrantType string `gorm:"column:grant_type;type:varchar(100);not null" json:"grant_type,omitempty"`
	// Scope is the scope that was granted, or the scope of a token, space separated.
	Scope string `gorm:"column:scope;type:text" json:"scope,omitempty"`
	// Audience is the resources that the grant or token is for, space separated (RFC 8707).
	Audience string `gorm:"column:audience;type:text" json:"audience,omitempty"`
	// AuthorizationDetails is the authorization details that were granted, as JSON (RFC
	// 9396); empty when there are none.
	AuthorizationDetails string `gorm:"column:authorization_details;type:text" json:"-"`
	// Endpoint is where the request arrived: "token", "authorization", or the name of
	// another endpoint or page; empty when the program acted on its own.
	Endpoint string `gorm:"column:endpoint;type:varchar(64);not null" json:"endpoint,omitempty"`
	// RemoteAddress is the address that the request came from, as determined by the server's
	// Config.RemoteAddress; empty when there was no request.
	RemoteAddress string `gorm:"column:remote_address;type:varchar(64);not null" json:"remote_address,omitempty"`
	// Reason is why something was revoked without a request to revoke it, such as
	// [AuditByReuse].
	Reason string `gorm:"column:reason;type:varchar(40);not null" json:"reason,omitempty"`
}

// AsAuditMixin returns the mixin itself. A model has this method exactly when it embeds
// AuditMixin by value; the storage accesses the columns through it.
func (a *AuditMixin) AsAuditMixin() *AuditMixin { return a }

// DescribeTable describes the table of entries. Erasing a user keeps the user's entries
// and removes the user from them. The program decides how long after OccurredAt an entry
// is pruned.
func (*AuditMixin) DescribeTable() Table {
	return Table{
		Key: "AuditKey", Digests: []string{"GrantID"}, OfUser: true, Blank: []string{"RemoteAddress", "AuthorizationDetails"},
		JSONLists: []string{"AuthorizationDetails"},
	}
}

// GetClientID returns the client's identifier, empty where there is no client.
func (a *AuditMixin) GetClientID() string { return cmp.Or(a.LongClientID, a.ClientID) }

// GetCursor returns the entry's position in the trail, in a form that can stand in a URL.
// The next page begins with the entries before it.
func (a *AuditMixin) GetCursor() string {
	return strconv.FormatInt(a.OccurredAt, 10) + "." + a.AuditKey
}
