package gormstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"

	"gorm.io/gorm"
)

// The code of a database error says what it means. The library imports no driver, so it
// gets the code from the error's methods, or from its fields if it has no such methods.

// class is what a database error means for trying again.
type class int

const (
	// otherError is any other error: trying again would fail in the same way.
	otherError class = iota
	// collision means that the database refused and rolled back the step because of other
	// transactions or a lack of resources: it may well succeed later.
	collision
	// lostConnection means that there was no answer: the statement may or may not have taken
	// effect.
	lostConnection
	// refusal means that the database gave up the step or does not accept it at present, and
	// would do the same again a moment later.
	refusal
)

// classOf returns the class of an error. A code from the database alone decides. Only an
// error without a code is checked for connection failures: a type that says whether it is a
// timeout, as an error of SQLite may, need not be a network error.
func classOf(err error) class {
	if err == nil {
		return otherError
	}
	mysql, state, sqlite := mysqlErrorOf(err), stateOf(err), sqliteCode(err)
	switch {
	case mysql.number != 0:
		if class := classOfMySQL(mysql.number); class != otherError {
			return class
		}
		return classOfState(state, err)
	case state != "":
		return classOfState(state, err)
	case sqlite != 0:
		return classOfSQLite(sqlite)
	case isUnsent(err):
		return collision
	case isOfConnection(err):
		return lostConnection
	}
	return otherError
}

func classOfState(state string, err error) class {
	switch state {
	case "40001", "40P01": // serialization failure, deadlock
		return collision
	case "40003": // statement completion unknown
		return lostConnection
	case "57014", // canceled, for example by statement_timeout
		"55P03", // lock not available, for example because of lock_timeout
		"25006", // the server is read-only
		"25P03": // the transaction was idle for too long
		return refusal
	}
	switch {
	case strings.HasPrefix(state, "53"), // out of disk, memory or connections
		state == "0A000" && strings.Contains(err.Error(), "cached plan"): // a column was added to the table
		return collision
	// Connection exception. Galera's 1047 means that the node accepts no statements. It
	// leaves the transaction of a COMMIT open, and the next transaction on that connection
	// commits it.
	case strings.HasPrefix(state, "08"),
		strings.HasPrefix(state, "57P"): // shut down, crashed, or starting
		return lostConnection
	}
	return otherError
}

func classOfSQLite(code int) class {
	switch code & 0xff { // the upper bits of an extended code say why
	case 5, 6, 13, 15: // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_FULL, SQLITE_PROTOCOL
		return collision
	case 9, 10: // SQLITE_INTERRUPT, which is a deadline, and SQLITE_IOERR
		return lostConnection
	}
	return otherError
}

func classOfMySQL(number uint64) class {
	switch number { // besides 1213, whose state is 40001
	case 1205, // lock wait timeout
		1020,       // record has changed since last read, MariaDB
		3101,       // rolled back during COMMIT, Group Replication
		3572,       // NOWAIT
		1021, 1114, // out of disk space
		1040, 1203, // out of connections
		8002, 8005, 8022, 9007: // write conflicts, TiDB
		return collision
	case 1180, // error during COMMIT; on Galera, the other nodes may have it
		1317, 1927, 3169, // the statement or the connection was killed, for example by a shutdown
		2006, 2013: // a proxy has lost its server
		return lostConnection
	case 1290, 1836, // the server is read-only
		1792,       // the transaction is read-only
		1969, 3024: // the statement took too long, MariaDB and MySQL
		return refusal
	}
	return otherError
}

// isUnsent reports whether nothing was sent, which pgx says when the connection had already
// been lost.
func isUnsent(err error) bool {
	var unsent interface{ SafeToRetry() bool }
	return errors.As(err, &unsent) && unsent.SafeToRetry()
}

// isOfConnection reports whether an error without a code is a connection failure: a
// network error, an exceeded deadline, or the driver's own error.
func isOfConnection(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isPlain(err) || isConnectError(err)
}

