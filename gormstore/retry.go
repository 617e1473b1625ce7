package gormstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// A step that a database refused for the sake of another is tried again, the
// whole of it, for at most about two seconds.
const (
	maxAttempts = 20
	firstPause  = 2 * time.Millisecond
	longPause   = 128 * time.Millisecond
)

// retry runs a step that is safe to repeat until it does not collide. Inside
// the caller's own transaction it runs once.
func retry(ctx context.Context, step func() error) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := step()
		if err == nil || attempt == maxAttempts || !isCollision(err) || transactionOf(ctx) != nil {
			return err
		}
		// Jitter keeps those that collided from meeting again.
		timer := time.NewTimer(pause/2 + rand.N(pause)) //nolint:gosec // not a secret
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, ctx.Err())
		case <-timer.C:
		}
		pause = min(2*pause, longPause)
	}
}

// isCollision reports whether a database refused a step that may well succeed
// a moment later. Drivers are known by their errors' methods, since the
// library imports none.
func isCollision(err error) bool {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		switch state.SQLState() {
		case "40001", "40P01": // serialization failure, deadlock
			return true
		}
	}
	var code interface{ Code() int } // modernc.org/sqlite
	if errors.As(err, &code) {
		return isBusy(code.Code())
	}
	return isCgoBusy(err)
}

// isBusy reports whether a result code of SQLite, extended or not, is
// SQLITE_BUSY or SQLITE_LOCKED.
func isBusy(code int) bool { return code&0xff == 5 || code&0xff == 6 }
