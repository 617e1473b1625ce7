package gormstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gorm.io/gorm/schema"
)

// userIDField reads and writes a column with a user's id of any Go type as a string. An
// empty string means no user, and is stored as NULL or the zero value.
type userIDField struct {
	field  *schema.Field
	format func(reflect.Value) string
	parse  func(text string, into reflect.Value) error
}

// userIDColumn finds the model's UserID.
func (t *Table) userIDColumn() (*userIDField, error) {
	field := t.schema.FieldsByName["UserID"]
	if field == nil || field.DBName == "" {
		return nil, t.fault("has no field UserID; add UserID *uint, with the type of your users' ids in place of uint")
	}
	return t.textField(field)
}

func (t *Table) textField(field *schema.Field) (*userIDField, error) {
	f := &userIDField{field: field}
	if f.format, f.parse = textOf(field.FieldType); f.format == nil {
		return nil, t.fault("has a %s of type %s, which cannot be converted to a string; use an integer, a string, uuid.UUID or a type that implements encoding.TextMarshaler and TextUnmarshaler", field.Name, field.FieldType)
	}
	return f, nil
}

// get returns the id in a row.
func (f *userIDField) get(row any) string {
	value := f.field.ReflectValueOf(context.Background(), reflect.ValueOf(row).Elem())
	if value.IsZero() {
		return ""
	}
	return f.format(value)
}

// set puts an id into a row.
func (f *userIDField) set(row any, id string) error {
	value := f.field.ReflectValueOf(context.Background(), reflect.ValueOf(row).Elem())
	if id == "" {
		value.SetZero()
		return nil
	}
	if err := f.parse(id, value); err != nil {
		return fmt.Errorf("gormstore: %s.%s is a %s, which cannot hold the user id %q: %w",
			f.field.Schema.ModelType, f.field.Name, f.field.FieldType, id, err)
	}
	return nil
}

// sampleIDs has an id of each usual kind, the number first.
var sampleIDs = []string{"1", "6ba7b810-9dad-41d1-80b4-00c04fd430c8", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "alice"}

// samples returns the sample ids that a field can hold.
func (f *userIDField) samples() []string {
	return slices.DeleteFunc(slices.Clone(sampleIDs), func(id string) bool {
		return f.set(reflect.New(f.field.Schema.ModelType).Interface(), id) != nil
	})
}

// holdsIDsOf reports whether a field, such as a token's UserID, can hold the ids of
// users. A numeric field cannot, if the ids need not be numbers.
func (f *userIDField) holdsIDsOf(users *userIDField) bool {
	theirs, ours := users.samples(), f.samples()
	if len(theirs) == 0 { // ids of an unknown kind
		return true
	}
	if len(ours) == 1 && ours[0] == sampleIDs[0] {
		return slices.Equal(theirs, ours)
	}
	return slices.ContainsFunc(theirs, func(id string) bool { return slices.Contains(ours, id) })
}

// checkIDsOf refuses a model that cannot hold the ids of users.
func (t *Table) checkIDsOf(users *userIDField) error {
	if t.userID == nil || t.userID.holdsIDsOf(users) {
		return nil
	}
	written := strings.TrimPrefix(users.field.FieldType.String(), "*")
	if t.userID.field.FieldType.Kind() == reflect.Pointer {
		written = "*" + written
	}
	return t.fault("has a UserID of type %s, which cannot hold the ids of %s, whose %s is a %s; write UserID %s",
		t.userID.field.FieldType, users.field.Schema.ModelType, users.field.Name, users.field.FieldType, written)
}

var (
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	valuer          = reflect.TypeFor[driver.Valuer]()
	scanner         = reflect.TypeFor[sql.Scanner]()
)

// textOf returns functions that convert values of a type to a string and back; nil for a
// type that cannot be converted. GORM's Field.Set does not do, because it refuses a
// string for a *uint.
func textOf(t reflect.Type) (format func(reflect.Value) string, parse func(string, reflect.Value) error) {
	pointer := reflect.PointerTo(t)
	switch {
	case t.Kind() == reflect.Pointer:
		return textOfPointer(t)
	case t.Implements(textMarshaler) && pointer.Implements(textUnmarshaler):
		return formatText, parseText
	case t.Implements(valuer) && pointer.Implements(scanner):
		return formatValuer, parseScanner
	}
	switch t.Kind() {
	case reflect.String:
		return reflect.Value.String, func(s string, v reflect.Value) error { v.SetString(s); return nil }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(v reflect.Value) string { return strconv.FormatInt(v.Int(), 10) }, parseInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return func(v reflect.Value) string { return strconv.FormatUint(v.Uint(), 10) }, parseUint
	default:
		return nil, nil
	}
}

func textOfPointer(t reflect.Type) (format func(reflect.Value) string, parse func(string, reflect.Value) error) {
	formatElem, parseElem := textOf(t.Elem())
	if formatElem == nil {
		return nil, nil
	}
	format = func(v reflect.Value) string { return formatElem(v.Elem()) }
	parse = func(s string, v reflect.Value) error {
		elem := reflect.New(t.Elem())
		if err := parseElem(s, elem.Elem()); err != nil {
			return err
		}
		v.Set(elem)
		return nil
	}
	return format, parse
}

func formatText(v reflect.Value) string {
	text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return ""
	}
	return string(text)
}

func parseText(s string, v reflect.Value) error {
	return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s))
}

func formatValuer(v reflect.Value) string {
	switch value, _ := v.Interface().(driver.Valuer).Value(); value := value.(type) {
	case nil:
		return ""
	case []byte:
		return string(value)
	default:
		return fmt.Sprint(value)
	}
}

func parseScanner(s string, v reflect.Value) error { return v.Addr().Interface().(sql.Scanner).Scan(s) }

func parseInt(s string, v reflect.Value) error {
	n, err := strconv.ParseInt(s, 10, v.Type().Bits())
	v.SetInt(n)
	return err
}

func parseUint(s string, v reflect.Value) error {
	n, err := strconv.ParseUint(s, 10, v.Type().Bits())
	v.SetUint(n)
	return err
}
