package models

import "cmp"

// SessionMixin gives a model the columns of a session at a client: a user's
// session with the program in which they have signed in to the client (OpenID
// Connect Back-Channel Logout 1.0 section 2.1).
type SessionMixin struct {
	// SID is what the client knows the session by.
	SID string `gorm:"column:sid;type:varchar(64);not null;uniqueIndex" json:"sid"`
	// SessionID is the digest of the program's own name for the session. All its
	// rows have the same, one a client.
	SessionID string `gorm:"column:session_id;type:varchar(64);not null;index" json:"-"`
	// ClientID is the client.
	ClientID string `gorm:"column:client_id;type:varchar(48)" json:"client_id"`
	// LongClientID is the whole client identifier where ClientID is its digest, see
	// [ClientKey].
	LongClientID string `gorm:"column:long_client_id;type:text" json:"long_client_id,omitempty"`
	// Subject is what the client knows the user by.
	Subject string `gorm:"column:subject;type:text" json:"sub"`
	// StartedAt is when the user first signed in to the client, in Unix seconds.
	StartedAt int64 `gorm:"column:started_at;not null" json:"started_at"`
	// EndedAt is when the session ended, 0 while it has not.
	EndedAt int64 `gorm:"column:ended_at;not null" json:"ended_at"`
	// ExpiresAt is when the row is forgotten, in Unix seconds.
	ExpiresAt int64 `gorm:"column:expires_at;not null;index" json:"expires_at"`
}

// AsSessionMixin returns the mixin itself. A model has it exactly when it embeds
// SessionMixin by value; storage reaches the columns through it.
func (s *SessionMixin) AsSessionMixin() *SessionMixin { return s }

// DescribeTable describes the table of sessions.
func (*SessionMixin) DescribeTable() Table {
	return Table{Key: "SID", Digests: []string{"SessionID"}, ExpiresAt: "ExpiresAt", OfUser: true}
}

// GetClientID returns the client.
func (s *SessionMixin) GetClientID() string { return cmp.Or(s.LongClientID, s.ClientID) }

// textOf returns a text that may be NULL.
func textOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
