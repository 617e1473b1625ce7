// Package underway has tests wait for less than a program does.
package underway

import (
	"context"
	"time"
)

type key struct{}

// Shorten returns a context in which whoever ends grants waits for so long for the requests
// that are under way.
func Shorten(ctx context.Context, wait time.Duration) context.Context {
	return context.WithValue(ctx, key{}, wait)
}

// Shortened returns for how long to wait in a context of [Shorten]; ok is false for any
// other.
func Shortened(ctx context.Context) (wait time.Duration, ok bool) {
	wait, ok = ctx.Value(key{}).(time.Duration)
	return wait, ok
}
