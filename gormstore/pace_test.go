package gormstore

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// On SQLite all others wait while a batch is removed, so that its batches are short and its rests long.
func TestThePaceOfADatabase(t *testing.T) {
	one := &Table{turn: make(chan struct{}, 1)}
	assert.Equal(t, &pace{table: one, longBatch: 2 * time.Millisecond, longest: 8, factor: 8}, one.pace())
	many := new(Table)
	assert.Equal(t, &pace{table: many, longBatch: 25 * time.Millisecond, longest: 4, factor: 1}, many.pace())
}

// Pruning takes all of the time while nobody else is there, and a bounded part of it while
// others wait, which is larger the further it is behind.
func TestThePaceFollowsWhoWaits(t *testing.T) {
	const took, idle, busy = 10 * time.Millisecond, 100 * time.Microsecond, 5 * time.Millisecond
	p := &pace{longest: 4, factor: 1}
	var rest time.Duration
	after := func(batches int, waited, behind time.Duration) time.Duration {
		for range batches {
			rest = p.next(waited, took, behind)
		}
		return rest
	}
	assert.Zero(t, after(20, idle, 0), "nobody is there")
	assert.Zero(t, after(1, 2*idle, 0), "one look differs from another")
	assert.Equal(t, took, after(1, busy, 0), "somebody is")
	assert.Equal(t, 4*took, after(20, busy, 0))
	assert.Equal(t, 2*took, after(1, busy, 2*time.Hour))
	assert.Equal(t, took, after(1, busy, 48*time.Hour), "it keeps up all the same")
	assert.Zero(t, after(20, idle, 0), "and they have gone")

	const slow = 3 * time.Millisecond
	p = &pace{longest: 4}
	assert.Zero(t, after(1, slow, 0), "a database that is slow by itself")
	assert.Zero(t, after(1, 2*slow, 0))
	assert.Equal(t, took, after(1, 3*slow, 0), "and this is more")
	assert.Zero(t, after(20, idle, 0), "it was not, but busy")
	assert.Equal(t, took, after(1, slow, 0))
}

// How long others wait is measured before each rest.
func TestTheRestAfterABatch(t *testing.T) {
	table := &Table{turn: make(chan struct{}, 1)}
	rest, err := table.pace().after(t.Context(), 10*time.Millisecond, 0)
	require.NoError(t, err)
	assert.Equal(t, 60*time.Millisecond, rest, "the first look is taken for that of an idle database")
	table.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = table.pace().after(ctx, 10*time.Millisecond, 0)
	assert.ErrorIs(t, err, context.Canceled, "somebody else has the turn")
	_, err = table.pace().after(within(t.Context(), &transaction{db: new(gorm.DB)}), 10*time.Millisecond, 0)
	assert.NoError(t, err, "who has a transaction does not wait for the turn")
}
