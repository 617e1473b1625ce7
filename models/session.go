package models

import "cmp"

// SessionMixin gives a model the columns of a session at a client: one row for each
// client that a user has signed in to within a session with the program (OpenID Connect
// Back-Channel Logout 1.0 section 2.1).
type SessionMixin struct {
	// SID is the session id that the client knows ("sid").
	SID string `gorm:"column:sid;type:varchar(64);not null;uniqueIndex" json:"sid"`
	// SessionID is the digest of the program's own id of the session. All rows of a session
	// have the same one.
	SessionID string `gorm:"column:session_id;type:varchar(64);not null;index" json:"-"`
	// ClientID is the client's identifier, or its digest (see [ClientKey]).
	ClientID string `gorm:"column:client_id;type:varchar(48)" json:"client_id"`
	// LongClientID is the full client identifier where ClientID holds its digest; see
	// [ClientKey].
	LongClientID string `gorm:"column:long_client_id;type:text" json:"long_client_id,omitempty"`
	// Subject is the subject identifier by which the client knows the user ("sub").
	Subject string `gorm:"column:subject;type:text" json:"sub"`
	// StartedAt is when the user first signed in to the client, in Unix seconds.
	StartedAt int64 `gorm:"column:started_at;not null" json:"started_at"`
	// EndedAt is when the session ended, in Unix seconds; 0 until then.
	EndedAt int64 `gorm:"column:ended_at;not null" json:"ended_at"`
	// ExpiresAt is when the row is pruned, in Unix seconds.
	ExpiresAt int64 `gorm:"column:expires_at;not null;index" json:"expires_at"`
}

// AsSessionMixin returns the mixin itself. A model has this method exactly when it embeds
// SessionMixin by value; the storage accesses the columns through it.
func (s *SessionMixin) AsSessionMixin() *SessionMixin { return s }

// DescribeTable describes the table of sessions.
func (*SessionMixin) DescribeTable() Table {
	return Table{Key: "SID", Digests: []string{"SessionID"}, ExpiresAt: "ExpiresAt", OfUser: true}
}

// GetClientID returns the client's identifier.
func (s *SessionMixin) GetClientID() string { return cmp.Or(s.LongClientID, s.ClientID) }

// textOf returns the string that text points to, empty for NULL.
func textOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
