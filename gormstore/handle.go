package gormstore

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// engines are the supported databases, by the names of GORM's dialectors. MariaDB is
// "mysql".
var engines = []string{"sqlite", "postgres", "mysql"}

// handle returns the program's handle with a statement of its own, so that later
// conditions do not become part of it. The handle's conditions, scopes, settings and
// plugins are kept. The error says everything that prevents a store from using the
// handle.
func handle(db *gorm.DB) (*gorm.DB, error) {
	if db == nil || db.Config == nil || db.Dialector == nil || db.Statement == nil {
		return nil, errors.New("gormstore: the *gorm.DB is nil or not open; pass what gorm.Open returned")
	}
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("gormstore: the *gorm.DB "+format, args...))
	}
	if !slices.Contains(engines, db.Name()) {
		fault("uses the dialector %q, which is not supported; use one of %s (MariaDB is mysql)", db.Name(), strings.Join(engines, ", "))
	}
	if db.Error != nil {
		fault("has an error; check db.Error first: %w", db.Error)
	}
	if db.DryRun {
		fault("has DryRun set, so it stores nothing; remove DryRun from gorm.Config")
	}
	if db.ClauseBuilders["WHERE"] != nil {
		fault("has its own ClauseBuilder for WHERE, so its conditions and those of a store cannot be kept apart; remove it from gorm.Config")
	}
	if parts := foreignParts(db.Statement); len(parts) > 0 {
		fault("has %s, which would become part of every statement; pass a handle that has only conditions, such as db.Where(\"disabled = ?\", false)", strings.Join(parts, " and "))
	}
	if saysNothing(db) {
		fault("has an empty condition: a struct or map without values selects every row; write the condition as SQL, such as db.Where(\"disabled = ?\", false)")
	}
	own := db.Session(&gorm.Session{}).Clauses()
	own.Statement.Model = nil
	return own.Session(&gorm.Session{}), errors.Join(faults...)
}

// foreignParts returns the parts of a handle's statement that do not select rows.
func foreignParts(stmt *gorm.Statement) (parts []string) {
	if stmt.Dest != nil {
		return []string{"the result of a statement (Find, Create, …)"} // and everything that it was made of
	}
	if stmt.SQL.Len() > 0 {
		parts = append(parts, "a statement (Raw)")
	}
	if len(stmt.Selects)+len(stmt.Omits) > 0 || stmt.Distinct || stmt.ColumnMapping != nil {
		parts = append(parts, "columns (Select, Omit, Distinct, MapColumns)")
	}
	for _, name := range slices.Sorted(maps.Keys(stmt.Clauses)) {
		if name == "WHERE" || name == "FROM" || stmt.Clauses[name].Expression == nil { // hints have none
			continue
		}
		if slices.Contains([]string{"SELECT", "GROUP BY", "ORDER BY", "LIMIT", "FOR", "ON CONFLICT", "RETURNING", "SET", "VALUES"}, name) {
			parts = append(parts, "a clause "+name)
		}
	}
	return parts
}

// saysNothing reports whether a handle was made by Where, Not or Or with something that
// compiles to no condition: it is a new handle, but does not differ from the original.
func saysNothing(db *gorm.DB) bool {
	stmt := db.Statement
	if isChained := db.Clauses() == db; !isChained {
		return false
	}
	if pool := reflect.ValueOf(stmt.ConnPool); !pool.Comparable() || stmt.ConnPool != db.ConnPool { // a handle of a transaction, or of a single connection
		return false
	}
	settings := 0
	stmt.Settings.Range(func(any, any) bool { settings++; return true })
	return settings == 0 && !differs(reflect.ValueOf(stmt).Elem())
}

// differs reports whether anything is set in a statement that is not set in every
// statement, except in the fields of these names.
func differs(stmt reflect.Value, except ...string) bool {
	inEvery := []string{"DB", "ConnPool", "Context", "Settings"}
	for i := range stmt.NumField() {
		value := stmt.Field(i)
		switch {
		case slices.Contains(inEvery, stmt.Type().Field(i).Name), slices.Contains(except, stmt.Type().Field(i).Name), value.IsZero():
		case value.Kind() == reflect.Map || value.Kind() == reflect.Slice:
			if value.Len() > 0 {
				return true
			}
		default:
			return true
		}
	}
	return false
}

// restrict adds a condition to the handle.
func (t *Table) restrict(condition any, args ...any) error {
	restricted := t.db.Where(condition, args...)
	switch {
	case restricted.Error != nil:
		return t.fault("was given a condition that GORM refuses; correct it: %w", restricted.Error)
	case expressions(restricted) == expressions(t.db):
		return t.fault("was given an empty condition: a struct or map without values selects every row; write the condition as SQL, such as \"disabled = ?\", false")
	}
	*t = *t.with(restricted.Session(&gorm.Session{}))
	return nil
}

// expressions counts the conditions of a handle.
func expressions(db *gorm.DB) int {
	where, _ := db.Statement.Clauses["WHERE"].Expression.(clause.Where)
	return len(where.Exprs)
}

// needsPlainTable refuses a handle with which rows can be read but not changed.
func (t *Table) needsPlainTable() error {
	stmt := t.db.Statement
	from, _ := stmt.Clauses["FROM"].Expression.(clause.From)
	switch {
	case len(stmt.Joins)+len(from.Joins) > 0:
		return t.fault("cannot use a handle with Joins, which an UPDATE does not support; write the condition as a subquery, such as db.Where(\"user_id IN (?)\", db.Model(&User{}).Select(\"id\"))")
	case stmt.TableExpr != nil:
		return t.fault("cannot use a handle with Table; give the model a method TableName")
	}
	return nil
}

// unconditional returns a handle for the same transaction and request without the
// conditions of the program's handle.
func unconditional(db *gorm.DB) *gorm.DB {
	// Clauses gives it a statement of its own: otherwise the next Session would have the
	// conditions again.
	plain := db.Session(&gorm.Session{NewDB: true}).Clauses()
	db.Statement.Settings.Range(func(name, value any) bool {
		plain.Statement.Settings.Store(name, value)
		return true
	})
	return plain.Session(&gorm.Session{})
}
