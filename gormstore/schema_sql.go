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

// SchemaSQL returns the statements that make the tables of the models in an empty database,
// with their indexes, as [AutoMigrate] does: for golang-migrate, goose or atlas. Each ends
// with a semicolon and a line break. The handle says the engine and how tables are named; no
// statement is run.
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

// recorder is a connection that notes statements in the place of running them.
type recorder struct{ statements []string }

// errRecording is for what a recorder has no answer for.
var errRecording = errors.New("gormstore: only statements without an answer can be noted")

// ExecContext notes a statement.
func (r *recorder) ExecContext(_ context.Context, statement string, _ ...any) (sql.Result, error) {
	r.statements = append(r.statements, statement)
	return recordedResult{}, nil
}

// PrepareContext refuses.
func (*recorder) PrepareContext(context.Context, string) (*sql.Stmt, error) {
	return nil, errRecording
}

// QueryContext refuses.
func (*recorder) QueryContext(context.Context, string, ...any) (*sql.Rows, error) {
	return nil, errRecording
}

// QueryRowContext returns nothing.
func (*recorder) QueryRowContext(context.Context, string, ...any) *sql.Row { return new(sql.Row) }

type recordedResult struct{}

// LastInsertId returns 0.
func (recordedResult) LastInsertId() (int64, error) { return 0, nil }

// RowsAffected returns 0.
func (recordedResult) RowsAffected() (int64, error) { return 0, nil }

// recorded returns the statements that f would run on a handle.
func recorded(db *gorm.DB, f func(tx *gorm.DB) error) ([]string, error) {
	r := new(recorder)
	tx := db.Session(&gorm.Session{NewDB: true, SkipDefaultTransaction: true})
	tx.Statement.ConnPool = r
	tx.Statement.SkipHooks = true
	err := f(tx)
	return r.statements, err
}

// roomForChanges is how full PostgreSQL fills the pages of a table whose rows are changed: the
// rest is for their next versions, which need no new entry in any index then.
const roomForChanges = 85

// storeFor has an engine store new tables as suits their rows.
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

// storage returns the statements by which PostgreSQL stores a table as suits its rows: with room
// for changes, and with indexes that find by equality alone what nobody asks for in another way,
// which are less than half as large.
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
		if len(index.Fields) != 1 || index.Class != "" || index.Where != "" || index.Type != "" || index.Fields[0].Expression != "" {
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

// byEquality returns the columns whose rows are found by equality alone, each with the
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

// described has the model describe its table, and reports whether it does.
func (t *Table) described() bool {
	described, ok := reflect.New(t.schema.ModelType).Interface().(Described)
	return ok && t.describe(described) == nil
}

// CompactSQL returns the statements by which tables of PostgreSQL that an older release or
// GORM made are stored as [AutoMigrate] stores new ones: with a fillfactor of 85, and with hash
// indexes on grant ids and refresh tokens, which are less than half as large. Run them one by
// one, not in a transaction: each index is made while others read and write, and until it is
// there the old one is used. It is empty for other engines.
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
