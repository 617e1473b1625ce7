package models

import (
	"cmp"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// ConsentMixin gives a model the columns of a consent that is remembered: all that
// a user has allowed a client, at one time or another.
type ConsentMixin struct {
	// ConsentKey is the digest of user and client, of whom there is one row.
	ConsentKey string `gorm:"column:consent_key;type:varchar(64);not null;uniqueIndex" json:"-"`
	// ClientID is the client.
	ClientID string `gorm:"column:client_id;type:varchar(48);index" json:"client_id"`
	// LongClientID is the whole client identifier where ClientID is its digest, see
	// [ClientKey].
	LongClientID string `gorm:"column:long_client_id;type:text" json:"long_client_id,omitempty"`
	// Scope is the scope, space separated.
	Scope string `gorm:"column:scope;type:text" json:"scope"`
	// Audience is the resources, space separated (RFC 8707).
	Audience string `gorm:"column:audience;type:text" json:"audience,omitempty"`
	// AuthorizationDetails is what was allowed in detail, as a JSON list (RFC 9396).
	AuthorizationDetails string `gorm:"column:authorization_details;type:text" json:"-"`
	// Claims is what was last allowed claim by claim, as JSON (OpenID Connect Core
	// section 5.5).
	Claims string `gorm:"column:claims;type:text" json:"-"`
	// PartsGrantedAt is when the user last consented to each part of this, as a JSON object
	// of Unix seconds by "scope:" and a word, "resource:" and a resource, "detail:" and the
	// digest of an authorization detail, and "claims". A part that is not in it was
	// consented to at GrantedAt.
	PartsGrantedAt string `gorm:"column:parts_granted_at;type:text" json:"-"`
	// GrantedAt is when the user last consented, in Unix seconds.
	GrantedAt int64 `gorm:"column:granted_at;not null" json:"granted_at"`
	// Revision counts the changes, so that of two at once one comes after the other. It
	// begins at random: a consent that was revoked is no earlier revision of the next.
	Revision int64 `gorm:"column:revision;not null" json:"-"`
}

// AsConsentMixin returns the mixin itself. A model has it exactly when it embeds
// ConsentMixin by value; storage reaches the columns through it.
func (c *ConsentMixin) AsConsentMixin() *ConsentMixin { return c }

// DescribeTable describes the table of consents.
func (*ConsentMixin) DescribeTable() Table {
	return Table{
		Key: "ConsentKey", Digests: []string{"ConsentKey"}, ClientID: "ClientID", OfUser: true, JSONLists: []string{"AuthorizationDetails"}, JSONObjects: []string{"Claims", "PartsGrantedAt"},
	}
}

// GetClientID returns the client.
func (c *ConsentMixin) GetClientID() string { return cmp.Or(c.LongClientID, c.ClientID) }

// GetAuthorizationDetails returns what was allowed in detail, as JSON (RFC 9396), empty
// when the scope says all of it.
func (c *ConsentMixin) GetAuthorizationDetails() string {
	return strictjson.StoredList(c.AuthorizationDetails)
}
