package server

import (
	"context"
	"fmt"
	"reflect"
)

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

// QueryUser returns a user who may be served, or nil, nil if the user does not exist or is
// disabled. Without Config.QueryUser every user may be served.
func (s *Server) QueryUser(ctx context.Context, userID string) (User, error) {
	if s.config.QueryUser == nil {
		return UserID(userID), nil
	}
	user, err := s.config.QueryUser(ctx, userID)
	if err != nil {
		return nil, fmt.Errorf("query user: %w", err)
	}
	if IsNilUser(user) {
		return nil, nil
	}
	return user, nil
}

// IsNilUser reports whether there is no user: a nil User, or a nil pointer in the interface,
// which a comparison with nil does not detect. A denial must not become a grant.
func IsNilUser(user User) bool {
	user, _, _ = signedIn(user)
	return isNil(user)
}

// isNil reports whether an interface is nil or holds a nil pointer.
func isNil(value any) bool {
	if value == nil {
		return true
	}
	switch v := reflect.ValueOf(value); v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Func, reflect.Interface, reflect.Slice, reflect.Chan:
		return v.IsNil()
	default:
		return false
	}
}
