package server

import (
	"context"
	"sync"
	"time"
)

// DefaultStorageBudget is how long the storage work of one request may take, unless
// [Config.StorageBudget] or its context says otherwise.
const DefaultStorageBudget = 2 * time.Second

type storageBudgetKey struct{}

// storageBudget is how long storage calls may take.
type storageBudget struct {
	allowed time.Duration
	shared  bool // by all calls; otherwise each call has all of it

	mu      sync.Mutex
	spent   time.Duration
	running int       // calls
	since   time.Time // when the first of them began
}

// WithStorageBudget returns a context in which each storage call of a program that is not
// answering a request may take as long as budget. A call with several steps may take that long
// for each step.
func WithStorageBudget(ctx context.Context, budget time.Duration) context.Context {
	return context.WithValue(ctx, storageBudgetKey{}, &storageBudget{allowed: budget})
}

// ShareStorageBudget returns a context in which all storage calls together may take as long as
// [StorageBudget] says, as in the context of a request. Time between the calls does not count.
func ShareStorageBudget(ctx context.Context) context.Context {
	return context.WithValue(ctx, storageBudgetKey{}, &storageBudget{allowed: StorageBudget(ctx), shared: true})
}

// StorageBudget returns how long the storage work of a request may take in a context: the budget
// set by [WithStorageBudget], or [DefaultStorageBudget].
func StorageBudget(ctx context.Context) time.Duration {
	if budget, ok := ctx.Value(storageBudgetKey{}).(*storageBudget); ok {
		return budget.allowed
	}
	return DefaultStorageBudget
}

// CommitBudget returns how long a COMMIT may take, including the check of what it wrote if its
// answer was lost. It is not shortened by the request's deadline, which would make a client
// repeat what was already stored.
func CommitBudget(ctx context.Context) time.Duration {
	return max(StorageBudget(ctx), DefaultStorageBudget)
}

// StorageCall returns the context of one storage call, which ends when the budget is used up.
// Call done when the storage call has returned.
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

// begin records the start of a call, and returns the call's deadline.
func (b *storageBudget) begin() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running == 0 {
		b.since = time.Now()
	}
	b.running++
	return b.since.Add(b.allowed - b.spent)
}

// end records the end of a call.
func (b *storageBudget) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running--; b.running == 0 {
		b.spent += time.Since(b.since)
	}
}
