package gormstore

import (
	"fmt"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/server/finding"
)

// longPast is how long after their expiry rows are reported as not pruned.
const longPast = 30 * 24 * time.Hour

// examinePruning finds rows that expired long ago, with one statement for all tables.
func (x *examination) examinePruning(tables map[string]*catalogTable) {
	var parts, names []string
	for _, m := range x.models {
		condition := x.longPast(m, tables[m.table.schema.Table])
		if condition == "" {
			continue
		}
		parts = append(parts, fmt.Sprintf("SELECT %d, COUNT(*) FROM (SELECT 1 FROM %s WHERE %s LIMIT %d) t", len(parts), x.quote(m.table.schema.Table), condition, countedRows))
		names = append(names, m.table.schema.Table)
	}
	if len(parts) == 0 {
		return
	}
	err := x.ask(func(scan func(...any) error) error {
		var i int
		var rows int64
		if err := scan(&i, &rows); err != nil {
			return err
		}
		if rows > 0 {
			x.findUnpruned(names[i], rows)
		}
		return nil
	}, strings.Join(parts, " UNION ALL "))
	if err != nil {
		x.unseen("expired rows", err)
	}
}

// longPast returns the condition for a model's rows that expired long ago. It is empty if
// the model's rows do not expire, or its table lacks the columns.
func (x *examination) longPast(m *examinedModel, t *catalogTable) string {
	about, names := m.table.about, m.table.columns
	endsAt := names[about.ExpiresAt]
	if t == nil || !t.hasColumns([]string{endsAt}) {
		return ""
	}
	since := time.Now().Add(-longPast)
	if about.GrantID != "" && about.SpentAt != "" { // Prune keeps spent rows for a while
		since = since.Add(-defaultKeepSpent)
	}
	condition := fmt.Sprintf("%s > 0 AND %[1]s < %d", x.quote(endsAt), since.Unix()) // 0 means never
	var zero []string
	if about.KeptAt != "" {
		zero = append(zero, names[about.KeptAt])
	}
	if !t.hasColumns(zero) {
		return ""
	}
	for _, column := range zero {
		condition += " AND " + x.quote(column) + " = 0"
	}
	return condition
}

func (x *examination) findUnpruned(table string, rows int64) {
	count := fmt.Sprint(rows)
	if rows == countedRows {
		count += " or more"
	}
	x.find(finding.Finding{
		Check: "pruning", Severity: finding.Warning, Where: "table " + table, Problem: "has rows that expired more than 30 days ago, " + count + " of them",
		Consequence: "the table grows without limit",
		Remedy:      "prune := gormoauth.CreatePruneFunc[Token, AuthorizationCode](db, …), with the stores of all models; prune(ctx, gormstore.PruneOptions{}) once a day",
	})
}
