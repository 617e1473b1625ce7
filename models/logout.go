package models

import "cmp"

// LogoutMixin gives a model the columns of a logout that a client is still to be
// told of (OpenID Connect Back-Channel Logout 1.0). Its rows are an outbox: written
// in the step that ends a session, and deleted once the client has answered.
type LogoutMixin struct {
	// LogoutID tells it from others: the "jti" of its logout token.
	LogoutID string `gorm:"column:logout_id;type:varchar(64);not null;uniqueIndex" json:"logout_id"`
	// ClientID is the client to tell.
	ClientID string `gorm:"column:client_id;type:varchar(48)" json:"client_id"`
	// LongClientID is the whole client identifier where ClientID is its digest, see
	// [ClientKey].
	LongClientID string `gorm:"column:long_client_id;type:text" json:"long_client_id,omitempty"`
	// SID is what the client knows the session by.
	SID string `gorm:"column:sid;type:varchar(64);not null" json:"sid"`
	// Subject is what the client knows the user by.
	Subject string `gorm:"column:subject;type:text" json:"sub"`
	// EndedAt is when the session ended, in Unix seconds.
	EndedAt int64 `gorm:"column:ended_at;not null" json:"ended_at"`
	// Attempts counts how often the client was told in vain.
	Attempts int64 `gorm:"column:attempts;not null" json:"attempts"`
	// NextAttemptAt is when to tell it again, in Unix seconds. Who does so sets it to
	// a moment by which they are done, so that nobody else does.
	NextAttemptAt int64 `gorm:"column:next_attempt_at;not null;index" json:"next_attempt_at"`
	// ExpiresAt is when it is given up, in Unix seconds.
	ExpiresAt int64 `gorm:"column:expires_at;not null;index" json:"expires_at"`
}

// AsLogoutMixin returns the mixin itself. A model has it exactly when it embeds
// LogoutMixin by value; storage reaches the columns through it.
func (l *LogoutMixin) AsLogoutMixin() *LogoutMixin { return l }

// DescribeTable describes the table of logouts.
func (*LogoutMixin) DescribeTable() Table {
	return Table{Key: "LogoutID", ExpiresAt: "ExpiresAt"}
}

// GetClientID returns the client to tell.
func (l *LogoutMixin) GetClientID() string { return cmp.Or(l.LongClientID, l.ClientID) }
