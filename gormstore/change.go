package gormstore

import (
	"context"
	"maps"
	"reflect"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"
)

// change is a statement that changes columns of rows.
type change struct {
	fields     []*schema.Field     // that it changes
	values     []any               // of them; a placeholder for a value that differs between calls
	conditions []clause.Expression // with a placeholder for a value that differs between calls
	keyed      bool                // it has the primary key as a further condition
	query      string              // empty if GORM has to change the rows
	args       []any               // placeholders, the key, and constants
}

// key is the place of the primary key among the arguments of a change.
type key struct{}

// change returns the statement for a change; nil if GORM has to make it. The keys of values
// are names of columns.
func (x *tx) change(row reflect.Value, values map[string]any, conditions []clause.Expression) *change {
	t, processor := x.table, x.db.Callback().Update()
	known, ok := t.direct.changes.of(x.db, processor)
	if !ok || row.Type() != t.schema.ModelType || !isKind(values, conditions) {
		return nil
	}
	keyed := t.hasKey(row)
	i := slices.IndexFunc(known, func(c *change) bool { return c.keyed == keyed && c.makes(values, conditions) })
	if i < 0 {
		added, ok := t.direct.changes.add(x.db, processor, t.plainToChange, func() *change { return t.newChange(row, values, conditions) })
		if !ok {
			return nil
		}
		known, i = []*change{added}, 0
	}
	if known[i].query == "" {
		return nil
	}
	return known[i]
}

// isKind reports whether a change can be made again with other values. One with an
// expression that has values of its own cannot.
func isKind(values map[string]any, conditions []clause.Expression) bool {
	for _, value := range values {
		if !isOfCall(value) && !isOfColumns(value) {
			return false
		}
	}
	return !slices.ContainsFunc(conditions, func(e clause.Expression) bool {
		eq, ok := e.(clause.Eq)
		return !(ok && isOfCall(eq.Value)) && !isFixed(e)
	})
}

// isOfCall reports whether a value is an argument of the statement. A text may be nil.
func isOfCall(value any) bool {
	_, isText := value.(*string)
	return isText || isBindable(value)
}

// isOfColumns reports whether a value is an expression of columns alone, such as a counter
// that is incremented.
func isOfColumns(value any) bool {
	e, ok := value.(clause.Expr)
	return ok && !slices.ContainsFunc(e.Vars, func(v any) bool {
		_, ok := v.(clause.Column)
		return !ok
	})
}

// isFixed reports whether a condition has no other values than 0 and NULL.
func isFixed(e clause.Expression) bool {
	areFixed := func(all []clause.Expression) bool {
		return !slices.ContainsFunc(all, func(e clause.Expression) bool { return !isFixed(e) })
	}
	switch e := e.(type) {
	case clause.Eq:
		return e.Value == nil || e.Value == 0
	case clause.Neq:
		return e.Value == nil || e.Value == 0
	case clause.AndConditions:
		return areFixed(e.Exprs)
	case clause.OrConditions:
		return areFixed(e.Exprs)
	}
	return false
}

// plainToChange reports whether nothing of the program's takes part when rows are changed.
func (t *Table) plainToChange() bool {
	return t.plain() && !t.hooksOnUpdate() && len(t.schema.UpdateClauses) == 0 &&
		!slices.ContainsFunc(t.schema.Fields, func(field *schema.Field) bool { return field.AutoUpdateTime > 0 })
}

// hasKey reports whether a row has its primary key, as one that was read has.
func (t *Table) hasKey(row reflect.Value) bool {
	return slices.ContainsFunc(t.schema.PrimaryFields, func(field *schema.Field) bool {
		_, isZero := field.ValueOf(context.Background(), row)
		return !isZero
	})
}

