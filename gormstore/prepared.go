package gormstore

import (
	"context"
	"database/sql"
	"runtime"
	"strings"
	"sync"
	"time"
	"weak"

	"gorm.io/gorm"
)

// The drivers of SQLite and MySQL prepare a statement each time it is sent. The library
// sends the same statements over and over, so this file prepares them once per connection
// and keeps them. The driver of PostgreSQL does that itself where it may, which it may not
// behind a pooler such as PgBouncer.

const (
	// keptStatements is the maximum number of statements kept for a pool.
	keptStatements = 200
	// keptArguments is the maximum number of arguments of a kept statement. A statement with
	// more is about a page of rows, and is rarely sent again with the same number.
	keptArguments = 100
	// preparing is how long to wait for a free connection after a transaction, to prepare
	// its new statements for the next time.
	preparing = 20 * time.Millisecond
)

// prepared is a connection pool that keeps prepared statements, as a gorm.ConnPool.
type prepared struct {
	*sql.DB

	kept *kept
}

// kept are the prepared statements of a pool.
type kept struct {
	mu         sync.RWMutex
	statements map[string]*sql.Stmt
}

// keeping returns the handle on a pool that keeps prepared statements. It returns the handle
// unchanged if the driver keeps them itself, or if there is something between the handle and
// the driver.
func keeping(db *gorm.DB) *gorm.DB {
	pool, ok := db.Statement.ConnPool.(*sql.DB)
	if !ok || db.Name() == "postgres" || db.Plugins["gorm:db_resolver"] != nil {
		return db
	}
	db = db.Session(&gorm.Session{Context: db.Statement.Context}) // with a statement of its own
	db.Statement.ConnPool = relativesOf(pool).prepared(pool)
	return db
}

// prepared returns the pool that keeps the statements, of which there is one for all tables. It
// and its statements live as long as the tables that use it: statements refer to their pool,
// which would otherwise never be freed.
func (r *relatives) prepared(pool *sql.DB) *prepared {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.keeps.Value(); p != nil {
		return p
	}
	p := &prepared{DB: pool, kept: &kept{statements: make(map[string]*sql.Stmt)}}
	runtime.AddCleanup(p, func(kept *kept) { go kept.close() }, p.kept)
	r.keeps = weak.Make(p)
	return p
}

func (k *kept) close() {
	for _, stmt := range k.statements { // nothing else refers to them any more
		if stmt != nil {
			_ = stmt.Close()
		}
	}
}

// of returns the kept statement for a query. If there is none, may reports whether it may
// be kept.
func (k *kept) of(query string, args int) (known *sql.Stmt, may bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if stmt, has := k.statements[query]; has { // nil while another call prepares it
		return stmt, false
	}
	word, _, _ := strings.Cut(query, " ")
	switch word {
	case "SELECT", "INSERT", "UPDATE", "DELETE":
		// A hook of the program may send several statements at once, of which only the first would be
		// prepared.
		return nil, args <= keptArguments && len(k.statements) < keptStatements && !strings.Contains(query, ";")
	}
	return nil, false
}

// claim reports whether the caller is the one to prepare a statement.
func (k *kept) claim(query string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, has := k.statements[query]; has || len(k.statements) >= keptStatements {
		return false
	}
	k.statements[query] = nil
	return true
}

// settle ends a claim with the prepared statement; nil if there is none.
func (k *kept) settle(query string, stmt *sql.Stmt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.statements[query] = stmt; stmt == nil {
		delete(k.statements, query)
	}
}

// keep prepares a statement. It returns nil if another call is preparing it, or if preparing
// fails: sending the query then returns the error.
func (p *prepared) keep(ctx context.Context, query string) *sql.Stmt {
	if !p.kept.claim(query) {
		return nil
	}
	stmt, err := p.DB.PrepareContext(ctx, query)
	if err != nil {
		stmt = nil
	}
	p.kept.settle(query, stmt)
	return stmt
}

func (p *prepared) statement(ctx context.Context, query string, args int) *sql.Stmt {
	stmt, may := p.kept.of(query, args)
	if stmt == nil && may {
		stmt = p.keep(ctx, query)
	}
	return stmt
}

// ExecContext sends a statement.
func (p *prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if stmt := p.statement(ctx, query, len(args)); stmt != nil {
		return stmt.ExecContext(ctx, args...)
	}
	return p.DB.ExecContext(ctx, query, args...)
}

// QueryContext sends a query.
func (p *prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := p.statement(ctx, query, len(args)); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return p.DB.QueryContext(ctx, query, args...)
}

// QueryRowContext sends a query for one row.
func (p *prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if stmt := p.statement(ctx, query, len(args)); stmt != nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	return p.DB.QueryRowContext(ctx, query, args...)
}

// BeginTx begins a transaction that uses the statements of the pool.
func (p *prepared) BeginTx(ctx context.Context, options *sql.TxOptions) (gorm.ConnPool, error) {
	tx, err := p.DB.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	return &preparedTx{Tx: tx, pool: p}, nil
}

// GetDBConn returns the pool.
func (p *prepared) GetDBConn() (*sql.DB, error) { return p.DB, nil }

// preparedTx is a transaction on a pool that keeps statements. New statements are prepared
// after the transaction, because that needs a connection of the pool, which may not have a
// second one.
type preparedTx struct {
	*sql.Tx

	pool   *prepared
	missed []string
}

func (t *preparedTx) statement(ctx context.Context, query string, args int) *sql.Stmt {
	stmt, may := t.pool.kept.of(query, args)
	switch {
	case stmt != nil:
		return t.Tx.StmtContext(ctx, stmt)
	case may:
		t.missed = append(t.missed, query)
	}
	return nil
}

// ExecContext sends a statement.
func (t *preparedTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if stmt := t.statement(ctx, query, len(args)); stmt != nil {
		return stmt.ExecContext(ctx, args...)
	}
	return t.Tx.ExecContext(ctx, query, args...)
}

// QueryContext sends a query.
func (t *preparedTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := t.statement(ctx, query, len(args)); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return t.Tx.QueryContext(ctx, query, args...)
}

// QueryRowContext sends a query for one row.
func (t *preparedTx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if stmt := t.statement(ctx, query, len(args)); stmt != nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	return t.Tx.QueryRowContext(ctx, query, args...)
}

// Commit commits, and then prepares the statements that were not kept yet.
func (t *preparedTx) Commit() error {
	err := t.Tx.Commit()
	if err != nil || len(t.missed) == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), preparing)
	defer cancel()
	for _, query := range t.missed {
		t.pool.keep(ctx, query)
	}
	return nil
}

// GetDBConn returns the pool.
func (t *preparedTx) GetDBConn() (*sql.DB, error) { return t.pool.DB, nil }
