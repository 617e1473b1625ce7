package gormstore

import (
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// insertIf makes the INSERT of a row depend on an UPDATE that changes a row, as a single
// data-modifying statement of PostgreSQL:
//
//	WITH spent AS (UPDATE … RETURNING 1) INSERT INTO … (…) SELECT … FROM spent
//
// It is as atomic as a transaction of the two statements, with one round trip instead of
// four.
type insertIf struct{ update *gorm.Statement }

// Name returns the name of the clause, which GORM requires.
func (insertIf) Name() string { return "INSERT" }

// MergeClause does nothing: see ModifyStatement.
func (insertIf) MergeClause(*clause.Clause) {}

// ModifyStatement wraps the clauses that GORM builds for the row.
func (i insertIf) ModifyStatement(stmt *gorm.Statement) {
	insert := stmt.Clauses["INSERT"]
	insert.BeforeExpression = i
	stmt.Clauses["INSERT"] = insert

	values := stmt.Clauses["VALUES"]
	values.Builder = selectFromSpent
	stmt.Clauses["VALUES"] = values
}

// Build writes the UPDATE, which comes first so that its parameters keep their numbers.
func (i insertIf) Build(builder clause.Builder) {
	stmt := builder.(*gorm.Statement)
	stmt.Vars = append(stmt.Vars, i.update.Vars...)
	_, _ = stmt.WriteString("WITH spent AS (" + i.update.SQL.String() + " RETURNING 1)")
}

// selectFromSpent writes the row as a SELECT.
func selectFromSpent(c clause.Clause, builder clause.Builder) {
	values := c.Expression.(clause.Values)
	_ = builder.WriteByte('(')
	for i, column := range values.Columns {
		if i > 0 {
			_ = builder.WriteByte(',')
		}
		builder.WriteQuoted(column)
	}
	_, _ = builder.WriteString(") SELECT ")
	builder.AddVar(builder, values.Values[0]...)
	_, _ = builder.WriteString(" FROM spent")
}
