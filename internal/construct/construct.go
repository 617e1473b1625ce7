// Package construct is what constructors have in common: they return everything that is
// wrong at once, each fault a single time, and refuse what is nil behind an interface.
package construct

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Join is [errors.Join] that names each fault a single time: several parts of a program
// may find the same one.
func Join(faults ...error) error {
	var all []error
	seen := make(map[string]bool)
	for _, fault := range apart(faults) {
		if text := fault.Error(); !seen[text] {
			seen[text] = true
			all = append(all, fault)
		}
	}
	return errors.Join(all...)
}

// apart returns the faults that were joined before, one by one.
func apart(faults []error) (all []error) {
	for _, fault := range faults {
		if fault == nil {
			continue
		}
		joined, ok := fault.(interface{ Unwrap() []error })
		if !ok || !isJoin(fault, joined.Unwrap()) {
			all = append(all, fault)
			continue
		}
		all = append(all, apart(joined.Unwrap())...)
	}
	return all
}

// isJoin reports whether an error says what the others say and nothing else.
func isJoin(fault error, others []error) bool {
	texts := make([]string, len(others))
	for i, other := range others {
		texts[i] = other.Error()
	}
	return fault.Error() == strings.Join(texts, "\n")
}

// Given refuses a value that is nil, or in which an exported field holds a nil pointer behind an
// interface. Such a field does not compare equal to nil, and fails when it is used: it is what a
// constructor returned together with an error that the program did not check.
func Given(value any) error {
	if IsNil(value) {
		return fmt.Errorf("a nil %T was given; look at the error of its constructor", value)
	}
	v := reflect.Indirect(reflect.ValueOf(value))
	if v.Kind() != reflect.Struct {
		return nil
	}
	var faults []error
	for i := range v.NumField() {
		field := v.Field(i)
		if name := v.Type().Field(i); name.IsExported() && field.Kind() == reflect.Interface && !field.IsNil() && IsNil(field.Interface()) {
			faults = append(faults, fmt.Errorf("%s.%s is a nil %T; look at the error of its constructor", v.Type(), name.Name, field.Interface()))
		}
	}
	return errors.Join(faults...)
}

// IsNil reports whether a value is nil, or a nil pointer or function.
func IsNil(value any) bool {
	switch v := reflect.ValueOf(value); v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func:
		return v.IsNil()
	default:
		return false
	}
}
