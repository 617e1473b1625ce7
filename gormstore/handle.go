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

// engines are the databases that there are statements for, by the names of GORM's
// dialectors. MariaDB is "mysql".
var engines = []string{"sqlite", "postgres", "mysql"}

// handle returns the program's handle with a statement of its own, so that no later
// condition becomes a part of it, or everything that keeps a store from using it. The
// handle's conditions, scopes, settings and plugins stay.
func handle(db *gorm.DB) (*gorm.DB, error) {
	if db == nil || db.Config == nil || db.Dialector == nil || db.Statement == nil {
		return nil, errors.New("gormstore: the *gorm.DB is nil or not open; hand over what gorm.Open returned")
	}
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("gormstore: the *gorm.DB "+format, args...))
	}
	if !slices.Contains(engines, db.Name()) {
		fault("is of the engine %q, which is not supported; use one of %s (MariaDB is mysql)", db.Name(), strings.Join(engines, ", "))
	}
	if db.Error != nil {
		fault("has an error; check its Error first: %w", db.Error)
	}
	if db.DryRun {
		fault("is a dry run, which stores nothing; leave DryRun out of gorm.Config")
	}
	if db.ClauseBuilders["WHERE"] != nil {
		fault("writes WHERE by a ClauseBuilder of its own, so that its conditions and those of a store cannot be kept apart; leave it out of gorm.Config")
	}
	if parts := foreignParts(db.Statement); len(parts) > 0 {
		fault("has %s, which would become a part of every statement; hand over a handle with conditions alone, such as db.Where(\"disabled = ?\", false)", strings.Join(parts, " and "))
	}
	if saysNothing(db) {
		fault("has a condition that says nothing: a struct or a map without values selects every row; write it in words, such as db.Where(\"disabled = ?\", false)")
	}
	own := db.Session(&gorm.Session{}).Clauses()
	own.Statement.Model = nil
	return own.Session(&gorm.Session{}), errors.Join(faults...)
}

// foreignParts are what a handle says of more than which rows there are.
func foreignParts(stmt *gorm.Statement) (parts []string) {
	if stmt.Dest != nil {
		return []string{"the result of a statement (Find, Create, …)"} // and all that this was made of
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

// saysNothing reports whether a handle was made by Where, Not or Or of what compiles
// to no condition: it is a handle of its own, and nothing is different about it.
func saysNothing(db *gorm.DB) bool {
	stmt := db.Statement
	if isChained := db.Clauses() == db; !isChained {
		return false
	}
	if pool := reflect.ValueOf(stmt.ConnPool); !pool.Comparable() || stmt.ConnPool != db.ConnPool { // of a transaction, or a single connection
		return false
	}
	settings := 0
	stmt.Settings.Range(func(any, any) bool { settings++; return true })
	return settings == 0 && !differs(reflect.ValueOf(stmt).Elem())
}

// differs reports whether anything is set in a statement but what every statement has.
func differs(stmt reflect.Value) bool {
	everyOne := []string{"DB", "ConnPool", "Context", "Settings"}
	for i := range stmt.NumField() {
		value := stmt.Field(i)
		switch {
		case slices.Contains(everyOne, stmt.Type().Field(i).Name), value.IsZero():
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
		return t.fault("is given a condition that GORM refuses; look at it: %w", restricted.Error)
	case expressions(restricted) == expressions(t.db):
		return t.fault("is given a condition that says nothing: a struct or a map without values selects every row; write it in words, such as \"disabled = ?\", false")
	}
	t.db = restricted.Session(&gorm.Session{})
	return nil
}

// expressions counts the conditions of a handle.
func expressions(db *gorm.DB) int {
	where, _ := db.Statement.Clauses["WHERE"].Expression.(clause.Where)
	return len(where.Exprs)
}

// needsPlainTable refuses a handle by which rows can be read and not be changed.
func (t *Table) needsPlainTable() error {
	stmt := t.db.Statement
	from, _ := stmt.Clauses["FROM"].Expression.(clause.From)
	switch {
	case len(stmt.Joins)+len(from.Joins) > 0:
		return t.fault("is not for a handle with Joins, which no UPDATE has; write the condition as a subquery, such as db.Where(\"user_id IN (?)\", db.Model(&User{}).Select(\"id\"))")
	case stmt.TableExpr != nil:
		return t.fault("is not for a handle with Table; give the model a method TableName")
	}
	return nil
}

// unconditional is a handle for the same transaction and the same request, without the
// conditions of the program's handle.
func unconditional(db *gorm.DB) *gorm.DB {
	// With a statement of its own: a session of a new one would have the conditions again.
	plain := db.Session(&gorm.Session{NewDB: true}).Clauses()
	db.Statement.Settings.Range(func(name, value any) bool {
		plain.Statement.Settings.Store(name, value)
		return true
	})
	return plain.Session(&gorm.Session{})
}
