package ratelimit

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConcurrency(t *testing.T) {
	c := NewConcurrency(1, 10*time.Millisecond)
	called := false
	call := func() bool {
		called = true
		return true
	}
	require.NoError(t, c.Do(t.Context(), "a", func() bool {
		require.ErrorIs(t, c.Do(t.Context(), "b", call), ErrBusy, "one more than there are slots")
		return true
	}))
	assert.False(t, called)
	require.NoError(t, c.Do(t.Context(), "a", call), "the slot is free again")
	assert.True(t, called)

	assert.Panics(t, func() { _ = c.Do(t.Context(), "a", func() bool { panic("x") }) })
	require.NoError(t, c.Do(t.Context(), "a", call), "and after a panic, too")
	assert.Empty(t, c.queues, "nobody is remembered who has gone")

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	patient := NewConcurrency(1, time.Hour)
	require.NoError(t, patient.Do(t.Context(), "a", func() bool {
		require.ErrorIs(t, patient.Do(gone, "b", call), ErrBusy, "somebody who has gone waits for nothing")
		return true
	}))
}

func TestOnBehalf(t *testing.T) {
	assert.Empty(t, Key(t.Context()))
	ctx := OnBehalf(t.Context(), "192.0.2.1")
	assert.Equal(t, "192.0.2.1", Key(ctx))
	assert.Equal(t, "192.0.2.2", Key(OnBehalf(ctx, "192.0.2.2")))
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
			c := NewConcurrency(row.slots, time.Hour)
			synctest.Test(t, func(t *testing.T) {
				var done sync.WaitGroup
				for range flood {
					done.Go(func() {
						assert.NoError(t, c.Do(t.Context(), "flood", func() bool {
							time.Sleep(work)
							return true
						}))
					})
				}
				synctest.Wait()
				for range 3 {
					begin := time.Now()
					require.NoError(t, c.Do(t.Context(), "elsewhere", func() bool {
						assert.Equal(t, row.wait, time.Since(begin))
						return true
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

// Those for whom it went wrong take turns with each other, however many they are, and
// leave the machine alone for half of the time.
func TestAFloodFromManyAddressesDelaysNobodyElse(t *testing.T) {
	const work, addresses, each = time.Second, 20, 5
	for name, slots := range map[string]int{"one slot": 1, "four slots": 4} {
		t.Run(name, func(t *testing.T) {
			c := NewConcurrency(slots, time.Hour)
			synctest.Test(t, func(t *testing.T) {
				var done sync.WaitGroup
				var atOnce, most, worked atomic.Int64
				wrong := func() bool {
					most.Store(max(most.Load(), atOnce.Add(1)))
					time.Sleep(work)
					worked.Add(int64(work))
					atOnce.Add(-1)
					return false
				}
				for i := range addresses {
					assert.NoError(t, c.Do(t.Context(), strconv.Itoa(i), wrong), "whoever fails for the first time is nobody special")
				}
				begin := time.Now()
				worked.Store(0)
				most.Store(0)
				for i := range addresses * each {
					done.Go(func() { assert.NoError(t, c.Do(t.Context(), strconv.Itoa(i%addresses), wrong)) })
				}
				for range 5 {
					time.Sleep(3*work + work/2)
					due := time.Now()
					require.NoError(t, c.Do(t.Context(), "elsewhere", func() bool {
						assert.LessOrEqual(t, time.Since(due), work, "one of them at most is before who comes from elsewhere")
						return true
					}))
				}
				done.Wait()
				share := max(1, slots/2)
				assert.EqualValues(t, share, most.Load())
				assert.LessOrEqual(t, float64(worked.Load()), float64(time.Since(begin))*float64(share)*0.51)
				time.Sleep(suspicion)
				left, err := c.wrong.Wait(t.Context(), "0")
				require.NoError(t, err)
				assert.Zero(t, left, "nobody is suspected for ever")
			})
		})
	}
}

func TestNoConcurrencyAtAll(t *testing.T) {
	assert.Panics(t, func() { NewConcurrency(0, time.Second) })
	assert.Panics(t, func() { NewConcurrency(1, 0) })
}

// Each of the three places at which a caller waits is left when its patience is over.
func TestNobodyWaitsForEver(t *testing.T) {
	const patience = time.Second
	for place, c := range map[string]struct {
		slots     int
		keys      []string // that hold what there is
		suspected []string
		asks      string
	}{
		"its own turn":           {2, []string{"a"}, nil, "a"},
		"the turn of suspects":   {2, []string{"a"}, []string{"a", "b"}, "b"},
		"a slot":                 {2, []string{"a", "b"}, nil, "c"},
		"a slot, as a suspect":   {2, []string{"a", "b"}, []string{"c"}, "c"},
		"its own turn, suspects": {4, []string{"a", "a"}, []string{"a"}, "a"},
	} {
		t.Run(place, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limit := NewConcurrency(c.slots, patience)
				for _, key := range c.suspected {
					require.NoError(t, limit.Do(t.Context(), key, func() bool { return false }))
				}
				time.Sleep(time.Millisecond) // which ends the pause after those
				held := make(chan struct{})
				var holders sync.WaitGroup
				for _, key := range c.keys {
					holders.Go(func() {
						assert.NoError(t, limit.Do(t.Context(), key, func() bool {
							<-held
							return true
						}))
					})
				}
				synctest.Wait()
				begin := time.Now()
				err := limit.Do(t.Context(), c.asks, func() bool {
					t.Error("it had no turn")
					return true
				})
				require.ErrorIs(t, err, ErrBusy)
				assert.Equal(t, patience, time.Since(begin))
				close(held)
				holders.Wait()
				time.Sleep(2 * patience)
				require.NoError(t, limit.Do(t.Context(), c.asks, func() bool { return true }), "and nothing is kept of who left")
				assert.Empty(t, limit.queues)
			})
		})
	}
}
