package models

import (
	"crypto/subtle"
	"time"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// TokenMixin gives a model the columns and methods of a token: an access
// token and, in the same row, the refresh token of its grant.
//
// A grant is one row. Rotating the refresh token updates the row in place, so a user's
// rows with a refresh token are the applications that have access.
type TokenMixin struct {
	Authorization

	// AuthTime is when the user signed in, in Unix seconds; 0 when unknown.
	AuthTime int64 `gorm:"column:auth_time;not null;default:0" json:"auth_time,omitempty"`
	// TokenType is how the access token is presented: "Bearer" (RFC 6750).
	TokenType string `gorm:"column:token_type;type:varchar(40)" json:"token_type"`
	// AccessToken is the digest of the access token.
	AccessToken string `gorm:"column:access_token;type:varchar(255);not null;uniqueIndex" json:"-"`
	// RefreshToken is the digest of the current refresh token; nil without one.
	RefreshToken *string `gorm:"column:refresh_token;type:varchar(255);index:,where:refresh_token IS NOT NULL" json:"-"`
	// Scope is the scope of the access token, space separated.
	Scope string `gorm:"column:scope;type:text" json:"scope"`
	// IssuedAt is when the access token was issued, in Unix seconds.
	IssuedAt int64 `gorm:"column:issued_at;not null" json:"issued_at"`
	// AccessTokenRevokedAt is when the access token was revoked, in Unix seconds; 0 if it
	// was not.
	AccessTokenRevokedAt int64 `gorm:"column:access_token_revoked_at;not null" json:"access_token_revoked_at"`
	// RefreshTokenRevokedAt is when the grant was revoked, in Unix seconds; 0 if it was not.
	RefreshTokenRevokedAt int64 `gorm:"column:refresh_token_revoked_at;not null" json:"refresh_token_revoked_at"`
	// ExpiresIn is the access token's lifetime in seconds; 0 means that it does not expire.
	ExpiresIn int64 `gorm:"column:expires_in;not null" json:"expires_in"`

	// GrantedScope is the scope of the grant and its refresh token, space separated; Scope
	// may be narrower.
	GrantedScope string `gorm:"column:granted_scope;type:text" json:"granted_scope"`
	// GrantedAudience is the resources of the grant and its refresh token, space separated
	// (RFC 8707).
	GrantedAudience string `gorm:"column:granted_audience;type:text" json:"granted_audience,omitempty"`
	// GrantedAt is when the grant began, in Unix seconds.
	GrantedAt int64 `gorm:"column:granted_at;not null;default:0" json:"granted_at"`
	// RotatedAt is when the refresh token was last rotated, in Unix seconds; 0 means never.
	RotatedAt int64 `gorm:"column:rotated_at;not null;default:0" json:"rotated_at"`
	// RefreshTokenExpiresAt is when the refresh token expires, in Unix seconds; 0 means
	// never.
	RefreshTokenExpiresAt int64 `gorm:"column:refresh_token_expires_at;not null;default:0" json:"refresh_token_expires_at"`
	// Audience is the access token's resources, space separated (RFC 8707).
	Audience string `gorm:"column:audience;type:text" json:"audience,omitempty"`
	// AuthorizationDetails is the authorization details of the access token, as JSON (RFC
	// 9396); empty when there are none.
	AuthorizationDetails string `gorm:"column:authorization_details;type:text" json:"-"`
	// GrantedAuthorizationDetails is the authorization details of the grant and its refresh
	// token, as JSON (RFC 9396); empty when there are none.
	GrantedAuthorizationDetails string `gorm:"column:granted_authorization_details;type:text" json:"-"`
	// Actor is the party that acts for the user with this token, as JSON (RFC 8693 "act");
	// empty when only the client does.
	Actor string `gorm:"column:actor;type:text" json:"-"`
	// Exchanges counts the tokens that were issued from this row: exchanged for its access
	// token (RFC 8693), or issued for its refresh token without rotating it.
	Exchanges int64 `gorm:"column:exchanges;not null;default:0" json:"-"`
	// Form says what AccessToken holds: [TokenDigest]. It is empty in a row of an older
	// release, which wrote digests, or of an older program, which wrote plaintext.
	Form string `gorm:"column:form;type:varchar(40)" json:"-"`
	// Origin says what the row was created by: [MadeByGrant], [MadeByRefresh] or
	// [MadeByExchange]. It is empty in a row of an older release.
	Origin string `gorm:"column:origin;type:varchar(40)" json:"-"`
	// TokenID identifies the row, and stays the same when the tokens in it are replaced. It
	// is empty in a row of an older release.
	TokenID string `gorm:"column:token_id;type:varchar(64)" json:"-"`
	// ExchangedFrom is the TokenID of the row whose token was exchanged for this one (RFC
	// 8693), within the same grant. It is empty if this token did not come from an exchange
	// within its grant.
	ExchangedFrom string `gorm:"column:exchanged_from;type:varchar(64)" json:"-"`
	// RefreshedFor is the digest of what the last refresh asked for. SuccessorSalt is the
	// salt that the tokens of the last refresh were derived from, together with the refresh
	// token that was presented. Both are empty before the first refresh.
	RefreshedFor  string `gorm:"column:refreshed_for;type:varchar(64)" json:"-"`
	SuccessorSalt string `gorm:"column:successor_salt;type:varchar(64)" json:"-"`
	// ExpiresAt is when both the access token and the refresh token have expired, in Unix
	// seconds, for pruning; 0 means never.
	ExpiresAt int64 `gorm:"column:expires_at;not null;default:0;index" json:"expires_at"`
}

// TokenDigest is the form of a row whose AccessToken is the digest of the access token.
const TokenDigest = "digest"

// What a token's row was created by (TokenMixin.Origin).
const (
	// MadeByGrant is a row for a grant by a user, or for a client's own token.
	MadeByGrant = "grant"
	// MadeByRefresh is a row for an access token that was issued for the refresh token of
	// another row.
	MadeByRefresh = "refresh"
	// MadeByExchange is a row for a token that was issued by a token exchange (RFC 8693).
	MadeByExchange = "exchange"
)

// AsTokenMixin returns the mixin itself. A model has this method exactly when it embeds
// TokenMixin by value; the storage accesses the columns through it.
func (t *TokenMixin) AsTokenMixin() *TokenMixin { return t }

// DescribeTable describes the table of tokens.
func (*TokenMixin) DescribeTable() Table {
	return Table{
		Key: "AccessToken", Digests: []string{"AccessToken", "RefreshToken", "GrantID", "RefreshedFor"}, ExpiresAt: "ExpiresAt", ZeroIsForever: true,
		GrantID: "GrantID", ClientID: "ClientID", OfUser: true,
		JSONLists: []string{"AuthorizationDetails", "GrantedAuthorizationDetails"}, JSONObjects: []string{"Claims", "Actor", "Confirmation"},
	}
}

// CheckRefreshToken reports whether digest is the digest of the current refresh token. It
// is false for a refresh token that has been rotated.
func (t *TokenMixin) CheckRefreshToken(digest string) bool {
	return t.RefreshToken != nil && subtle.ConstantTimeCompare([]byte(*t.RefreshToken), []byte(digest)) == 1
}

// GetTokenType returns how the access token is presented.
func (t *TokenMixin) GetTokenType() string { return t.TokenType }

// GetScope returns the access token's scope, space separated.
func (t *TokenMixin) GetScope() string { return t.Scope }

// GetGrantedScope returns the scope of the grant, which a refresh with a narrower scope
// does not change (RFC 6749 section 6).
func (t *TokenMixin) GetGrantedScope() string { return t.GrantedScope }

// GetGrantedAudience returns the resources of the grant, space separated.
func (t *TokenMixin) GetGrantedAudience() string { return t.GrantedAudience }

// GetAudience returns the access token's resources, space separated.
func (t *TokenMixin) GetAudience() string { return t.Audience }

// GetAuthorizationDetails returns the authorization details of the access token, as JSON
// (RFC 9396); empty when there are none.
func (t *TokenMixin) GetAuthorizationDetails() string {
	return strictjson.StoredList(t.AuthorizationDetails)
}

// GetGrantedAuthorizationDetails returns the authorization details of the grant, as JSON
// (RFC 9396); empty when there are none.
func (t *TokenMixin) GetGrantedAuthorizationDetails() string {
	return strictjson.StoredList(t.GrantedAuthorizationDetails)
}

// GetActor returns the party that acts for the user with this token, as JSON (RFC 8693
// "act"); empty when only the client does.
func (t *TokenMixin) GetActor() string { return t.Actor }

// GetRefreshTokenExpiresAt returns when the refresh token expires, in Unix seconds; 0
// means never.
func (t *TokenMixin) GetRefreshTokenExpiresAt() int64 { return t.RefreshTokenExpiresAt }

// GetExpiresIn returns the access token's lifetime in seconds; 0 means that it does not
// expire.
func (t *TokenMixin) GetExpiresIn() int64 { return t.ExpiresIn }

// GetIssuedAt returns when the access token was issued, in Unix seconds.
func (t *TokenMixin) GetIssuedAt() int64 { return t.IssuedAt }

// GetExpiresAt returns when the access token expires, in Unix seconds; 0 means never.
func (t *TokenMixin) GetExpiresAt() int64 {
	if t.ExpiresIn == 0 {
		return 0
	}
	return t.IssuedAt + t.ExpiresIn
}

// GetTokenID returns the id of the row; empty for a row of an older release.
func (t *TokenMixin) GetTokenID() string { return t.TokenID }

// GetRefreshedFor returns the digest of what the last refresh asked for; empty before the
// first refresh.
func (t *TokenMixin) GetRefreshedFor() string { return t.RefreshedFor }

// GetSuccessorSalt returns the salt that the tokens of the last refresh were derived from,
// together with the refresh token that was presented; empty before the first refresh.
func (t *TokenMixin) GetSuccessorSalt() string { return t.SuccessorSalt }

// GetRotatedAt returns when the refresh token was last rotated, in Unix seconds; 0 means
// never.
func (t *TokenMixin) GetRotatedAt() int64 { return t.RotatedAt }

// IsExpired reports whether the access token has expired at now.
func (t *TokenMixin) IsExpired(now time.Time) bool {
	return t.ExpiresIn != 0 && now.Unix() >= t.IssuedAt+t.ExpiresIn
}

// IsRevoked reports whether the access token was revoked, alone or with its
// grant.
func (t *TokenMixin) IsRevoked() bool {
	return t.AccessTokenRevokedAt != 0 || t.RefreshTokenRevokedAt != 0
}

// IsRefreshTokenExpired reports whether the refresh token has expired at now.
func (t *TokenMixin) IsRefreshTokenExpired(now time.Time) bool {
	return t.RefreshTokenExpiresAt != 0 && now.Unix() >= t.RefreshTokenExpiresAt
}

// IsRefreshTokenRevoked reports whether the grant was revoked. Revoking only the access
// token leaves the refresh token valid (RFC 7009 section 2.1).
func (t *TokenMixin) IsRefreshTokenRevoked() bool { return t.RefreshTokenRevokedAt != 0 }

// GetAuthorization returns what everything that belongs to the grant has in common.
func (t *TokenMixin) GetAuthorization() Authorization {
	authorization := t.Authorization
	authorization.AuthTime = t.AuthTime
	return authorization
}

// SetAuthorization stores what everything that belongs to the grant has in common.
func (t *TokenMixin) SetAuthorization(authorization Authorization) {
	t.Authorization, t.AuthTime = authorization, authorization.AuthTime
}

// GetGranted returns the extent of the grant: scope, audience and authorization details.
func (t *TokenMixin) GetGranted() Granted {
	return Granted{t.GrantedScope, t.GrantedAudience, strictjson.StoredList(t.GrantedAuthorizationDetails)}
}

// SetGranted stores the extent of the grant.
func (t *TokenMixin) SetGranted(granted Granted) {
	t.GrantedScope, t.GrantedAudience, t.GrantedAuthorizationDetails = granted.Scope, granted.Audience, granted.AuthorizationDetails
}
