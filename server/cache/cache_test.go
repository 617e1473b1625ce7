package cache_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/server/cache"
)

func TestALookupKnowsHowOldItsResultIs(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	readAt := now
	cache.Hit(cache.Note(t.Context(), &readAt), time.Minute)
	assert.Equal(t, now.Add(-time.Minute), readAt)
	cache.Hit(t.Context(), time.Hour) // somebody else's lookup
	assert.Equal(t, now.Add(-time.Minute), readAt)
	assert.True(t, cache.IsBypassed(cache.Bypass(t.Context())))
	assert.False(t, cache.IsBypassed(t.Context()))
}
