package models

import (
	"cmp"
	"crypto/subtle"
	"time"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// TokenMixin gives a model the columns and methods of a token: an access
// token and, in the same row, the refresh token of its grant.
//
// One grant is one row. Rotation of the refresh token updates the row in
// place, so the rows of a user that hold a refresh token are the applications
// with access.
type TokenMixin struct {
	// ClientID is the client that the token was issued to.
	ClientID string `gorm:"column:client_id;type:varchar(48);index" json:"client_id"`
	// LongClientID is the whole client identifier where ClientID is its digest, see
	// [ClientKey].
	LongClientID string `gorm:"column:long_client_id;type:text" json:"long_client_id,omitempty"`
	// TokenType is how the access token is presented: "Bearer" (RFC 6750).
	TokenType string `gorm:"column:token_type;type:varchar(40)" json:"token_type"`
	// AccessToken is the digest of the access token.
	AccessToken string `gorm:"column:access_token;type:varchar(255);not null;uniqueIndex" json:"-"`
	// RefreshToken is the digest of the current refresh token, nil without one.
	RefreshToken *string `gorm:"column:refresh_token;type:varchar(255);index" json:"-"`
	// Scope is what the access token stands for, space separated.
	Scope string `gorm:"column:scope;type:text" json:"scope"`
	// IssuedAt is when the access token was issued, in Unix seconds.
	IssuedAt int64 `gorm:"column:issued_at;not null" json:"issued_at"`
	// AccessTokenRevokedAt is when the access token was revoked, 0 while it is not.
	AccessTokenRevokedAt int64 `gorm:"column:access_token_revoked_at;not null" json:"access_token_revoked_at"`
	// RefreshTokenRevokedAt is when the grant was revoked, 0 while it is not.
	RefreshTokenRevokedAt int64 `gorm:"column:refresh_token_revoked_at;not null" json:"refresh_token_revoked_at"`
	// ExpiresIn is the access token's lifetime in seconds; 0 is without end.
	ExpiresIn int64 `gorm:"column:expires_in;not null" json:"expires_in"`

	// GrantID is the digest of the grant secret: one authorization and
	// everything that descends from it carry the same. Empty for a client's own
	// token, which nobody granted.
	GrantID string `gorm:"column:grant_id;type:varchar(64);index" json:"-"`
	// GrantedScope is what the refresh token stands for; Scope may be narrower.
	GrantedScope string `gorm:"column:granted_scope;type:text" json:"granted_scope"`
	// GrantedAudience is what the refresh token stands for (RFC 8707).
	GrantedAudience string `gorm:"column:granted_audience;type:text" json:"granted_audience,omitempty"`
	// GrantedAt is when the grant began, in Unix seconds.
	GrantedAt int64 `gorm:"column:granted_at;not null;default:0" json:"granted_at"`
	// RotatedAt is when the refresh token was last rotated, 0 when never.
	RotatedAt int64 `gorm:"column:rotated_at;not null;default:0" json:"rotated_at"`
	// RefreshTokenExpiresAt is when the refresh token ends, 0 is never.
	RefreshTokenExpiresAt int64 `gorm:"column:refresh_token_expires_at;not null;default:0" json:"refresh_token_expires_at"`
	// Audience is the access token's resources, space separated (RFC 8707).
	Audience string `gorm:"column:audience;type:text" json:"audience,omitempty"`
	// AuthorizationDetails is what the access token stands for in detail, as JSON
	// (RFC 9396), empty when the scope says all of it.
	AuthorizationDetails string `gorm:"column:authorization_details;type:text" json:"-"`
	// GrantedAuthorizationDetails is that of the refresh token.
	GrantedAuthorizationDetails string `gorm:"column:granted_authorization_details;type:text" json:"-"`
	// Actor is who acts for the user with this token, as JSON (RFC 8693 "act"),
	// empty when nobody does but the client.
	Actor string `gorm:"column:actor;type:text" json:"-"`
	// Exchanges counts the tokens that were made of this one: exchanged for it (RFC
	// 8693), or issued for a refresh token that is kept.
	Exchanges int64 `gorm:"column:exchanges;not null;default:0" json:"-"`
	// Confirmation is the key that the token is bound to, as JSON (RFC 7800 "cnf").
	Confirmation string `gorm:"column:confirmation;type:text" json:"confirmation,omitempty"`
	// AuthTime is when the user last signed in, in Unix seconds, 0 when unknown.
	AuthTime int64 `gorm:"column:auth_time;not null;default:0" json:"auth_time,omitempty"`
	// ACR is the authentication context class that the user reached, empty when
	// unknown.
	ACR string `gorm:"column:acr;type:text" json:"acr,omitempty"`
	// AMR is the authentication methods that the user used, space separated.
	AMR string `gorm:"column:amr;type:text" json:"amr,omitempty"`
	// Claims is what else was granted of the user, claim by claim, as JSON (OpenID
	// Connect Core section 5.5), empty when the scope says all of it.
	Claims string `gorm:"column:claims;type:text" json:"-"`
	// SessionID is the session at the client that the grant began in, and ends with
	// (the "sid" of [SessionMixin]); NULL for a grant that is bound to none.
	SessionID *string `gorm:"column:session_id;type:varchar(64);index:,where:session_id IS NOT NULL" json:"-"`
	// ExpiresAt is the later of both expiries, for pruning; 0 is never.
	ExpiresAt int64 `gorm:"column:expires_at;not null;default:0;index" json:"expires_at"`
}

// AsTokenMixin returns the mixin itself. A model has it exactly when it
// embeds TokenMixin by value; storage reaches the columns through it.
func (t *TokenMixin) AsTokenMixin() *TokenMixin { return t }

// DescribeTable describes the table of tokens.
func (*TokenMixin) DescribeTable() Table {
	return Table{
		Key: "AccessToken", Digests: []string{"AccessToken", "RefreshToken", "GrantID"}, ExpiresAt: "ExpiresAt", ZeroIsForever: true, OfUser: true,
	}
}

// CheckClient reports whether the token was issued to the client.
func (t *TokenMixin) CheckClient(clientID string) bool {
	return t.ClientID != "" && t.ClientID == ClientKey(clientID)
}

// CheckRefreshToken reports whether digest is that of the current refresh
// token. A refresh token of an earlier generation is not.
func (t *TokenMixin) CheckRefreshToken(digest string) bool {
	return t.RefreshToken != nil && subtle.ConstantTimeCompare([]byte(*t.RefreshToken), []byte(digest)) == 1
}

// GetClientID returns the client that the token was issued to.
func (t *TokenMixin) GetClientID() string { return cmp.Or(t.LongClientID, t.ClientID) }

// GetTokenType returns how the access token is presented.
func (t *TokenMixin) GetTokenType() string { return t.TokenType }

// GetScope returns the access token's scope, space separated.
func (t *TokenMixin) GetScope() string { return t.Scope }

// GetGrantedScope returns the scope of the grant, which a narrowed refresh
// does not change (RFC 6749 section 6).
func (t *TokenMixin) GetGrantedScope() string { return t.GrantedScope }

// GetGrantedAudience returns the resources of the grant, space separated.
func (t *TokenMixin) GetGrantedAudience() string { return t.GrantedAudience }

// GetGrantID returns what all tokens of one authorization have in common.
func (t *TokenMixin) GetGrantID() string { return t.GrantID }

// GetAudience returns the access token's resources, space separated.
func (t *TokenMixin) GetAudience() string { return t.Audience }

// GetAuthorizationDetails returns what the access token stands for in detail, as
// JSON (RFC 9396), empty when the scope says all of it.
func (t *TokenMixin) GetAuthorizationDetails() string {
	return strictjson.StoredList(t.AuthorizationDetails)
}

// GetGrantedAuthorizationDetails returns that of the grant.
func (t *TokenMixin) GetGrantedAuthorizationDetails() string {
	return strictjson.StoredList(t.GrantedAuthorizationDetails)
}

// GetActor returns who acts for the user with this token, as JSON (RFC 8693
// "act"), empty when nobody does but the client.
func (t *TokenMixin) GetActor() string { return t.Actor }

// GetClaims returns what else was granted of the user, claim by claim, as JSON.
func (t *TokenMixin) GetClaims() string { return t.Claims }

// GetSessionID returns the session at the client that the grant ends with, empty
// when it is bound to none.
func (t *TokenMixin) GetSessionID() string { return textOf(t.SessionID) }

// GetConfirmation returns the key that the access token is bound to, as JSON,
// empty when it is bound to none.
func (t *TokenMixin) GetConfirmation() string { return t.Confirmation }

// GetRefreshTokenExpiresAt returns when the refresh token ends, 0 is never.
func (t *TokenMixin) GetRefreshTokenExpiresAt() int64 { return t.RefreshTokenExpiresAt }

// GetExpiresIn returns the access token's lifetime in seconds, 0 without end.
func (t *TokenMixin) GetExpiresIn() int64 { return t.ExpiresIn }

// GetIssuedAt returns when the access token was issued, in Unix seconds.
func (t *TokenMixin) GetIssuedAt() int64 { return t.IssuedAt }

// GetExpiresAt returns when the access token ends, in Unix seconds, 0 is never.
func (t *TokenMixin) GetExpiresAt() int64 {
	if t.ExpiresIn == 0 {
		return 0
	}
	return t.IssuedAt + t.ExpiresIn
}

// GetAuthTime returns when the user last signed in, 0 when unknown.
func (t *TokenMixin) GetAuthTime() int64 { return t.AuthTime }

// GetACR returns the authentication context class that the user reached, empty
// when unknown.
func (t *TokenMixin) GetACR() string { return t.ACR }

// GetAMR returns the authentication methods that the user used, space
// separated.
func (t *TokenMixin) GetAMR() string { return t.AMR }

// GetRotatedAt returns when the refresh token was last rotated, 0 when never.
func (t *TokenMixin) GetRotatedAt() int64 { return t.RotatedAt }

// IsExpired reports whether the access token has ended at now.
func (t *TokenMixin) IsExpired(now time.Time) bool {
	return t.ExpiresIn != 0 && now.Unix() >= t.IssuedAt+t.ExpiresIn
}

// IsRevoked reports whether the access token was revoked, alone or with its
// grant.
func (t *TokenMixin) IsRevoked() bool {
	return t.AccessTokenRevokedAt != 0 || t.RefreshTokenRevokedAt != 0
}

// IsRefreshTokenExpired reports whether the refresh token has ended at now.
func (t *TokenMixin) IsRefreshTokenExpired(now time.Time) bool {
	return t.RefreshTokenExpiresAt != 0 && now.Unix() >= t.RefreshTokenExpiresAt
}

// IsRefreshTokenRevoked reports whether the grant was revoked. An access token
// that was revoked alone leaves its refresh token alive (RFC 7009 section 2.1).
func (t *TokenMixin) IsRefreshTokenRevoked() bool { return t.RefreshTokenRevokedAt != 0 }
