package gormstore

import (
	"context"
	"database/sql/driver"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm/schema"

	"github.com/gormoauth/gormoauth/server"
)

// examinedModel is a model of the program's that GORM can read.
type examinedModel struct {
	store   *store
	columns map[string]columns // by the name of the mixin that it embeds
}

// examineModels finds what the constructors would refuse, of all models at once.
func (x *examination) examineModels(all []any) {
	for _, model := range all {
		s, err := parse(x.db, model)
		if err != nil {
			x.refused("model", "the models:", err)
			continue
		}
		columns, err := s.examine()
		x.refused("model", "the models:", err)
		x.models = append(x.models, &examinedModel{s, columns})
	}
	x.examineUserIndexes()
}

// examineUserIndexes finds the models in which the stores of consents and of
// sessions could not find a user's rows.
func (x *examination) examineUserIndexes() {
	needed := make(map[string]bool)
	for _, m := range x.models {
		if m.is("ConsentMixin") {
			needed["ConsentMixin"], needed["TokenMixin"], needed["AuthorizationCodeMixin"] = true, true, true
		}
		needed["SessionMixin"] = needed["SessionMixin"] || m.is("SessionMixin")
	}
	for _, m := range x.models {
		if m.store.userID == nil || !slices.ContainsFunc(m.mixins(), func(name string) bool { return needed[name] }) {
			continue
		}
		x.refused("model", "the models:", m.store.needsUserIndex())
	}
}

// refused says what a constructor returns as an error.
func (x *examination) refused(check, where string, err error) {
	if err == nil {
		return
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		line, remedy, _ := strings.Cut(strings.TrimPrefix(line, "gormstore: "), "; ")
		x.find(server.Finding{
			Check: check, Severity: server.Grave, Where: where, Problem: line,
			Consequence: "the constructors refuse it", Remedy: remedy,
		})
	}
}

func (m *examinedModel) is(mixin string) bool { return m.columns[mixin] != nil }

func (m *examinedModel) mixins() (names []string) {
	for name := range m.columns {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ofMixin returns the names of a mixin and of its field that a field of the model
// stems from, nothing for one of the program's own.
func (m *examinedModel) ofMixin(field *schema.Field) (mixin, name string) {
	for _, mixin := range m.mixins() {
		if m.columns[mixin][field.Name] == field.DBName {
			return mixin, field.Name
		}
	}
	return "", ""
}

// withoutUser reports whether rows of the model may belong to nobody: tokens of a
// client's own, and devices on which nobody has decided.
func (m *examinedModel) withoutUser() bool { return m.is("TokenMixin") || m.is("DeviceCodeMixin") }

// zeroIsNull reports whether the zero value of a field is NULL in the database.
func zeroIsNull(field *schema.Field) bool {
	row := reflect.New(field.Schema.ModelType).Elem()
	value, _ := field.ValueOf(context.Background(), row)
	written, err := driver.DefaultParameterConverter.ConvertValue(value)
	return err == nil && written == nil
}
