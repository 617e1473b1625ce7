package gormstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
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
}

func (l *listening) note(statement string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, strings.Join(strings.Fields(statement), " "))
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
	h.by.note(statement)
	return h.Conn.(driver.QueryerContext).QueryContext(ctx, statement, args)
}

func (h *heard) ExecContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Result, error) {
	h.by.note(statement)
	return h.Conn.(driver.ExecerContext).ExecContext(ctx, statement, args)
}

func (h *heard) PrepareContext(ctx context.Context, statement string) (driver.Stmt, error) {
	h.by.note("PREPARE " + statement)
	return h.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, statement)
}

func (h *heard) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	if options.ReadOnly {
		h.by.note("BEGIN READ ONLY")
	} else {
		h.by.note("BEGIN")
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
