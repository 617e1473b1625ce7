package ratelimit

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Concurrency bounds how much of something costly, such as the digest of a
// password, is done at once: a flood of it leaves the rest of the machine to
// others. Of the slots one key, such as a network address, has half at most, or
// the only one, and it does not wait for more; and so have together all keys for
// which it went wrong a short while ago. However many attempts a flood makes, and
// from however many addresses, whoever comes from elsewhere is the next but one.
type Concurrency struct {
	slots    *semaphore
	suspects *semaphore // the slots of all suspected keys
	share    int
	patience time.Duration

	wrong *InProcess // counts the times that it went wrong, once for each key

	mu     sync.Mutex
	queues map[string]*queue // of the keys that have a slot or wait for one
}

// queue is those of one key.
type queue struct {
	turns *semaphore
	size  int
}

// suspicion is how long a key is remembered for which it went wrong.
const suspicion = 10 * time.Minute

// NewConcurrency returns a bound of so many at once. Whoever would be one more
// waits for a slot, but not longer than patience. It panics when that would be
// none.
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

// ErrBusy is returned when no slot was free in time.
var ErrBusy = errors.New("ratelimit: busy")

// Do calls f in a slot, in the key's turn. It returns ErrBusy, and has not called
// f, when there was none in time. f returns whether it went well, such as whether a
// password was right. For ten minutes after it did not, the key is suspected: it
// takes turns with all others that are, and after each turn there is a pause of the
// same length, in which the machine is everybody else's.
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
		_, _ = c.wrong.Allow(ctx, key) // which never fails, in process
	}
	took = time.Since(begin)
	return nil
}

type contextKey struct{}

// OnBehalf returns a context in which things are done for a key, such as the network
// address of who asked for them.
func OnBehalf(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, contextKey{}, key)
}

// Key returns the key of [OnBehalf], empty when nobody has said for whom it is.
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
