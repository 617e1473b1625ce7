package gormstore

import (
	"context"
	"database/sql/driver"
	"reflect"
	"strings"

	"gorm.io/gorm/schema"

	"github.com/gormoauth/gormoauth/server/finding"
)

// examinedModel is a model of the program that GORM can parse.
type examinedModel struct {
	table *Table
	mixin string // the name of the mixin that it embeds; empty if it embeds none
}

// examineModels finds everything that the constructors would refuse about the models.
func (x *examination) examineModels(all []any) {
	for _, model := range all {
		t, err := parse(x.db, model)
		if err != nil {
			x.refused("model", "the models:", err)
			continue
		}
		x.refused("model", "the models:", t.examine())
		m := &examinedModel{table: t}
		if mixin := t.mixin(); mixin != nil && t.columns != nil {
			m.mixin = mixin.Name()
		}
		x.models = append(x.models, m)
	}
	x.examineUserIndexes()
}

// examineUserIndexes finds models without the index on UserID that the stores of consents
// and sessions need.
func (x *examination) examineUserIndexes() {
	needed := make(map[string]bool)
	for _, m := range x.models {
		if m.is("ConsentMixin") {
			needed["ConsentMixin"], needed["TokenMixin"], needed["AuthorizationCodeMixin"] = true, true, true
		}
		needed["SessionMixin"] = needed["SessionMixin"] || m.is("SessionMixin")
	}
	for _, m := range x.models {
		if m.table.userID == nil || !needed[m.mixin] {
			continue
		}
		x.refused("model", "the models:", m.table.needsUserIndex())
	}
}

// refused reports an error that the constructors return.
func (x *examination) refused(check, where string, err error) {
	if err == nil {
		return
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		line, remedy, _ := strings.Cut(strings.TrimPrefix(line, "gormstore: "), "; ")
		x.find(finding.Finding{
			Check: check, Severity: finding.Grave, Where: where, Problem: line,
			Consequence: "the constructors refuse it", Remedy: remedy,
		})
	}
}

func (m *examinedModel) is(mixin string) bool { return m.mixin == mixin }

// column returns the name of a mixin's column; empty if the model embeds another mixin.
func (m *examinedModel) column(mixin, field string) string {
	if m.mixin != mixin {
		return ""
	}
	return m.table.columns[field]
}

// described returns the name of a field if it is the mixin's or in the model's own
// description of its table; otherwise empty.
func (m *examinedModel) described(field *schema.Field) string {
	if m.table.columns[field.Name] != field.DBName {
		return ""
	}
	return field.Name
}

// ofMixin returns the name of a field if it comes from the mixin; otherwise empty.
func (m *examinedModel) ofMixin(field *schema.Field) string {
	if m.mixin == "" {
		return ""
	}
	return m.described(field)
}

// withoutUser reports whether rows of the model may have no user: a client's own tokens,
// and undecided device authorizations.
func (m *examinedModel) withoutUser() bool { return m.is("TokenMixin") || m.is("DeviceCodeMixin") }

// zeroIsNull reports whether the zero value of a field is stored as NULL.
func zeroIsNull(field *schema.Field) bool {
	row := reflect.New(field.Schema.ModelType).Elem()
	value, _ := field.ValueOf(context.Background(), row)
	written, err := driver.DefaultParameterConverter.ConvertValue(value)
	return err == nil && written == nil
}
