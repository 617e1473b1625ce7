// Package ratelimit limits how often something may be tried, and how much is done at once.
package ratelimit

import (
	"context"
	"time"

	"github.com/gormoauth/gormoauth/internal/bounded"
)

// Limiter limits how often something may be tried. A program that runs on many instances
// can implement one that they share.
type Limiter interface {
	// Allow counts an attempt by the key, such as a user's id. It returns 0 if the attempt
	// may proceed, and otherwise how long the key has to wait.
	Allow(ctx context.Context, key string) (wait time.Duration, err error)
	// Wait is like Allow, without counting. Use it before an attempt if only failures
	// count.
	Wait(ctx context.Context, key string) (wait time.Duration, err error)
}

// Unlimited is a Limiter without a limit, for a program behind something else that limits
// attempts.
type Unlimited struct{}

// Allow returns 0.
func (Unlimited) Allow(context.Context, string) (time.Duration, error) { return 0, nil }

// Wait returns 0.
func (Unlimited) Wait(context.Context, string) (time.Duration, error) { return 0, nil }

// InProcess is a Limiter in the memory of this process. It remembers a limited number of
// keys, the most recent ones. It is safe for concurrent use.
type InProcess struct {
	// For each key, the time when all of its attempts will be back. The generic cell rate
	// algorithm needs nothing else.
	keys  *bounded.Map[string, time.Time]
	each  time.Duration // until one attempt comes back
	burst int
	clock func() time.Time
}

const maxKeys = 100_000

// New returns a limiter that allows each key a number of attempts at once, which come back
// one by one over the period. It panics if attempts is less than 1 or period is not
// positive.
func New(attempts int, period time.Duration) *InProcess {
	if attempts < 1 || period <= 0 {
		panic("ratelimit: New needs at least one attempt, and a period in which it comes back")
	}
	return &InProcess{
		keys:  bounded.New[string, time.Time](maxKeys, period), // by then all attempts are back
		each:  period / time.Duration(attempts),
		burst: attempts,
		clock: time.Now,
	}
}

// Allow counts an attempt by the key, and returns how long it has to wait. An attempt that
// has to wait is not counted.
func (l *InProcess) Allow(_ context.Context, key string) (wait time.Duration, err error) {
	now := l.clock()
	l.keys.Update(key, now, func(back time.Time, _ bool) time.Time {
		var next time.Time
		if next, wait = l.attempt(back, now); wait > 0 {
			return back // a refused attempt does not count
		}
		return next
	})
	return wait, nil
}

// Wait returns how long the key has to wait, without counting an attempt.
func (l *InProcess) Wait(_ context.Context, key string) (wait time.Duration, err error) {
	now := l.clock()
	back, _ := l.keys.Get(key, now)
	_, wait = l.attempt(back, now)
	return wait, nil
}

// attempt returns when all attempts will be back after one more attempt, and how long that
// attempt has to wait.
func (l *InProcess) attempt(back, now time.Time) (next time.Time, wait time.Duration) {
	if back.Before(now) {
		back = now
	}
	next = back.Add(l.each)
	return next, max(0, next.Sub(now)-time.Duration(l.burst)*l.each)
}
