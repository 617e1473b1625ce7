package gormstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"gorm.io/gorm"
)

type transactionKey struct{}

// WithTransaction returns a context in which calls of the stores run in the program's own
// transaction.
//
// A rollback also undoes changes that have to stay: the revocation of a grant whose code
// or refresh token was presented again, and the use of single-use credentials that a
// refused request presented. A program that rolls back, for example after every error
// response, therefore has to call [AfterRollback] afterwards, which repeats those changes:
//
//	tx := db.Begin()
//	ctx := gormstore.WithTransaction(r.Context(), tx)
//	srv.CreateTokenResponse(w, r.WithContext(ctx))
//	if failed {
//		tx.Rollback()
//		err = gormstore.AfterRollback(ctx)
//	}
//
// A program that gets the error itself, for example in a [server.ObserveHook], finds the
// grant in it: see [server.ReuseError].
//
// Calls in the transaction are not tried again, because only the code that began it can
// do that. In a GORM hook on a model of one of the stores, the context of the statement
// already is in the store's transaction.
//
// [server.ObserveHook]: https://pkg.go.dev/github.com/gormoauth/gormoauth/server#ObserveHook
// [server.ReuseError]: https://pkg.go.dev/github.com/gormoauth/gormoauth/server#ReuseError
func WithTransaction(ctx context.Context, tx *gorm.DB) context.Context {
	return within(ctx, &transaction{db: tx, stays: new(stays)})
}

// InTransaction reports whether a context comes from [WithTransaction], or from a
// statement in a transaction of a store.
func InTransaction(ctx context.Context) bool { return transactionOf(ctx) != nil }

// AfterRollback repeats the changes that have to stay although the program has rolled back
// the transaction of [WithTransaction], each in its own transaction. It returns nil if there
// are none.
func AfterRollback(ctx context.Context) (err error) {
	for t := innermost(ctx); t != nil; t = t.outer {
		if t.stays != nil {
			for _, again := range t.stays.take() {
				err = errors.Join(err, again(outside(ctx)))
			}
		}
	}
	return err
}

// stays are changes in the program's transaction that have to stay after a rollback.
type stays struct {
	mu  sync.Mutex
	all []func(ctx context.Context) error
}

func (s *stays) add(again func(ctx context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, again)
}

func (s *stays) take() []func(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.all)
	s.all = nil
	return all
}

// transaction says where calls with a context run: in the program's own transaction, in
// one that a step has begun, or on the connection pool.
type transaction struct {
	db    *gorm.DB // nil on the pool
	stays *stays   // of the program's own transaction

	// Of a step:
	pool  *sql.DB
	turn  chan struct{} // the turn that it holds
	ended atomic.Bool

	outer *transaction
}

func within(ctx context.Context, t *transaction) context.Context {
	t.outer = innermost(ctx)
	return context.WithValue(ctx, transactionKey{}, t)
}

func innermost(ctx context.Context) *transaction {
	t, _ := ctx.Value(transactionKey{}).(*transaction)
	for t != nil && t.ended.Load() { // a goroutine that a hook started still has its context
		t = t.outer
	}
	return t
}

// outside returns a context for changes that must stay when the caller's own transaction
// is rolled back.
func outside(ctx context.Context) context.Context { return within(ctx, new(transaction)) }

// transactionOf returns the transaction in which calls with the context run; nil if there
// is none.
func transactionOf(ctx context.Context) *gorm.DB {
	if t := innermost(ctx); t != nil {
		return t.db
	}
	return nil
}

// transaction returns the transaction in which a call with the context runs on this table;
// nil if there is none. The transaction of a step applies only to tables of the same
// database.
func (t *Table) transaction(ctx context.Context) *gorm.DB {
	for inner := innermost(ctx); inner != nil; inner = inner.outer {
		if inner.ended.Load() || inner.pool != nil && inner.pool != t.pool {
			continue
		}
		return inner.db
	}
	return nil
}

// joined makes a statement run in the transaction of the context, if there is one.
func (t *Table) joined(ctx context.Context, db *gorm.DB) *gorm.DB {
	if tx := t.transaction(ctx); tx != nil {
		db.Statement.ConnPool = tx.Statement.ConnPool
	}
	return db
}

// connPool returns what sends the statements of a call with the context.
func (t *Table) connPool(ctx context.Context) gorm.ConnPool {
	if tx := t.transaction(ctx); tx != nil {
		return tx.Statement.ConnPool
	}
	return t.db.Statement.ConnPool
}

// errOwnTurn is returned for a call that would wait for the statement that it is made
// from.
var errOwnTurn = errors.New("gormstore: a store is called from within a statement of another store, which holds the only turn to write to SQLite: " +
	"call it with gormstore.WithTransaction(ctx, tx) in the transaction of that statement, or after the statement")

// takeTurn waits for the turn to write, if the database has turns, and returns a function
// that gives it back.
func (t *Table) takeTurn(ctx context.Context) (give func(), err error) {
	if t.turn == nil {
		return func() {}, nil
	}
	for inner := innermost(ctx); inner != nil; inner = inner.outer {
		if inner.turn == t.turn && !inner.ended.Load() {
			return nil, errOwnTurn
		}
	}
	select {
	case t.turn <- struct{}{}:
		return func() { <-t.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
