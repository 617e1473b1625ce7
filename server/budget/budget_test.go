package budget_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/budget"
	"github.com/gormoauth/gormoauth/server/storage"
)

func TestCallsOfARequestShareItsStorageBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := func(ctx context.Context) time.Duration {
			end, ok := ctx.Deadline()
			require.True(t, ok)
			return time.Until(end)
		}
		step := func(ctx context.Context, takes time.Duration) (before time.Duration) {
			call, done := budget.Call(ctx)
			defer done()
			before = left(call)
			time.Sleep(takes)
			return before
		}
		assert.Equal(t, budget.Default, step(t.Context(), time.Second))
		own := budget.With(t.Context(), 10*time.Second)
		assert.Equal(t, 10*time.Second, step(own, 7*time.Second))
		assert.Equal(t, 10*time.Second, step(own, 7*time.Second), "each step has all of it")

		request := budget.Share(own)
		assert.Equal(t, 10*time.Second, budget.Of(request))
		assert.Equal(t, 10*time.Second, step(request, 3*time.Second))
		time.Sleep(time.Minute) // what a request does meanwhile does not count
		assert.Equal(t, 7*time.Second, step(request, 2*time.Second))
		one, first := budget.Call(request)
		time.Sleep(time.Second)
		two, second := budget.Call(request)
		assert.Equal(t, 4*time.Second, left(one))
		assert.Equal(t, 4*time.Second, left(two), "calls at once count once")
		time.Sleep(time.Second)
		first()
		second()
		assert.Equal(t, 3*time.Second, step(request, 9*time.Second))
		call, done := budget.Call(request)
		defer done()
		assert.ErrorIs(t, call.Err(), context.DeadlineExceeded, "it is used up")

		assert.Equal(t, budget.Default, budget.OfCommit(budget.With(own, time.Millisecond)))
		assert.Equal(t, 10*time.Second, budget.OfCommit(own))
	})
}

func TestTheStorageBudgetIsASetting(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for given, want := range map[time.Duration]time.Duration{0: budget.Default, time.Minute: time.Minute} {
		var got time.Duration
		p := oauthtest.New(t, db, func(c *server.Config) {
			c.StorageBudget = given
			c.QueryUser = func(ctx context.Context, _ string) (storage.User, error) {
				got = budget.Of(ctx)
				return &oauthtest.User{ID: 1}, nil
			}
		})
		client := p.NewClient(nil)
		assert.Equal(t, http.StatusOK, p.Redeem(client, p.Code(client, "")).Status)
		assert.Equal(t, want, got)
	}
	config := oauthtest.New(t, db).BareConfig()
	config.StorageBudget = -1
	_, err := server.New(config)
	require.ErrorContains(t, err, "Config.StorageBudget must not be negative")
}
