package gormstore_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// MySQLError has the shape of the error of github.com/go-sql-driver/mysql.
type MySQLError struct {
	Number   uint16
	SQLState [5]byte
	Message  string
}

func (e *MySQLError) Error() string { return e.Message }

func mysqlError(number uint16, state string) error {
	return &MySQLError{Number: number, SQLState: [5]byte([]byte(state)), Message: "no"}
}

// Error has the shape of the error of github.com/canonical/go-dqlite.
type Error struct {
	Code    int
	Message string
}

func (e Error) Error() string { return e.Message }

// moderncError has the shape of the error of modernc.org/sqlite, and of
// github.com/glebarez/go-sqlite.
type moderncError int

func (e *moderncError) Error() string { return "sqlite" }
func (e *moderncError) Code() int     { return int(*e) }

func modernc(code moderncError) error { return &code }

// ncrucesError has the shape of the error of github.com/ncruces/go-sqlite3.
type ncrucesError struct {
	code uint32
	sys  error
}

type (
	ncrucesCode         uint8
	ncrucesExtendedCode uint16
)

func (e *ncrucesError) Error() string                     { return "sqlite3" }
func (e *ncrucesError) Code() ncrucesCode                 { return ncrucesCode(e.code) }
func (e *ncrucesError) ExtendedCode() ncrucesExtendedCode { return ncrucesExtendedCode(e.code) }
func (e *ncrucesError) Temporary() bool                   { return e.Code() == 5 || e.Code() == 9 }
func (e *ncrucesError) Timeout() bool                     { return e.ExtendedCode() == 773 }
func (e *ncrucesError) Unwrap() error                     { return e.sys }

// impatient is an error of a program's own, and says what an error of the network does.
type impatient struct{}

func (impatient) Error() string   { return "too slow" }
func (impatient) Timeout() bool   { return true }
func (impatient) Temporary() bool { return true }

// status is an error of a program's own with a code that is none of a database.
type status struct{ code uint32 }

func (status) Error() string    { return "no" }
func (s status) Code() grpcCode { return grpcCode(s.code) }

type grpcCode uint32

// pgError has the method of the error of github.com/jackc/pgx.
type pgError string

func (pgError) Error() string      { return "no" }
func (e pgError) SQLState() string { return string(e) }

// mattn returns an error in the shape of that of github.com/mattn/go-sqlite3.
func mattn(code, extendedCode int) error {
	type Error struct {
		error
		Code, ExtendedCode int
	}
	return Error{errors.New("no"), code, extendedCode}
}

// pgConnError has the method of the error of pgx for a connection: whether nothing was sent.
type pgConnError bool

func (pgConnError) Error() string       { return "conn closed" }
func (e pgConnError) SafeToRetry() bool { return bool(e) }

func postgresError(state string) error { return pgError(state) }

