package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Replays tests the model R of things that may be presented only once.
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

// replays: only one of many is the first, a key spent together with an outcome has one
// outcome, and expired rows are pruned.
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
			for _, w := range race(k, racers, func(i int) bool { return first(i, key, time.Now().Add(time.Minute)) }) {
				if w {
					won++
				}
			}
			if won != 1 {
				t.Fatalf("%d were the first", won)
			}
		}
		if key := rand.Text(); !first(0, key+"a", time.Now().Add(time.Minute)) || !first(0, key+"A", time.Now().Add(time.Minute)) {
			t.Error("two keys that differ only in case are taken for the same")
		}
	})
	t.Run("what is spent with an outcome has one", func(t *testing.T) {
		refused := errors.New("it was used before")
		outcome := func(i int, key string, more error) (accessToken string, err error) {
			req := &server.Request{Server: in(i).server, Time: time.Now()}
			for _, presented := range []string{key, key + " and another"} {
				req.Spend(storage.Spend{Replays: in(i).replays, Key: presented, ExpiresAt: time.Now().Add(time.Minute), Refusal: refused})
			}
			token := &models.TokenMixin{AccessToken: secret.Digest(rand.Text()), TokenType: "Bearer", Authorization: models.Authorization{ClientID: "c"}}
			return token.AccessToken, req.StoreOutcome(t.Context(), func(ctx context.Context) error {
				if more != nil {
					return more
				}
				return in(i).tokens.Save(ctx, storage.Exchange{Kind: storage.ExchangeIssue, Token: token, Time: req.Time})
			})
		}
		for range rounds {
			key, won := rand.Text(), 0
			failure := errors.New("it failed")
			if _, err := outcome(0, key, failure); !errors.Is(err, failure) {
				t.Fatal(err)
			}
			for _, stored := range race(k, racers/4, func(i int) bool {
				accessToken, err := outcome(i, key, nil)
				if err != nil && !errors.Is(err, refused) {
					t.Error(err)
				}
				found, queryErr := in(i).tokens.Query(t.Context(), storage.TokenQuery{AccessToken: accessToken})
				check(t, queryErr)
				if (found != nil) != (err == nil) {
					t.Errorf("a token is stored: %v, and the error is %v", found != nil, err)
				}
				return found != nil
			}) {
				if stored {
					won++
				}
			}
			if won != 1 {
				t.Fatalf("%d outcomes were stored", won)
			}
		}
	})
	t.Run("pruning", func(t *testing.T) {
		ended, going, within := rand.Text(), rand.Text(), rand.Text()
		first(0, ended, time.Now().Add(-time.Hour))
		first(0, within, time.Now().Add(-5*time.Minute)) // kept, because clocks may differ
		first(0, going, time.Now().Add(time.Hour))
		check(t, in(0).prune(t.Context(), gormstore.PruneOptions{}))
		rows := func(key string) (rows int64) {
			check(t, again(func() error {
				return k.everyRow().Model(model).Where("replay_key = ?", secret.Digest(key)).Count(&rows).Error
			}))
			return rows
		}
		if rows(ended) != 0 || rows(going) != 1 || rows(within) != 1 {
			t.Errorf("%d expired rows are left, and %d unexpired ones", rows(ended), rows(going))
		}
	})
}
