package models

import "cmp"

// LogoutMixin gives a model the columns of a logout that still has to be sent to a client
// (OpenID Connect Back-Channel Logout 1.0). Its rows are an outbox: they are written in
// the transaction that ends a session, and deleted once the client has answered.
type LogoutMixin struct {
	// LogoutID identifies the logout: it is the "jti" of its logout token.
	LogoutID string `gorm:"column:logout_id;type:varchar(64);not null;uniqueIndex" json:"logout_id"`
	// ClientID is the identifier of the client to notify, or its digest (see [ClientKey]).
	ClientID string `gorm:"column:client_id;type:varchar(48)" json:"client_id"`
	// LongClientID is the full client identifier where ClientID holds its digest; see
	// [ClientKey].
	LongClientID string `gorm:"column:long_client_id;type:text" json:"long_client_id,omitempty"`
	// SID is the session id that the client knows ("sid").
	SID string `gorm:"column:sid;type:varchar(64);not null" json:"sid"`
	// Subject is the subject identifier by which the client knows the user ("sub").
	Subject string `gorm:"column:subject;type:text" json:"sub"`
	// EndedAt is when the session ended, in Unix seconds.
	EndedAt int64 `gorm:"column:ended_at;not null" json:"ended_at"`
	// Attempts counts the attempts to notify the client so far.
	Attempts int64 `gorm:"column:attempts;not null" json:"attempts"`
	// NextAttemptAt is when to make the next attempt, in Unix seconds. A worker that makes
	// an attempt first sets it to a time by which the attempt is over, so that no other
	// worker makes the same one.
	NextAttemptAt int64 `gorm:"column:next_attempt_at;not null;index" json:"next_attempt_at"`
	// ExpiresAt is when to give up, in Unix seconds.
	ExpiresAt int64 `gorm:"column:expires_at;not null;index" json:"expires_at"`
}

// AsLogoutMixin returns the mixin itself. A model has this method exactly when it embeds
// LogoutMixin by value; the storage accesses the columns through it.
func (l *LogoutMixin) AsLogoutMixin() *LogoutMixin { return l }

// DescribeTable describes the table of logouts.
func (*LogoutMixin) DescribeTable() Table {
	return Table{Key: "LogoutID", ExpiresAt: "ExpiresAt"}
}

// GetClientID returns the identifier of the client to notify.
func (l *LogoutMixin) GetClientID() string { return cmp.Or(l.LongClientID, l.ClientID) }
