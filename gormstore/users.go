package gormstore

import (
	"context"
	"errors"
	"reflect"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/server"
)

// UserModel is a pointer to the program's user model.
type UserModel[M any] interface {
	*M
	server.User
}

// Users finds users in the program's model M by their primary key. Give it a
// handle with a condition to leave out those who may not be served:
//
//	gormstore.NewUsers[User](db.Where("disabled = ?", false))
type Users[M any, P UserModel[M]] struct {
	store *store
	id    *userIDField
}

// NewUsers returns the store, or what is wrong with the model.
func NewUsers[M any, P UserModel[M]](db *gorm.DB) (*Users[M, P], error) {
	s, err := newReadingStore(db, new(M))
	if s == nil {
		return nil, err
	}
	if len(s.schema.PrimaryFields) != 1 {
		return nil, errors.Join(err, s.fault("has %d primary keys; give server.Config a QueryUser of your own", len(s.schema.PrimaryFields)))
	}
	id, idErr := s.textField(s.schema.PrimaryFields[0])
	if err := errors.Join(err, idErr); err != nil {
		return nil, err
	}
	return &Users[M, P]{s, id}, nil
}

// Query finds a user by id; it is a [server.QueryUserFunc]. An id that the
// primary key cannot hold is nobody's.
func (u *Users[M, P]) Query(ctx context.Context, userID string) (server.User, error) {
	key := new(M)
	if userID == "" || u.id.set(key, userID) != nil {
		return nil, nil
	}
	value, _ := u.id.field.ValueOf(ctx, reflect.ValueOf(key).Elem())
	row := new(M)
	found, err := u.store.find(ctx, row, eq(u.id.field.DBName, value))
	if err != nil || !found {
		return nil, err
	}
	return P(row), nil
}
