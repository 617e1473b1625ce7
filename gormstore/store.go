package gormstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormoauth/gormoauth/server"
)

// store is what all stores have in common: the handle and the parsed model.
type store struct {
	db     *gorm.DB
	schema *schema.Schema
	name   string // the model's, for messages
	userID *userIDField
	turn   chan struct{} // to write, see turnOf
	trail  *trail        // of what is done, nil where none is kept
}

// newStore returns the store of a model that is read and written, or what is wrong
// with the program's handle and the model.
func newStore(db *gorm.DB, model any) (*store, error) {
	s, err := newReadingStore(db, model)
	if s == nil {
		return nil, err
	}
	return s, errors.Join(err, s.needsPlainTable())
}

// newReadingStore is newStore for a model that is only read.
func newReadingStore(db *gorm.DB, model any) (*store, error) {
	db, handleErr := handle(db)
	if db == nil {
		return nil, handleErr
	}
	s, err := parse(db, model)
	return s, errors.Join(handleErr, err)
}

// parse returns the store of a model on a handle that was found in order.
func parse(db *gorm.DB, model any) (*store, error) {
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(model); err != nil {
		return nil, fmt.Errorf("gormstore: %T: %w", model, err)
	}
	return &store{db: db, schema: stmt.Schema, name: stmt.Schema.ModelType.String(), turn: turnOf(db), trail: trailOf(db)}, nil
}

// newMixinStore is newStore for a model that embeds the mixin, with the names of
// the mixin's columns.
func newMixinStore(db *gorm.DB, model, mixin any) (*store, columns, error) {
	s, err := newStore(db, model)
	if s == nil {
		return nil, nil, err
	}
	names, mixinErr := s.mixinColumns(mixin)
	return s, names, errors.Join(err, mixinErr)
}

// newGrantedStore is newMixinStore for a model whose rows belong to a user.
func newGrantedStore(db *gorm.DB, model, mixin any) (*store, columns, error) {
	s, names, err := newMixinStore(db, model, mixin)
	if s == nil {
		return nil, nil, err
	}
	var userIDErr error
	s.userID, userIDErr = s.userIDColumn()
	return s, names, errors.Join(err, userIDErr)
}

type transactionKey struct{}

// WithTransaction returns a context whose calls run in the program's own
// transaction. They are then not tried again: only who began the transaction
// can do so.
func WithTransaction(ctx context.Context, tx *gorm.DB) context.Context {
	return context.WithValue(ctx, transactionKey{}, tx)
}

// InTransaction reports whether a context is of [WithTransaction].
func InTransaction(ctx context.Context) bool { return transactionOf(ctx) != nil }

func transactionOf(ctx context.Context) *gorm.DB {
	tx, _ := ctx.Value(transactionKey{}).(*gorm.DB)
	return tx
}

// outside is the context for what must stay when the caller's own transaction
// is rolled back.
func outside(ctx context.Context) context.Context {
	return context.WithValue(ctx, transactionKey{}, nil)
}

// conn returns the handle for one call: the store's own, with its conditions
// and plugins, on the connection of the caller's transaction if there is one.
func (s *store) conn(ctx context.Context) *gorm.DB {
	return inTransactionOf(ctx, s.db.WithContext(ctx))
}

// primary begins one query, with dbresolver's mark for the primary: a replica may
// lag behind a write that a client already knows of. Every request reads, so the
// handle is copied once, where conn has it copied again by what comes next.
func (s *store) primary(ctx context.Context) *gorm.DB {
	db := s.db.Set("gorm:db_resolver:write", struct{}{})
	db.Statement.Context = ctx
	return inTransactionOf(ctx, db)
}

// bare begins one query of the primary without the handle's own conditions.
func (s *store) bare(ctx context.Context) *gorm.DB {
	return inTransactionOf(ctx, unconditional(s.db.WithContext(ctx)).Set("gorm:db_resolver:write", struct{}{}))
}

func inTransactionOf(ctx context.Context, db *gorm.DB) *gorm.DB {
	if tx := transactionOf(ctx); tx != nil {
		db.Statement.ConnPool = tx.Statement.ConnPool
	}
	return db
}

// find loads the one row that the conditions name. It reports whether there
// is one, and logs nothing when there is none. A row that the database answered with
// and that the conditions do not name is none.
func (s *store) find(ctx context.Context, into any, conditions ...clause.Expression) (found bool, err error) {
	err = retry(ctx, func(bool) (err error) {
		found, err = s.load(ctx, into, conditions...)
		return err
	})
	return found, err
}

func (s *store) load(ctx context.Context, into any, conditions ...clause.Expression) (found bool, err error) {
	result := where(s.primary(ctx), conditions...).Limit(1).Find(into)
	if result.Error != nil || result.RowsAffected != 1 {
		return false, result.Error
	}
	return s.holds(ctx, reflect.ValueOf(into).Elem(), conditions...), nil
}

