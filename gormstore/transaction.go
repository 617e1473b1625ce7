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

// WithTransaction returns a context whose calls run in the program's own transaction.
//
// What the program rolls back is gone, with it what has to stay: a code or refresh token
// that was presented again revokes its grant, and what a refused request presented that is
// good once is spent. Whoever rolls back, such as on every answer that is an error, calls
// [AfterRollback] then, which does that again:
//
//	tx := db.Begin()
//	ctx := gormstore.WithTransaction(r.Context(), tx)
//	srv.CreateTokenResponse(w, r.WithContext(ctx))
//	if failed {
//		tx.Rollback()
//		err = gormstore.AfterRollback(ctx)
//	}
//
// A program that has the error itself, such as by a [server.ObserveHook], finds the grant in
// it: see [server.ReuseError].
//
// Calls in the transaction are not tried again: only who began it can do so. In a hook of
// GORM's of a model of the library's stores, the context of its statement is one in the
// transaction of that already.
//
// [server.ObserveHook]: https://pkg.go.dev/github.com/gormoauth/gormoauth/server#ObserveHook
// [server.ReuseError]: https://pkg.go.dev/github.com/gormoauth/gormoauth/server#ReuseError
func WithTransaction(ctx context.Context, tx *gorm.DB) context.Context {
	return within(ctx, &transaction{db: tx, stays: new(stays)})
}

// InTransaction reports whether a context is of [WithTransaction], or of a statement in a
// transaction of the library's.
func InTransaction(ctx context.Context) bool { return transactionOf(ctx) != nil }

// AfterRollback does again, each in a transaction of its own, what was done in the one of
// the context by [WithTransaction] and has to stay although the program has rolled that back.
// Without anything of the kind it does nothing, and returns nil.
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

// stays is what was done in the program's transaction and has to stay.
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

// transaction is where calls with a context run: in the program's own transaction, in one
// that a step has begun, or, without any, on the pool.
type transaction struct {
	db    *gorm.DB // nil on the pool
	stays *stays   // of the program's own

	// Of a step:
	pool  *sql.DB
	turn  chan struct{} // that it holds
	ended atomic.Bool

	outer *transaction
}

func within(ctx context.Context, t *transaction) context.Context {
	t.outer = innermost(ctx)
	return context.WithValue(ctx, transactionKey{}, t)
}

func innermost(ctx context.Context) *transaction {
	t, _ := ctx.Value(transactionKey{}).(*transaction)
	for t != nil && t.ended.Load() { // what a hook left running has its context still
		t = t.outer
	}
	return t
}

// outside is the context for what must stay when the caller's own transaction
// is rolled back.
func outside(ctx context.Context) context.Context { return within(ctx, new(transaction)) }

// transactionOf returns the transaction in which calls with the context run, nil for none.
func transactionOf(ctx context.Context) *gorm.DB {
	if t := innermost(ctx); t != nil {
		return t.db
	}
	return nil
}

// transaction returns the transaction in which a call with the context runs on this table,
// nil for none. That of a step is one of its own database alone.
func (t *Table) transaction(ctx context.Context) *gorm.DB {
	for inner := innermost(ctx); inner != nil; inner = inner.outer {
		if inner.ended.Load() || inner.pool != nil && inner.pool != t.pool {
			continue
		}
		return inner.db
	}
	return nil
}

// joined puts a statement in the transaction of the context, if there is one.
func (t *Table) joined(ctx context.Context, db *gorm.DB) *gorm.DB {
	if tx := t.transaction(ctx); tx != nil {
		db.Statement.ConnPool = tx.Statement.ConnPool
	}
	return db
}

// errOwnTurn is for a call that would wait for the statement from which it comes.
var errOwnTurn = errors.New("gormstore: a store is called from within a statement of another one, which has SQLite's one turn to write: " +
	"call it with gormstore.WithTransaction(ctx, tx) in the transaction of that statement, or after it")

// takeTurn waits for the turn to write, if there are turns, and returns what gives it back.
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
