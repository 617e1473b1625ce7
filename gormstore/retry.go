package gormstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gormoauth/gormoauth/server"
)

// A step that a database refused for the sake of another, or whose connection
// was lost, is tried again, the whole of it, for at most about two seconds.
const (
	maxAttempts = 20
	firstPause  = 2 * time.Millisecond
	longPause   = 128 * time.Millisecond
)

// retry runs a step until it neither collides nor loses its connection. Once
// a connection was lost, the step may have taken effect without an answer: it
// is told, and has to look. Inside the caller's own transaction it runs once.
//
// What does not come right in time is a [server.ErrUnavailable].
func retry(ctx context.Context, step func(lost bool) error) error {
	pause, lost := firstPause, false
	for attempt := 1; ; attempt++ {
		err := step(lost)
		lost = lost || isLost(err)
		switch {
		case err == nil || transactionOf(ctx) != nil || !isCollision(err) && !isLost(err):
			return err
		case attempt == maxAttempts || ctx.Err() != nil:
			return fmt.Errorf("%w: %w", server.ErrUnavailable, err)
		}
		// Jitter keeps those that collided from meeting again.
		timer := time.NewTimer(pause/2 + rand.N(pause)) //nolint:gosec // not a secret
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
		pause = min(2*pause, longPause)
	}
}
