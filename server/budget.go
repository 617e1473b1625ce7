package server

import (
	"context"
	"time"
)

// DefaultStorageBudget is for how long the storage work of one request may take, unless
// its context says otherwise.
const DefaultStorageBudget = 2 * time.Second

type storageBudgetKey struct{}

// WithStorageBudget returns a context in which the storage work of one request, or of one
// step of what a program calls itself, may take so long.
func WithStorageBudget(ctx context.Context, budget time.Duration) context.Context {
	return context.WithValue(ctx, storageBudgetKey{}, budget)
}

// StorageBudget returns for how long the storage work of a request may take in a context:
// that of [WithStorageBudget], or [DefaultStorageBudget].
func StorageBudget(ctx context.Context) time.Duration {
	if budget, ok := ctx.Value(storageBudgetKey{}).(time.Duration); ok {
		return budget
	}
	return DefaultStorageBudget
}
