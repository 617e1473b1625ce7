package models

import (
	"cmp"
	"time"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// AuthorizationCodeMixin gives a model the columns and methods of an
// authorization code (RFC 6749 section 4.1).
type AuthorizationCodeMixin struct {
	// Code is the digest of the code.
	Code string `gorm:"column:code;type:varchar(120);not null;uniqueIndex" json:"-"`
	// ClientID is the client that the code was issued to.
	ClientID string `gorm:"column:client_id;type:varchar(48)" json:"client_id"`
	// LongClientID is the whole client identifier where ClientID is its digest, see
	// [ClientKey].
	LongClientID string `gorm:"column:long_client_id;type:text" json:"long_client_id,omitempty"`
	// RedirectURI is the redirect_uri of the authorization request as it was
	// sent; empty when the request named none.
	RedirectURI string `gorm:"column:redirect_uri;type:text" json:"redirect_uri"`
	// ResponseType is the response_type of the authorization request.
	ResponseType string `gorm:"column:response_type;type:text" json:"response_type"`
	// Scope is what the user granted, space separated.
	Scope string `gorm:"column:scope;type:text" json:"scope"`
	// Nonce is the request's nonce (OpenID Connect Core section 3.1.2.1).
	Nonce string `gorm:"column:nonce;type:text" json:"-"`
	// AuthTime is when the user signed in, in Unix seconds.
	AuthTime int64 `gorm:"column:auth_time;not null" json:"auth_time"`
	// ACR is the authentication context class that was reached.
	ACR string `gorm:"column:acr;type:text" json:"acr,omitempty"`
	// AMR is the authentication methods used, space separated.
	AMR string `gorm:"column:amr;type:text" json:"amr,omitempty"`
	// CodeChallenge is the PKCE challenge (RFC 7636 section 4.2).
	CodeChallenge string `gorm:"column:code_challenge;type:text" json:"-"`
	// CodeChallengeMethod is "S256" or "plain" (RFC 7636 section 4.3).
	CodeChallengeMethod string `gorm:"column:code_challenge_method;type:varchar(48)" json:"-"`

	// GrantID is the digest of the grant secret, see [TokenMixin].
	GrantID string `gorm:"column:grant_id;type:varchar(64)" json:"-"`
	// IssuedAt is when the code was issued, in Unix seconds.
	IssuedAt int64 `gorm:"column:issued_at;not null;default:0" json:"issued_at"`
	// ExpiresAt is when the code ends, in Unix seconds.
	ExpiresAt int64 `gorm:"column:expires_at;not null;default:0;index" json:"expires_at"`
	// RedeemedAt is when the code was spent, 0 while it is not.
	RedeemedAt int64 `gorm:"column:redeemed_at;not null;default:0" json:"redeemed_at"`
	// Audience is the requested resources, space separated (RFC 8707).
	Audience string `gorm:"column:audience;type:text" json:"audience,omitempty"`
	// AuthorizationDetails is what the user granted in detail, as JSON (RFC 9396).
	AuthorizationDetails string `gorm:"column:authorization_details;type:text" json:"-"`
	// Claims is the request's claims parameter, as JSON (OpenID Connect Core
	// section 5.5).
	Claims string `gorm:"column:claims;type:text" json:"-"`
	// SessionID is the session at the client that the code was issued in (the "sid"
	// of [SessionMixin]); NULL when it is bound to none.
	SessionID *string `gorm:"column:session_id;type:varchar(64);index:,where:session_id IS NOT NULL" json:"-"`
	// Confirmation is the key that the code is bound to, as JSON (RFC 9449
	// section 10).
	Confirmation string `gorm:"column:confirmation;type:text" json:"-"`
}

// AsAuthorizationCodeMixin returns the mixin itself. A model has it exactly
// when it embeds AuthorizationCodeMixin by value; storage reaches the columns
// through it.
func (c *AuthorizationCodeMixin) AsAuthorizationCodeMixin() *AuthorizationCodeMixin { return c }

// DescribeTable describes the table of codes.
func (*AuthorizationCodeMixin) DescribeTable() Table {
	return Table{
		Key: "Code", Digests: []string{"Code", "GrantID"}, SpentAt: "RedeemedAt", ExpiresAt: "ExpiresAt", GrantID: "GrantID", OfUser: true,
	}
}

// CheckClient reports whether the code was issued to the client.
func (c *AuthorizationCodeMixin) CheckClient(clientID string) bool {
	return c.ClientID != "" && c.ClientID == ClientKey(clientID)
}

// GetAudience returns the requested resources, space separated.
func (c *AuthorizationCodeMixin) GetAudience() string { return c.Audience }

// GetAuthorizationDetails returns what the user granted in detail, as JSON (RFC
// 9396), empty when the scope says all of it.
func (c *AuthorizationCodeMixin) GetAuthorizationDetails() string {
	return strictjson.StoredList(c.AuthorizationDetails)
}

// GetConfirmation returns the key that the code is bound to, as JSON, empty when
// it is bound to none.
func (c *AuthorizationCodeMixin) GetConfirmation() string { return c.Confirmation }

// GetClientID returns the client that the code was issued to.
func (c *AuthorizationCodeMixin) GetClientID() string { return cmp.Or(c.LongClientID, c.ClientID) }

// GetRedirectURI returns the redirect_uri that the authorization request sent,
// empty when it sent none.
func (c *AuthorizationCodeMixin) GetRedirectURI() string { return c.RedirectURI }

// GetResponseType returns the response_type of the authorization request.
func (c *AuthorizationCodeMixin) GetResponseType() string { return c.ResponseType }

// GetScope returns what the user granted, space separated.
func (c *AuthorizationCodeMixin) GetScope() string { return c.Scope }

// GetGrantID returns what all tokens of this authorization will have in common.
func (c *AuthorizationCodeMixin) GetGrantID() string { return c.GrantID }

// GetNonce returns the request's nonce, empty when it sent none.
func (c *AuthorizationCodeMixin) GetNonce() string { return c.Nonce }

// GetAuthTime returns when the user signed in, in Unix seconds.
func (c *AuthorizationCodeMixin) GetAuthTime() int64 { return c.AuthTime }

// GetACR returns the authentication context class that was reached.
func (c *AuthorizationCodeMixin) GetACR() string { return c.ACR }

// GetAMR returns the authentication methods used, space separated.
func (c *AuthorizationCodeMixin) GetAMR() string { return c.AMR }

// GetCodeChallenge returns the PKCE challenge, empty when there was none.
func (c *AuthorizationCodeMixin) GetCodeChallenge() string { return c.CodeChallenge }

// GetCodeChallengeMethod returns the PKCE method, empty when there was none.
func (c *AuthorizationCodeMixin) GetCodeChallengeMethod() string { return c.CodeChallengeMethod }

// GetClaims returns the request's claims parameter, as JSON, empty when it had
// none.
func (c *AuthorizationCodeMixin) GetClaims() string { return c.Claims }

// GetSessionID returns the session at the client that the code was issued in,
// empty when it is bound to none.
func (c *AuthorizationCodeMixin) GetSessionID() string { return textOf(c.SessionID) }

// IsExpired reports whether the code has ended at now. A row of an older
// program, which has no expires_at, is expired.
func (c *AuthorizationCodeMixin) IsExpired(now time.Time) bool { return now.Unix() >= c.ExpiresAt }

// IsRedeemed reports whether the code was spent.
func (c *AuthorizationCodeMixin) IsRedeemed() bool { return c.RedeemedAt != 0 }
