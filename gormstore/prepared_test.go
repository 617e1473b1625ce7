package gormstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// counting is a driver that counts what is sent as a statement that was prepared, what is
// prepared, and what is sent as text. BEGIN and COMMIT are none of them.
type counting struct {
	driver.Driver

	prepared, sent, text atomic.Int64
}

type countingConn struct {
	driver.Conn

	counts *counting
}

type countingStmt struct {
	driver.Stmt

	counts *counting
}

type countingConnector struct {
	*counting

	dsn string
}

func (c countingConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.counting.Driver.Open(c.dsn)
	return &countingConn{conn, c.counting}, err
}

func (c countingConnector) Driver() driver.Driver { return c.counting.Driver }

func (c *countingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	c.counts.prepared.Add(1)
	stmt, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	return &countingStmt{stmt, c.counts}, err
}

func (c *countingConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, options)
}

func (c *countingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.counts.text.Add(1)
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c *countingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.counts.text.Add(1)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (s *countingStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.counts.sent.Add(1)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s *countingStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.counts.sent.Add(1)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

// take returns the counts since the last call.
func (c *counting) take() (prepared, sent, text int64) {
	return c.prepared.Swap(0), c.sent.Swap(0), c.text.Swap(0)
}

// openCounting opens a database of SQLite with one connection.
func openCounting(t *testing.T) (*gorm.DB, *counting) {
	t.Helper()
	dsn := "file:" + filepath.ToSlash(filepath.Join(t.TempDir(), "test.db")) + "?_pragma=busy_timeout(1000)&_pragma=journal_mode(WAL)&_txlock=immediate"
	pool, err := sql.Open("sqlite", dsn)
	require.NoError(t, err)
	counts := &counting{Driver: pool.Driver()}
	require.NoError(t, pool.Close())
	pool = sql.OpenDB(countingConnector{counts, dsn})
	pool.SetMaxOpenConns(1)
	t.Cleanup(func() { assert.NoError(t, pool.Close()) })
	db, err := gorm.Open(sqlite.Dialector{Conn: pool}, &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	require.NoError(t, gormstore.AutoMigrate(db, allModels...))
	return db, counts
}

// What was sent before is prepared, in transactions as well, and with one connection.
func TestStatementsArePreparedOnce(t *testing.T) {
	db, counts := openCounting(t)
	p := newProvider(t, db)
	exchange := func() {
		code := p.code("profile")
		first := p.redeem(code)
		require.True(t, p.valid(first.AccessToken))
		next := p.refresh(first.RefreshToken)
		require.True(t, p.valid(next.AccessToken))
		require.Equal(t, "invalid_grant", p.redeem(code).Error, "a replay, which ends the grant")
		require.False(t, p.valid(next.AccessToken))
	}
	exchange()
	exchange()
	counts.take()
	exchange()
	prepared, sent, text := counts.take()
	assert.Zero(t, prepared)
	assert.Greater(t, sent, int64(15))
	assert.Zero(t, text)
}

// The same statements serve a table that has changed meanwhile.
func TestPreparedStatementsOutliveAChangeOfTheTable(t *testing.T) {
	db, _ := openCounting(t)
	p := newProvider(t, db)
	first := p.redeem(p.code("profile"))
	for _, change := range []string{
		"ALTER TABLE tokens ADD COLUMN remark text", "DROP INDEX idx_tokens_expires_at", "ALTER TABLE tokens DROP COLUMN remark",
		"ALTER TABLE tokens RENAME TO old; CREATE TABLE tokens AS SELECT * FROM old; DROP TABLE old",
	} {
		require.NoError(t, db.Exec(change).Error, change)
		require.True(t, p.valid(first.AccessToken), change)
		first = p.refresh(first.RefreshToken)
		require.Equal(t, 200, first.Status, change)
		require.True(t, p.valid(first.AccessToken), change)
	}
	require.NoError(t, db.Exec("DROP TABLE tokens").Error)
	assert.Equal(t, 500, p.refresh(first.RefreshToken).Status)
	require.NoError(t, gormstore.AutoMigrate(db, allModels...))
	assert.True(t, p.valid(p.redeem(p.code("profile")).AccessToken), "and comes back")
}

// A statement that is different each time fills nothing up.
func TestPreparedStatementsAreBounded(t *testing.T) {
	db, counts := openCounting(t)
	counts.take()
	var all []*gormstore.Clients // what is kept goes with the last of them
	for i := range 300 {
		clients, err := gormstore.NewClients[Client](db.Where(fmt.Sprintf("%d = %d", i, i)))
		require.NoError(t, err)
		all = append(all, clients)
		_, err = clients.Query(t.Context(), "nobody")
		require.NoError(t, err)
	}
	require.Len(t, all, 300)
	runtime.KeepAlive(all)
	prepared, _, text := counts.take()
	assert.LessOrEqual(t, prepared, int64(200))
	assert.GreaterOrEqual(t, text, int64(100), "what is beyond is sent as text")
}

// A hook of the program may send several statements at once, and all of them are carried out.
func TestSeveralStatementsAtOnceAreCarriedOut(t *testing.T) {
	notSQLite := func(engine string) bool { return engine != testdb.SQLiteCgo && engine != testdb.SQLiteGo }
	for _, engine := range slices.DeleteFunc(testdb.Engines(), notSQLite) {
		t.Run(engine, func(t *testing.T) {
			db := testdb.Open(t, engine, allModels...)
			require.NoError(t, db.Exec("CREATE TABLE counts (n integer)").Error)
			require.NoError(t, db.Callback().Create().After("gorm:create").Register("count", func(tx *gorm.DB) {
				if tx.Statement.Table == "tokens" {
					_ = tx.AddError(tx.Session(&gorm.Session{NewDB: true}).Exec("INSERT INTO counts VALUES (1); INSERT INTO counts VALUES (2)").Error)
				}
			}))
			p := newProvider(t, db)
			for range 3 {
				require.Equal(t, 200, p.redeem(p.code("profile")).Status)
			}
			var rows int64
			require.NoError(t, db.Table("counts").Count(&rows).Error)
			assert.EqualValues(t, 6, rows)
		})
	}
}
