package gormstore

import (
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// insertIf turns the INSERT of a row into one that happens only if an UPDATE
// changes a row, as one data-modifying statement of PostgreSQL:
//
//	WITH spent AS (UPDATE … RETURNING 1) INSERT INTO … (…) SELECT … FROM spent
//
// It is as atomic as a transaction of the two, in one round trip instead of
// four.
type insertIf struct{ update *gorm.Statement }

// Name is that of a clause, as GORM wants one.
func (insertIf) Name() string { return "INSERT" }

// MergeClause has nothing to merge: see ModifyStatement.
func (insertIf) MergeClause(*clause.Clause) {}

// ModifyStatement wraps the clauses that GORM builds of the row.
func (i insertIf) ModifyStatement(stmt *gorm.Statement) {
	insert := stmt.Clauses["INSERT"]
	insert.BeforeExpression = i
	stmt.Clauses["INSERT"] = insert

	values := stmt.Clauses["VALUES"]
	values.Builder = selectFromSpent
	stmt.Clauses["VALUES"] = values
}

// Build writes the UPDATE. It comes first, so that its parameters keep their
// numbers.
func (i insertIf) Build(builder clause.Builder) {
	stmt := builder.(*gorm.Statement)
	stmt.Vars = append(stmt.Vars, i.update.Vars...)
	_, _ = stmt.WriteString("WITH spent AS (" + i.update.SQL.String() + " RETURNING 1)")
}

// selectFromSpent writes a row as a SELECT.
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