// makes reports whether a statement makes such a change.
func (c *change) makes(values map[string]any, conditions []clause.Expression) bool {
	if len(values) != len(c.fields) {
		return false
	}
	for i, field := range c.fields {
		value, has := values[field.DBName]
		if !has || !isLike(c.values[i], value) {
			return false
		}
	}
	return slices.EqualFunc(c.conditions, conditions, func(known, e clause.Expression) bool {
		own, ok := known.(clause.Eq)
		other, is := e.(clause.Eq)
		if ok && is {
			return own.Column == other.Column && isLike(own.Value, other.Value)
		}
		return reflect.DeepEqual(known, e)
	})
}

// isLike reports whether a value can be at the place of a known one: either both are of a
// call, or both are the same expression.
func isLike(known, value any) bool {
	if _, ok := known.(placeholder); ok {
		return isOfCall(value)
	}
	return reflect.DeepEqual(known, value)
}

// newChange has GORM build the statement.
func (t *Table) newChange(row reflect.Value, values map[string]any, conditions []clause.Expression) *change {
	c := &change{keyed: t.hasKey(row)}
	number := 0
	standIn := func(value any) any {
		if !isOfCall(value) {
			return value
		}
		number++
		return placeholder(number - 1)
	}
	columns := make(map[string]any, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		columns[name] = standIn(values[name])
		c.fields, c.values = append(c.fields, t.schema.FieldsByDBName[name]), append(c.values, columns[name])
	}
	for _, e := range conditions {
		if eq, ok := e.(clause.Eq); ok {
			eq.Value = standIn(eq.Value)
			e = eq
		}
		c.conditions = append(c.conditions, e)
	}
	if c.keyed && len(t.schema.PrimaryFields) != 1 {
		return c
	}
	// GORM sets the placeholders in the model, also behind a pointer: it shares none with the row.
	model, own := reflect.New(t.schema.ModelType), any(nil)
	if c.keyed {
		own, _ = t.keyOf(row)
		if t.schema.PrimaryFields[0].Set(context.Background(), model.Elem(), own) != nil {
			return c
		}
	}
	built := where(t.db.Session(&gorm.Session{DryRun: true, SkipDefaultTransaction: true, Logger: logger.Discard}).Model(model.Interface()), c.conditions...).
		Omit(clause.Associations).Updates(columns)
	found, keys := make(map[any]bool), 0
	for _, arg := range built.Statement.Vars {
		if _, ok := arg.(placeholder); ok {
			found[arg] = true
		} else if c.keyed && reflect.DeepEqual(arg, own) {
			arg = key{}
			keys++
		}
		c.args = append(c.args, arg)
	}
	if built.Error == nil && len(found) == number && (keys == 1) == c.keyed && keys < 2 {
		c.query = built.Statement.SQL.String()
	}
	return c
}

// keyOf returns the primary key of a row that has one.
func (t *Table) keyOf(row reflect.Value) (value any, isZero bool) {
	return t.schema.PrimaryFields[0].ValueOf(context.Background(), row)
}

// send sends the statement, and sets the values in the row, as GORM does.
func (c *change) send(x *tx, row reflect.Value, values map[string]any, conditions []clause.Expression) (rows int64, err error) {
	ctx, given := x.db.Statement.Context, make([]any, 0, len(c.args))
	for i, field := range c.fields {
		if _, ok := c.values[i].(placeholder); ok {
			given = append(given, values[field.DBName])
		}
	}
	for i, e := range c.conditions {
		eq, ok := e.(clause.Eq)
		if _, is := eq.Value.(placeholder); ok && is {
			given = append(given, conditions[i].(clause.Eq).Value)
		}
	}
	args := make([]any, len(c.args))
	for i, arg := range c.args {
		switch arg := arg.(type) {
		case placeholder:
			args[i] = given[arg]
		case key:
			args[i], _ = x.table.keyOf(row)
		default:
			args[i] = arg
		}
	}
	for _, field := range c.fields {
		_ = field.Set(ctx, row, values[field.DBName]) // an expression cannot be set
	}
	s := sent{x.db, x.db.Logger, x.db.Statement.ConnPool, c.query, args}
	return s.exec(ctx)
}