// isDuplicate reports whether a row was refused because another row has the same unique
// key.
func isDuplicate(err error) bool {
	const sqliteUnique, sqlitePrimaryKey = 2067, 1555 // any other constraint is the program's own
	code := sqliteCode(err)
	return code == sqliteUnique || code == sqlitePrimaryKey || errors.Is(err, gorm.ErrDuplicatedKey) || stateOf(err) == "23505" || mysqlErrorOf(err).number == 1062
}

// alreadyExists reports whether MySQL refused to create a table, a column, an index or a
// foreign key that already exists.
func alreadyExists(err error) bool {
	switch e := mysqlErrorOf(err); e.number {
	case 1050, 1060, 1061, 1826:
		return true
	case 1005: // a table, because of a foreign key
		return strings.Contains(e.message, "errno: 121")
	}
	return false
}

// stateOf returns the SQLSTATE of an error; empty if it has none.
func stateOf(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	return mysqlErrorOf(err).state
}

// sqliteCode returns the extended result code of a SQLite error; 0 for any other error.
// The error of modernc.org/sqlite has a method Code() int, and that of
// github.com/ncruces/go-sqlite3 a method ExtendedCode, which returns a type of its own.
// Those of github.com/mattn/go-sqlite3 and dqlite have no such method, and are
//
//	struct { Code, ExtendedCode int; … }
//	struct { Code int; Message string }
func sqliteCode(err error) int {
	for e := range chain(err) {
		if code, ok := e.(interface{ Code() int }); ok {
			return code.Code()
		}
		if code := extendedCode(e); code != 0 {
			return code
		}
		v := structOf(e, "Error")
		code, extended, message := field(v, "Code"), field(v, "ExtendedCode"), field(v, "Message")
		switch {
		case !code.CanInt():
		case extended.CanInt():
			return int(extended.Int())
		case v.NumField() == 2 && message.Kind() == reflect.String:
			return int(code.Int())
		}
	}
	return 0
}

// extendedCode calls the method ExtendedCode of an error; it returns 0 if there is none.
func extendedCode(err error) int {
	method := reflect.ValueOf(err).MethodByName("ExtendedCode")
	if !method.IsValid() || method.Type().NumIn() != 0 || method.Type().NumOut() != 1 {
		return 0
	}
	switch code := method.Call(nil)[0]; {
	case code.CanUint():
		return int(code.Uint()) //nolint:gosec // a code has 16 bits
	case code.CanInt():
		return int(code.Int())
	}
	return 0
}

// mysqlError is the content of an error of github.com/go-sql-driver/mysql, which is a
// pointer to
//
//	struct { Number uint16; SQLState [5]byte; Message string }
type mysqlError struct {
	number  uint64 // 0 if it is not such an error
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

// isPlain recognizes connection errors that consist only of a text: ErrInvalidConn of
// github.com/go-sql-driver/mysql, which it returns when the server may have executed the
// statement, unlike with driver.ErrBadConn; and ErrNoAvailableLeader of
// github.com/canonical/go-dqlite, while its nodes elect a leader.
func isPlain(err error) bool {
	for e := range chain(err) {
		switch e.Error() {
		case "invalid connection", "no available dqlite leader server found":
			return true
		}
	}
	return false
}

// isConnectError recognizes ConnectError of github.com/jackc/pgx/v5/pgconn: no connection
// could be made because no host was found, or none of several accepts writes, as during a
// failover.
func isConnectError(err error) bool {
	for e := range chain(err) {
		if field(structOf(e, "ConnectError"), "Config").IsValid() {
			return true
		}
	}
	return false
}

// chain yields an error and all errors that it wraps, depth first.
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

// structOf returns the struct that an error is or points to, if its type has the given
// name.
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

// field returns a field of a struct; the zero Value if v is not a struct or has no such
// field.
func field(v reflect.Value, name string) reflect.Value {
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return v.FieldByName(name)
}
