package server

import (
	"context"
	"time"
)

// ReplayStorage remembers what may be presented only once, see [Spend].
type ReplayStorage interface {
	// FirstUse reports whether the key is new, and remembers it until expiresAt. Of any number of
	// callers with the same key, exactly one is the first.
	FirstUse(ctx context.Context, key string, expiresAt time.Time) (first bool, err error)
}
