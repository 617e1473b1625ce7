package ratelimit

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSlotsAreGivenInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSemaphore(1)
		require.NoError(t, s.acquire(t.Context()))
		var order []int
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i == 4 { // goes while others wait behind it
					time.AfterFunc(time.Second, cancel)
					assert.ErrorIs(t, s.acquire(ctx), context.Canceled)
					return
				}
				assert.NoError(t, s.acquire(ctx))
				order = append(order, i)
				s.release()
			})
			synctest.Wait() // it waits now
		}
		time.Sleep(2 * time.Second)
		s.release()
		all.Wait()
		assert.Equal(t, []int{0, 1, 2, 3, 5, 6, 7, 8, 9}, order)
		assert.Equal(t, 1, s.free)
		assert.Zero(t, s.waiting.Len())
	})
}

// No slot is lost, and none is given twice, when those who wait go at the moment that it is
// given.
func TestSlotsAreKept(t *testing.T) {
	const slots = 3
	s := newSemaphore(slots)
	var all sync.WaitGroup
	var held atomic.Int64
	for i := range 16 {
		all.Go(func() {
			for n := range 500 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration((i+n)%7)*10*time.Microsecond)
				if s.acquire(ctx) == nil {
					assert.LessOrEqual(t, held.Add(1), int64(slots))
					time.Sleep(5 * time.Microsecond)
					held.Add(-1)
					s.release()
				}
				cancel()
			}
		})
	}
	all.Wait()
	assert.Equal(t, slots, s.free)
	assert.Zero(t, s.waiting.Len())
}
