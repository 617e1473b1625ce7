// Package cache has what the engine and a cache of clients tell each other through the context of a
// lookup: that the current row is needed, and how old a cached one is.
package cache

import (
	"context"
	"time"
)

type freshClientsKey struct{}

// Bypass returns a context in which clients are looked up in storage, not in a cache. Use it to
// check a client's credential or to change a client, which needs the current row.
func Bypass(ctx context.Context) context.Context {
	return context.WithValue(ctx, freshClientsKey{}, true)
}

// IsBypassed reports whether a context comes from [Bypass]. A cache of clients calls it.
func IsBypassed(ctx context.Context) bool {
	fresh, _ := ctx.Value(freshClientsKey{}).(bool)
	return fresh
}

type clientAgeKey struct{}

// Hit is called by a cache of clients when it returns a client that was read some time ago.
// ctx is the context of the lookup, and age how long ago that was.
func Hit(ctx context.Context, age time.Duration) {
	if readAt, ok := ctx.Value(clientAgeKey{}).(*time.Time); ok {
		*readAt = readAt.Add(-age)
	}
}

// Note returns the context of a lookup after which readAt is when the client was read. It is
// now before the lookup, and a cache corrects it by [Hit].
func Note(ctx context.Context, readAt *time.Time) context.Context {
	return context.WithValue(ctx, clientAgeKey{}, readAt)
}
