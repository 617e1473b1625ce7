package models

import "cmp"

// Authorization is what a code, a device authorization and the tokens that come of them
// have in common, and hand on to one another whole: whose it is, what it belongs to, and
// how its user signed in. The mixins of all three embed it, and hand it on by
// GetAuthorization and SetAuthorization. An attribute that is added
// here is a column of all three, and travels from the authorization request to the last
// refresh.
type Authorization struct {
	// ClientID is the client that it was issued to.
	ClientID string `gorm:"column:client_id;type:varchar(48);index" json:"client_id"`
	// LongClientID is the whole client identifier where ClientID is its digest, see
	// [ClientKey].
	LongClientID string `gorm:"column:long_client_id;type:text" json:"long_client_id,omitempty"`
	// GrantID is the digest of the grant secret: one authorization and
	// everything that descends from it carry the same. Empty for a client's own
	// token, which nobody granted.
	GrantID string `gorm:"column:grant_id;type:varchar(64);index" json:"-"`
	// Confirmation is the key that it is bound to, as JSON (RFC 7800 "cnf"), empty when it
	// is bound to none.
	Confirmation string `gorm:"column:confirmation;type:text" json:"confirmation,omitempty"`
	// AuthTime is when the user signed in, in Unix seconds, 0 when unknown. Each mixin has
	// a column of its own for it, as the tables of earlier releases differ in its default:
	// GetAuthorization and SetAuthorization of the mixin read and write that.
	AuthTime int64 `gorm:"-" json:"-"`
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
	// Subject is by what the client knows the user since the grant began, where that is not
	// the user's id (OpenID Connect Core section 8). It is empty otherwise, and in a row of an
	// older release.
	Subject string `gorm:"column:subject;type:text" json:"-"`
	// Issuer is the issuer that issued it, empty for a row of an older release.
	Issuer string `gorm:"column:issuer;type:text" json:"-"`
	// ClientGeneration and UserGeneration are the generations of the client and of the user
	// under which the grant began: see [ClientMixin] and [UserMixin]. NULL is generation 0, as
	// long as nobody ended anything, and the rows of an older release.
	ClientGeneration *int64 `gorm:"column:client_generation" json:"-"`
	UserGeneration   *int64 `gorm:"column:user_generation" json:"-"`
}

// CheckClient reports whether it was issued to the client.
func (a *Authorization) CheckClient(clientID string) bool {
	return a.ClientID != "" && a.ClientID == ClientKey(clientID)
}

// GetClientID returns the client that it was issued to.
func (a *Authorization) GetClientID() string { return cmp.Or(a.LongClientID, a.ClientID) }

// GetGrantID returns what everything of one authorization has in common.
func (a *Authorization) GetGrantID() string { return a.GrantID }

// GetConfirmation returns the key that it is bound to, as JSON, empty when it is bound to
// none.
func (a *Authorization) GetConfirmation() string { return a.Confirmation }

// GetACR returns the authentication context class that the user reached, empty
// when unknown.
func (a *Authorization) GetACR() string { return a.ACR }

// GetAMR returns the authentication methods that the user used, space
// separated.
func (a *Authorization) GetAMR() string { return a.AMR }

// GetClaims returns what else was granted of the user, claim by claim, as JSON, empty when
// the scope says all of it.
func (a *Authorization) GetClaims() string { return a.Claims }

// GetSessionID returns the session at the client that the grant ends with, empty
// when it is bound to none.
func (a *Authorization) GetSessionID() string { return textOf(a.SessionID) }

// GetClientGeneration returns the generation of the client under which the grant began, 0
// where nothing of the client had been ended before.
func (a *Authorization) GetClientGeneration() int64 { return numberOf(a.ClientGeneration) }

// GetUserGeneration returns that of the user.
func (a *Authorization) GetUserGeneration() int64 { return numberOf(a.UserGeneration) }

// SetGenerations notes the generations of the client and the user.
func (a *Authorization) SetGenerations(client, user int64) {
	a.ClientGeneration, a.UserGeneration = generation(client), generation(user)
}

// generation is nil for 0: a row takes no room for it.
func generation(number int64) *int64 {
	if number == 0 {
		return nil
	}
	return &number
}

func numberOf(number *int64) int64 {
	if number == nil {
		return 0
	}
	return *number
}

// GetIssuer returns the issuer that issued it, empty for a row of an older release.
func (a *Authorization) GetIssuer() string { return a.Issuer }

// Granted is how much was granted. In a code and a device authorization it has columns of
// the same names; in a token they are those that begin with "granted", as the others say
// what the one access token stands for.
type Granted struct {
	// Scope is the scope, space separated.
	Scope string
	// Audience is the resources, space separated (RFC 8707).
	Audience string
	// AuthorizationDetails is what was granted in detail, as a JSON list (RFC 9396), empty
	// when the scope says all of it.
	AuthorizationDetails string
}
