package gormstore_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/budget"
	"github.com/gormoauth/gormoauth/server/storage"
)

const (
	shortBudget = 200 * time.Millisecond
	// margin is for a machine that is busy with other things.
	margin = 5 * time.Second
)

func withShortBudget(c *server.Config) { c.StorageBudget = shortBudget }

// within has an answer that is neither too early nor too late.
func within(t *testing.T, atLeast, atMost time.Duration, f func() answer) answer {
	t.Helper()
	begin := time.Now()
	a := f()
	took := time.Since(begin)
	assert.GreaterOrEqual(t, took, atLeast)
	assert.Less(t, took, atMost+margin)
	return a
}

func assertUnavailable(t *testing.T, a answer, of string) {
	t.Helper()
	assert.Equal(t, http.StatusServiceUnavailable, a.Status, "%s: %v", of, a)
	assert.Equal(t, "temporarily_unavailable", a.Error, of)
	assert.NotEmpty(t, a.RetryAfter, of)
}

// Wherever the database hangs, the client is answered, and nothing is lost by that: when it
// comes again, with the same, it is served.
func TestADatabaseThatHangsIsNotWaitedFor(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		if strings.HasSuffix(t.Name(), testdb.PostgresSerializable) {
			return // who waits for a database does so at every isolation
		}
		for number := 0; ; number++ {
			plan := &faults.Plan{Next: func(faults.Call) faults.Fault { return faults.Fault{} }}
			p := newProvider(t, faults.DB(db, plan), withShortBudget)
			code := p.code("profile")
			plan.Reset()
			hung, goOn, goesOn := atomic.Pointer[string]{}, make(chan struct{}), atomic.Bool{} // a COMMIT hangs in a goroutine of its own
			plan.Next = func(call faults.Call) faults.Fault {
				if call.Number < number || goesOn.Load() {
					return faults.Fault{}
				}
				if call.Number == number {
					hung.Store(&call.SQL)
				}
				return faults.Fault{Until: goOn}
			}
			a := within(t, 0, shortBudget+budget.Default, func() answer { return p.redeem(code) })
			goesOn.Store(true)
			close(goOn)
			at := hung.Load()
			if at == nil { // there are no more calls
				assert.Equal(t, http.StatusOK, a.Status, a)
				return
			}
			assertUnavailable(t, a, *at)
			if *at != "COMMIT" { // which goes on, as nobody can take it back
				assert.Equal(t, http.StatusOK, p.redeem(code).Status, *at)
			}
		}
	})
}

// A deadline at COMMIT would be a COMMIT whose answer nobody heard: it takes as long as it
// takes, be it a statement of its own or not.
func TestACommitThatIsSlowerThanTheBudgetIsToldAsSuccess(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		for what, slow := range map[string]func(call faults.Call) bool{
			"COMMIT":                      func(call faults.Call) bool { return call.SQL == "COMMIT" },
			"the answer to one statement": func(call faults.Call) bool { return strings.Contains(call.SQL, "INSERT INTO") },
		} {
			plan := &faults.Plan{Next: func(faults.Call) faults.Fault { return faults.Fault{} }}
			p := newProvider(t, faults.DB(db, plan), withShortBudget)
			code := p.code("profile")
			plan.Reset()
			slowed, afterwards := false, 0
			plan.Next = func(call faults.Call) faults.Fault {
				alone := db.Name() == "postgres"
				if slowed {
					afterwards++
				}
				if slowed || !slow(call) || what != "COMMIT" && !alone {
					return faults.Fault{}
				}
				slowed = true
				goOn := make(chan struct{})
				time.AfterFunc(3*shortBudget, func() { close(goOn) })
				return faults.Fault{Until: goOn, After: true}
			}
			a := p.redeem(code)
			plan.Next = func(faults.Call) faults.Fault { return faults.Fault{} }
			assert.Equal(t, (what == "COMMIT") == (db.Name() != "postgres"), slowed, what)
			assert.Equal(t, http.StatusOK, a.Status, "%s: %v", what, a)
			if what == "COMMIT" {
				assert.Zero(t, afterwards, "nobody had to look")
			}
			assert.Equal(t, http.StatusBadRequest, p.redeem(code).Status, "the code is spent: %s", what)
		}
	})
}