// list loads the rows that the conditions name, in the order and number that more says.
func list[M any](s *store, db *gorm.DB, conditions []clause.Expression, more ...clause.Expression) (rows []M, err error) {
	if len(conditions) > 0 {
		db = where(db, conditions...)
	}
	result := db.Clauses(more...).Find(&rows)
	rows = slices.DeleteFunc(rows, func(row M) bool {
		return !s.holds(result.Statement.Context, reflect.ValueOf(&row).Elem(), conditions...)
	})
	return rows, result.Error
}

// act is [store.once] for what somebody does: the step and what it notes in the audit
// trail are one transaction.
func (s *store) act(ctx context.Context, own clause.Expression, step func(db *gorm.DB) error) error {
	return s.settle(ctx, own, s.trail, step)
}

// once runs a step that leaves a row behind by which it can be known that it
// took effect: own, which no other step writes, as it has a random digest of
// this one. When a step is run again because its answer was lost, and then
// finds its digest taken or its credential spent, that may be its own doing:
// the answer to a COMMIT of which nobody heard.
//
// A credential that is spent without a trace of this step remains unknowable: a
// successor that is derived may have been written by this step, told by another
// and rotated since. Whoever asks again is then told what it is.
func (s *store) once(ctx context.Context, own clause.Expression, step func(db *gorm.DB) error) error {
	return s.settle(ctx, own, nil, step)
}

func (s *store) settle(ctx context.Context, own clause.Expression, trail *trail, step func(db *gorm.DB) error) error {
	return s.write(ctx, func(lost bool) error {
		err := trail.together(s.conn(ctx), step)
		if !lost || err == nil {
			return err
		}
		tookEffect, lookErr := s.load(ctx, reflect.New(s.schema.ModelType).Interface(), own)
		switch {
		case tookEffect || lookErr != nil:
			return lookErr
		case errors.Is(err, server.ErrSpent):
			return fmt.Errorf("%w: the connection was lost, and %v", server.ErrUnavailable, err) //nolint:errorlint // not ErrSpent any more
		}
		return err
	})
}

// single is a handle for one statement that needs no transaction around it,
// unless the model's hooks write, too.
func single(db *gorm.DB, hooks bool) *gorm.DB {
	if hooks {
		return db
	}
	return db.Session(&gorm.Session{SkipDefaultTransaction: true})
}

func (s *store) hooksOnCreate() bool {
	return s.schema.BeforeCreate || s.schema.AfterCreate || s.schema.BeforeSave || s.schema.AfterSave
}

func (s *store) hooksOnUpdate() bool {
	return s.schema.BeforeUpdate || s.schema.AfterUpdate || s.schema.BeforeSave || s.schema.AfterSave
}

func (s *store) hooksOnDelete() bool { return s.schema.BeforeDelete || s.schema.AfterDelete }

// insert creates a row of the model, and of nothing that it refers to. It
// returns the number of rows, which is 1 but for one that is inserted on a
// condition.
func (s *store) insert(db *gorm.DB, model any) (int64, error) {
	result := single(expectingDuplicates(db), s.hooksOnCreate()).Omit(clause.Associations).Create(model)
	return result.RowsAffected, result.Error
}

// update changes the columns of the rows that the conditions name, and returns
// how many there were.
func (s *store) update(db *gorm.DB, model any, values map[string]any, conditions ...clause.Expression) (int64, error) {
	result := where(single(db, s.hooksOnUpdate()).Model(model), conditions...).Omit(clause.Associations).Updates(values)
	return result.RowsAffected, result.Error
}

// remove deletes the rows that the conditions name for good, also where the model has
// soft deletion, and returns how many there were.
func (s *store) remove(db *gorm.DB, conditions ...clause.Expression) (int64, error) {
	result := where(single(db, s.hooksOnDelete()).Unscoped(), conditions...).Delete(reflect.New(s.schema.ModelType).Interface())
	return result.RowsAffected, result.Error
}

// atomically runs f in a transaction: the one that was begun for this very step, or
// one of its own, which is a savepoint in the caller's.
func atomically(db *gorm.DB, f func(tx *gorm.DB) error) error {
	if isBegun(db) {
		return f(db)
	}
	return db.Transaction(f)
}

// column is a column of the model's own table.
func column(name string) clause.Column { return clause.Column{Table: clause.CurrentTable, Name: name} }

func eq(name string, value any) clause.Expression {
	return clause.Eq{Column: column(name), Value: value}
}

func neq(name string, value any) clause.Expression {
	return clause.Neq{Column: column(name), Value: value}
}
