package gormstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/models"
)

// SchemaSQL returns the statements that create the tables of the models and their indexes in
// an empty database, as [AutoMigrate] does, for golang-migrate, goose or atlas. Each ends
// with a semicolon and a line break. The handle determines the engine and the names of the
// tables; no statement is executed.
func SchemaSQL(db *gorm.DB, models ...any) (string, error) {
	db, err := handle(db)
	if err != nil {
		return "", err
	}
	if err := refused(db, models); err != nil {
		return "", err
	}
	statements, err := recorded(db, func(tx *gorm.DB) error { return createTables(tx, models) })
	if err != nil {
		return "", fmt.Errorf("gormstore: write the schema: %w", err)
	}
	var b strings.Builder
	for _, statement := range statements {
		b.WriteString(strings.TrimRight(statement, "; \n") + ";\n")
	}
	return b.String(), nil
}

// recorder is a connection that records statements instead of executing them.
type recorder struct{ statements []string }

// errRecording is returned for calls that need a result.
var errRecording = errors.New("gormstore: only statements without a result can be recorded")

// ExecContext records a statement.
func (r *recorder) ExecContext(_ context.Context, statement string, _ ...any) (sql.Result, error) {
	r.statements = append(r.statements, statement)
	return recordedResult{}, nil
}

// PrepareContext returns an error.
func (*recorder) PrepareContext(context.Context, string) (*sql.Stmt, error) {
	return nil, errRecording
}

// QueryContext returns an error.
func (*recorder) QueryContext(context.Context, string, ...any) (*sql.Rows, error) {
	return nil, errRecording
}

// QueryRowContext returns an empty row.
func (*recorder) QueryRowContext(context.Context, string, ...any) *sql.Row { return new(sql.Row) }

type recordedResult struct{}

// LastInsertId returns 0.
func (recordedResult) LastInsertId() (int64, error) { return 0, nil }

// RowsAffected returns 0.
func (recordedResult) RowsAffected() (int64, error) { return 0, nil }

// recorded returns the statements that f would execute on a handle.
func recorded(db *gorm.DB, f func(tx *gorm.DB) error) ([]string, error) {
	r := new(recorder)
	tx := db.Session(&gorm.Session{NewDB: true, SkipDefaultTransaction: true})
	tx.Statement.ConnPool = r
	tx.Statement.SkipHooks = true
	err := f(tx)
	return r.statements, err
}

// roomForChanges is the fillfactor, in percent, of PostgreSQL tables whose rows are updated:
// the remaining space is for new row versions, which then need no new index entries.
const roomForChanges = 85

// storeFor sets the storage parameters of new tables.
func storeFor(tx *gorm.DB, all []any) error {
	if tx.Name() != "postgres" {
		return nil
	}
	for _, model := range all {
		t, err := parse(tx, model)
		if err != nil {
			return err
		}
		for _, statement := range t.storage(func(name, definition string) []string {
			return []string{"DROP INDEX " + name, "CREATE INDEX " + definition}
		}) {
			if err := tx.Exec(statement).Error; err != nil {
				return err
			}
		}
	}
	return nil
}

// storage returns the statements that make PostgreSQL leave room for row updates, and use hash
// indexes, which are less than half as large, on columns that are only ever compared for
// equality.
func (t *Table) storage(replace func(name, definition string) []string) (statements []string) {
	if !t.described() {
		return nil
	}
	quote := func(name string) string { return (&gorm.Statement{DB: t.db}).Quote(name) }
	table := quote(t.schema.Table)
	isTokens := t.mixin() == reflect.TypeFor[models.TokenMixin]()
	if t.about.SpentAt != "" || isTokens {
		statements = append(statements, fmt.Sprintf("ALTER TABLE %s SET (fillfactor = %d)", table, roomForChanges))
	}
	where := t.byEquality()
	for _, index := range t.schema.ParseIndexes() {
		if len(index.Fields) != 1 || index.Class != "" || index.Type != "" || index.Fields[0].Expression != "" {
			continue
		}
		column := index.Fields[0].DBName
		condition, byEquality := where[column]
		if !byEquality {
			continue
		}
		place, _, has := strings.Cut(t.schema.Table, ".")
		name := index.Name
		if has {
			name = place + "." + name
		}
		statements = append(statements, replace(quote(name), fmt.Sprintf("%s ON %s USING hash (%s)%s", quote(index.Name), table, quote(column), condition))...)
	}
	return statements
}

// byEquality returns the columns that are only ever compared for equality, each with the
// condition of its index.
func (t *Table) byEquality() map[string]string {
	where := make(map[string]string)
	if !t.described() {
		return where
	}
	if t.about.GrantID != "" {
		where[t.column(t.about.GrantID)] = ""
	}
	if t.mixin() == reflect.TypeFor[models.TokenMixin]() {
		refreshToken := t.column("RefreshToken")
		where[refreshToken] = " WHERE " + (&gorm.Statement{DB: t.db}).Quote(refreshToken) + " IS NOT NULL"
	}
	return where
}

// described reports whether the model describes its table, and applies the description.
func (t *Table) described() bool {
	described, ok := reflect.New(t.schema.ModelType).Interface().(Described)
	return ok && t.describe(described) == nil
}

// CompactSQL returns the statements that give PostgreSQL tables that were created by an older
// release or by GORM the same storage as [AutoMigrate] gives new ones: a fillfactor of 85, and
// hash indexes on grant ids and refresh tokens, which are less than half as large. Run them one
// by one, not in a transaction: each index is created while others read and write, and the old
// one is used until the new one is ready. The result is empty for other engines.
func CompactSQL(db *gorm.DB, models ...any) (string, error) {
	db, err := handle(db)
	if err != nil {
		return "", err
	}
	if err := refused(db, models); err != nil || db.Name() != "postgres" {
		return "", err
	}
	var b strings.Builder
	for _, model := range models {
		t, err := parse(db, model)
		if err != nil {
			return "", err
		}
		for _, statement := range t.storage(func(name, definition string) []string {
			old := strings.TrimSuffix(name, `"`) + `_btree"`
			return []string{
				"ALTER INDEX " + name + " RENAME TO " + old[strings.LastIndex(old, ".")+1:],
				"CREATE INDEX CONCURRENTLY " + definition, "DROP INDEX CONCURRENTLY " + old,
			}
		}) {
			b.WriteString(statement + ";\n")
		}
	}
	return b.String(), nil
}
