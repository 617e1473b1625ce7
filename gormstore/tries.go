package gormstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"
	"weak"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/server"
)

// What a database refused for the sake of another, or what lost its connection, is tried
// again after a pause, the whole of it.
const (
	firstPause = 2 * time.Millisecond
	longPause  = 128 * time.Millisecond
)

// tries are the attempts at one call of the database, until it neither collides nor loses
// its connection, or the storage budget is used up, see [server.StorageBudget]:
//
//	tries := newTries(ctx)
//	defer tries.stop()
//	for tries.next() {
//		tries.ended(attempt(tries.ctx))
//	}
//
// Inside the caller's own transaction there is one. What does not come right in time is a
// [server.ErrUnavailable], and so is at once what would be refused again.
type tries struct {
	ctx    context.Context //nolint:containedctx // of the one call, which ends with the budget
	caller context.Context //nolint:containedctx // that of who calls
	stop   context.CancelFunc
	pause  time.Duration
	done   bool
	// lost says that a connection was lost: what was asked for may have taken effect
	// without an answer.
	lost bool
	// err is what the last attempt returned.
	err error
}

func newTries(ctx context.Context) *tries {
	t := &tries{caller: ctx, pause: firstPause}
	t.ctx, t.stop = server.StorageCall(ctx)
	return t
}

// next reports whether there is to be another attempt.
func (t *tries) next() bool { return !t.done }

// ended takes what an attempt returned, and waits a moment if there is to be another.
func (t *tries) ended(err error) {
	t.err, t.done = err, true
	class := classOf(err)
	switch {
	case err == nil:
		return
	case t.ctx.Err() != nil && (class != otherError || isCut(err)):
		t.err = t.cut(err)
		return
	case class == refusal:
		t.err = unavailable(err)
		return
	case class == otherError || transactionOf(t.caller) != nil:
		return
	}
	t.lost, t.done = t.lost || class == lostConnection, false
	// Jitter keeps those that collided from meeting again.
	timer := time.NewTimer(t.pause/2 + rand.N(t.pause)) //nolint:gosec // not a secret
	defer timer.Stop()
	select {
	case <-timer.C:
		t.pause = min(2*t.pause, longPause)
	case <-t.ctx.Done():
		t.done, t.err = true, t.cut(err)
	}
}

// isCut reports whether an error is what a context leaves behind that has ended.
func isCut(err error) bool { return errors.Is(err, context.Canceled) || errors.Is(err, sql.ErrTxDone) }

// cut is what the last attempt returned as the answer of a call whose context has ended. That
// something was canceled is the caller's doing only where the caller has gone.
func (t *tries) cut(err error) error {
	switch canceled := errors.Is(err, context.Canceled); {
	case errors.Is(t.caller.Err(), context.Canceled) && canceled:
		return err
	case canceled:
		err = fmt.Errorf("%w: %v", t.ctx.Err(), err) //nolint:errorlint // see above
	case isCut(err):
		err = fmt.Errorf("%w: %w", t.ctx.Err(), err)
	}
	if t.caller.Err() != nil {
		return unavailable(err)
	}
	return fmt.Errorf("the storage budget of %v is used up: %w", server.StorageBudget(t.caller), unavailable(err))
}

// unavailable is what a caller is told of a database that gives no answer for now.
func unavailable(err error) error {
	if errors.Is(err, server.ErrUnavailable) { // by a call within the call
		return err
	}
	return fmt.Errorf("%w: %w", server.ErrUnavailable, err)
}

// retry is tries for a call that is one function.
func retry(ctx context.Context, attempt func(ctx context.Context) error) error {
	tries := newTries(ctx)
	defer tries.stop()
	for tries.next() {
		tries.ended(attempt(tries.ctx))
	}
	return tries.err
}

// eachStep returns a context in which each step of what takes many has the whole budget.
func eachStep(ctx context.Context) context.Context {
	return server.WithStorageBudget(ctx, server.StorageBudget(ctx))
}

// turns holds, for each pool of connections to SQLite, the one turn to write.
var turns sync.Map // of weak.Pointer[sql.DB] to chan struct{}

// turnOf returns the turn to write in a database with one writer, nil for any
// other. SQLite has those that wait for its lock sleep and look again, for up to
// a tenth of a second at a time and in no order; among the writers of one
// program, a queue is shorter. Other writers of the database, in this program
// or in another, meet at SQLite's lock as ever.
func turnOf(db *gorm.DB) chan struct{} {
	if db.Name() != "sqlite" {
		return nil
	}
	pool, err := db.DB()
	if err != nil { // a transaction, which has its turn
		return nil
	}
	key := weak.Make(pool)
	turn, known := turns.LoadOrStore(key, make(chan struct{}, 1))
	if !known {
		runtime.AddCleanup(pool, func(key weak.Pointer[sql.DB]) { turns.Delete(key) }, key)
	}
	return turn.(chan struct{})
}
