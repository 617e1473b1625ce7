// Package ratelimit bounds how often something may be tried.
package ratelimit

import (
	"context"
	"time"

	"github.com/gormoauth/gormoauth/internal/bounded"
)

// Limiter bounds how often something may be tried. A program that runs on
// many instances can have one that they share.
type Limiter interface {
	// Allow counts one more attempt by the key, such as a user's id. It returns
	// 0 when that may go on, and otherwise how long it has to wait.
	Allow(ctx context.Context, key string) (wait time.Duration, err error)
	// Wait is Allow without counting: for something of which only failures
	// count, before it is tried.
	Wait(ctx context.Context, key string) (wait time.Duration, err error)
}

// Unlimited is a Limiter that bounds nothing, for a program that has something
// else in front of it that does.
type Unlimited struct{}

// Allow returns 0.
func (Unlimited) Allow(context.Context, string) (time.Duration, error) { return 0, nil }

// Wait returns 0.
func (Unlimited) Wait(context.Context, string) (time.Duration, error) { return 0, nil }

// InProcess is a Limiter in the memory of this process. It remembers a bounded
// number of keys, the most recent ones.
type InProcess struct {
	// Of each key: when all of its attempts will be back. The generic cell rate algorithm
	// needs to know no more.
	keys  *bounded.Map[string, time.Time]
	each  time.Duration // in which one attempt comes back
	burst int
	clock func() time.Time
}

const maxKeys = 100_000

// New returns a limiter that allows each key so many attempts at once, and as
// many again in each period, one by one. It panics when that would be none.
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

// Allow counts one more attempt.
func (l *InProcess) Allow(_ context.Context, key string) (wait time.Duration, err error) {
	now := l.clock()
	l.keys.Update(key, now, func(back time.Time, _ bool) time.Time {
		var next time.Time
		if next, wait = l.attempt(back, now); wait > 0 {
			return back // an attempt that was refused is none
		}
		return next
	})
	return wait, nil
}

// Wait returns how long the key has to wait, and counts nothing.
func (l *InProcess) Wait(_ context.Context, key string) (wait time.Duration, err error) {
	now := l.clock()
	back, _ := l.keys.Get(key, now)
	_, wait = l.attempt(back, now)
	return wait, nil
}

// attempt returns when all attempts will be back after one more, and how long that one has
// to wait.
func (l *InProcess) attempt(back, now time.Time) (next time.Time, wait time.Duration) {
	if back.Before(now) {
		back = now
	}
	next = back.Add(l.each)
	return next, max(0, next.Sub(now)-time.Duration(l.burst)*l.each)
}
