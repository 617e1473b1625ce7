// Package ondemand makes what a setting stands for if it is left out, when it is first needed:
// a check of the settings then has nothing to fill in.
package ondemand

import (
	"sync"
	"time"

	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// Limiter is the limiter of a setting that may be nil. The zero value is ready to use.
type Limiter struct {
	once sync.Once
	made *ratelimit.InProcess
}

// Or returns the given limiter. If it is nil, Or returns a limiter in this process, which is the
// same one at every call.
func (l *Limiter) Or(given ratelimit.Limiter, attempts int, period time.Duration) ratelimit.Limiter {
	if given != nil {
		return given
	}
	l.once.Do(func() { l.made = ratelimit.New(attempts, period) })
	return l.made
}
