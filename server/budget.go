package server

import (
	"context"
	"sync"
	"time"
)

// DefaultStorageBudget is for how long the storage work of one request may take, unless
// [Config.StorageBudget] or its context says otherwise.
const DefaultStorageBudget = 2 * time.Second

type storageBudgetKey struct{}

// storageBudget is what calls of storage may take.
type storageBudget struct {
	allowed time.Duration
	shared  bool // by all calls, where each has all of it otherwise

	mu      sync.Mutex
	spent   time.Duration
	running int       // calls
	since   time.Time // when the first of them began
}

// WithStorageBudget returns a context in which each call of storage, of a program that has
// no request to answer, may take so long: each step of what has several.
func WithStorageBudget(ctx context.Context, budget time.Duration) context.Context {
	return context.WithValue(ctx, storageBudgetKey{}, &storageBudget{allowed: budget})
}

// ShareStorageBudget returns a context in which all calls of storage together may take as
// long as [StorageBudget] says, as they may in the context of a request. What a request
// does between them does not count.
func ShareStorageBudget(ctx context.Context) context.Context {
	return context.WithValue(ctx, storageBudgetKey{}, &storageBudget{allowed: StorageBudget(ctx), shared: true})
}

// StorageBudget returns for how long the storage work of a request may take in a context:
// that of [WithStorageBudget], or [DefaultStorageBudget].
func StorageBudget(ctx context.Context) time.Duration {
	if budget, ok := ctx.Value(storageBudgetKey{}).(*storageBudget); ok {
		return budget.allowed
	}
	return DefaultStorageBudget
}

// CommitBudget returns for how long a COMMIT may take, and the look for what it has written
// where nobody heard its answer: a deadline of the request's would make a client repeat what
// was stored.
func CommitBudget(ctx context.Context) time.Duration {
	return max(StorageBudget(ctx), DefaultStorageBudget)
}

// StorageCall returns the context of one call of storage, which ends when the budget is used
// up. done is to be called when the call has ended, with its result.
func StorageCall(ctx context.Context) (call context.Context, done context.CancelFunc) {
	budget, ok := ctx.Value(storageBudgetKey{}).(*storageBudget)
	if !ok || !budget.shared {
		return context.WithTimeout(ctx, StorageBudget(ctx))
	}
	call, cancel := context.WithDeadline(ctx, budget.begin())
	return call, func() {
		cancel()
		budget.end()
	}
}

// begin notes that a call begins, and returns when it has to end.
func (b *storageBudget) begin() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running == 0 {
		b.since = time.Now()
	}
	b.running++
	return b.since.Add(b.allowed - b.spent)
}

// end notes that a call has ended.
func (b *storageBudget) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running--; b.running == 0 {
		b.spent += time.Since(b.since)
	}
}
