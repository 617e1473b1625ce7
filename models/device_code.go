package models

import (
	"time"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// DeviceCodeMixin gives a model the columns and methods of a device
// authorization (RFC 8628): a device waits with the device code, a person
// approves the user code elsewhere. The model's UserID stays empty until then:
// write UserID *uint.
type DeviceCodeMixin struct {
	Authorization

	// AuthTime is when the user who approved had signed in, 0 when unknown.
	AuthTime int64 `gorm:"column:auth_time;not null" json:"auth_time"`
	// DeviceCode is the digest of the device code.
	DeviceCode string `gorm:"column:device_code;type:varchar(120);not null;uniqueIndex" json:"-"`
	// UserCode is the digest of the user code.
	UserCode string `gorm:"column:user_code;type:varchar(64);not null;uniqueIndex" json:"-"`
	// Scope is what it asks for, space separated.
	Scope string `gorm:"column:scope;type:text" json:"scope"`
	// Audience is the requested resources, space separated (RFC 8707).
	Audience string `gorm:"column:audience;type:text" json:"audience,omitempty"`
	// AuthorizationDetails is what it asks for in detail, as JSON (RFC 9396).
	AuthorizationDetails string `gorm:"column:authorization_details;type:text" json:"-"`
	// IssuedAt is when the codes were issued, in Unix seconds.
	IssuedAt int64 `gorm:"column:issued_at;not null" json:"issued_at"`
	// ExpiresAt is when they end, in Unix seconds.
	ExpiresAt int64 `gorm:"column:expires_at;not null;index" json:"expires_at"`
	// PollInterval is how many seconds the device has to wait between two polls.
	// Each poll that comes too soon makes it longer.
	PollInterval int64 `gorm:"column:poll_interval;not null" json:"poll_interval"`
	// LastPolledAt is when the device last polled, 0 when never.
	LastPolledAt int64 `gorm:"column:last_polled_at;not null" json:"last_polled_at"`
	// ApprovedAt is when a user approved, 0 while nobody has.
	ApprovedAt int64 `gorm:"column:approved_at;not null" json:"approved_at"`
	// DeniedAt is when a user denied, 0 while nobody has.
	DeniedAt int64 `gorm:"column:denied_at;not null" json:"denied_at"`
	// RedeemedAt is when the device got its token, 0 while it has not.
	RedeemedAt int64 `gorm:"column:redeemed_at;not null" json:"redeemed_at"`
}

// AsDeviceCodeMixin returns the mixin itself. A model has it exactly when it
// embeds DeviceCodeMixin by value; storage reaches the columns through it.
func (d *DeviceCodeMixin) AsDeviceCodeMixin() *DeviceCodeMixin { return d }

// DescribeTable describes the table of device authorizations.
func (*DeviceCodeMixin) DescribeTable() Table {
	return Table{
		Key: "DeviceCode", Digests: []string{"DeviceCode", "UserCode", "GrantID"}, SpentAt: "RedeemedAt", ExpiresAt: "ExpiresAt",
		GrantID: "GrantID", ClientID: "ClientID", OfUser: true,
		JSONLists: []string{"AuthorizationDetails"}, JSONObjects: []string{"Claims", "Confirmation"},
		Unspent: []string{"Scope", "Audience", "AuthorizationDetails", "Claims", "Confirmation", "ACR", "AMR", "Subject"},
	}
}

// GetAuthorizationDetails returns what it asks for in detail, as JSON (RFC 9396),
// empty when the scope says all of it.
func (d *DeviceCodeMixin) GetAuthorizationDetails() string {
	return strictjson.StoredList(d.AuthorizationDetails)
}

// GetScope returns what the client asks for, space separated.
func (d *DeviceCodeMixin) GetScope() string { return d.Scope }

// GetAudience returns the requested resources, space separated.
func (d *DeviceCodeMixin) GetAudience() string { return d.Audience }

// IsExpired reports whether the codes have ended at now.
func (d *DeviceCodeMixin) IsExpired(now time.Time) bool { return now.Unix() >= d.ExpiresAt }

// IsApproved reports whether a user approved.
func (d *DeviceCodeMixin) IsApproved() bool { return d.ApprovedAt != 0 }

// IsDenied reports whether a user denied.
func (d *DeviceCodeMixin) IsDenied() bool { return d.DeniedAt != 0 }

// IsRedeemed reports whether the device got its token.
func (d *DeviceCodeMixin) IsRedeemed() bool { return d.RedeemedAt != 0 }

// GetAuthorization returns what everything of the grant has in common.
func (d *DeviceCodeMixin) GetAuthorization() Authorization {
	authorization := d.Authorization
	authorization.AuthTime = d.AuthTime
	return authorization
}

// SetAuthorization keeps what everything of the grant has in common.
func (d *DeviceCodeMixin) SetAuthorization(authorization Authorization) {
	d.Authorization, d.AuthTime = authorization, authorization.AuthTime
}

// GetGranted returns how much was granted.
func (d *DeviceCodeMixin) GetGranted() Granted {
	return Granted{d.Scope, d.Audience, strictjson.StoredList(d.AuthorizationDetails)}
}

// SetGranted keeps how much was granted.
func (d *DeviceCodeMixin) SetGranted(granted Granted) {
	d.Scope, d.Audience, d.AuthorizationDetails = granted.Scope, granted.Audience, granted.AuthorizationDetails
}
