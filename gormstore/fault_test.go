package gormstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// serializationFailure is what PostgreSQL answers to one of two transactions.
type serializationFailure struct{}

func (serializationFailure) Error() string    { return "could not serialize access" }
func (serializationFailure) SQLState() string { return "40001" }

// faults cuts the connection at one call, or at it and all that follow.
type faults struct {
	at      int64 // which call fails, counted from 0; -1 is none
	all     bool  // and all that follow
	after   bool  // the call takes effect, and its answer is lost
	failure error
	calls   atomic.Int64
}

// around makes a call, or loses it, or loses its answer.
func around[T any](f *faults, call func() (T, error)) (T, error) {
	n := f.calls.Add(1) - 1
	if f.at < 0 || n < f.at || n > f.at && !f.all {
		return call()
	}
	var nothing T
	if f.after {
		switch result, _ := call(); result := any(result).(type) {
		case *sql.Rows:
			_ = result.Close()
		case *transaction:
			_ = result.Rollback()
		}
	}
	return nothing, f.failure
}

// conn is a connection with faults, in a transaction or not.
type conn struct {
	gorm.ConnPool
	*faults
}

func (c conn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return around(c.faults, func() (sql.Result, error) { return c.ConnPool.ExecContext(ctx, query, args...) })
}

func (c conn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return around(c.faults, func() (*sql.Rows, error) { return c.ConnPool.QueryContext(ctx, query, args...) })
}

// pool is where transactions begin.
type pool struct{ conn }

func (p pool) BeginTx(ctx context.Context, options *sql.TxOptions) (gorm.ConnPool, error) {
	tx, err := around(p.faults, func() (*transaction, error) {
		tx, err := p.ConnPool.(gorm.TxBeginner).BeginTx(ctx, options)
		if err != nil {
			return nil, err
		}
		return &transaction{conn{tx, p.faults}, tx}, nil
	})
	if err != nil {
		return nil, err // not a nil *transaction in an interface
	}
	return tx, nil
}

// transaction loses COMMIT, too. A transaction whose connection is cut is
// rolled back by the database.
type transaction struct {
	conn
	tx *sql.Tx
}

func (t *transaction) Commit() error {
	_, err := around(t.faults, func() (any, error) { return nil, t.tx.Commit() })
	if err != nil {
		_ = t.tx.Rollback()
	}
	return err
}

func (t *transaction) Rollback() error { return t.tx.Rollback() }

// withFaults is the database behind connections that fail as told.
func withFaults(db *gorm.DB, f *faults) *gorm.DB {
	broken := db.WithContext(context.Background()) // with a statement of its own
	broken.Statement.ConnPool = pool{conn{db.Statement.ConnPool, f}}
	return broken.Session(&gorm.Session{})
}

// exchanges are the calls that change something. Each returns its answer and
// whether what it stands for is in the database.
var exchanges = map[string]func(p, broken provider) (a answer, done func() bool){
	"redeem": func(p, broken provider) (answer, func() bool) {
		a := broken.redeem(p.code("profile"))
		return a, func() bool { return p.valid(a.AccessToken) }
	},
	"authorize": func(p, broken provider) (answer, func() bool) {
		code := broken.Grant(oauthtest.AuthorizeQuery(p.client, "")).Query.Get("code")
		if code == "" {
			return answer{Status: http.StatusServiceUnavailable, RetryAfter: "1"}, nil
		}
		return answer{Status: http.StatusOK}, func() bool { return p.redeem(code).Status == http.StatusOK }
	},
	"refresh": func(p, broken provider) (answer, func() bool) {
		a := broken.refresh(p.redeem(p.code("profile")).RefreshToken)
		return a, func() bool { return p.valid(a.AccessToken) }
	},
	"revoke": func(p, broken provider) (answer, func() bool) {
		token := p.redeem(p.code("profile"))
		a := answerOf(broken.Revoke(p.client, "token="+token.RefreshToken))
		return a, func() bool { return !p.valid(token.AccessToken) }
	},
}

// A connection that is cut at any one call, before it took effect or after, or
// a transaction that the database refuses for the sake of another, is not the
// client's affair: it gets its one token, and it works.
func TestOneFaultCostsNobodyAToken(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		f := &faults{at: -1}
		broken := p.on(withFaults(db, f))
		for name, exchange := range exchanges {
			for _, failure := range []error{driver.ErrBadConn, serializationFailure{}} {
				for _, after := range []bool{false, true} {
					if after && failure != driver.ErrBadConn { //nolint:errorlint // it is the very one
						continue // what was refused has not happened
					}
					for at := range int64(12) {
						f.at, f.after, f.failure = at, after, failure
						f.calls.Store(0)
						before := count(t, db)
						a, done := exchange(p, broken)
						require.Equal(t, http.StatusOK, a.Status, "%s, %v at call %d, after %v: %s", name, failure, at, after, a.Description)
						require.True(t, done(), "%s, %v at call %d, after %v: what was answered is so", name, failure, at, after)
						require.EqualValues(t, 1, count(t, db)-before, "%s, %v at call %d, after %v: one row", name, failure, at, after)
					}
				}
			}
		}
	})
}

func count(t *testing.T, db *gorm.DB) (rows int64) {
	t.Helper()
	require.NoError(t, db.Model(&Token{}).Count(&rows).Error)
	return rows
}

// A database that stays away: the client is told to come again, and whatever
// has happened, no answer says that something did which did not.
func TestADatabaseThatStaysAwayIs503(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	p := newProvider(t, db)
	f := &faults{at: -1, all: true, failure: driver.ErrBadConn}
	broken := p.on(withFaults(db, f))
	for name, exchange := range exchanges {
		for _, at := range []int64{0, 2} {
			f.at = at
			f.calls.Store(0)
			a, done := exchange(p, broken)
			if a.Status == http.StatusOK { // it needed no more calls than these
				assert.True(t, done(), name)
				continue
			}
			assert.Equal(t, http.StatusServiceUnavailable, a.Status, "%s at call %d", name, at)
			assert.Equal(t, "1", a.RetryAfter, name)
			assert.Empty(t, a.AccessToken, name)
		}
	}
}
