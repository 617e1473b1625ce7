package ratelimit

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConcurrency(t *testing.T) {
	c := NewConcurrency(1, 10*time.Millisecond)
	called := false
	require.NoError(t, c.Do(t.Context(), "a", func() {
		require.ErrorIs(t, c.Do(t.Context(), "b", func() { called = true }), ErrBusy, "one more than there are slots")
	}))
	assert.False(t, called)
	require.NoError(t, c.Do(t.Context(), "a", func() { called = true }), "the slot is free again")
	assert.True(t, called)

	assert.Panics(t, func() { _ = c.Do(t.Context(), "a", func() { panic("x") }) })
	require.NoError(t, c.Do(t.Context(), "a", func() {}), "and after a panic, too")
	assert.Empty(t, c.queues, "nobody is remembered who has gone")

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	patient := NewConcurrency(1, time.Hour)
	require.NoError(t, patient.Do(t.Context(), "a", func() {
		require.ErrorIs(t, patient.Do(gone, "b", func() {}), ErrBusy, "somebody who has gone waits for nothing")
	}))
}

// However many wait at one address, somebody from another waits for the turn of one
// of them, and not for all.
func TestAFloodFromOneAddressDelaysNobodyElse(t *testing.T) {
	const work, flood = time.Second, 100
	for name, row := range map[string]struct {
		slots int
		wait  time.Duration // of somebody else
	}{
		"one slot":   {1, work},
		"four slots": {4, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := NewConcurrency(row.slots, time.Hour)
				var done sync.WaitGroup
				for range flood {
					done.Go(func() {
						assert.NoError(t, c.Do(t.Context(), "flood", func() { time.Sleep(work) }))
					})
				}
				synctest.Wait()
				for range 3 {
					begin := time.Now()
					require.NoError(t, c.Do(t.Context(), "elsewhere", func() {
						assert.Equal(t, row.wait, time.Since(begin))
					}))
					time.Sleep(work / 2)
					row.wait = min(row.wait, work/2) // until the one that has begun ends
				}
				done.Wait()
				assert.Empty(t, c.queues)
			})
		})
	}
}

func TestNoConcurrencyAtAll(t *testing.T) {
	assert.Panics(t, func() { NewConcurrency(0, time.Second) })
	assert.Panics(t, func() { NewConcurrency(1, 0) })
}
