package ratelimit

import (
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestInProcess(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := New(3, time.Minute)
	l.clock = func() time.Time { return now }
	wait := func(key string) time.Duration {
		d, err := l.Allow(t.Context(), key)
		require.NoError(t, err)
		return d
	}
	for range 3 {
		assert.Zero(t, wait("a"))
	}
	assert.Equal(t, 20*time.Second, wait("a"))
	assert.Equal(t, 20*time.Second, wait("a"), "an attempt that was refused is none")
	assert.Zero(t, wait("b"), "each key for itself")
	now = now.Add(20 * time.Second)
	assert.Zero(t, wait("a"), "one is back")
	assert.Equal(t, 20*time.Second, wait("a"))
	now = now.Add(time.Hour)
	for range 3 {
		assert.Zero(t, wait("a"), "all are back, and no more than that")
	}
	assert.Equal(t, 20*time.Second, wait("a"))
}

func TestNobodyCanTryNothing(t *testing.T) {
	assert.Panics(t, func() { New(0, time.Minute) })
	assert.Panics(t, func() { New(1, 0) })
}

func TestWaitCountsNothing(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := New(2, time.Minute)
	l.clock = func() time.Time { return now }
	wait := func() time.Duration {
		d, err := l.Wait(t.Context(), "a")
		require.NoError(t, err)
		return d
	}
	for range 3 {
		assert.Zero(t, wait())
	}
	for range 2 {
		_, err := l.Allow(t.Context(), "a")
		require.NoError(t, err)
	}
	assert.InDelta(t, 30*time.Second, wait(), float64(time.Millisecond))
	now = now.Add(31 * time.Second)
	assert.Zero(t, wait())
	assert.Zero(t, wait(), "nothing was counted")
}

func TestUnlimited(t *testing.T) {
	for range 3 {
		wait, err := Unlimited{}.Allow(t.Context(), "a")
		require.NoError(t, err)
		assert.Zero(t, wait)
		wait, err = Unlimited{}.Wait(t.Context(), "a")
		require.NoError(t, err)
		assert.Zero(t, wait)
	}
}

// A flood of keys costs a bounded memory: the least recent are forgotten.
func TestAFloodOfKeys(t *testing.T) {
	l := New(1, time.Hour)
	allowed := func(key string) bool {
		wait, err := l.Allow(t.Context(), key)
		require.NoError(t, err)
		return wait == 0
	}
	for i := range 2 * maxKeys {
		require.True(t, allowed(strconv.Itoa(i)))
	}
	assert.LessOrEqual(t, l.keys.Len(), maxKeys)
	assert.False(t, allowed(strconv.Itoa(2*maxKeys-1)))
}

// Somebody who is out of attempts, and invents keys, is not forgotten for it before so many
// were invented as are remembered.
func TestInventedKeysGiveNoAttemptBack(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := New(2, time.Hour)
	l.clock = func() time.Time { return now }
	allowed := func(key string) bool {
		wait, err := l.Allow(t.Context(), key)
		require.NoError(t, err)
		return wait == 0
	}
	require.True(t, allowed("guesser"))
	require.True(t, allowed("guesser"))
	for round := range 3 {
		for i := range maxKeys - 1 {
			require.True(t, allowed(strconv.Itoa(round*maxKeys+i)))
		}
		assert.False(t, allowed("guesser"), "round %d", round)
	}
	now = now.Add(30 * time.Minute)
	assert.True(t, allowed("guesser"), "one attempt is back, in its time")
	assert.False(t, allowed("guesser"))
}

// However many come at once, no more are allowed than there are.
func TestAttemptsAtOnce(t *testing.T) {
	const attempts = 50
	l := New(attempts, time.Hour)
	var all sync.WaitGroup
	var allowed atomic.Int64
	for range 8 {
		all.Go(func() {
			for range attempts {
				if wait, err := l.Allow(t.Context(), "a"); err == nil && wait == 0 {
					allowed.Add(1)
				}
			}
		})
	}
	all.Wait()
	assert.EqualValues(t, attempts, allowed.Load())
}

// BenchmarkManyKeys is of a limiter that is full.
func BenchmarkManyKeys(b *testing.B) {
	l := New(3, time.Hour)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 2 * maxKeys {
		_, _ = l.Allow(b.Context(), strconv.Itoa(i))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	for i := 0; b.Loop(); i++ {
		_, _ = l.Allow(b.Context(), strconv.Itoa(2*maxKeys+i))
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MB-when-full")
}
