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
		described, ok := model.(Described)
		if !ok || described.DescribeTable().SpentAt == "" && !embeds(t.schema.ModelType, reflect.TypeFor[models.TokenMixin]()) {
			continue
		}
		if err := tx.Exec(fmt.Sprintf("ALTER TABLE %s SET (fillfactor = %d)", tx.Statement.Quote(t.schema.Table), roomForChanges)).Error; err != nil {
			return err
		}
	}
	return nil
}