// nobodyWaits returns once PostgreSQL has heard that nobody waits for an answer any more: a
// statement that gets its lock before that is carried out.
func nobodyWaits(t *testing.T, db *gorm.DB) {
	t.Helper()
	if db.Name() != "postgres" {
		return
	}
	require.Eventually(t, func() bool {
		var waiting int64
		err := db.Raw("SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(&waiting).Error
		return err == nil && waiting == 0
	}, 10*time.Second, 5*time.Millisecond)
}

// What others hold is waited for until the budget is used up: a row, SQLite's lock, SQLite's
// turn among the writers of this program, and a free connection.
func TestWaitingCountsToTheBudget(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db, withShortBudget)
		code := p.code("profile")
		other := db.Begin()
		require.NoError(t, other.Error)
		require.NoError(t, other.Exec("UPDATE authorization_codes SET client_id = client_id").Error)
		assertUnavailable(t, within(t, shortBudget, shortBudget+budget.Default, func() answer { return p.redeem(code) }), "a lock")
		nobodyWaits(t, db)
		other.Rollback()
		assert.Equal(t, http.StatusOK, p.redeem(code).Status)
	})
	t.Run("a connection", func(t *testing.T) {
		db := openImpatient(t, 1)
		p := newProvider(t, db, withShortBudget)
		code := p.code("profile")
		pool, err := db.DB()
		require.NoError(t, err)
		held, err := pool.Conn(t.Context())
		require.NoError(t, err)
		assertUnavailable(t, within(t, shortBudget, shortBudget, func() answer { return p.redeem(code) }), "a connection")
		require.NoError(t, held.Close())
		assert.Equal(t, http.StatusOK, p.redeem(code).Status)
	})
	t.Run("a turn", func(t *testing.T) {
		goOn, hangs := make(chan struct{}), make(chan struct{}, 1)
		plan := &faults.Plan{Next: func(faults.Call) faults.Fault { return faults.Fault{} }}
		db := openImpatient(t, 4)
		p := newProvider(t, db, withShortBudget)
		code := p.code("profile")
		slow, _ := stores(t, faults.DB(db, plan))
		plan.Next = func(call faults.Call) faults.Fault {
			hangs <- struct{}{}
			return faults.Fault{Until: goOn}
		}
		writer := make(chan error, 1)
		go func() { writer <- saveToken(budget.With(t.Context(), time.Minute), slow) }()
		<-hangs
		assertUnavailable(t, within(t, shortBudget, shortBudget, func() answer { return p.redeem(code) }), "a turn")
		close(goOn)
		require.NoError(t, <-writer)
		assert.Equal(t, http.StatusOK, p.redeem(code).Status)
	})
}

// What a program calls without a request has the budget for each step, and who has gone is
// told so, and not that the storage is unavailable.
func TestTheBudgetOfACallWithoutARequest(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		if strings.HasSuffix(t.Name(), testdb.PostgresSerializable) {
			return // who waits for a database does so at every isolation
		}
		hang := func(faults.Call) faults.Fault { return faults.Fault{Until: make(chan struct{})} }
		plan := &faults.Plan{Next: hang}
		tokens, _ := stores(t, faults.DB(db, plan))
		short := budget.With(t.Context(), shortBudget)
		for range 2 {
			err := saveToken(short, tokens)
			require.ErrorIs(t, err, storage.ErrUnavailable)
			require.ErrorContains(t, err, "the storage budget of 200ms is used up")
			require.NotErrorIs(t, err, context.Canceled)
		}
		plan.Next = func(call faults.Call) faults.Fault {
			goOn := make(chan struct{})
			time.AfterFunc(shortBudget*6/10, func() { close(goOn) })
			return faults.Fault{Until: goOn}
		}
		require.NoError(t, saveToken(short, tokens))
		require.NoError(t, saveToken(short, tokens), "each has its own")
		shared := budget.Share(short)
		require.NoError(t, saveToken(shared, tokens))
		require.ErrorIs(t, saveToken(shared, tokens), storage.ErrUnavailable, "as those of one request do not")

		plan.Next = hang
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(shortBudget, cancel)
		err := saveToken(ctx, tokens)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, storage.ErrUnavailable)
		ctx, cancel = context.WithTimeout(t.Context(), shortBudget)
		defer cancel()
		require.ErrorIs(t, tokens.RevokeGrant(ctx, "g", time.Unix(1, 0)), storage.ErrUnavailable)
	})
}

