package server

import (
	"context"
	"fmt"
	"reflect"
)

// User is a resource owner (RFC 6749 section 1.1). The program's own user
// model implements it with one line.
type User interface {
	// GetUserID returns the user's id as text, as the UserID column of tokens
	// and codes spells it. It is never empty.
	GetUserID() string
}

// UserID is a User of whom nothing but the id is known.
type UserID string

// GetUserID returns the id.
func (id UserID) GetUserID() string { return string(id) }

// QueryUser returns a user who may be served, or nil for one who is gone or
// disabled. Without Config.QueryUser every user may be.
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

// IsNilUser reports whether there is no user: a bare nil, or a nil pointer in
// the interface, which == nil does not see. A denial must not become a grant.
func IsNilUser(user User) bool {
	user, _, _ = signedIn(user)
	return isNil(user)
}

// isNil reports whether an interface holds nothing, or a nil pointer.
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
