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
)

// diagnosisLimit is how long a diagnosis may take altogether.
const diagnosisLimit = 10 * time.Second

// Diagnose returns what is wrong with the models, with their tables, and with the
// settings of the database and of its pool; nil when nothing is. The models are
// those that [AutoMigrate] takes.
//
// It reads the catalog, some settings, and a bounded number of rows, in some tens
// of statements, and changes nothing: it may run at every start, beside others,
// and by a role that may not read everything. What it could not look at is a
// [server.Hint].
func Diagnose(ctx context.Context, db *gorm.DB, models ...any) server.Findings {
	return DiagnoseFor(ctx, nil, db, models...)
}

// DiagnoseFor is [Diagnose] for a server, by whose settings it looks at clients. Without
// one it takes the defaults.
func DiagnoseFor(ctx context.Context, srv *server.Server, db *gorm.DB, models ...any) server.Findings {
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
		x.unseen("the database", fmt.Errorf("%w: hand over the handle of a pool", err))
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
	within queryer // a transaction in which everything is asked; nil for conn
	models []*examinedModel
	// server is nil where the doctor was not given one.
	server *server.Server
	// privateUse are the server's private-use schemes without a dot, nil for the usual.
	privateUse []string
	findings   server.Findings
}

// engine is what differs from one database to another.
type engine interface {
	// settings finds what is wrong with the settings.
	settings(x *examination)
	// replica is true where nothing can be written; it is empty where there are no
	// replicas.
	replica() string
	// tables reads the catalog, and returns the models' tables that there are by
	// their names.
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

// examineDatabase holds one connection for all that it asks, since there may be no
// other.
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

func (x *examination) find(finding server.Finding) { x.findings = append(x.findings, finding) }

// found reports whether something was found by the check.
func (x *examination) found(check string) bool {
	return len(x.findings.Without(check)) != len(x.findings)
}

// unseen says what could not be looked at.
func (x *examination) unseen(where string, err error) {
	said := slices.ContainsFunc(x.findings, func(f server.Finding) bool { return f.Check == "unseen" && f.Where == where })
	if said {
		return
	}
	x.find(server.Finding{
		Check: "unseen", Severity: server.Hint, Where: where, Problem: "could not be looked at: " + strings.Join(strings.Fields(err.Error()), " "),
		Remedy: "let the role read it, or run the doctor as one that may",
	})
}

// ask runs a statement that reads, and has each row read.
func (x *examination) ask(row func(scan func(into ...any) error) error, statement string, args ...any) error {
	if x.within != nil {
		return eachRow(x.ctx, x.within, row, statement, args...)
	}
	return x.askOn(x.conn, row, statement, args...)
}

// askOn is ask on another connection. On PostgreSQL it is a transaction that may
// only read, which stays on one connection of PgBouncer's, by a statement that
// nobody has prepared before. One that fails so does no harm to the next.
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

// askOne is ask for the one row that there is.
func (x *examination) askOne(into []any, statement string) error {
	found := false
	err := x.ask(func(scan func(...any) error) error { found = true; return scan(into...) }, statement)
	if err == nil && !found {
		return errors.New("nothing was answered")
	}
	return err
}

// quote returns the name of a table or column as the engine writes it.
func (x *examination) quote(name string) string { return (&gorm.Statement{DB: x.db}).Quote(name) }