// A server that hangs, as one whose machine has lost its power, is not waited for, and what
// it was asked for before counts.
func TestAServerThatHangsIsNotWaitedFor(t *testing.T) {
	dsn := testdb.PostgresDSN(t)
	require.NoError(t, gormstore.AutoMigrate(openPostgres(t, dsn, &gorm.Config{}, 1, 1), allModels...))
	target, err := url.Parse(dsn)
	require.NoError(t, err)
	proxy, err := faults.NewProxy(target.Host, nil)
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	target.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(proxy.Port()))
	p := newProvider(t, openPostgres(t, target.String(), &gorm.Config{}, 4, 4), withShortBudget)
	code := p.code("profile")
	proxy.Hang()
	for range 3 {
		assertUnavailable(t, within(t, shortBudget, shortBudget+budget.Default, func() answer { return p.redeem(code) }), "a server that hangs")
	}
	proxy.Resume()
	assert.Equal(t, http.StatusOK, p.redeem(code).Status)
}

// The driver of PostgreSQL sends COMMIT in the context that the transaction was begun with.
func TestADriverDoesNotCutACommit(t *testing.T) {
	dsn := testdb.PostgresDSN(t)
	require.NoError(t, gormstore.AutoMigrate(openPostgres(t, dsn, &gorm.Config{}, 1, 1), allModels...))
	target, err := url.Parse(dsn)
	require.NoError(t, err)
	var proxy *faults.Proxy
	var armed atomic.Bool
	proxy, err = faults.NewProxy(target.Host, func(sent []byte) bool {
		hangs := armed.Load() && bytes.Contains(bytes.ToLower(sent), []byte("commit"))
		if hangs {
			time.AfterFunc(3*shortBudget, proxy.Resume)
		}
		return hangs
	})
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	target.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(proxy.Port()))
	recorded, s := record(openPostgres(t, target.String(), &gorm.Config{}, 4, 4))
	require.NoError(t, gormstore.AutoMigrate(openPostgres(t, dsn, &gorm.Config{}, 1, 1), &Audit{}))
	audited, err := gormoauth.WithAudit[Audit](recorded)
	require.NoError(t, err)
	p := newProvider(t, audited, withShortBudget)
	code := p.code("profile")
	s.take()
	armed.Store(true)
	a := within(t, 3*shortBudget, 3*shortBudget, func() answer { return p.redeem(code) })
	assert.Equal(t, http.StatusOK, a.Status, a)
	said := s.take()
	assert.Equal(t, "COMMIT", said[len(said)-1], "nobody had to look: %v", said)
}

// What takes many steps has the whole budget for each of them, even in a request that has used up
// its own.
func TestEachStepOfALongOperationHasTheBudget(t *testing.T) {
	for name, goesOn := range map[string]bool{
		"delete a client": true, "begin to delete a client": true, "revoke a client": true, "revoke a user": true, "erase a user": true, "prune": true,
		"revoke a grant": false, "query a client": false, "save a token": false,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRows(t, testdb.Open(t, testdb.SQLiteGo, allModels...))
			ctx := budget.Shared(time.Second).In(underway.Shorten(t.Context(), 0))
			call, done := budget.Call(ctx)
			<-call.Done() // the budget is used up
			done()
			if err := r.operations()[name](ctx, r.db); goesOn {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, storage.ErrUnavailable)
			}
		})
	}
}
