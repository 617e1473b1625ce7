package ratelimit

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Concurrency limits how many costly operations, such as password hashing, run at once, so
// that a flood of them leaves the rest of the machine to others. A key, such as a network
// address, uses or waits for at most half of the slots, or for the only one. All keys with
// a recent failure together also get at most half. So however many attempts a flood makes,
// and from however many addresses, a caller from elsewhere is second in line at worst.
type Concurrency struct {
	slots    *semaphore
	suspects *semaphore // the slots that all suspected keys share
	share    int
	patience time.Duration

	wrong *InProcess // remembers the keys with a recent failure

	mu     sync.Mutex
	queues map[string]*queue // of the keys that hold a slot or wait for one
}

// queue has the callers of one key.
type queue struct {
	turns *semaphore
	size  int
}

// suspicion is how long a key is suspected after a failure.
const suspicion = 10 * time.Minute

// NewConcurrency returns a Concurrency with a number of slots. A caller waits for a free
// slot for at most patience. It panics if slots is less than 1 or patience is not positive.
func NewConcurrency(slots int, patience time.Duration) *Concurrency {
	if slots < 1 || patience <= 0 {
		panic("ratelimit: NewConcurrency needs at least one slot, and patience to wait for it")
	}
	share := max(1, slots/2)
	return &Concurrency{
		slots: newSemaphore(slots), suspects: newSemaphore(share), share: share, patience: patience,
		wrong: New(1, suspicion), queues: make(map[string]*queue),
	}
}

// ErrBusy is returned if no slot became free in time.
var ErrBusy = errors.New("ratelimit: busy")

// Do waits for a slot in the key's turn, and calls f. It returns ErrBusy, without calling
// f, if no slot became free in time. f returns whether it succeeded, such as whether a
// password was right. For ten minutes after a failure the key is suspected: it takes turns
// with all other suspected keys, and after each turn there is a pause of the same length,
// which leaves the slot to others.
func (c *Concurrency) Do(ctx context.Context, key string, f func() (good bool)) error {
	waiting, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	q := c.enter(key)
	defer c.leave(key, q)
	if q.turns.acquire(waiting) != nil {
		return ErrBusy
	}
	defer q.turns.release()
	var took time.Duration
	if left, _ := c.wrong.Wait(ctx, key); left > 0 {
		if c.suspects.acquire(waiting) != nil {
			return ErrBusy
		}
		defer func() { time.AfterFunc(took, func() { c.suspects.release() }) }()
	}
	if c.slots.acquire(waiting) != nil {
		return ErrBusy
	}
	defer c.slots.release()
	begin := time.Now()
	if !f() {
		_, _ = c.wrong.Allow(ctx, key) // an InProcess never fails
	}
	took = time.Since(begin)
	return nil
}

type contextKey struct{}

// OnBehalf returns a context for work on behalf of a key, such as the network address of
// the caller.
func OnBehalf(ctx context.Context, key string) context.Context {
	return onBehalf{ctx, key}
}

// onBehalf is context.WithValue for a string, which it does not box until it is asked for.
type onBehalf struct {
	context.Context //nolint:containedctx // it is one

	key string
}

// Value returns the key, or what the context has.
func (c onBehalf) Value(key any) any {
	if key == (contextKey{}) {
		return c.key
	}
	return c.Context.Value(key)
}

// Key returns the key set by [OnBehalf], or "" if there is none.
func Key(ctx context.Context) string {
	key, _ := ctx.Value(contextKey{}).(string)
	return key
}

func (c *Concurrency) enter(key string) *queue {
	c.mu.Lock()
	defer c.mu.Unlock()
	q, ok := c.queues[key]
	if !ok {
		q = &queue{turns: newSemaphore(c.share)}
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
