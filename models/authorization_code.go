package models

import (
	"time"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// AuthorizationCodeMixin gives a model the columns and methods of an
// authorization code (RFC 6749 section 4.1).
type AuthorizationCodeMixin struct {
	Authorization

	// AuthTime is when the user signed in, in Unix seconds.
	AuthTime int64 `gorm:"column:auth_time;not null" json:"auth_time"`
	// Code is the digest of the code.
	Code string `gorm:"column:code;type:varchar(120);not null;uniqueIndex" json:"-"`
	// RedirectURI is the redirect_uri of the authorization request as it was sent; empty
	// when the request had none.
	RedirectURI string `gorm:"column:redirect_uri;type:text" json:"redirect_uri"`
	// ResponseType is the response_type of the authorization request.
	ResponseType string `gorm:"column:response_type;type:text" json:"response_type"`
	// Scope is what the user granted, space separated.
	Scope string `gorm:"column:scope;type:text" json:"scope"`
	// Nonce is the nonce of the authorization request (OpenID Connect Core section 3.1.2.1).
	Nonce string `gorm:"column:nonce;type:text" json:"-"`
	// CodeChallenge is the PKCE challenge (RFC 7636 section 4.2).
	CodeChallenge string `gorm:"column:code_challenge;type:text" json:"-"`
	// CodeChallengeMethod is "S256" or "plain" (RFC 7636 section 4.3).
	CodeChallengeMethod string `gorm:"column:code_challenge_method;type:varchar(48)" json:"-"`

	// IssuedAt is when the code was issued, in Unix seconds.
	IssuedAt int64 `gorm:"column:issued_at;not null;default:0" json:"issued_at"`
	// ExpiresAt is when the code expires, in Unix seconds.
	ExpiresAt int64 `gorm:"column:expires_at;not null;default:0;index" json:"expires_at"`
	// RedeemedAt is when the code was redeemed, in Unix seconds; 0 until then.
	RedeemedAt int64 `gorm:"column:redeemed_at;not null;default:0" json:"redeemed_at"`
	// Audience is the requested resources, space separated (RFC 8707).
	Audience string `gorm:"column:audience;type:text" json:"audience,omitempty"`
	// AuthorizationDetails is the authorization details that the user granted, as JSON (RFC
	// 9396).
	AuthorizationDetails string `gorm:"column:authorization_details;type:text" json:"-"`
}

// AsAuthorizationCodeMixin returns the mixin itself. A model has this method exactly when
// it embeds AuthorizationCodeMixin by value; the storage accesses the columns through it.
func (c *AuthorizationCodeMixin) AsAuthorizationCodeMixin() *AuthorizationCodeMixin { return c }

// DescribeTable describes the table of codes.
func (*AuthorizationCodeMixin) DescribeTable() Table {
	return Table{
		Key: "Code", Digests: []string{"Code", "GrantID"}, SpentAt: "RedeemedAt", ExpiresAt: "ExpiresAt", GrantID: "GrantID", ClientID: "ClientID", OfUser: true,
		JSONLists: []string{"AuthorizationDetails"}, JSONObjects: []string{"Claims", "Confirmation"},
		Unspent: []string{"RedirectURI", "ResponseType", "Nonce", "CodeChallenge", "CodeChallengeMethod", "Scope", "Audience", "AuthorizationDetails", "Claims", "Confirmation", "ACR", "AMR", "Subject"},
	}
}

// GetAudience returns the requested resources, space separated.
func (c *AuthorizationCodeMixin) GetAudience() string { return c.Audience }

// GetAuthorizationDetails returns the authorization details that the user granted, as
// JSON (RFC 9396); empty when there are none.
func (c *AuthorizationCodeMixin) GetAuthorizationDetails() string {
	return strictjson.StoredList(c.AuthorizationDetails)
}

// GetRedirectURI returns the redirect_uri of the authorization request; empty when it had
// none.
func (c *AuthorizationCodeMixin) GetRedirectURI() string { return c.RedirectURI }

// GetResponseType returns the response_type of the authorization request.
func (c *AuthorizationCodeMixin) GetResponseType() string { return c.ResponseType }

// GetScope returns what the user granted, space separated.
func (c *AuthorizationCodeMixin) GetScope() string { return c.Scope }

// GetNonce returns the nonce of the authorization request; empty when it had none.
func (c *AuthorizationCodeMixin) GetNonce() string { return c.Nonce }

// GetCodeChallenge returns the PKCE challenge, empty when there was none.
func (c *AuthorizationCodeMixin) GetCodeChallenge() string { return c.CodeChallenge }

// GetCodeChallengeMethod returns the PKCE method, empty when there was none.
func (c *AuthorizationCodeMixin) GetCodeChallengeMethod() string { return c.CodeChallengeMethod }

// IsExpired reports whether the code has expired at now. A row without an expires_at,
// written by an older program, is expired.
func (c *AuthorizationCodeMixin) IsExpired(now time.Time) bool { return now.Unix() >= c.ExpiresAt }

// IsRedeemed reports whether the code was redeemed.
func (c *AuthorizationCodeMixin) IsRedeemed() bool { return c.RedeemedAt != 0 }

// GetAuthorization returns what everything that belongs to the grant has in common.
func (c *AuthorizationCodeMixin) GetAuthorization() Authorization {
	authorization := c.Authorization
	authorization.AuthTime = c.AuthTime
	return authorization
}

// SetAuthorization stores what everything that belongs to the grant has in common.
func (c *AuthorizationCodeMixin) SetAuthorization(authorization Authorization) {
	c.Authorization, c.AuthTime = authorization, authorization.AuthTime
}

// GetGranted returns the extent of the grant: scope, audience and authorization details.
func (c *AuthorizationCodeMixin) GetGranted() Granted {
	return Granted{c.Scope, c.Audience, strictjson.StoredList(c.AuthorizationDetails)}
}

// SetGranted stores the extent of the grant.
func (c *AuthorizationCodeMixin) SetGranted(granted Granted) {
	c.Scope, c.Audience, c.AuthorizationDetails = granted.Scope, granted.Audience, granted.AuthorizationDetails
}
