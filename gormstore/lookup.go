package gormstore

import (
	"context"
	"reflect"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// lookup is a statement that finds a row by a key.
type lookup struct {
	columns []string // of its conditions, each of which is "column = value"
	query   string   // empty if GORM has to find the row
	args    []any    // a placeholder for each value, and what the handle's own conditions have
	scan    scans
}

// lookup returns the statement that finds a row by the conditions; nil if GORM has to find
// it.
func (t *Table) lookup(conditions []clause.Expression) *lookup {
	for _, e := range conditions {
		if c, ok := e.(clause.Eq); !ok || !isBindable(c.Value) {
			return nil
		}
	}
	processor := t.db.Callback().Query()
	all, plain := t.direct.lookups.of(t.db, processor)
	if !plain {
		return nil
	}
	i := slices.IndexFunc(all, func(l *lookup) bool { return l.finds(conditions) })
	if i < 0 {
		added, ok := t.direct.lookups.add(t.db, processor, t.plainToFind, func() *lookup { return t.newLookup(conditions) })
		if !ok {
			return nil
		}
		all, i = []*lookup{added}, 0
	}
	if all[i].query == "" {
		return nil
	}
	return all[i]
}

// plainToFind reports whether nothing of the program's takes part when a row is found.
func (t *Table) plainToFind() bool {
	return t.plain() && !t.schema.AfterFind && !slices.ContainsFunc(t.schema.QueryClauses, func(c clause.Interface) bool {
		_, ok := c.(gorm.SoftDeleteQueryClause)
		return !ok
	})
}

func (l *lookup) finds(conditions []clause.Expression) bool {
	return slices.EqualFunc(l.columns, conditions, func(name string, e clause.Expression) bool { return name == columnName(e) })
}

func columnName(e clause.Expression) string {
	name, _ := e.(clause.Eq).Column.(clause.Column)
	return name.Name
}

// newLookup has GORM build the statement.
func (t *Table) newLookup(conditions []clause.Expression) *lookup {
	own := make([]clause.Expression, len(conditions))
	l := &lookup{columns: make([]string, len(conditions)), scan: scans{schema: t.schema}}
	for i, e := range conditions {
		l.columns[i] = columnName(e)
		own[i] = clause.Eq{Column: e.(clause.Eq).Column, Value: placeholder(i)}
	}
	built := where(t.db.Session(&gorm.Session{DryRun: true, Logger: logger.Discard}), own...).Limit(1).Find(t.newRow())
	var found []placeholder
	for _, arg := range built.Statement.Vars {
		if p, ok := arg.(placeholder); ok {
			found = append(found, p)
		}
	}
	slices.Sort(found)
	if built.Error == nil && len(slices.Compact(found)) == len(conditions) {
		l.query, l.args = built.Statement.SQL.String(), built.Statement.Vars
	}
	return l
}

// find loads the row that matches the conditions, and reports whether there is one.
func (l *lookup) find(ctx context.Context, t *Table, into any, conditions []clause.Expression) (found bool, err error) {
	args := slices.Clone(l.args)
	for i, arg := range args {
		if p, ok := arg.(placeholder); ok {
			args[i] = conditions[p].(clause.Eq).Value
		}
	}
	row := reflect.ValueOf(into).Elem()
	s := sent{t.db, t.db.Logger, t.connPool(ctx), l.query, args}
	rows, err := s.row(ctx, &l.scan, row)
	if err != nil || rows == 0 {
		return false, err
	}
	return t.holds(ctx, row, conditions...), nil
}
