package gormstore

import (
	"context"
	"errors"
	"reflect"
	"time"

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

// NewUsers returns the store, or what is wrong with the model. The condition, which is
// that of [gorm.DB.Where], is one more of the handle's:
//
//	gormstore.NewUsers[User](db, "disabled = ?", false)
func NewUsers[M any, P UserModel[M]](db *gorm.DB, condition ...any) (*Users[M, P], error) {
	s, err := newReadingStore(db, new(M))
	if s == nil {
		return nil, err
	}
	if len(condition) > 0 {
		err = errors.Join(err, s.restrict(condition[0], condition[1:]...))
	}
	if len(s.schema.PrimaryFields) != 1 {
		return nil, errors.Join(err, s.fault("has %d primary keys; give server.Config a QueryUser of your own", len(s.schema.PrimaryFields)))
	}
	id, idErr := s.textField(s.schema.PrimaryFields[0])
	if err := errors.Join(err, idErr); err != nil {
		return nil, err
	}
	u := &Users[M, P]{s, id}
	if err := u.checkGetUserID(); err != nil {
		return nil, err
	}
	return u, nil
}

// checkGetUserID refuses a model whose users say another id than that by which they are
// found.
func (u *Users[M, P]) checkGetUserID() error {
	samples := u.id.samples()
	if len(samples) == 0 {
		return nil
	}
	row, found := new(M), new(M)
	if err := u.id.set(row, samples[0]); err != nil {
		return err
	}
	said, ok := userIDOf(P(row))
	if !ok || u.id.set(found, said) == nil && u.id.get(found) == u.id.get(row) {
		return nil
	}
	return u.store.fault("returns %q from GetUserID where its primary key is %q, by which users are found; return the primary key as text, or give server.Config a QueryUser of your own", said, samples[0])
}

// userIDOf asks a user that is not complete for its id. A method that needs more than the
// primary key cannot say.
func userIDOf(user server.User) (id string, ok bool) {
	defer func() { ok = recover() == nil }()
	return user.GetUserID(), true
}

// CheckUserIDs returns, all at once, which stores cannot hold the ids of these users, such
// as tokens with a UserID uint beside users with UUIDs. [gormoauth.New] calls it for its
// parts.
//
// [gormoauth.New]: https://pkg.go.dev/github.com/gormoauth/gormoauth#New
func (u *Users[M, P]) CheckUserIDs(stores ...Erasable) error {
	var faults []error
	if trail := u.store.trail; trail != nil {
		faults = append(faults, trail.store.checkIDsOf(u.id))
	}
	for _, store := range stores {
		for _, of := range store.erasing(time.Time{}) {
			faults = append(faults, of.store.checkIDsOf(u.id))
		}
	}
	return errors.Join(faults...)
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
