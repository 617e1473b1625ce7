package ratelimit

import (
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
