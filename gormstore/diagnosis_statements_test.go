package gormstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
)

// listening is a driver of which every statement is heard.
type listening struct {
	driver.Driver
	dsn string

	mu   sync.Mutex
	said []string
	fail int // the number of a statement that fails, from 1; 0 for none
	odd  int // the number of a query whose rows have a column too many
	rows int // how many such rows there were
}

// oddRows are rows with a column that nobody asked for.
type oddRows struct {
	driver.Rows
	by *listening
}

func (o oddRows) Columns() []string { return append(o.Rows.Columns(), "odd") }

func (o oddRows) Next(into []driver.Value) error {
	err := o.Rows.Next(into[:len(into)-1])
	if err == nil {
		o.by.rows++
	}
	return err
}

var errBroken = errors.New("this statement fails")

func (l *listening) note(statement string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.said = append(l.said, strings.Join(strings.Fields(statement), " ")); len(l.said) == l.fail {
		return errBroken
	}
	return nil
}

// connector is a listening driver as database/sql takes it.
type connector struct{ *listening }

func (c connector) Driver() driver.Driver { return c.listening.Driver }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.Open(c.dsn)
	return &heard{conn, c.listening}, err
}

type heard struct {
	driver.Conn
	by *listening
}

func (h *heard) QueryContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Rows, error) {
	if err := h.by.note(statement); err != nil {
		return nil, err
	}
	rows, err := h.Conn.(driver.QueryerContext).QueryContext(ctx, statement, args)
	if err == nil && len(h.by.said) == h.by.odd {
		return oddRows{rows, h.by}, nil
	}
	return rows, err
}

func (h *heard) ExecContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Result, error) {
	if err := h.by.note(statement); err != nil {
		return nil, err
	}
	return h.Conn.(driver.ExecerContext).ExecContext(ctx, statement, args)
}

func (h *heard) PrepareContext(ctx context.Context, statement string) (driver.Stmt, error) {
	if err := h.by.note("PREPARE " + statement); err != nil {
		return nil, err
	}
	return h.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, statement)
}

func (h *heard) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	begin := "BEGIN"
	if options.ReadOnly {
		begin = "BEGIN READ ONLY"
	}
	if err := h.by.note(begin); err != nil {
		return nil, err
	}
	return h.Conn.(driver.ConnBeginTx).BeginTx(ctx, options)
}

// heardBy opens the database of a handle so that each statement is noted.
func heardBy(t *testing.T, db *gorm.DB) (heard *gorm.DB, by *listening) {
	t.Helper()
	pool, err := db.DB()
	require.NoError(t, err)
	by = &listening{Driver: pool.Driver()}
	var dialector gorm.Dialector
	switch d := db.Dialector.(type) {
	case *sqlite.Dialector:
		by.dsn = d.DSN
		dialector = sqlite.New(sqlite.Config{Conn: sql.OpenDB(connector{by})})
	case *postgres.Dialector:
		by.dsn = d.DSN
		dialector = postgres.New(postgres.Config{Conn: sql.OpenDB(connector{by})})
	}
	heard, err = gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	bounded, err := heard.DB()
	require.NoError(t, err)
	bounded.SetMaxOpenConns(8)
	bounded.SetMaxIdleConns(8)
	t.Cleanup(func() { _ = bounded.Close() })
	by.said = nil
	return heard, by
}

// It runs at every start, beside others: it reads, and asks little.
func TestADiagnosisReadsAndNoMore(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		heard, l := heardBy(t, db)
		assert.Empty(t, diagnosed(t, heard))
		for _, statement := range l.said {
			verb, _, _ := strings.Cut(statement, " ")
			assert.Contains(t, []string{"SELECT", "PRAGMA", "WITH", "BEGIN"}, verb, statement)
			assert.NotEqual(t, "BEGIN", statement, "a transaction may only read")
		}
		assert.NotEmpty(t, l.said)
		assert.LessOrEqual(t, len(l.said), 50)
		t.Log(len(l.said), "statements")
	})
}

