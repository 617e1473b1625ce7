package gormstore

import (
	"context"
	"reflect"
	"slices"
	"time"

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

// insertion returns the statement that inserts a row; nil if GORM has to insert it. plain
// returns the handle with which GORM would do it.
func (x *tx) insertion(row reflect.Value, plain func() *gorm.DB) *insertion {
	t, processor := x.table, x.db.Callback().Create()
	known, ok := t.direct.insertions.of(x.db, processor)
	if !ok || row.Type() != t.schema.ModelType || t.hasDefault(row) {
		return nil
	}
	if len(known) == 0 {
		added, ok := t.direct.insertions.add(x.db, processor, t.plainToInsert, func() *insertion { return t.newInsertion(plain()) })
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
	_, setsTimes := t.db.Get("gorm:update_track_time") // also those that are not zero
	return !setsTimes && t.plain() && !t.hooksOnCreate() && len(t.schema.CreateClauses) == 0 && !slices.ContainsFunc(t.schema.Fields, func(field *schema.Field) bool {
		return field.DBName != "" && !isOneArgument(field)
	})
}

// isOneArgument reports whether each value of a field is one argument of a statement. A
// single row does not show it: a field behind a pointer that is nil is one argument,
// whatever its type.
func isOneArgument(field *schema.Field) bool {
	if field.Serializer != nil {
		return true
	}
	for of := field.FieldType; ; of = of.Elem() {
		switch {
		case of.Implements(reflect.TypeFor[gorm.Valuer]()), of.Implements(reflect.TypeFor[clause.Expression]()):
			return false
		case of.Implements(valuer), of == reflect.TypeFor[time.Time](), of == reflect.TypeFor[[]byte]():
			return true
		case of.Kind() != reflect.Pointer:
			return of.Kind() == reflect.String || reflect.Bool <= of.Kind() && of.Kind() <= reflect.Float64
		}
	}
}

// newInsertion has GORM build the statement, for a row that is zero, so that it sets nothing in
// one of the program's.
func (t *Table) newInsertion(db *gorm.DB) *insertion {
	i, row, now := &insertion{scan: scans{schema: t.schema}}, reflect.ValueOf(t.newRow()).Elem(), db.NowFunc()
	db = db.Session(&gorm.Session{DryRun: true, Logger: logger.Discard, NowFunc: func() time.Time { return now }})
	built := db.Create(row.Addr().Interface())
	values, _ := built.Statement.Clauses["VALUES"].Expression.(clause.Values)
	for _, column := range values.Columns {
		i.fields = append(i.fields, t.schema.FieldsByDBName[column.Name])
	}
	_, returns := built.Statement.Clauses["RETURNING"]
	row.SetZero() // as it was
	args, err := i.args(db, row)
	if returns && built.Error == nil && err == nil && reflect.DeepEqual(args, built.Statement.Vars) {
		i.query = built.Statement.SQL.String()
	}
	return i
}

// args returns the values of a row, and sets those that GORM sets if they are zero: a default
// of the model, and the time, which is the same in all columns.
func (i *insertion) args(db *gorm.DB, row reflect.Value) (args []any, err error) {
	ctx, now := db.Statement.Context, db.NowFunc()
	args = make([]any, len(i.fields))
	for n, field := range i.fields {
		value, isZero := field.ValueOf(ctx, row)
		switch {
		case !isZero:
		case field.DefaultValueInterface != nil:
			value, err = field.DefaultValueInterface, field.Set(ctx, row, field.DefaultValueInterface)
		case field.AutoCreateTime > 0 || field.AutoUpdateTime > 0:
			err = field.Set(ctx, row, now)
			value, _ = field.ValueOf(ctx, row)
		}
		if err != nil {
			return nil, err
		}
		args[n] = value
	}
	return args, nil
}
