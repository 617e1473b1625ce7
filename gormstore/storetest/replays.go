package storetest

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/server"
)

// Replays tests the model R of what may be presented once.
func Replays[R any, P gormstore.ReplayModel[R]]() Part {
	return Part{
		name: "replays",
		assemble: func(t testing.TB, in *instance) {
			t.Helper()
			replays := must(gormstore.NewReplays[R, P](in.db))(t)
			in.keeps(replays)
			in.replays = replays
		},
		test: func(k *kit, t *testing.T) { k.replays(t, new(R)) },
	}
}

// replays: one of many is the first, and what has ended leaves.
func (k *kit) replays(t *testing.T, model any) {
	_, in := k.racing(t)
	first := func(i int, key string, expiresAt time.Time) bool {
		won, err := in(i).replays.FirstUse(t.Context(), key, expiresAt)
		check(t, err)
		return won
	}

	t.Run("one of many is the first", func(t *testing.T) {
		for range rounds {
			key := oddText + rand.Text()
			won := 0
			for _, w := range race(racers, func(i int) bool { return first(i, key, time.Now().Add(time.Minute)) }) {
				if w {
					won++
				}
			}
			if won != 1 {
				t.Fatalf("%d were the first", won)
			}
		}
		if key := rand.Text(); !first(0, key+"a", time.Now().Add(time.Minute)) || !first(0, key+"A", time.Now().Add(time.Minute)) {
			t.Error("two keys of different letters are taken for one")
		}
	})
	t.Run("pruning", func(t *testing.T) {
		ended, going := rand.Text(), rand.Text()
		first(0, ended, time.Now().Add(-time.Minute))
		first(0, going, time.Now().Add(time.Hour))
		check(t, in(0).prune(t.Context(), gormstore.PruneOptions{}))
		rows := func(key string) (rows int64) {
			check(t, again(func() error {
				return k.everyRow().Model(model).Where("replay_key = ?", server.Digest(key)).Count(&rows).Error
			}))
			return rows
		}
		if rows(ended) != 0 || rows(going) != 1 {
			t.Errorf("of what has ended %d rows are left, and of what has not %d", rows(ended), rows(going))
		}
	})
}