// Whatever statement fails, the operator is told what could not be read, and no more is wrong than
// that.
func TestNoFailureOfADiagnosisIsLost(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		heard, l := heardBy(t, db)
		require.Empty(t, diagnosed(t, heard))
		all := l.said
		const guess = "SELECT pg_backend_pid()" // whether there is a pooler
		for number := 1; number <= len(all); number++ {
			for _, mode := range []*int{&l.fail, &l.odd} {
				l.said, l.fail, l.odd, l.rows = nil, 0, 0, 0
				*mode = number
				found := diagnosed(t, heard)
				guesses := strings.HasPrefix(all[number-1], guess) || strings.HasPrefix(all[min(number, len(all)-1)], guess)
				lenient := strings.HasPrefix(all[number-1], "SELECT * FROM (") // read by GORM, by the names of columns
				if !guesses && (l.fail > 0 || l.rows > 0 && !lenient) {
					assert.NotEmpty(t, found, "statement %d: %s", number, all[number-1])
				}
				for name, one := range found {
					assert.Equal(t, "unseen", one.Check, "statement %d: %s: %s", number, all[number-1], name)
					if l.fail > 0 {
						assert.Contains(t, one.Problem, errBroken.Error())
					}
				}
			}
		}
	})
}

// A diagnosis costs the same however large the tables are: no statement reads more rows than are
// examined.
func TestADiagnosisReadsFewRows(t *testing.T) {
	db := testdb.Open(t, testdb.Postgres, allModels...)
	const rows = 3 * gormstore.ExaminedRows
	require.NoError(t, db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: "first", ClientSecret: models.HashClientSecret("x")}}).Error)
	require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{AccessToken: "first", GrantedAt: 1, Form: models.TokenDigest, Authorization: models.Authorization{ClientID: "first", GrantID: "g"}}}).Error)
	for table, key := range map[string]string{"clients": "client_id", "tokens": "access_token"} {
		var columns string
		require.NoError(t, db.Raw("SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = ? AND column_name NOT IN ('id', ?)", table, key).Scan(&columns).Error)
		require.NoError(t, db.Exec("INSERT INTO "+table+" ("+key+", "+columns+") SELECT 'n' || n, "+columns+" FROM generate_series(1, ?) n, "+table, rows).Error)
		require.NoError(t, db.Exec("ANALYZE "+table).Error)
	}
	heard, l := heardBy(t, db)
	diagnosed(t, heard)
	read := regexp.MustCompile(`(?:actual time=\S+ rows=|Rows Removed by Filter: )(\d+)`)
	explained := 0
	for _, statement := range l.said {
		if !strings.HasPrefix(statement, "SELECT") || strings.Contains(statement, "$1") || !strings.Contains(statement, `"tokens"`) && !strings.Contains(statement, `"clients"`) {
			continue
		}
		var plan []string
		require.NoError(t, db.Raw("EXPLAIN ANALYZE "+statement).Scan(&plan).Error)
		for _, counted := range read.FindAllStringSubmatch(strings.Join(plan, "\n"), -1) {
			number, err := strconv.Atoi(counted[1])
			require.NoError(t, err)
			assert.LessOrEqual(t, number, gormstore.ExaminedRows, strings.Join(plan, "\n"))
		}
		explained++
	}
	assert.GreaterOrEqual(t, explained, 4)
}

// Who has locked a table keeps a diagnosis from nothing but its rows.
func TestADiagnosisEnds(t *testing.T) {
	db := testdb.Open(t, testdb.Postgres, allModels...)
	tx := db.Begin()
	require.NoError(t, tx.Exec("LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE").Error)
	defer tx.Rollback()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	findings := gormstore.Diagnose(ctx, db, allModels...).Without(quickly)
	require.NotEmpty(t, findings)
	oauthtest.KnowFindings(t, findings)
	for _, finding := range findings {
		assert.Equal(t, "unseen", finding.Check, finding)
	}
}

// A table that is not migrated yet is told of by what it lacks, and everything else is examined.
func TestAColumnThatIsMissingHidesNothing(t *testing.T) {
	r := newRows(t, testdb.Open(t, testdb.SQLiteGo, allModels...))
	execAll(t, r.db, "DELETE FROM consents") // which has no JSON
	for _, model := range allModels {
		statement := &gorm.Statement{DB: r.db}
		require.NoError(t, statement.Parse(model))
		for _, column := range statement.Schema.DBNames {
			rename := func(from, to string) {
				execAll(t, r.db, "ALTER TABLE "+statement.Table+" RENAME COLUMN "+from+" TO "+to)
			}
			rename(column, "renamed")
			found := make(map[string]bool)
			for _, one := range gormstore.DiagnoseFor(t.Context(), r.Server, r.db, allModels...).Without(quickly) {
				found[one.Check+" "+one.Where] = true
				assert.Contains(t, []string{"column", "column_unknown", "index", "unique_index", "pruning", "plaintext"}, one.Check, one)
			}
			assert.True(t, found["column column "+statement.Table+"."+column], column)
			rename("renamed", column)
		}
	}
}
