package gormstore

import (
	"errors"
	"reflect"
)

// isCgoBusy knows SQLITE_BUSY of github.com/mattn/go-sqlite3, whose error is a
// struct with an integer field Code and no method that tells it.
func isCgoBusy(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		v := reflect.ValueOf(err)
		if v.Kind() != reflect.Struct || v.Type().Name() != "Error" {
			continue
		}
		if code := v.FieldByName("Code"); code.IsValid() && code.CanInt() && v.FieldByName("ExtendedCode").IsValid() {
			return isBusy(int(code.Int()))
		}
	}
	return false
}
