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
// again, the whole of it, for at most about two seconds.
const (
	maxAttempts = 20
	firstPause  = 2 * time.Millisecond
	longPause   = 128 * time.Millisecond
)

// tries are the attempts at one call of the database, until it neither collides nor loses
// its connection:
//
//	for tries := newTries(ctx); tries.next(); {
//		tries.ended(attempt())
//	}
//
// Inside the caller's own transaction there is one. What does not come right in time is a
// [server.ErrUnavailable], and so is at once what would be refused again.
type tries struct {
	ctx   context.Context //nolint:containedctx // of the one call
	count int
	pause time.Duration
	done  bool
	// lost says that a connection was lost: what was asked for may have taken effect
	// without an answer.
	lost bool
	// err is what the last attempt returned.
	err error
}

func newTries(ctx context.Context) *tries { return &tries{ctx: ctx, pause: firstPause} }

// next reports whether there is to be another attempt.
func (t *tries) next() bool { return !t.done }

// ended takes what an attempt returned, and waits a moment if there is to be another.
func (t *tries) ended(err error) {
	t.count, t.err, t.done = t.count+1, err, true
	switch class := classOf(err); {
	case class == refusal:
		t.err = unavailable(err)
		return
	case class == otherError || transactionOf(t.ctx) != nil:
		return
	case t.count == maxAttempts || t.ctx.Err() != nil:
		t.err = unavailable(err)
		return
	case class == lostConnection:
		t.lost = true
	}
	t.done = false
	// Jitter keeps those that collided from meeting again.
	timer := time.NewTimer(t.pause/2 + rand.N(t.pause)) //nolint:gosec // not a secret
	defer timer.Stop()
	select {
	case <-t.ctx.Done():
	case <-timer.C:
	}
	t.pause = min(2*t.pause, longPause)
}

// unavailable is what a caller is told of a database that gives no answer for now.
func unavailable(err error) error {
	if errors.Is(err, server.ErrUnavailable) { // by a call within the call
		return err
	}
	return fmt.Errorf("%w: %w", server.ErrUnavailable, err)
}

// retry is tries for a call that is one function.
func retry(ctx context.Context, attempt func() error) error {
	tries := newTries(ctx)
	for tries.next() {
		tries.ended(attempt())
	}
	return tries.err
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
