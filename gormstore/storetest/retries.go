package storetest

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

// exchange prepares a call that changes something. The call returns the answer, and a
// function that reports whether the answer's change is in the database.
type exchange func(t *testing.T, in *instance, c client, user storage.User) (call func(broken *instance) (a answer, done func() bool))

var exchanges = map[string]exchange{
	"authorize": func(_ *testing.T, in *instance, c client, user storage.User) func(*instance) (answer, func() bool) {
		return func(broken *instance) (answer, func() bool) {
			_, params := broken.authorize(c, user, nil)
			if params.Get("code") == "" {
				return answer{Status: http.StatusServiceUnavailable, RetryAfter: "1", Description: params.Get("error_description")}, nil
			}
			return answer{Status: http.StatusOK}, func() bool { return in.redeem(c, params.Get("code")).ok() }
		}
	},
	"redeem": func(t *testing.T, in *instance, c client, user storage.User) func(*instance) (answer, func() bool) {
		t.Helper()
		code := in.code(t, c, user)
		return func(broken *instance) (answer, func() bool) {
			a := broken.redeem(c, code)
			return a, func() bool { return in.valid(a.Access) }
		}
	},
	"refresh": func(t *testing.T, in *instance, c client, user storage.User) func(*instance) (answer, func() bool) {
		t.Helper()
		token := in.grant(t, c, user)
		return func(broken *instance) (answer, func() bool) {
			a := broken.refresh(c, token.Refresh)
			return a, func() bool { return in.valid(a.Access) }
		}
	},
	"revoke": func(t *testing.T, in *instance, c client, user storage.User) func(*instance) (answer, func() bool) {
		t.Helper()
		token := in.grant(t, c, user)
		return func(broken *instance) (answer, func() bool) {
			a := broken.revoke(c, token.Refresh)
			return a, func() bool { return !in.valid(token.Access) }
		}
	},
}

// retries: clients do not notice a connection that is cut at any call, before or after it
// took effect, or a transaction that the database refuses because of another: they get
// one token, and it works. A database that stays unavailable leads to a 503, and no
// response is untrue.
func (k *kit) retries(t *testing.T) {
	const calls = 12 // more than any exchange makes
	in := k.instances(t)[0]
	for name, exchange := range exchanges {
		t.Run(name, func(t *testing.T) {
			plan := &faults.Plan{}
			broken := k.on(t, faults.DB(in.db, plan))
			c := k.publicClient(t)
			injected := 0
			for _, fault := range []faults.Fault{{Err: faults.ErrCut}, {Err: faults.ErrCut, After: true}, {Err: faults.ErrSerialization}} {
				for call := range calls {
					plan.Next = faults.At(call, fault)
					plan.Reset()
					before := k.rows(t, k.tokenModel, c)
					a, done := exchange(t, in, c, k.user)(broken)
					if !a.ok() || !done() {
						t.Fatalf("%+v at call %d: %+v, but the change is not in the database", fault, call, a)
					}
					if rows := k.rows(t, k.tokenModel, c) - before; rows != 1 {
						t.Fatalf("%+v at call %d: %d rows for one exchange", fault, call, rows)
					}
					injected += plan.Injected()
				}
			}
			if injected == 0 && !choosesConnections(in.db) {
				t.Error("no fault reached the database")
			}
		})
	}
	t.Run("the database stays away", func(t *testing.T) {
		briefly := func(config *server.Config) { config.StorageBudget = time.Second / 2 }
		var group sync.WaitGroup // in parallel, because each takes as long as the retries
		for name, exchange := range exchanges {
			for _, call := range []int{0, 2} {
				plan := &faults.Plan{Next: faults.From(call, faults.Fault{Err: faults.ErrCut})}
				broken, c := k.on(t, faults.DB(in.db, plan), briefly), k.publicClient(t)
				ask := exchange(t, in, c, k.user)
				group.Go(func() {
					a, done := ask(broken)
					switch {
					case a.ok() && !done():
						t.Errorf("%s, unavailable from call %d: an error of the database was reported as success", name, call)
					case !a.ok() && (a.Status != http.StatusServiceUnavailable || a.RetryAfter == "" || a.Access != ""):
						t.Errorf("%s, unavailable from call %d: answered with %+v", name, call, a)
					}
				})
			}
		}
		group.Wait()
	})
}

// choosesConnections reports whether dbresolver assigns connections to statements outside
// a transaction, in which faults cannot be injected.
func choosesConnections(db *gorm.DB) bool {
	_, found := db.Plugins["gorm:db_resolver"]
	return found
}
