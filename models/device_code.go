package models

import (
	"time"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// DeviceCodeMixin gives a model the columns and methods of a device authorization (RFC
// 8628): a device polls with the device code while a user approves the user code
// elsewhere. The model's UserID is empty until then, so declare it as a pointer: UserID
// *uint.
type DeviceCodeMixin struct {
	Authorization

	// AuthTime is when the user who approved had signed in, in Unix seconds; 0 when unknown.
	AuthTime int64 `gorm:"column:auth_time;not null" json:"auth_time"`
	// DeviceCode is the digest of the device code.
	DeviceCode string `gorm:"column:device_code;type:varchar(120);not null;uniqueIndex" json:"-"`
	// UserCode is the digest of the user code.
	UserCode string `gorm:"column:user_code;type:varchar(64);not null;uniqueIndex" json:"-"`
	// Scope is the requested scope, space separated.
	Scope string `gorm:"column:scope;type:text" json:"scope"`
	// Audience is the requested resources, space separated (RFC 8707).
	Audience string `gorm:"column:audience;type:text" json:"audience,omitempty"`
	// AuthorizationDetails is the requested authorization details, as JSON (RFC 9396).
	AuthorizationDetails string `gorm:"column:authorization_details;type:text" json:"-"`
	// IssuedAt is when the codes were issued, in Unix seconds.
	IssuedAt int64 `gorm:"column:issued_at;not null" json:"issued_at"`
	// ExpiresAt is when the codes expire, in Unix seconds.
	ExpiresAt int64 `gorm:"column:expires_at;not null;index" json:"expires_at"`
	// PollInterval is how many seconds the device has to wait between two polls. It grows
	// with each poll that comes too soon.
	PollInterval int64 `gorm:"column:poll_interval;not null" json:"poll_interval"`
	// LastPolledAt is when the device last polled, in Unix seconds; 0 until it has.
	LastPolledAt int64 `gorm:"column:last_polled_at;not null" json:"last_polled_at"`
	// ApprovedAt is when a user approved, in Unix seconds; 0 until then.
	ApprovedAt int64 `gorm:"column:approved_at;not null" json:"approved_at"`
	// DeniedAt is when a user denied, in Unix seconds; 0 until then.
	DeniedAt int64 `gorm:"column:denied_at;not null" json:"denied_at"`
	// RedeemedAt is when the device got its token, in Unix seconds; 0 until then.
	RedeemedAt int64 `gorm:"column:redeemed_at;not null" json:"redeemed_at"`
}

// AsDeviceCodeMixin returns the mixin itself. A model has this method exactly when it
// embeds DeviceCodeMixin by value; the storage accesses the columns through it.
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

// GetAuthorizationDetails returns the requested authorization details, as JSON (RFC
// 9396); empty when there are none.
func (d *DeviceCodeMixin) GetAuthorizationDetails() string {
	return strictjson.StoredList(d.AuthorizationDetails)
}

// GetScope returns the requested scope, space separated.
func (d *DeviceCodeMixin) GetScope() string { return d.Scope }

// GetAudience returns the requested resources, space separated.
func (d *DeviceCodeMixin) GetAudience() string { return d.Audience }

// IsExpired reports whether the codes have expired at now.
func (d *DeviceCodeMixin) IsExpired(now time.Time) bool { return now.Unix() >= d.ExpiresAt }

// IsApproved reports whether a user has approved.
func (d *DeviceCodeMixin) IsApproved() bool { return d.ApprovedAt != 0 }

// IsDenied reports whether a user has denied.
func (d *DeviceCodeMixin) IsDenied() bool { return d.DeniedAt != 0 }

// IsRedeemed reports whether the device has got its token.
func (d *DeviceCodeMixin) IsRedeemed() bool { return d.RedeemedAt != 0 }

// GetAuthorization returns what everything that belongs to the grant has in common.
func (d *DeviceCodeMixin) GetAuthorization() Authorization {
	authorization := d.Authorization
	authorization.AuthTime = d.AuthTime
	return authorization
}

// SetAuthorization stores what everything that belongs to the grant has in common.
func (d *DeviceCodeMixin) SetAuthorization(authorization Authorization) {
	d.Authorization, d.AuthTime = authorization, authorization.AuthTime
}

// GetGranted returns the extent of the grant: scope, audience and authorization details.
func (d *DeviceCodeMixin) GetGranted() Granted {
	return Granted{d.Scope, d.Audience, strictjson.StoredList(d.AuthorizationDetails)}
}

// SetGranted stores the extent of the grant.
func (d *DeviceCodeMixin) SetGranted(granted Granted) {
	d.Scope, d.Audience, d.AuthorizationDetails = granted.Scope, granted.Audience, granted.AuthorizationDetails
}
