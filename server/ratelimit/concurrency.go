package ratelimit

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/semaphore"
)

// Concurrency bounds how much of something costly, such as the digest of a
// password, is done at once: a flood of it leaves the rest of the machine to
// others.
type Concurrency struct {
	slots    *semaphore.Weighted
	patience time.Duration
}

// NewConcurrency returns a bound of so many at once. Whoever would be one more
// waits for a slot, but not longer than patience. It panics when that would be
// none.
func NewConcurrency(slots int, patience time.Duration) *Concurrency {
	if slots < 1 || patience <= 0 {
		panic("ratelimit: NewConcurrency needs at least one slot, and patience to wait for it")
	}
	return &Concurrency{semaphore.NewWeighted(int64(slots)), patience}
}

// ErrBusy is returned when no slot was free in time.
var ErrBusy = errors.New("ratelimit: busy")

// Do calls f in a slot. It returns ErrBusy, and has not called f, when none was
// free in time.
func (c *Concurrency) Do(ctx context.Context, f func()) error {
	waiting, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	if c.slots.Acquire(waiting, 1) != nil {
		return ErrBusy
	}
	defer c.slots.Release(1)
	f()
	return nil
}
