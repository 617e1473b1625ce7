package models

import "cmp"

// Authorization holds what a code, a device authorization and the tokens issued for them
// have in common: the client, the grant, and how the user signed in. The mixins of all
// three embed it and pass it on as a whole, through GetAuthorization and
// SetAuthorization. An attribute added here becomes a column of all three, and is carried
// from the authorization request to the last refresh.
type Authorization struct {
	// ClientID is the identifier of the client that it was issued to, or its digest (see
	// [ClientKey]).
	ClientID string `gorm:"column:client_id;type:varchar(48);index" json:"client_id"`
	// LongClientID is the full client identifier where ClientID holds its digest; see
	// [ClientKey].
	LongClientID string `gorm:"column:long_client_id;type:text" json:"long_client_id,omitempty"`
	// GrantID is the digest of the grant secret: an authorization and everything that
	// descends from it have the same one. It is empty for a client's own token, which no
	// user granted.
	GrantID string `gorm:"column:grant_id;type:varchar(64);index" json:"-"`
	// Confirmation is the key that it is bound to, as JSON (RFC 7800 "cnf"); empty when it
	// is not bound to a key.
	Confirmation string `gorm:"column:confirmation;type:text" json:"confirmation,omitempty"`
	// AuthTime is when the user signed in, in Unix seconds; 0 when unknown. Each mixin has
	// its own column for it, because its default differs between the tables of earlier
	// releases: the mixin's GetAuthorization and SetAuthorization read and write that
	// column.
	AuthTime int64 `gorm:"-" json:"-"`
	// ACR is the authentication context class of the user's sign-in; empty when unknown.
	ACR string `gorm:"column:acr;type:text" json:"acr,omitempty"`
	// AMR is the authentication methods that the user used, space separated.
	AMR string `gorm:"column:amr;type:text" json:"amr,omitempty"`
	// Claims is the individually granted claims, as JSON (OpenID Connect Core section 5.5);
	// empty when the client gets no claims beyond those of the scope.
	Claims string `gorm:"column:claims;type:text" json:"-"`
	// SessionID is the session at the client in which the grant began, and with which it
	// ends (the "sid" of [SessionMixin]); NULL for a grant that is not bound to a session.
	SessionID *string `gorm:"column:session_id;type:varchar(64);index:,where:session_id IS NOT NULL" json:"-"`
	// Subject is the subject identifier by which the client has known the user since the grant
	// began, where it differs from the user's id (OpenID Connect Core section 8). It is empty
	// otherwise, and in rows of an older release.
	Subject string `gorm:"column:subject;type:text" json:"-"`
	// Issuer is the issuer identifier under which it was issued; empty in rows of an older
	// release.
	Issuer string `gorm:"column:issuer;type:text" json:"-"`
	// ClientGeneration and UserGeneration are the generations of the client and of the user at
	// the beginning of the grant: see [ClientMixin] and [UserMixin]. NULL means generation 0:
	// no grants had been ended before, or the row is of an older release.
	ClientGeneration *int64 `gorm:"column:client_generation" json:"-"`
	UserGeneration   *int64 `gorm:"column:user_generation" json:"-"`
}

// CheckClient reports whether it was issued to the client. It is false where there is no
// client.
func (a *Authorization) CheckClient(clientID string) bool {
	return a.ClientID != "" && a.ClientID == ClientKey(clientID)
}

// GetClientID returns the identifier of the client that it was issued to.
func (a *Authorization) GetClientID() string { return cmp.Or(a.LongClientID, a.ClientID) }

// GetGrantID returns the id shared by everything that descends from one authorization;
// empty for a client's own token.
func (a *Authorization) GetGrantID() string { return a.GrantID }

// GetConfirmation returns the key that it is bound to, as JSON; empty when it is not
// bound to a key.
func (a *Authorization) GetConfirmation() string { return a.Confirmation }

// GetACR returns the authentication context class of the user's sign-in; empty when
// unknown.
func (a *Authorization) GetACR() string { return a.ACR }

// GetAMR returns the authentication methods that the user used, space
// separated.
func (a *Authorization) GetAMR() string { return a.AMR }

// GetClaims returns the individually granted claims, as JSON; empty when the client gets
// no claims beyond those of the scope.
func (a *Authorization) GetClaims() string { return a.Claims }

// GetSessionID returns the session at the client with which the grant ends; empty when it
// is not bound to a session.
func (a *Authorization) GetSessionID() string { return textOf(a.SessionID) }

// GetClientGeneration returns the client's generation at the beginning of the grant; 0
// when the client's grants had never been ended before.
func (a *Authorization) GetClientGeneration() int64 { return numberOf(a.ClientGeneration) }

// GetUserGeneration returns the user's generation at the beginning of the grant; 0 when
// the user's grants had never been ended before.
func (a *Authorization) GetUserGeneration() int64 { return numberOf(a.UserGeneration) }

// SetGenerations stores the generations of the client and the user.
func (a *Authorization) SetGenerations(client, user int64) {
	a.ClientGeneration, a.UserGeneration = generation(client), generation(user)
}

// generation returns nil for 0, so that the common case takes no space in the row.
func generation(number int64) *int64 {
	if number == 0 {
		return nil
	}
	kept := number // only what is kept is allocated
	return &kept
}

func numberOf(number *int64) int64 {
	if number == nil {
		return 0
	}
	return *number
}

// GetIssuer returns the issuer identifier under which it was issued; empty for a row of
// an older release.
func (a *Authorization) GetIssuer() string { return a.Issuer }

// Granted is the extent of a grant. A code and a device authorization store it in columns
// of the same names; a token stores it in the columns that begin with "granted", because
// its other columns describe the current access token.
type Granted struct {
	// Scope is the granted scope, space separated.
	Scope string
	// Audience is the granted resources, space separated (RFC 8707).
	Audience string
	// AuthorizationDetails is the granted authorization details, as a JSON array (RFC 9396);
	// empty when there are none.
	AuthorizationDetails string
}
