package gormstore

import (
	"context"
	"errors"
	"reflect"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// UserModel is a pointer to the program's user model.
type UserModel[M any] interface {
	*M
	storage.User
}

// Users finds users in the program's model by their primary key. Pass a handle with a
// condition to exclude users who may not be served:
//
//	gormstore.NewUsers[User](db.Where("disabled = ?", false))
type Users struct {
	table *Table
	id    *userIDField
}

// NewUsers returns the store, or an error that says what is wrong with the model. The
// condition has the form of the arguments of [gorm.DB.Where], and is added to those of
// the handle:
//
//	gormstore.NewUsers[User](db, "disabled = ?", false)
func NewUsers[M any, P UserModel[M]](db *gorm.DB, condition ...any) (*Users, error) {
	t, err := openTable(db, P(new(M)))
	if t == nil {
		return nil, err
	}
	if len(condition) > 0 {
		err = errors.Join(err, t.restrict(condition[0], condition[1:]...))
	}
	if len(t.schema.PrimaryFields) != 1 {
		return nil, errors.Join(err, t.fault("has %d primary keys; set server.Config.QueryUser to a function of your own", len(t.schema.PrimaryFields)))
	}
	id, idErr := t.textField(t.schema.PrimaryFields[0])
	if err := errors.Join(err, idErr); err != nil {
		return nil, err
	}
	u := &Users{t, id}
	if err := u.checkGetUserID(); err != nil {
		return nil, err
	}
	if err := u.relate(); err != nil {
		return nil, err
	}
	return u, nil
}

// relate makes the user's row available for ending all grants of the user, if the model has
// a UserMixin.
func (u *Users) relate() (err error) {
	mixin := reflect.TypeFor[models.UserMixin]()
	if !embeds(u.table.schema.ModelType, mixin) {
		return nil
	}
	if u.table.columns, err = u.table.mixinColumns(mixin); err != nil {
		return err
	}
	u.table.userID = u.id
	u.table.register(func(r *relatives) map[string]*Table { return r.users })
	return nil
}

// checkGetUserID refuses a model whose GetUserID returns something other than the primary
// key, by which users are found.
func (u *Users) checkGetUserID() error {
	samples := u.id.samples()
	if len(samples) == 0 {
		return nil
	}
	row, found := u.table.newRow().(storage.User), u.table.newRow()
	if err := u.id.set(row, samples[0]); err != nil {
		return err
	}
	said, ok := userIDOf(row)
	if !ok || u.id.set(found, said) == nil && u.id.get(found) == u.id.get(row) {
		return nil
	}
	return u.table.fault("returns %q from GetUserID for the primary key %q, but users are found by their primary key; return it as a string, or set server.Config.QueryUser to a function of your own", said, samples[0])
}

// userIDOf returns the id of a user with only the primary key set. ok is false if
// GetUserID panics because it needs more.
func userIDOf(user storage.User) (id string, ok bool) {
	defer func() { ok = recover() == nil }()
	id = user.GetUserID()
	return id, ok // ok is set above
}

// CheckUserIDs returns one error for all stores that cannot hold the ids of these users,
// such as tokens with a UserID uint when users have UUIDs. [gormoauth.New] calls it for
// its parts.
//
// [gormoauth.New]: https://pkg.go.dev/github.com/gormoauth/gormoauth#New
func (u *Users) CheckUserIDs(stores ...Erasable) error {
	var faults []error
	if trail := u.table.trail; trail != nil {
		faults = append(faults, trail.table.checkIDsOf(u.id))
	}
	for _, store := range stores {
		for _, table := range store.Erased() {
			faults = append(faults, table.checkIDsOf(u.id))
		}
	}
	return errors.Join(faults...)
}

// Query finds a user by id; it is a [storage.QueryUserFunc]. It returns nil when there is
// none, and for an id that the primary key cannot hold.
func (u *Users) Query(ctx context.Context, userID string) (storage.User, error) {
	key := u.table.newRow()
	if userID == "" || u.id.set(key, userID) != nil {
		return nil, nil
	}
	value, _ := u.id.field.ValueOf(ctx, reflect.ValueOf(key).Elem())
	row := u.table.newRow()
	found, err := u.table.find(ctx, row, eq(u.id.field.DBName, value))
	if err != nil || !found {
		return nil, err
	}
	return row.(storage.User), nil
}
