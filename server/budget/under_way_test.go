package budget_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/server/budget"
)

// Whoever ends grants waits as long as a request may go on: until it reads again, and then for
// one step and its COMMIT.
func TestHowLongARequestIsUnderWay(t *testing.T) {
	ctx := budget.With(t.Context(), 8*time.Second)
	assert.Equal(t, 2*time.Second, budget.StaleAfter(ctx))
	assert.Equal(t, 2*time.Second+8*time.Second+8*time.Second, budget.UnderWay(ctx))
	short := budget.With(t.Context(), 4*time.Millisecond)
	assert.Equal(t, 5*time.Millisecond+budget.Default, budget.UnderWay(short), "a COMMIT has the default at least")
	assert.Equal(t, time.Minute, budget.UnderWay(underway.Shorten(ctx, time.Minute)))
}

// The context of a call ends with it.
func TestACallIsDone(t *testing.T) {
	for _, ctx := range []context.Context{t.Context(), budget.Share(t.Context())} {
		call, done := budget.Call(ctx)
		assert.NoError(t, call.Err())
		done()
		assert.ErrorIs(t, call.Err(), context.Canceled)
		assert.NoError(t, ctx.Err())
	}
}
