package ratelimit

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Concurrency bounds how much of something costly, such as the digest of a
// password, is done at once: a flood of it leaves the rest of the machine to
// others. Of the slots one key, such as a network address, has half at most, or
// the only one, and it does not wait for more: however many attempts a flood
// makes, whoever comes from elsewhere is the next but one.
type Concurrency struct {
	slots    *semaphore.Weighted // first come, first served
	share    int64
	patience time.Duration

	mu     sync.Mutex
	queues map[string]*queue // of the keys that have a slot or wait for one
}

// queue is those of one key.
type queue struct {
	turns *semaphore.Weighted
	size  int
}

// NewConcurrency returns a bound of so many at once. Whoever would be one more
// waits for a slot, but not longer than patience. It panics when that would be
// none.
func NewConcurrency(slots int, patience time.Duration) *Concurrency {
	if slots < 1 || patience <= 0 {
		panic("ratelimit: NewConcurrency needs at least one slot, and patience to wait for it")
	}
	return &Concurrency{
		slots: semaphore.NewWeighted(int64(slots)), share: int64(max(1, slots/2)), patience: patience, queues: make(map[string]*queue),
	}
}

// ErrBusy is returned when no slot was free in time.
var ErrBusy = errors.New("ratelimit: busy")

// Do calls f in a slot, in the key's turn. It returns ErrBusy, and has not called
// f, when there was none in time.
func (c *Concurrency) Do(ctx context.Context, key string, f func()) error {
	waiting, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	q := c.enter(key)
	defer c.leave(key, q)
	if q.turns.Acquire(waiting, 1) != nil {
		return ErrBusy
	}
	defer q.turns.Release(1)
	if c.slots.Acquire(waiting, 1) != nil {
		return ErrBusy
	}
	defer c.slots.Release(1)
	f()
	return nil
}

func (c *Concurrency) enter(key string) *queue {
	c.mu.Lock()
	defer c.mu.Unlock()
	q, ok := c.queues[key]
	if !ok {
		q = &queue{turns: semaphore.NewWeighted(c.share)}
		c.queues[key] = q
	}
	q.size++
	return q
}

func (c *Concurrency) leave(key string, q *queue) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q.size--; q.size == 0 {
		delete(c.queues, key)
	}
}
