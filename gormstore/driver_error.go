package gormstore

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"

	"gorm.io/gorm"
)

// What a database's error means is told by its code. Since the library imports
// no driver, an error is known by its methods where it has some that tell the
// code, and by its fields where it has none.

// isCollision reports whether a database refused a step that may well succeed
// later, for the sake of others or for want of room, and has undone it.
func isCollision(err error) bool {
	var unsent interface{ SafeToRetry() bool } // pgx, on a connection that had been lost before
	if errors.As(err, &unsent) && unsent.SafeToRetry() {
		return true
	}
	switch state := stateOf(err); {
	case state == "40001", state == "40P01", // serialization failure, deadlock
		strings.HasPrefix(state, "53"),                                   // no disk, memory or connection left
		state == "0A000" && strings.Contains(err.Error(), "cached plan"): // a table has got a column since
		return true
	}
	switch sqliteCode(err) & 0xff { // the rest of an extended code says why
	case 5, 6, 13, 15: // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_FULL, SQLITE_PROTOCOL
		return true
	}
	switch mysqlErrorOf(err).number { // beside 1213, whose state is 40001
	case 1205, // lock wait timeout
		1020,       // record has changed since last read, MariaDB
		3101,       // rolled back during COMMIT, Group Replication
		3572,       // NOWAIT
		1021, 1114, // no disk left
		1040, 1203, // no connection left
		8002, 8005, 8022, 9007: // write conflicts, TiDB
		return true
	}
	return false
}

// isLost reports whether the connection was lost: what it was asked for may or
// may not have happened.
func isLost(err error) bool {
	switch state := stateOf(err); {
	// Connection exception. That of Galera, 1047, says that the node takes no
	// statements, and leaves the transaction of a COMMIT open: the next one on
	// its connection commits it.
	case strings.HasPrefix(state, "08"),
		state == "40003",                // statement completion unknown
		strings.HasPrefix(state, "57P"): // shut down, crashed, or starting
		return true
	}
	if sqliteCode(err)&0xff == 10 { // SQLITE_IOERR
		return true
	}
	switch mysqlErrorOf(err).number {
	case 1180, // error during COMMIT; on Galera, the other nodes may have it
		1317, 1927, 3169, // the statement or the connection was killed, as by a shutdown
		2006, 2013: // a proxy has lost its server
		return true
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isInvalidConn(err)
}

// isDuplicate reports whether a row has a key that another has.
func isDuplicate(err error) bool {
	const sqliteUnique, sqlitePrimaryKey = 2067, 1555 // any other constraint is the program's own
	code := sqliteCode(err)
	return code == sqliteUnique || code == sqlitePrimaryKey || errors.Is(err, gorm.ErrDuplicatedKey) || stateOf(err) == "23505" || mysqlErrorOf(err).number == 1062
}

// alreadyExists reports whether MySQL refused to create what is there already:
// a table, a column, an index or a foreign key.
func alreadyExists(err error) bool {
	switch e := mysqlErrorOf(err); e.number {
	case 1050, 1060, 1061, 1826:
		return true
	case 1005: // a table, because of a foreign key
		return strings.Contains(e.message, "errno: 121")
	}
	return false
}

// stateOf returns the SQLSTATE of an error, empty when it has none.
func stateOf(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	return mysqlErrorOf(err).state
}

// sqliteCode returns the extended result code of an error of SQLite: that of
// modernc.org/sqlite has a method, that of github.com/mattn/go-sqlite3 is
//
//	struct { Code, ExtendedCode int; … }
func sqliteCode(err error) int {
	var code interface{ Code() int }
	if errors.As(err, &code) {
		return code.Code()
	}
	for e := range chain(err) {
		v := structOf(e, "Error")
		if code := field(v, "ExtendedCode"); code.CanInt() && field(v, "Code").CanInt() {
			return int(code.Int())
		}
	}
	return 0
}

// mysqlError is what an error of github.com/go-sql-driver/mysql tells, which is a
// pointer to
//
//	struct { Number uint16; SQLState [5]byte; Message string }
type mysqlError struct {
	number  uint64 // 0: it is no such error
	state   string
	message string
}

func mysqlErrorOf(err error) mysqlError {
	for e := range chain(err) {
		v := structOf(e, "MySQLError")
		number, state, message := field(v, "Number"), field(v, "SQLState"), field(v, "Message")
		if number.CanUint() && state.Kind() == reflect.Array && message.Kind() == reflect.String {
			return mysqlError{number.Uint(), fmt.Sprintf("%s", state), message.String()}
		}
	}
	return mysqlError{}
}

// isInvalidConn knows ErrInvalidConn of github.com/go-sql-driver/mysql, which is
// a plain error with nothing but its text. The driver returns it where it
// cannot say, as driver.ErrBadConn would, that the server did nothing.
func isInvalidConn(err error) bool {
	for e := range chain(err) {
		if e.Error() == "invalid connection" {
			return true
		}
	}
	return false
}

// chain yields an error and those that it wraps, depth first.
func chain(err error) func(yield func(error) bool) {
	return func(yield func(error) bool) { walk(err, yield) }
}

func walk(err error, yield func(error) bool) bool {
	if err == nil {
		return true
	}
	if !yield(err) {
		return false
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range several.Unwrap() {
			if !walk(e, yield) {
				return false
			}
		}
	}
	return walk(errors.Unwrap(err), yield)
}

// structOf returns the struct that an error is, or points to, if its type has
// the name.
func structOf(err error, name string) reflect.Value {
	v := reflect.ValueOf(err)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() == reflect.Struct && v.Type().Name() == name {
		return v
	}
	return reflect.Value{}
}

// field returns a field of a struct; of none, it has no kind.
func field(v reflect.Value, name string) reflect.Value {
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return v.FieldByName(name)
}
