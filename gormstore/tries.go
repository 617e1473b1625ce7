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

	"github.com/gormoauth/gormoauth/server/budget"
	"github.com/gormoauth/gormoauth/server/storage"
)

// A call that collided with another, or lost its connection, is tried again as a whole
// after a pause.
const (
	firstPause = 2 * time.Millisecond
	longPause  = 128 * time.Millisecond
)

// tries are the attempts at one call of the database. They end when the call neither
// collides nor loses its connection, or when the storage budget is used up (see
// [budget.Of]):
//
//	tries := newTries(ctx)
//	defer tries.stop()
//	for tries.next() {
//		tries.ended(attempt(tries.ctx))
//	}
//
// Inside the caller's own transaction there is only one attempt. If the call does not
// succeed in time, the error is a [storage.ErrUnavailable]; it is so immediately if the
// database would refuse the call again.
type tries struct {
	ctx    context.Context //nolint:containedctx // of this call; it ends with the budget
	caller context.Context //nolint:containedctx // the caller's
	stop   context.CancelFunc
	pause  time.Duration
	done   bool
	// lost says that a connection was lost: an attempt may have taken effect without an
	// answer.
	lost bool
	// err is what the last attempt returned.
	err error
	// entries is the common part of the keys of the step's audit entries, noted how many the
	// attempt has written, and notedAt their time if the step has none; see entryKey.
	entries string
	noted   int
	notedAt time.Time
}

func newTries(ctx context.Context) *tries {
	t := &tries{caller: ctx, pause: firstPause}
	t.ctx, t.stop = budget.Call(ctx)
	return t
}

// next reports whether to make another attempt.
func (t *tries) next() bool { return !t.done }

// ended records what an attempt returned, and pauses if there will be another.
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

// isCut reports whether an error can be the result of a context that has ended.
func isCut(err error) bool { return errors.Is(err, context.Canceled) || errors.Is(err, sql.ErrTxDone) }

// cut returns the error of a call whose context has ended. It is a cancellation by the caller
// only if the caller's own context was canceled.
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
	return fmt.Errorf("the storage budget of %v is used up: %w", budget.Of(t.caller), unavailable(err))
}

// unavailable returns the error for a database that is temporarily unavailable.
func unavailable(err error) error {
	if errors.Is(err, storage.ErrUnavailable) { // from a nested call
		return err
	}
	return fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
}

// retry calls attempt until it succeeds or the tries end.
func retry(ctx context.Context, attempt func(ctx context.Context) error) error {
	tries := newTries(ctx)
	defer tries.stop()
	for tries.next() {
		tries.ended(attempt(tries.ctx))
	}
	return tries.err
}

// eachStep returns a context in which each step of a long operation has the whole storage
// budget.
func eachStep(ctx context.Context) context.Context {
	return budget.With(ctx, budget.Of(ctx))
}

// turns holds the only turn to write for each connection pool of SQLite.
var turns sync.Map // of weak.Pointer[sql.DB] to chan struct{}

// turnOf returns the turn to write to a SQLite database; nil for other engines. While
// SQLite waits for its lock, it sleeps and looks again, for up to a tenth of a second at
// a time and in no order; a queue among the writers of one pool is faster. Other writers
// of the database, in this program or in another, still meet at SQLite's lock.
func turnOf(db *gorm.DB) chan struct{} {
	if db.Name() != "sqlite" {
		return nil
	}
	pool, err := db.DB()
	if err != nil { // a transaction, which already has its turn
		return nil
	}
	key := weak.Make(pool)
	turn, known := turns.LoadOrStore(key, make(chan struct{}, 1))
	if !known {
		runtime.AddCleanup(pool, func(key weak.Pointer[sql.DB]) { turns.Delete(key) }, key)
	}
	return turn.(chan struct{})
}
