package gormstore

import (
	"context"
	"reflect"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// conditions are what a store asks for, all of them. The program's handle may demand
// more: conditions, scopes, soft deletion, and what plugins and hooks add when the
// statement is built. Whatever that is, and however it is joined, it is put in
// brackets:
//
//	WHERE (disabled = false OR vip = true) AND id = 7
//
// GORM itself would write
//
//	WHERE disabled = false OR vip = true AND id = 7
//
// for db.Where(…).Or(…), and for a condition with a line break before its OR. That is
// true of any user who is not disabled.
type conditions []clause.Expression

// where returns a handle for one statement about the rows that the conditions name,
// as far as the program's handle has them.
func where(db *gorm.DB, own ...clause.Expression) *gorm.DB { return db.Clauses(conditions(own)) }

// Name returns that of the clause.
func (conditions) Name() string { return "WHERE" }

// MergeClause adds the conditions to a statement, which they have built by buildWhere.
func (c conditions) MergeClause(into *clause.Clause) {
	clause.Where{Exprs: []clause.Expression{c}}.MergeClause(into)
	into.Builder = buildWhere
}

// Build writes the conditions where something else than buildWhere writes the clause.
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
	if only, ok := all[0].(conditions); ok && len(all) == 1 { // as almost always
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

// separate returns the conditions among the expressions, and all others, each in
// brackets of its own. Soft deletion puts what it finds into one AND.
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

// bracketed returns an expression that means the same whatever it is joined with.
func bracketed(expression clause.Expression) clause.Expression {
	switch e := expression.(type) {
	case clause.AndConditions:
		return clause.AndConditions{Exprs: eachBracketed(e.Exprs)}
	case clause.OrConditions:
		return clause.OrConditions{Exprs: eachBracketed(e.Exprs)}
	case clause.NotConditions:
		return clause.NotConditions{Exprs: eachBracketed(e.Exprs)}
	case clause.NegationExpressionBuilder: // a comparison, which NOT writes in its own way
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

// brackets is an expression in brackets.
type brackets struct{ clause.Expression }

// Build writes it.
func (b brackets) Build(builder clause.Builder) {
	_ = builder.WriteByte('(')
	b.Expression.Build(builder)
	_ = builder.WriteByte(')')
}

// holds reports whether a row is one that the conditions name: whether its columns
// have the values that were asked for. Databases answer with others, too: some
// collations take "Alice" for "alice".
func (t *Table) holds(ctx context.Context, row reflect.Value, own ...clause.Expression) bool {
	return !slices.ContainsFunc(own, func(e clause.Expression) bool {
		switch c := e.(type) {
		case clause.Eq:
			name, _ := c.Column.(clause.Column)
			field := t.schema.FieldsByDBName[name.Name]
			return field != nil && !isValue(field.ReflectValueOf(ctx, row), c.Value)
		case clause.AndConditions:
			return !t.holds(ctx, row, c.Exprs...)
		default: // which is not about whose row it is
			return false
		}
	})
}

// isValue reports whether a field has a value that it was compared with.
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
