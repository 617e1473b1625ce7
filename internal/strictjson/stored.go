package strictjson

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Stored reads an object that was stored before the strict rules existed, member by
// member. Members that break the rules, and all members with a duplicate name, are left
// out and reported in faults. The error is an [*Error] if the text is not an object at
// all.
func Stored(text []byte) (members map[string]stdjson.RawMessage, faults []*Error, err error) {
	if members, err = Object(text); err == nil {
		return members, nil, nil
	}
	decoder := jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if token, err := decoder.ReadToken(); err != nil || token.Kind() != '{' {
		return nil, nil, &Error{Reason: ErrType}
	}
	members = make(map[string]stdjson.RawMessage)
	var left []string
	leave := func(name string, path []string, reason error) {
		left = append(left, name)
		faults = append(faults, &Error{Path: append([]string{name}, path...), Reason: reason})
	}
	for decoder.PeekKind() == '"' {
		quoted, err := decoder.ReadValue()
		if err != nil {
			return nil, nil, &Error{Reason: ErrSyntax}
		}
		name, bad := nameOf(quoted)
		value, err := decoder.ReadValue()
		if err != nil {
			return nil, nil, &Error{Reason: ErrSyntax}
		}
		var fault *Error
		_, twice := members[name]
		switch {
		case bad != nil:
			leave(name, nil, ErrSyntax)
		case twice:
			leave(name, nil, ErrDuplicate)
		case errors.As(Check(value), &fault):
			leave(name, fault.Path, fault.Reason)
		default:
			members[name] = bytes.Clone(value)
		}
	}
	if !ends(decoder) {
		return nil, nil, &Error{Reason: ErrSyntax}
	}
	for _, name := range left {
		delete(members, name)
	}
	return members, faults, nil
}

// StoredList reads an array of objects that was stored before the strict rules existed,
// and returns it without the elements that break the rules. It returns an empty string if
// the text is not an array, or no element is left.
func StoredList(text string) string {
	if text == "" {
		return ""
	}
	switch objects, err := list(text); {
	case err == nil && len(objects) == 0:
		return ""
	case err == nil:
		return text
	}
	decoder := jsontext.NewDecoder(strings.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if token, err := decoder.ReadToken(); err != nil || token.Kind() != '[' {
		return ""
	}
	var good []stdjson.RawMessage
	for decoder.PeekKind() != ']' {
		element, err := decoder.ReadValue()
		if err != nil {
			return ""
		}
		if _, err := Object(element); err == nil && Check(slices.Concat([]byte("["), element, []byte("]"))) == nil {
			good = append(good, bytes.Clone(element))
		}
	}
	if len(good) == 0 || !ends(decoder) {
		return ""
	}
	cleared, err := stdjson.Marshal(good)
	if err != nil || Check(cleared) != nil { // the whole text is too long
		return ""
	}
	return string(cleared)
}

// list reads an array of objects.
func list(text string) (objects []map[string]stdjson.RawMessage, err error) {
	if err := Unmarshal([]byte(text), &objects); err != nil {
		return nil, err
	}
	isNull := func(members map[string]stdjson.RawMessage) bool { return members == nil }
	if objects == nil || slices.ContainsFunc(objects, isNull) {
		return nil, &Error{Reason: ErrType}
	}
	return objects, nil
}

// ListFault returns what is wrong with a stored array of objects, which [StoredList]
// leaves out; nil if nothing is.
func ListFault(text string) error {
	_, err := list(text)
	return err
}

// ObjectFault returns what is wrong with a stored object; nil if nothing is.
func ObjectFault(text string) error {
	_, err := Object([]byte(text))
	return err
}

// ends reports whether only the end of an object or array follows.
func ends(decoder *jsontext.Decoder) bool {
	if _, err := decoder.ReadToken(); err != nil {
		return false
	}
	_, err := decoder.ReadToken()
	return errors.Is(err, io.EOF)
}

// nameOf returns the name of a member, and an error if it is not valid UTF-8.
func nameOf(quoted []byte) (name string, err error) {
	unquoted, err := jsontext.AppendUnquote(nil, quoted)
	if err == nil && !utf8.Valid(quoted) {
		err = ErrSyntax
	}
	return strings.ToValidUTF8(string(unquoted), "\uFFFD"), err
}

// Resembles reports whether a name is not one of the names, but a case-insensitive
// reader, such as encoding/json, would take it for one.
func Resembles(name string, names []string) bool {
	return !slices.Contains(names, name) && slices.ContainsFunc(names, func(one string) bool { return strings.EqualFold(one, name) })
}
