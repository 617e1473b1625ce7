package gormstore

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"gorm.io/gorm/schema"

	"github.com/gormoauth/gormoauth/models"
)

// columns are the names of a mixin's columns in one model, by the name of the
// mixin's field.
type columns map[string]string

// mixinColumns finds the columns of a mixin in the model, or says what keeps
// the model from having them.
func (s *store) mixinColumns(mixin any) (columns, error) {
	mixinType := reflect.TypeOf(mixin)
	name := "models." + mixinType.Name()
	if embedsPointer(s.schema.ModelType, mixinType) {
		return nil, s.fault("embeds *%s; write %s, without the star", name, name)
	}
	found := make(columns, mixinType.NumField())
	for i := range mixinType.NumField() {
		field := mixinType.Field(i).Name
		own := s.mixinField(mixinType.Name(), field)
		if own == nil {
			return nil, s.fault("has no columns of %s; embed it by value, as a line that reads %s, in the model or in an exported struct that the model embeds", name, name)
		}
		if other := s.schema.FieldsByDBName[own.DBName]; other != own {
			return nil, s.fault("declares a field %s that hides the column %q of %s; rename the field, or remove it and use the mixin's", other.Name, own.DBName, name)
		}
		if want := columnOf(mixinType.Field(i)); own.DBName != want {
			return nil, s.fault("has the column %q of %s as %q; remove embeddedPrefix from the tag of %s, or the column's own tag", want, name, own.DBName, name)
		}
		found[field] = own.DBName
	}
	return found, nil
}

// columnOf returns the name that a mixin's field gives to its column.
func columnOf(field reflect.StructField) string {
	return schema.ParseTagSetting(field.Tag.Get("gorm"), ";")["COLUMN"]
}

// mixinField returns the field of the schema that stems from the mixin.
func (s *store) mixinField(mixin, field string) *schema.Field {
	for _, f := range s.schema.Fields {
		if n := len(f.BindNames); n >= 2 && f.BindNames[n-1] == field && f.BindNames[n-2] == mixin && f.DBName != "" {
			return f
		}
	}
	return nil
}

// embedsPointer reports whether a struct embeds a pointer to the mixin, at any
// depth. GORM would create its columns and never fill them.
func embedsPointer(t, mixin reflect.Type) bool {
	return slices.ContainsFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool {
		return f.Anonymous && f.Type == reflect.PointerTo(mixin)
	})
}

// mixins are all that a model may embed. Of some the rows belong to a user.
var mixins = []struct {
	mixin   any
	granted bool
}{
	{models.ClientMixin{}, false}, {models.TokenMixin{}, true}, {models.AuthorizationCodeMixin{}, true}, {models.DeviceCodeMixin{}, true},
	{models.ConsentMixin{}, true}, {models.SessionMixin{}, true}, {models.LogoutMixin{}, false}, {models.PushedRequestMixin{}, false},
	{models.SigningKeyMixin{}, false}, {models.ReplayMixin{}, false}, {models.AuditMixin{}, true},
}

// examine returns the columns of each mixin that the model embeds, by the mixin's name,
// and what the constructors would refuse.
func (s *store) examine() (map[string]columns, error) {
	found := make(map[string]columns)
	var faults []error
	for _, kind := range mixins {
		mixin := reflect.TypeOf(kind.mixin)
		if !embeds(s.schema.ModelType, mixin) {
			continue
		}
		names, err := s.mixinColumns(kind.mixin)
		if err == nil {
			found[mixin.Name()] = names
		}
		faults = append(faults, err)
		if kind.granted {
			s.userID, err = s.userIDColumn()
			faults = append(faults, err)
		}
	}
	return found, errors.Join(faults...)
}

// embeds reports whether a struct embeds the mixin, by value or not, so that GORM
// sees it or not.
func embeds(t, mixin reflect.Type) bool {
	return slices.ContainsFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool {
		return f.Anonymous && (f.Type == mixin || f.Type == reflect.PointerTo(mixin))
	})
}

func (s *store) fault(format string, args ...any) error {
	return fmt.Errorf("gormstore: model %s "+format, append([]any{s.name}, args...)...)
}