func TestWhatAnErrorOfADatabaseMeans(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	_, unreached := gorm.Open(postgres.Open("host=127.0.0.1 port=1 user=a dbname=a sslmode=disable"), &gorm.Config{Logger: logger.Discard})
	_, unknown := gorm.Open(postgres.Open("host=nowhere.invalid user=a dbname=a sslmode=disable"), &gorm.Config{Logger: logger.Discard})
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"nothing": {nil, "other"},

		"PostgreSQL: serialization failure": {postgresError("40001"), "collision"},
		"PostgreSQL: deadlock":              {postgresError("40P01"), "collision"},
		"PostgreSQL: too many connections":  {postgresError("53300"), "collision"},
		"PostgreSQL: nothing was sent":      {pgConnError(true), "collision"},
		"PostgreSQL: it may have been sent": {pgConnError(false), "other"},
		"PostgreSQL: shut down":             {postgresError("57P01"), "lost"},
		"PostgreSQL: completion unknown":    {postgresError("40003"), "lost"},
		"PostgreSQL: statement_timeout":     {postgresError("57014"), "refusal"},
		"PostgreSQL: lock_timeout":          {postgresError("55P03"), "refusal"},
		"PostgreSQL: read-only":             {postgresError("25006"), "refusal"},
		"PostgreSQL: idle in a transaction": {postgresError("25P03"), "refusal"},
		"PostgreSQL: unique violation":      {postgresError("23505"), "other"},
		"PostgreSQL: no such table":         {postgresError("42P01"), "other"},
		"PostgreSQL: no host is reached":    {unreached, "lost"},
		"PostgreSQL: no host is found":      {unknown, "lost"},
		"pgx: a deadline":                   {fmt.Errorf("timeout: %w", context.DeadlineExceeded), "lost"},

		"MySQL: deadlock":                     {mysqlError(1213, "40001"), "collision"},
		"MySQL: lock wait timeout":            {mysqlError(1205, "HY000"), "collision"},
		"MySQL: killed":                       {mysqlError(1317, "70100"), "lost"},
		"MySQL: not in the cluster":           {mysqlError(1047, "08S01"), "lost"},
		"MySQL: --read-only":                  {mysqlError(1290, "HY000"), "refusal"},
		"MySQL: read-only mode":               {mysqlError(1836, "HY000"), "refusal"},
		"MySQL: transaction takes no writes":  {mysqlError(1792, "25006"), "refusal"},
		"MariaDB: max_statement_time":         {mysqlError(1969, "70100"), "refusal"},
		"MySQL: max_execution_time":           {mysqlError(3024, "HY000"), "refusal"},
		"MySQL: unique violation":             {mysqlError(1062, "23000"), "other"},
		"MySQL: the connection is not usable": {errors.New("invalid connection"), "lost"},

		"SQLite in cgo: busy":             {mattn(5, 261), "collision"},
		"SQLite in cgo: I/O error":        {mattn(10, 266), "lost"},
		"SQLite in cgo: unique violation": {mattn(19, 2067), "other"},
		"modernc: busy":                   {modernc(517), "collision"},
		"modernc: interrupted":            {modernc(9), "lost"},
		"modernc: unique violation":       {modernc(2067), "other"},
		"ncruces: busy":                   {&ncrucesError{code: 773}, "collision"},
		"ncruces: unique violation":       {&ncrucesError{code: 2067}, "other"},
		"ncruces: a constraint":           {&ncrucesError{code: 275}, "other"},
		"ncruces: I/O error":              {&ncrucesError{code: 778, sys: io.EOF}, "lost"},
		"ncruces: a code decides":         {&ncrucesError{code: 1, sys: io.EOF}, "other"},
		"dqlite: busy":                    {Error{5, "database is locked"}, "collision"},
		"dqlite: unique violation":        {Error{2067, "UNIQUE constraint failed"}, "other"},

		"the network":                  {refused, "lost"},
		"the network, deep inside":     {fmt.Errorf("a: %w", errors.Join(errors.New("b"), refused)), "lost"},
		"a deadline":                   {context.DeadlineExceeded, "lost"},
		"a deadline of a connection":   {os.ErrDeadlineExceeded, "lost"},
		"database/sql: bad connection": {driver.ErrBadConn, "lost"},
		"a closed connection":          {net.ErrClosed, "lost"},
		"an end":                       {io.ErrUnexpectedEOF, "lost"},
		"the caller has gone":          {context.Canceled, "other"},
		"no row":                       {gorm.ErrRecordNotFound, "other"},

		"a program's own with Timeout and Temporary": {impatient{}, "other"},
		"a program's own with a code":                {status{5}, "other"},
	} {
		wrapped := c.err
		if wrapped != nil {
			wrapped = fmt.Errorf("save: %w", c.err)
		}
		assert.Equal(t, c.want, gormstore.ClassOf(c.err), name)
		assert.Equal(t, c.want, gormstore.ClassOf(wrapped), "%s, wrapped", name)
	}
}

