package gormstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// breakingRows is a driver whose rows break while they are read, or when they are closed.
type breakingRows struct {
	driver      driver.Driver
	dsn         string
	next, close error
}

type (
	breakingConn struct {
		driver.Conn

		of *breakingRows
	}
	breakingStmt struct {
		driver.Stmt

		of *breakingRows
	}
	broken struct {
		driver.Rows

		of *breakingRows
	}
)

// Connect opens a connection.
func (b *breakingRows) Connect(context.Context) (driver.Conn, error) {
	conn, err := b.driver.Open(b.dsn)
	return &breakingConn{conn, b}, err
}

// PrepareContext prepares a statement.
func (c *breakingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	return &breakingStmt{stmt, c.of}, err
}

// QueryContext sends a prepared statement.
func (s *breakingStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	return &broken{rows, s.of}, err
}

// Driver returns the driver.
func (b *breakingRows) Driver() driver.Driver { return b.driver }

// Next breaks.
func (r *broken) Next(into []driver.Value) error {
	if r.of.next != nil {
		return r.of.next
	}
	return r.Rows.Next(into)
}

// Close breaks.
func (r *broken) Close() error { return errors.Join(r.of.close, r.Rows.Close()) }

// What goes wrong after a statement was sent, while its rows are read or closed, is the error of
// the call, whoever reads them.
func TestNoErrorOfRowsIsLost(t *testing.T) {
	open, err := sql.Open("sqlite", "")
	require.NoError(t, err)
	rows := &breakingRows{driver: open.Driver(), dsn: "file:" + filepath.ToSlash(filepath.Join(t.TempDir(), "test.db")) + "?_pragma=journal_mode(WAL)&_txlock=immediate"}
	require.NoError(t, open.Close())
	pool := sql.OpenDB(rows)
	t.Cleanup(func() { assert.NoError(t, pool.Close()) })
	db, err := gorm.Open(sqlite.Dialector{Conn: pool}, &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	require.NoError(t, gormstore.AutoMigrate(db, allModels...))
	tokens, _ := stores(t, db)
	require.NoError(t, tokens.Save(t.Context(), issueOf(&models.TokenMixin{AccessToken: "a"}, nil)))
	failure := errors.New("a failure of the driver")
	for _, name := range []string{"b", "c", "d"} { // the first time, GORM sends it
		for what, fails := range map[string]func(){
			"while they are read":   func() { rows.next = failure },
			"when they are closed":  func() { rows.close = failure },
			"and nothing was found": func() { rows.close = failure },
		} {
			fails()
			key := "a"
			if what == "and nothing was found" {
				key = "none"
			}
			_, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: key})
			require.ErrorIs(t, err, failure, what)
			require.ErrorIs(t, tokens.Save(t.Context(), issueOf(&models.TokenMixin{AccessToken: name + what}, nil)), failure, what)
			rows.next, rows.close = nil, nil
			found, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: "a"})
			require.NoError(t, err)
			require.NotNil(t, found)
		}
	}
	lookups, insertions, _ := gormstore.SentByTheLibrary(tokens)
	assert.Equal(t, []int{1, 1}, []int{lookups, insertions})
}

// A statement is kept if only its arguments differ from call to call.
func TestChangesThatCanBeMadeAgain(t *testing.T) {
	text, own := "text", clause.Column{Table: clause.CurrentTable, Name: "c"}
	is := func(value any) clause.Expression { return clause.Eq{Column: own, Value: value} }
	for name, test := range map[string]struct {
		value     any
		condition clause.Expression
		want      bool
	}{
		"values":                         {1, is("a"), true},
		"a text that may be nil":         {&text, is("a"), true},
		"no text":                        {(*string)(nil), is("a"), true},
		"NULL":                           {nil, is("a"), false},
		"a counter":                      {clause.Expr{SQL: "? + 1", Vars: []any{own}}, is("a"), true},
		"an expression with a value":     {clause.Expr{SQL: "? + ?", Vars: []any{own, 5}}, is("a"), false},
		"a condition of 0 or NULL":       {1, clause.Or(is(0), is(nil)), true},
		"a condition that is not 0":      {1, clause.Neq{Column: own, Value: 0}, true},
		"a condition that is not a time": {1, clause.Neq{Column: own, Value: 5}, false},
		"one of two times":               {1, clause.Or(is(0), is(5)), false},
		"both of two times":              {1, clause.And(is(0), is(5)), false},
		"a condition of another kind":    {1, clause.Lt{Column: own, Value: 5}, false},
		"a condition with an expression": {1, clause.Expr{SQL: "? < ?", Vars: []any{own, 5}}, false},
	} {
		assert.Equal(t, test.want, gormstore.IsKind(map[string]any{"v": test.value}, []clause.Expression{is("a"), test.condition}), name)
	}
}
