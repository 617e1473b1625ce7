package gormstore

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/server/finding"
)

// examinedJSONRows is how many rows of a table are examined for invalid JSON: the first
// in the order of a digest, which makes them a random sample.
const examinedJSONRows = 1000

// examineStoredJSON finds rows with invalid or ambiguous JSON: they are older than the
// strict rules, or were not written by this module.
func (x *examination) examineStoredJSON(m *examinedModel, t *catalogTable) {
	about, names, primary := m.table.about, m.table.columns, m.table.schema.PrioritizedPrimaryField
	order := names[about.Key]
	if primary == nil || !t.hasColumns([]string{primary.DBName, order}) {
		return
	}
	var columns []string
	var faultsOf []func(string) error
	take := func(fields []string, fault func(string) error) {
		for _, field := range fields {
			if column := names[field]; column != "" && t.hasColumns([]string{column}) { // of a table that is not migrated yet
				columns, faultsOf = append(columns, column), append(faultsOf, fault)
			}
		}
	}
	take(about.JSONLists, strictjson.ListFault)
	take(about.JSONObjects, strictjson.ObjectFault)
	if len(columns) == 0 {
		return
	}
	selected := x.quote(primary.DBName)
	for _, column := range columns {
		selected += ", COALESCE(" + x.quote(column) + ", '')"
	}
	var found rowFaults
	err := x.ask(func(scan func(...any) error) error {
		var id string
		texts := make([]string, len(columns))
		into := []any{&id}
		for i := range texts {
			into = append(into, &texts[i])
		}
		if err := scan(into...); err != nil {
			return err
		}
		found.add(primary.DBName+" "+strconv.Quote(id), faultsIn(columns, texts, faultsOf)...)
		return nil
	}, fmt.Sprintf("SELECT %s FROM %s ORDER BY %s LIMIT %d", selected, x.quote(m.table.schema.Table), x.quote(order), examinedJSONRows))
	if err != nil {
		x.unseen("the JSON of rows", err)
		return
	}
	if found.rows == 0 {
		return
	}
	x.find(finding.Finding{
		Check: "stored_json", Severity: finding.Warning, Where: "table " + m.table.schema.Table, Problem: "has invalid or ambiguous JSON, " + found.String(),
		Consequence: "such authorization details and claims grant nothing, and a token or code is refused if its actor or the key that it is bound to cannot be read",
		Remedy:      "correct those columns, or revoke the grants and consents so that the users are asked again",
	})
}

// faultsIn returns what is wrong with the values of a row, each with the name of its
// column.
func faultsIn(columns, texts []string, faultsOf []func(string) error) (faults []string) {
	for i, text := range texts {
		if text == "" {
			continue
		}
		if fault := faultsOf[i](text); fault != nil {
			faults = append(faults, columns[i]+" "+strings.TrimPrefix(fault.Error(), "json: "))
		}
	}
	return faults
}