// Each number that MySQL, MariaDB, Galera or TiDB has for it, and each code of SQLite, whatever its extension says.
func TestWhatEachNumberMeans(t *testing.T) {
	for want, numbers := range map[string][]uint16{
		"collision": {1205, 1020, 3101, 3572, 1021, 1114, 1040, 1203, 8002, 8005, 8022, 9007},
		"lost":      {1180, 1317, 1927, 3169, 2006, 2013},
		"refusal":   {1290, 1836, 1792, 1969, 3024},
		"other":     {1, 1146, 1452},
	} {
		for _, number := range numbers {
			assert.Equal(t, want, gormstore.ClassOf(mysqlError(number, "HY000")), number)
		}
	}
	for want, codes := range map[string][]int{"collision": {5, 6, 13, 15}, "lost": {9, 10}, "other": {1, 4, 7, 8, 11, 12, 14, 16, 19}} {
		for _, code := range codes {
			for _, extended := range []int{code, code | 1<<8, code | 7<<8} {
				assert.Equal(t, want, gormstore.ClassOf(modernc(moderncError(extended))), extended)
				assert.Equal(t, want, gormstore.ClassOf(mattn(code, extended)), extended)
			}
		}
	}
	for _, number := range []uint16{1050, 1060, 1061, 1826} {
		assert.True(t, gormstore.AlreadyExists(fmt.Errorf("create: %w", mysqlError(number, "42000"))), number)
	}
	for message, want := range map[string]bool{`Can't create table (errno: 121 "Duplicate key")`: true, `Can't create table (errno: 150)`: false} {
		assert.Equal(t, want, gormstore.AlreadyExists(&MySQLError{Number: 1005, Message: message}), message)
	}
	assert.False(t, gormstore.AlreadyExists(mysqlError(1062, "23000")))
	assert.False(t, gormstore.AlreadyExists(nil))
}

func TestAUniqueViolationIsKnownOnEveryDriver(t *testing.T) {
	for _, err := range []error{
		postgresError("23505"), mysqlError(1062, "23000"), mattn(19, 1555), modernc(2067),
		&ncrucesError{code: 2067}, &ncrucesError{code: 1555}, Error{2067, "no"}, Error{1555, "no"}, gorm.ErrDuplicatedKey,
	} {
		assert.True(t, gormstore.IsDuplicate(fmt.Errorf("save: %w", err)), "%#v", err)
	}
	for _, err := range []error{
		postgresError("23503"), mysqlError(1452, "23000"), mattn(19, 787), modernc(1299),
		&ncrucesError{code: 19}, Error{19, "no"}, status{2067}, impatient{}, nil,
	} {
		assert.False(t, gormstore.IsDuplicate(err), "%#v", err)
	}
}

// What a server refuses and would refuse again is told at once: nothing is asked twice.
func TestARefusalThatWouldComeAgainIsToldAtOnce(t *testing.T) {
	for name, setting := range map[string]string{
		"a statement that takes too long": "SET statement_timeout = '50ms'",
		"a lock that is not to be had":    "SET lock_timeout = '50ms'",
		"a server that takes no writes":   "SET default_transaction_read_only = on",
	} {
		t.Run(name, func(t *testing.T) {
			dsn := testdb.PostgresDSN(t)
			db, limited := openPostgres(t, dsn, &gorm.Config{}, 4, 4), openPostgres(t, dsn, &gorm.Config{}, 1, 1)
			require.NoError(t, db.AutoMigrate(allModels...))
			recorded, s := record(limited)
			p := newProvider(t, recorded)
			code := p.code("profile")
			other := db.Begin() // has the code, as another request would
			require.NoError(t, other.Error)
			t.Cleanup(func() { other.Rollback() })
			require.NoError(t, other.Exec("SELECT id FROM authorization_codes FOR UPDATE").Error)
			require.NoError(t, limited.Exec(setting).Error)

			s.take()
			refused := p.redeem(code)
			assert.Equal(t, http.StatusServiceUnavailable, refused.Status, refused)
			assert.Equal(t, "temporarily_unavailable", refused.Error)
			assert.NotEmpty(t, refused.RetryAfter)
			assert.Equal(t, []string{"SELECT clients", "SELECT authorization_codes", "SELECT users", "UPDATE authorization_codes, INSERT tokens"}, s.take(), "once")

			other.Rollback()
			require.NoError(t, limited.Exec("RESET ALL").Error)
			assert.Equal(t, http.StatusOK, p.redeem(code).Status, "nothing was spent")
		})
	}
}
