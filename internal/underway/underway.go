// Package underway shortens a wait in tests.
package underway

import (
	"context"
	"time"
)

type key struct{}

// Shorten returns a context in which ending grants waits for the given time for requests in
// progress.
func Shorten(ctx context.Context, wait time.Duration) context.Context {
	return context.WithValue(ctx, key{}, wait)
}

// Shortened returns the time to wait in a context of [Shorten]. ok is false for any other
// context.
func Shortened(ctx context.Context) (wait time.Duration, ok bool) {
	wait, ok = ctx.Value(key{}).(time.Duration)
	return wait, ok
}
