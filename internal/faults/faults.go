// Package faults puts failures between GORM and a database: calls that are
// refused, connections that are cut before a statement took effect or after.
package faults

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"sync/atomic"

	"gorm.io/gorm"
)

// ErrCut is a connection that is gone.
var ErrCut = driver.ErrBadConn

// ErrSerialization is SQLSTATE 40001, which PostgreSQL, CockroachDB and
// YugabyteDB answer to one of two transactions.
var ErrSerialization error = serializationFailure{}

type serializationFailure struct{}

func (serializationFailure) Error() string { return "could not serialize access" }

// SQLState is how the driver's errors tell theirs.
func (serializationFailure) SQLState() string { return "40001" }

// Call is one round trip to the database.
type Call struct {
	// Number is how many there were before, since the last Reset.
	Number int
	// SQL is the statement; BEGIN or COMMIT around a transaction.
	SQL string
}

// Fault is what becomes of a call. The zero value leaves it alone.
type Fault struct {
	// Err is what the caller gets.
	Err error
	// After lets the call take effect first, so that only its answer is lost.
	After bool
	// Until has the call wait until the channel is closed: before it, or with After before
	// its answer. It gives up when its context ends, as a driver does. A COMMIT has none.
	Until <-chan struct{}
}

// Plan says which calls fail. Its fields are not changed while calls are made.
type Plan struct {
	// Next is asked before each call. It may be called by many goroutines.
	Next func(Call) Fault

	calls, injected atomic.Int64
}

// Reset counts anew.
func (p *Plan) Reset() {
	p.calls.Store(0)
	p.injected.Store(0)
}

// Injected returns how many calls have failed since the last Reset.
func (p *Plan) Injected() int { return int(p.injected.Load()) }

// At fails one call.
func At(number int, fault Fault) func(Call) Fault {
	return func(c Call) Fault {
		if c.Number == number {
			return fault
		}
		return Fault{}
	}
}

// From fails a call and all that follow.
func From(number int, fault Fault) func(Call) Fault {
	return func(c Call) Fault {
		if c.Number >= number {
			return fault
		}
		return Fault{}
	}
}

// DB is the database behind connections that fail as planned. A plugin that
// chooses a connection by itself, as dbresolver does, is cut off only inside
// transactions.
func DB(db *gorm.DB, plan *Plan) *gorm.DB {
	broken := db.WithContext(context.Background()) // with a statement of its own
	broken.Statement.ConnPool = pool{conn{db.Statement.ConnPool, plan}}
	return broken.Session(&gorm.Session{})
}

// around makes a call, or loses it, or loses its answer.
func around[T any](ctx context.Context, p *Plan, statement string, call func() (T, error)) (T, error) {
	fault := p.Next(Call{int(p.calls.Add(1)) - 1, statement})
	if fault.Until != nil {
		p.injected.Add(1)
		return late(ctx, fault, call)
	}
	if fault.Err == nil {
		return call()
	}
	p.injected.Add(1)
	var nothing T
	if !fault.After {
		return nothing, fault.Err
	}
	if result, err := call(); err == nil {
		discard(result)
	}
	return nothing, fault.Err
}

// late makes a call that takes a while, or whose answer does.
func late[T any](ctx context.Context, fault Fault, call func() (T, error)) (result T, err error) {
	if fault.After {
		if result, err = call(); err != nil {
			return result, err
		}
	}
	select {
	case <-fault.Until:
	case <-ctx.Done():
		var nothing T
		if fault.After {
			discard(result)
		}
		return nothing, ctx.Err()
	}
	if fault.After {
		return result, nil
	}
	return call()
}

// discard drops the answer to a call that took effect.
func discard(result any) {
	switch result := result.(type) {
	case *sql.Rows:
		for result.Next() { // SQLite writes when the first row is asked for
		}
		_ = result.Close()
	case *transaction:
		_ = result.Rollback()
	}
}

// conn is a connection with faults, in a transaction or not.
type conn struct {
	gorm.ConnPool
	*Plan
}

// ExecContext is a statement.
func (c conn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return around(ctx, c.Plan, query, func() (sql.Result, error) { return c.ConnPool.ExecContext(ctx, query, args...) })
}

// QueryContext is a statement that answers with rows.
func (c conn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return around(ctx, c.Plan, query, func() (*sql.Rows, error) { return c.ConnPool.QueryContext(ctx, query, args...) })
}

// pool is where transactions begin.
type pool struct{ conn }

// BeginTx is BEGIN.
func (p pool) BeginTx(ctx context.Context, options *sql.TxOptions) (gorm.ConnPool, error) {
	tx, err := around(ctx, p.Plan, "BEGIN", func() (*transaction, error) {
		tx, err := begin(ctx, p.ConnPool, options)
		if err != nil {
			return nil, err
		}
		return &transaction{conn{tx, p.Plan}}, nil
	})
	if err != nil {
		return nil, err // not a nil *transaction in an interface
	}
	return tx, nil
}

// GetDBConn returns the pool, as [gorm.DB.DB] wants it.
func (p pool) GetDBConn() (*sql.DB, error) {
	if db, ok := p.ConnPool.(*sql.DB); ok {
		return db, nil
	}
	return p.ConnPool.(gorm.GetDBConnector).GetDBConn()
}

// begin begins a transaction on a pool of database/sql, or on one that is
// wrapped, too.
func begin(ctx context.Context, connPool gorm.ConnPool, options *sql.TxOptions) (gorm.ConnPool, error) {
	switch pool := connPool.(type) {
	case gorm.TxBeginner:
		return pool.BeginTx(ctx, options)
	case gorm.ConnPoolBeginner:
		return pool.BeginTx(ctx, options)
	default:
		return nil, gorm.ErrInvalidTransaction
	}
}

// transaction loses COMMIT, too. A transaction whose connection is cut is
// rolled back by the database.
type transaction struct{ conn }

// Commit is COMMIT.
func (t *transaction) Commit() error {
	_, err := around(context.Background(), t.Plan, "COMMIT", func() (any, error) { return nil, t.ConnPool.(gorm.TxCommitter).Commit() })
	if err != nil {
		_ = t.Rollback()
	}
	return err
}

// Rollback is ROLLBACK, which does not fail.
func (t *transaction) Rollback() error { return t.ConnPool.(gorm.TxCommitter).Rollback() }
