package gormstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
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

// isCollision reports whether a database refused a step that may well succeed
// a moment later, and has undone it. Drivers are known by their errors'
// methods, since the library imports none.
func isCollision(err error) bool {
	switch stateOf(err) {
	case "40001", "40P01": // serialization failure, deadlock
		return true
	}
	var code interface{ Code() int } // modernc.org/sqlite
	if errors.As(err, &code) {
		return isBusy(code.Code())
	}
	return isCgoBusy(err)
}

// isLost reports whether the connection was lost: what it was asked for may or
// may not have happened.
func isLost(err error) bool {
	switch state := stateOf(err); {
	case strings.HasPrefix(state, "08"), // connection exception
		state == "40003",                // statement completion unknown
		strings.HasPrefix(state, "57P"): // shut down, crashed, or starting
		return true
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// stateOf returns the SQLSTATE of an error, empty when it has none.
func stateOf(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	return ""
}

// isBusy reports whether a result code of SQLite, extended or not, is
// SQLITE_BUSY or SQLITE_LOCKED.
func isBusy(code int) bool { return code&0xff == 5 || code&0xff == 6 }
