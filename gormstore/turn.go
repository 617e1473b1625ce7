package gormstore

import (
	"context"
	"database/sql"
	"runtime"
	"sync"
	"weak"

	"gorm.io/gorm"
)

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

// write runs a step that writes as [retry] does, each attempt in its turn. The
// caller's own transaction has its turn already.
func (s *store) write(ctx context.Context, step func(lost bool) error) error {
	if s.turn == nil || transactionOf(ctx) != nil {
		return retry(ctx, step)
	}
	return retry(ctx, func(lost bool) error {
		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() { <-s.turn }()
		return step(lost)
	})
}
