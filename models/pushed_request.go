package models

import (
	"cmp"
	"time"
)

// PushedRequestMixin gives a model the columns and methods of an authorization
// request that a client pushed (RFC 9126).
type PushedRequestMixin struct {
	// RequestURI is the digest of the request_uri.
	RequestURI string `gorm:"column:request_uri;type:varchar(64);not null;uniqueIndex" json:"-"`
	// ClientID is the identifier of the client that pushed the request, or its digest (see
	// [ClientKey]).
	ClientID string `gorm:"column:client_id;type:varchar(48)" json:"client_id"`
	// LongClientID is the full client identifier where ClientID holds its digest; see
	// [ClientKey].
	LongClientID string `gorm:"column:long_client_id;type:text" json:"long_client_id,omitempty"`
	// Parameters are the parameters of the request, form-urlencoded.
	Parameters string `gorm:"column:parameters;type:text" json:"-"`
	// ExpiresAt is when the request expires, in Unix seconds.
	ExpiresAt int64 `gorm:"column:expires_at;not null;index" json:"expires_at"`
	// UsedAt is when a user decided on the request, in Unix seconds; 0 until then.
	UsedAt int64 `gorm:"column:used_at;not null" json:"used_at"`
}

// AsPushedRequestMixin returns the mixin itself. A model has this method exactly when it
// embeds PushedRequestMixin by value; the storage accesses the columns through it.
func (p *PushedRequestMixin) AsPushedRequestMixin() *PushedRequestMixin { return p }

// DescribeTable describes the table of pushed requests.
func (*PushedRequestMixin) DescribeTable() Table {
	return Table{Key: "RequestURI", Digests: []string{"RequestURI"}, SpentAt: "UsedAt", ExpiresAt: "ExpiresAt"}
}

// GetClientID returns the identifier of the client that pushed the request.
func (p *PushedRequestMixin) GetClientID() string { return cmp.Or(p.LongClientID, p.ClientID) }

// GetParameters returns the request's parameters, form-urlencoded.
func (p *PushedRequestMixin) GetParameters() string { return p.Parameters }

// IsExpired reports whether the request has expired at now.
func (p *PushedRequestMixin) IsExpired(now time.Time) bool { return now.Unix() >= p.ExpiresAt }

// IsUsed reports whether a user has decided on the request.
func (p *PushedRequestMixin) IsUsed() bool { return p.UsedAt != 0 }
