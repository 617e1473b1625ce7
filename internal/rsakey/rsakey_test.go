package rsakey_test

import (
	"crypto/rsa"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/rsakey"
)

func TestNew(t *testing.T) {
	const bits = 1024
	first, err := rsakey.New(t.Context(), bits)
	require.NoError(t, err)
	second, err := rsakey.New(t.Context(), bits)
	require.NoError(t, err)
	assert.Equal(t, bits, first.N.BitLen())
	assert.False(t, first.Equal(second), "each is new")

	ctx := rsakey.From(t.Context(), func(got int) (*rsa.PrivateKey, error) {
		assert.Equal(t, bits, got)
		return second, nil
	})
	third, err := rsakey.New(ctx, bits)
	require.NoError(t, err)
	assert.Same(t, second, third)
}
