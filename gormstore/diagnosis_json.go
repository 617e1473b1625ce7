package gormstore

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/server"
)

// examinedJSONRows is how many rows of a table are looked at for JSON that is not to be
// read: those that come first in the order of a digest, which are any.
const examinedJSONRows = 1000

// examineStoredJSON finds rows with JSON that is none, or that two readers could read in
// two ways: they are older than the rule by which it is read, or came from somewhere else.
func (x *examination) examineStoredJSON(m *examinedModel, t *catalogTable) {
	about, names, primary := m.table.about, m.table.columns, m.table.schema.PrioritizedPrimaryField
	order := names[about.Key]
	if primary == nil || order == "" || !t.hasColumns([]string{primary.DBName, order}) {
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
	x.find(server.Finding{
		Check: "stored_json", Severity: server.Warning, Where: "table " + m.table.schema.Table, Problem: "has JSON that cannot be read, or in two ways, " + found.String(),
		Consequence: "authorization details and claims that are so stand for nothing, and a token or a code is refused where it does not say who acts with it, or to which key it is bound",
		Remedy:      "correct those columns, or revoke the grants and the consents and have the users asked again",
	})
}

// faultsIn returns what is wrong with the texts of a row, by their columns.
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
