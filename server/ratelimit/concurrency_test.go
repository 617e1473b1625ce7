package ratelimit

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConcurrency(t *testing.T) {
	c := NewConcurrency(1, 10*time.Millisecond)
	called := false
	require.NoError(t, c.Do(t.Context(), func() {
		require.ErrorIs(t, c.Do(t.Context(), func() { called = true }), ErrBusy, "one more than there are slots")
	}))
	assert.False(t, called)
	require.NoError(t, c.Do(t.Context(), func() { called = true }), "the slot is free again")
	assert.True(t, called)

	assert.Panics(t, func() { _ = c.Do(t.Context(), func() { panic("x") }) })
	require.NoError(t, c.Do(t.Context(), func() {}), "and after a panic, too")

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	patient := NewConcurrency(1, time.Hour)
	require.NoError(t, patient.Do(t.Context(), func() {
		require.ErrorIs(t, patient.Do(gone, func() {}), ErrBusy, "somebody who has gone waits for nothing")
	}))
}

func TestNoConcurrencyAtAll(t *testing.T) {
	assert.Panics(t, func() { NewConcurrency(0, time.Second) })
	assert.Panics(t, func() { NewConcurrency(1, 0) })
}
