package gormstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// breakingRows is a driver whose rows break while they are read, or when they are closed.
type breakingRows struct {
	driver            driver.Driver
	dsn               string
	next, close, exec error
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

// ExecContext sends a prepared statement that returns no rows, or breaks.
func (s *breakingStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if s.of.exec != nil {
		return nil, s.of.exec
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
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
	for range 3 {
		rows.exec = failure
		require.ErrorIs(t, tokens.RevokeToken(t.Context(), "a", time.Unix(1, 0)), failure)
		rows.exec = nil
	}
	require.NoError(t, tokens.RevokeToken(t.Context(), "a", time.Unix(1, 0)))
	lookups, insertions, changes := gormstore.SentByTheLibrary(tokens)
	assert.Equal(t, []int{1, 1, 1}, []int{lookups, insertions, changes})
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

// Each change has a statement of its own: by its columns, by those of its conditions, and by what
// the conditions and expressions are.
func TestEachChangeHasItsOwnStatement(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		tokens, _ := stores(t, db)
		column := func(name string) clause.Column { return clause.Column{Table: clause.CurrentTable, Name: name} }
		is := func(name string, value any) clause.Expression { return clause.Eq{Column: column(name), Value: value} }
		for round := range 3 {
			text := fmt.Sprint("text ", round)
			row := Token{TokenMixin: models.TokenMixin{AccessToken: fmt.Sprint("t", round), Scope: "client", Authorization: models.Authorization{ClientID: "scope"}}}
			require.NoError(t, db.Create(&row).Error)
			for n, change := range []struct {
				values     map[string]any
				conditions []clause.Expression
				rows       int64
			}{
				{map[string]any{"Subject": text}, []clause.Expression{is("id", row.ID), is("client_id", "scope")}, 1},
				{map[string]any{"Subject": text}, []clause.Expression{is("id", row.ID), is("scope", "scope")}, 0},
				{map[string]any{"Subject": text}, []clause.Expression{is("id", row.ID), is("scope", "client")}, 1},
				{map[string]any{"Issuer": text}, []clause.Expression{is("id", row.ID), is("scope", "client")}, 1},
				{map[string]any{"Issuer": text, "ACR": "a"}, []clause.Expression{is("id", row.ID), is("scope", "client")}, 1},
				{map[string]any{"Exchanges": 7}, []clause.Expression{is("id", row.ID), is("scope", "client")}, 1},
				{map[string]any{"Exchanges": clause.Expr{SQL: "? + 1", Vars: []any{column("exchanges")}}}, []clause.Expression{is("id", row.ID), is("scope", "client")}, 1},
				{map[string]any{"Exchanges": clause.Expr{SQL: "? + 2", Vars: []any{column("exchanges")}}}, []clause.Expression{is("id", row.ID), is("scope", "client")}, 1},
				{map[string]any{"Subject": text}, []clause.Expression{is("id", row.ID), clause.Or(is("exchanges", 0), is("exchanges", nil))}, 0},
				{map[string]any{"Subject": text}, []clause.Expression{is("id", row.ID), clause.Or(is("rotated_at", 0), is("rotated_at", nil))}, 1},
				{map[string]any{"Subject": text}, []clause.Expression{is("id", row.ID), is("session_id", nil)}, 1},
				{map[string]any{"Subject": text}, []clause.Expression{is("id", row.ID), clause.Neq{Column: column("session_id"), Value: nil}}, 0},
			} {
				rows, err := gormstore.ChangeTokens(t.Context(), tokens, change.values, change.conditions...)
				require.NoError(t, err, n)
				assert.Equal(t, change.rows, rows, n)
			}
			var changed Token
			require.NoError(t, db.First(&changed, row.ID).Error)
			row.Subject, row.Issuer, row.ACR, row.Exchanges = text, text, "a", 10
			assert.Equal(t, row, changed)
		}
		_, _, changes := gormstore.SentByTheLibrary(tokens)
		assert.Equal(t, 11, changes)
	})
}

// regionalToken has a primary key of two columns.
type regionalToken struct {
	ID     uint   `gorm:"primaryKey;autoIncrement:false"`
	Region string `gorm:"primaryKey;size:20"`
	UserID *uint
	models.TokenMixin
}

// A row that was read is changed by its whole primary key.
func TestAKeyOfTwoColumnsIsAConditionOfBoth(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, &regionalToken{})
	log := &statementLog{Interface: logger.Discard}
	tokens, err := gormstore.NewTokens[regionalToken](db.Session(&gorm.Session{Logger: log}))
	require.NoError(t, err)
	for id := range uint(4) {
		refresh, next := fmt.Sprint("r", id), fmt.Sprint("n", id)
		require.NoError(t, db.Create(&regionalToken{ID: id + 1, Region: "here", TokenMixin: models.TokenMixin{AccessToken: refresh, RefreshToken: &refresh}}).Error)
		found, err := tokens.Query(t.Context(), storage.TokenQuery{RefreshToken: refresh})
		require.NoError(t, err)
		require.NoError(t, tokens.Save(t.Context(), storage.Exchange{
			Kind: storage.ExchangeRotate, From: found.Token, Presented: refresh, Token: &models.TokenMixin{AccessToken: next, RefreshToken: &next},
		}))
		last := log.all[len(log.all)-1]
		assert.Contains(t, last, fmt.Sprintf("`id` = %d", id+1))
		assert.Contains(t, last, "`region` = \"here\"")
	}
}
