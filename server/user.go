package server

import (
	"context"
	"fmt"
	"reflect"

	"github.com/gormoauth/gormoauth/server/storage"
)

// QueryUser returns a user who may be served, or nil, nil if the user does not exist or is
// disabled. Without Config.QueryUser every user may be served.
func (s *Server) QueryUser(ctx context.Context, userID string) (storage.User, error) {
	if s.config.QueryUser == nil {
		return storage.UserID(userID), nil
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
func IsNilUser(user storage.User) bool {
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
