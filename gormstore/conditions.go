package gormstore

import (
	"context"
	"reflect"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// conditions are the conditions of a store's own statement, all of which have to hold.
// The program's handle may add more: conditions, scopes, soft deletion, and whatever
// plugins and hooks add when the statement is built. Everything that the handle adds is
// put in parentheses, however it is joined:
//
//	WHERE (disabled = false OR vip = true) AND id = 7
//
// GORM itself would write
//
//	WHERE disabled = false OR vip = true AND id = 7
//
// for db.Where(…).Or(…), and for a condition with a line break before its OR. That
// matches every user who is not disabled.
type conditions []clause.Expression

// where returns a handle for one statement about the rows that match the conditions and
// those of the program's handle.
func where(db *gorm.DB, own ...clause.Expression) *gorm.DB { return db.Clauses(conditions(own)) }

// Name returns the name of the clause.
func (conditions) Name() string { return "WHERE" }

// MergeClause adds the conditions to a statement and makes buildWhere write its WHERE
// clause.
func (c conditions) MergeClause(into *clause.Clause) {
	clause.Where{Exprs: []clause.Expression{c}}.MergeClause(into)
	into.Builder = buildWhere
}

// Build writes the conditions when something other than buildWhere writes the clause.
func (c conditions) Build(builder clause.Builder) {
	_ = builder.WriteByte('(')
	c.build(builder)
	_ = builder.WriteByte(')')
}

func (c conditions) build(builder clause.Builder) {
	clause.Where{Exprs: c}.Build(builder)
}

// buildWhere writes a WHERE clause that has conditions among its expressions.
func buildWhere(c clause.Clause, builder clause.Builder) {
	all := c.Expression.(clause.Where).Exprs
	_, _ = builder.WriteString("WHERE ")
	if only, ok := all[0].(conditions); ok && len(all) == 1 { // almost always the case
		only.build(builder)
		return
	}
	own, handles := separate(all)
	if len(handles) > 0 {
		_ = builder.WriteByte('(')
		clause.Where{Exprs: handles}.Build(builder)
		_, _ = builder.WriteString(") AND ")
	}
	own.build(builder)
}

// separate returns the conditions among the expressions, and all other expressions, each
// in its own parentheses. Soft deletion combines the existing expressions into one AND,
// which is taken apart here.
func separate(all []clause.Expression) (own conditions, handles []clause.Expression) {
	for _, expression := range all {
		switch e := expression.(type) {
		case conditions:
			own = append(own, e...)
		case clause.AndConditions:
			inner, rest := separate(e.Exprs)
			own = append(own, inner...)
			if len(rest) > 0 {
				handles = append(handles, clause.AndConditions{Exprs: rest})
			}
		default:
			handles = append(handles, bracketed(e))
		}
	}
	return own, handles
}

// bracketed returns an expression whose meaning does not depend on what it is joined
// with.
func bracketed(expression clause.Expression) clause.Expression {
	switch e := expression.(type) {
	case clause.AndConditions:
		return clause.AndConditions{Exprs: eachBracketed(e.Exprs)}
	case clause.OrConditions:
		return clause.OrConditions{Exprs: eachBracketed(e.Exprs)}
	case clause.NotConditions:
		return clause.NotConditions{Exprs: eachBracketed(e.Exprs)}
	case clause.NegationExpressionBuilder: // a comparison, which NOT writes in a special way
		return e.(clause.Expression)
	default:
		return brackets{e}
	}
}

func eachBracketed(expressions []clause.Expression) []clause.Expression {
	all := make([]clause.Expression, len(expressions))
	for i, e := range expressions {
		all[i] = bracketed(e)
	}
	return all
}

// brackets is an expression in parentheses.
type brackets struct{ clause.Expression }

// Build writes it.
func (b brackets) Build(builder clause.Builder) {
	_ = builder.WriteByte('(')
	b.Expression.Build(builder)
	_ = builder.WriteByte(')')
}

// holds reports whether the columns of a row have exactly the values in the conditions.
// Databases may return other rows as well: some collations take "Alice" for "alice".
func (t *Table) holds(ctx context.Context, row reflect.Value, own ...clause.Expression) bool {
	return !slices.ContainsFunc(own, func(e clause.Expression) bool {
		switch c := e.(type) {
		case clause.Eq:
			name, _ := c.Column.(clause.Column)
			field := t.schema.FieldsByDBName[name.Name]
			return field != nil && !isValue(field.ReflectValueOf(ctx, row), c.Value)
		case clause.AndConditions:
			return !t.holds(ctx, row, c.Exprs...)
		default: // a condition that does not say whose row it is
			return false
		}
	})
}

// isValue reports whether a field has the value that it was compared with.
func isValue(field reflect.Value, value any) bool {
	want := reflect.ValueOf(value)
	for field.Kind() == reflect.Pointer && !field.IsNil() {
		field = field.Elem()
	}
	for want.Kind() == reflect.Pointer && !want.IsNil() {
		want = want.Elem()
	}
	switch {
	case !want.IsValid() || want.Kind() == reflect.Pointer: // NULL
		return field.IsZero()
	case field.Kind() == reflect.Pointer:
		return false
	case field.Kind() == reflect.String && want.Kind() == reflect.String:
		return field.String() == want.String()
	case field.CanInt() && want.CanInt():
		return field.Int() == want.Int()
	case field.Type() != want.Type():
		return false
	}
	if format, _ := textOf(field.Type()); format != nil {
		return format(field) == format(want)
	}
	return reflect.DeepEqual(field.Interface(), want.Interface())
}
