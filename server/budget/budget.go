// Package budget limits how long the storage work of a request may take. The context carries the
// budget: the server puts it there for each request, a program does with [With], and storage
// begins each of its calls with [Call].
package budget

import (
	"context"
	"sync"
	"time"

	"github.com/gormoauth/gormoauth/internal/underway"
)

// Default is how long the storage work of one request may take, unless
// server.Config.StorageBudget or its context says otherwise.
const Default = 2 * time.Second

type key struct{}

// Budget is how long storage calls may take.
type Budget struct {
	allowed time.Duration
	shared  bool // by all calls; otherwise each call has all of it

	mu      sync.Mutex
	spent   time.Duration
	running int       // calls
	since   time.Time // when the first of them began
}

// With returns a context in which each storage call of a program that is not
// answering a request may take as long as budget. A call with several steps may take that long
// for each step.
func With(ctx context.Context, budget time.Duration) context.Context {
	return context.WithValue(ctx, key{}, &Budget{allowed: budget})
}

// Share returns a context in which all storage calls together may take as long as
// [Of] says, as in the context of a request. Time between the calls does not count.
func Share(ctx context.Context) context.Context {
	return Shared(Of(ctx)).In(ctx)
}

// Shared returns a budget that all storage calls share in the contexts that it is put
// [Budget.In], as those of one request.
func Shared(allowed time.Duration) *Budget { return &Budget{allowed: allowed, shared: true} }

// In returns a context in which storage calls have the budget.
func (b *Budget) In(ctx context.Context) context.Context {
	return context.WithValue(ctx, key{}, b)
}

// Of returns how long the storage work of a request may take in a context: the budget
// set by [With], or [Default].
func Of(ctx context.Context) time.Duration {
	if budget, ok := ctx.Value(key{}).(*Budget); ok {
		return budget.allowed
	}
	return Default
}

// OfCommit returns how long a COMMIT may take, including the check of what it wrote if its
// answer was lost. It is not shortened by the request's deadline, which would make a client
// repeat what was already stored.
func OfCommit(ctx context.Context) time.Duration {
	return max(Of(ctx), Default)
}

// Call returns the context of one storage call, which ends when the budget is used up.
// Call done when the storage call has returned.
func Call(ctx context.Context) (call context.Context, done context.CancelFunc) {
	budget, ok := ctx.Value(key{}).(*Budget)
	if !ok || !budget.shared {
		return context.WithTimeout(ctx, Of(ctx))
	}
	call, cancel := context.WithDeadline(ctx, budget.begin())
	return call, func() {
		cancel()
		budget.end()
	}
}

// begin records the start of a call, and returns the call's deadline.
func (b *Budget) begin() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running == 0 {
		b.since = time.Now()
	}
	b.running++
	return b.since.Add(b.allowed - b.spent)
}

// end records the end of a call.
func (b *Budget) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running--; b.running == 0 {
		b.spent += time.Since(b.since)
	}
}

// readAgain is the fraction of the storage budget (one in readAgain) of [StaleAfter].
const readAgain = 4

// StaleAfter returns how long a request may rely on the generations of a client and a user that
// it has read. After that it reads them again, see storage.Generational.
func StaleAfter(ctx context.Context) time.Duration { return Of(ctx) / readAgain }

// UnderWay returns how long a request may continue to issue something under a generation that it
// has read earlier. Whatever ends all grants of a client or a user waits that long for such requests.
func UnderWay(ctx context.Context) time.Duration {
	if wait, shortened := underway.Shortened(ctx); shortened {
		return wait
	}
	return StaleAfter(ctx) + Of(ctx) + OfCommit(ctx)
}
