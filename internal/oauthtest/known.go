package oauthtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Known fails the test unless a file of its package's testdata has this text. With
// GORMOAUTH_TEST_WRITE set, the file is written: look at what changed.
func Known(tb testing.TB, file, text string) {
	tb.Helper()
	path := filepath.Join("testdata", file)
	if os.Getenv("GORMOAUTH_TEST_WRITE") != "" {
		require.NoError(tb, os.WriteFile(path, []byte(text), 0o600))
	}
	known, err := os.ReadFile(path) //nolint:gosec // of the test
	require.NoError(tb, err)
	assert.Equal(tb, string(known), text, "%s; GORMOAUTH_TEST_WRITE=1 writes it", path)
}
