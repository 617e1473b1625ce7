package gormstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/finding"
)

// diagnosisLimit is how long a whole diagnosis may take.
const diagnosisLimit = 10 * time.Second

// Diagnose returns what is wrong with the models, their tables, and the settings of the
// database and the connection pool; nil when nothing is. Pass the same models as to
// [AutoMigrate].
//
// It reads the catalog, some settings and a bounded number of rows, in a few dozen
// statements, and changes nothing. It can run at every start, concurrently with other
// instances, and as a role that may not read everything. What it could not read is
// reported as a [finding.Hint].
func Diagnose(ctx context.Context, db *gorm.DB, models ...any) finding.List {
	return DiagnoseFor(ctx, nil, db, models...)
}

// DiagnoseFor is like [Diagnose], but checks clients against the settings of the server.
// If srv is nil, it uses the defaults.
func DiagnoseFor(ctx context.Context, srv *server.Server, db *gorm.DB, models ...any) finding.List {
	db, handleErr := handle(db)
	x := &examination{ctx: ctx, db: db}
	x.refused("database", "the database:", handleErr)
	if srv != nil {
		x.server, x.privateUse = srv, srv.GivenConfig().PrivateUseSchemes
	}
	if db == nil {
		return x.findings
	}
	ctx, cancel := context.WithTimeout(ctx, diagnosisLimit)
	defer cancel()
	x.ctx = ctx
	x.examineModels(models)
	if handleErr != nil {
		return x.findings
	}
	pool, err := db.DB()
	if err != nil {
		x.unseen("the database", fmt.Errorf("%w: pass a handle of a connection pool", err))
		return x.findings
	}
	x.pool = pool
	engine := engineOf(db)
	x.examineDatabase(engine)
	x.examinePrimary(engine)
	return x.findings
}

// examination is one call of [Diagnose].
type examination struct {
	ctx    context.Context
	db     *gorm.DB
	pool   *sql.DB
	conn   *sql.Conn
	within queryer // a transaction to run all statements in; nil for conn
	models []*examinedModel
	// server is nil if the doctor was not given one.
	server *server.Server
	// privateUse are the private-use schemes without a dot that the server allows; nil for
	// the default.
	privateUse []string
	findings   finding.List
}

// engine is what differs between databases.
type engine interface {
	// settings finds what is wrong with the settings.
	settings(x *examination)
	// replica returns an SQL expression that is true on a replica; empty if the engine has
	// no replicas.
	replica() string
	// tables reads the catalog, and returns the existing tables of the models by name.
	tables(x *examination) (map[string]*catalogTable, error)
	// retype returns the statement that gives a column another type.
	retype(table, column, columnType string) string
}

func engineOf(db *gorm.DB) engine {
	switch db.Name() {
	case "postgres":
		return postgresEngine{}
	case "mysql":
		return mysqlEngine{}
	default: // there are no others, see [handle]
		return sqliteEngine{}
	}
}

// examineDatabase runs all statements on one connection, because the pool may not have
// another.
func (x *examination) examineDatabase(engine engine) {
	conn, err := x.pool.Conn(x.ctx)
	if err != nil {
		x.unseen("the database", err)
		return
	}
	defer func() { _ = conn.Close() }()
	x.conn = conn
	engine.settings(x)
	x.examinePool()
	tables, err := engine.tables(x)
	if err != nil {
		x.unseen("the catalog", err)
		return
	}
	for _, m := range x.models {
		x.examineTable(engine, m, tables[m.table.schema.Table])
	}
	x.examinePruning(tables)
}

func (x *examination) find(finding finding.Finding) { x.findings = append(x.findings, finding) }

// found reports whether something was found by the check.
func (x *examination) found(check string) bool {
	return len(x.findings.Without(check)) != len(x.findings)
}

// unseen reports what could not be read.
func (x *examination) unseen(where string, err error) {
	said := slices.ContainsFunc(x.findings, func(f finding.Finding) bool { return f.Check == "unseen" && f.Where == where })
	if said {
		return
	}
	x.find(finding.Finding{
		Check: "unseen", Severity: finding.Hint, Where: where, Problem: "could not be read: " + strings.Join(strings.Fields(err.Error()), " "),
		Remedy: "allow the role to read it, or run the doctor as a role that may",
	})
}

// ask runs a query and calls row for each row of the result.
func (x *examination) ask(row func(scan func(into ...any) error) error, statement string, args ...any) error {
	if x.within != nil {
		return eachRow(x.ctx, x.within, row, statement, args...)
	}
	return x.askOn(x.conn, row, statement, args...)
}

// askOn is ask on another connection. On PostgreSQL it uses a read-only transaction,
// which PgBouncer keeps on one server connection, and a unique statement text, which
// cannot have been prepared before. That way a statement that fails does not affect the
// next one.
func (x *examination) askOn(conn *sql.Conn, row func(scan func(into ...any) error) error, statement string, args ...any) (err error) {
	if x.db.Name() != "postgres" {
		return eachRow(x.ctx, conn, row, statement, args...)
	}
	tx, err := conn.BeginTx(x.ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	return eachRow(x.ctx, tx, row, statement+" /* "+rand.Text()+" */", args...)
}

type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func eachRow(ctx context.Context, db queryer, row func(scan func(into ...any) error) error, statement string, args ...any) error {
	rows, err := db.QueryContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// askOne is ask for a query with a single row.
func (x *examination) askOne(into []any, statement string) error {
	found := false
	err := x.ask(func(scan func(...any) error) error { found = true; return scan(into...) }, statement)
	if err == nil && !found {
		return errors.New("the query returned no row")
	}
	return err
}

// quote quotes the name of a table or column for the engine.
func (x *examination) quote(name string) string { return (&gorm.Statement{DB: x.db}).Quote(name) }
