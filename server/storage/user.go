package storage

// User is a resource owner (RFC 6749 section 1.1). The program's own user
// model implements it with one line.
type User interface {
	// GetUserID returns the user's id as text, in the same form as the UserID column of tokens
	// and codes. It is never empty.
	GetUserID() string
}

// UserID is a [User] of which only the id is known.
type UserID string

// GetUserID returns the id.
func (id UserID) GetUserID() string { return string(id) }
