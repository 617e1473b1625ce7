package gormstore

import (
	"context"
	"reflect"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"
)

// insertion is a statement that inserts a row, and returns what the database fills in, such
// as the primary key.
type insertion struct {
	fields []*schema.Field // of its arguments
	query  string          // empty if GORM has to insert the row
	scan   scans
}

// insertion returns the statement that inserts a row; nil if GORM has to insert it. plain is the handle
// with which GORM would do it.
func (x *tx) insertion(row reflect.Value, plain func() *gorm.DB) *insertion {
	t, processor := x.table, x.db.Callback().Create()
	known, ok := t.direct.insertions.of(processor)
	if !ok || row.Type() != t.schema.ModelType || t.hasDefault(row) {
		return nil
	}
	if len(known) == 0 {
		added, ok := t.direct.insertions.add(processor, t.plainToInsert, func() *insertion { return t.newInsertion(plain(), row) })
		if !ok {
			return nil
		}
		known = []*insertion{added}
	}
	if known[0].query == "" {
		return nil
	}
	return known[0]
}

// hasDefault reports whether a row has a value of its own in a column that the database
// would fill in. That column is part of the statement then.
func (t *Table) hasDefault(row reflect.Value) bool {
	return slices.ContainsFunc(t.schema.FieldsWithDefaultDBValue, func(field *schema.Field) bool {
		_, isZero := field.ValueOf(context.Background(), row)
		return !isZero
	})
}

// plainToInsert reports whether nothing of the program's takes part when a row is inserted.
func (t *Table) plainToInsert() bool {
	return t.plain() && !t.hooksOnCreate() && len(t.schema.CreateClauses) == 0
}

// newInsertion has GORM build the statement for a row. GORM has to insert all rows if the
// arguments are not the values of the fields, as for a type that is stored by an expression.
func (t *Table) newInsertion(db *gorm.DB, row reflect.Value) *insertion {
	i := &insertion{scan: scans{schema: t.schema}}
	built := db.Session(&gorm.Session{DryRun: true, Logger: logger.Discard}).Create(row.Addr().Interface())
	values, _ := built.Statement.Clauses["VALUES"].Expression.(clause.Values)
	for _, column := range values.Columns {
		i.fields = append(i.fields, t.schema.FieldsByDBName[column.Name])
	}
	_, returns := built.Statement.Clauses["RETURNING"]
	args, err := i.args(db, row)
	if returns && built.Error == nil && err == nil && reflect.DeepEqual(args, built.Statement.Vars) {
		i.query = built.Statement.SQL.String()
	}
	return i
}

// args returns the values of a row, and sets those that GORM sets if they are zero.
func (i *insertion) args(db *gorm.DB, row reflect.Value) (args []any, err error) {
	ctx := db.Statement.Context
	args = make([]any, len(i.fields))
	for n, field := range i.fields {
		value, isZero := field.ValueOf(ctx, row)
		switch {
		case !isZero:
		case field.DefaultValueInterface != nil:
			value, err = field.DefaultValueInterface, field.Set(ctx, row, field.DefaultValueInterface)
		case field.AutoCreateTime > 0 || field.AutoUpdateTime > 0:
			err = field.Set(ctx, row, db.NowFunc())
			value, _ = field.ValueOf(ctx, row)
		}
		if err != nil {
			return nil, err
		}
		args[n] = value
	}
	return args, nil
}

// insert inserts a row in the step's transaction.
func (i *insertion) insert(x *tx, row reflect.Value) (rows int64, err error) {
	args, err := i.args(x.db, row)
	if err != nil {
		return 0, err
	}
	s := sent{x.db, duplicatesLogger{x.db.Logger}, x.db.Statement.ConnPool, i.query, args}
	return s.row(x.db.Statement.Context, &i.scan, row)
}
