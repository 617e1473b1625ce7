// Package ratelimit bounds how often something may be tried.
package ratelimit

import (
	"context"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"
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
	keys  *otter.Cache[string, *rate.Limiter]
	limit rate.Limit
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
		keys: otter.Must(&otter.Options[string, *rate.Limiter]{
			MaximumSize:      maxKeys,
			ExpiryCalculator: otter.ExpiryAccessing[string, *rate.Limiter](period), // by then all attempts are back
		}),
		limit: rate.Every(period / time.Duration(attempts)),
		burst: attempts,
		clock: time.Now,
	}
}

// Allow counts one more attempt.
func (l *InProcess) Allow(_ context.Context, key string) (wait time.Duration, err error) {
	limiter, _ := l.keys.ComputeIfAbsent(key, func() (*rate.Limiter, bool) { return rate.NewLimiter(l.limit, l.burst), false })
	now := l.clock()
	reservation := limiter.ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now) // an attempt that was refused is none
	}
	return wait, nil
}

// Wait returns how long the key has to wait, and counts nothing.
func (l *InProcess) Wait(_ context.Context, key string) (wait time.Duration, err error) {
	limiter, known := l.keys.GetIfPresent(key)
	if !known {
		return 0, nil
	}
	missing := 1 - limiter.TokensAt(l.clock())
	return max(0, time.Duration(missing/float64(l.limit)*float64(time.Second))), nil
}
