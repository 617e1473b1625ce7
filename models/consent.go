package models

import (
	"cmp"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// ConsentMixin gives a model the columns of a remembered consent: everything that a user
// has allowed a client so far.
type ConsentMixin struct {
	// ConsentKey is the digest of the user and the client; there is one row for each pair.
	ConsentKey string `gorm:"column:consent_key;type:varchar(64);not null;uniqueIndex" json:"-"`
	// ClientID is the client's identifier, or its digest (see [ClientKey]).
	ClientID string `gorm:"column:client_id;type:varchar(48);index" json:"client_id"`
	// LongClientID is the full client identifier where ClientID holds its digest; see
	// [ClientKey].
	LongClientID string `gorm:"column:long_client_id;type:text" json:"long_client_id,omitempty"`
	// Scope is the scope that was allowed, space separated.
	Scope string `gorm:"column:scope;type:text" json:"scope"`
	// Audience is the resources that were allowed, space separated (RFC 8707).
	Audience string `gorm:"column:audience;type:text" json:"audience,omitempty"`
	// AuthorizationDetails is the authorization details that were allowed, as a JSON array
	// (RFC 9396).
	AuthorizationDetails string `gorm:"column:authorization_details;type:text" json:"-"`
	// Claims is the individual claims that were allowed last, as JSON (OpenID Connect Core
	// section 5.5).
	Claims string `gorm:"column:claims;type:text" json:"-"`
	// PartsGrantedAt is when the user last consented to each part of the consent: a JSON
	// object of Unix seconds with the keys "scope:" and a scope value, "resource:" and a
	// resource, "detail:" and the digest of an authorization detail, and "claims". The user
	// consented to any other part at GrantedAt.
	PartsGrantedAt string `gorm:"column:parts_granted_at;type:text" json:"-"`
	// GrantedAt is when the user last consented, in Unix seconds.
	GrantedAt int64 `gorm:"column:granted_at;not null" json:"granted_at"`
	// Revision counts the changes, so that two concurrent changes are made one after the
	// other. It begins at a random number, so that a revoked consent is not mistaken for an
	// earlier revision of the next one.
	Revision int64 `gorm:"column:revision;not null" json:"-"`
}

// AsConsentMixin returns the mixin itself. A model has this method exactly when it embeds
// ConsentMixin by value; the storage accesses the columns through it.
func (c *ConsentMixin) AsConsentMixin() *ConsentMixin { return c }

// DescribeTable describes the table of consents.
func (*ConsentMixin) DescribeTable() Table {
	return Table{
		Key: "ConsentKey", Digests: []string{"ConsentKey"}, ClientID: "ClientID", OfUser: true, JSONLists: []string{"AuthorizationDetails"}, JSONObjects: []string{"Claims", "PartsGrantedAt"},
	}
}

// GetClientID returns the client's identifier.
func (c *ConsentMixin) GetClientID() string { return cmp.Or(c.LongClientID, c.ClientID) }

// GetAuthorizationDetails returns the authorization details that were allowed, as JSON
// (RFC 9396); empty when there are none.
func (c *ConsentMixin) GetAuthorizationDetails() string {
	return strictjson.StoredList(c.AuthorizationDetails)
}
