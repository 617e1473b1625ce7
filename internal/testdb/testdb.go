package testdb

import (
	"flag"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// The engines' names, as [Engines] lists them and [Open] takes them.
const (
	SQLiteCgo            = "sqlite-cgo"            // github.com/mattn/go-sqlite3
	SQLiteGo             = "sqlite-go"             // modernc.org/sqlite
	Postgres             = "postgres"              // READ COMMITTED, its default
	PostgresSerializable = "postgres-serializable" // SERIALIZABLE by default_transaction_isolation
)

// Main runs a package's tests, stops the private servers that were started, and
// exits. It is a package's whole TestMain.
func Main(m *testing.M) { MainWith(m, Drivers{}) }

// MainWith is [Main] with more engines, those of which it brings the drivers.
func MainWith(m *testing.M, more Drivers) {
	drivers = more
	sideBySide(2 * runtime.GOMAXPROCS(0)) // of two engines, one usually waits
	code := m.Run()
	stopShared()
	os.Exit(code)
}

// sideBySide lets so many tests run at once, unless the package has chosen a number.
func sideBySide(tests int) {
	parallel := flag.Lookup("test.parallel").Value
	if parallel.String() != strconv.Itoa(runtime.GOMAXPROCS(0)) {
		return
	}
	if err := parallel.Set(strconv.Itoa(tests)); err != nil {
		panic(err)
	}
}

// Engines names every engine that this build has, but for what
// GORMOAUTH_TEST_LEAVE_OUT names, in the order in which [Each] runs them.
// SQLiteCgo is missing under CGO_ENABLED=0; the PostgreSQL ones are always
// listed, and skip their test where there is no server.
func Engines() []string { return slices.DeleteFunc(builtEngines(), leftOut) }

func builtEngines() []string {
	engines := []string{SQLiteGo, Postgres, PostgresSerializable}
	if hasCgo {
		engines = append([]string{SQLiteCgo}, engines...)
	}
	return engines
}

// Each runs test as a subtest on every engine, side by side, each with a fresh database in which
// the models are migrated. It returns when all have ended. The subtest of an engine is
// "TestName/on/engine".
func Each(t *testing.T, models []any, test func(t *testing.T, db *gorm.DB)) {
	t.Helper()
	t.Run("on", func(t *testing.T) { // which waits for those in it
		for _, engine := range Engines() {
			t.Run(engine, func(t *testing.T) {
				t.Parallel()
				test(t, Open(t, engine, models...))
			})
		}
	})
}

// Open returns a fresh database of one engine with the models migrated. Its
// pool is bounded, its log is silent, and at the end of the test it is closed.
// An engine that this build does not have fails the test.
func Open(tb testing.TB, engine string, models ...any) *gorm.DB {
	tb.Helper()
	return everydayEngine(tb, engine, models)()
}

// everydayEngine prepares a fresh database with the models, and returns what opens a handle
// of it.
func everydayEngine(tb testing.TB, engine string, models []any) func() *gorm.DB {
	tb.Helper()
	if !slices.Contains(builtEngines(), engine) {
		tb.Fatalf("testdb: no engine %q in this build, which has %v", engine, builtEngines())
	}
	connections := 16
	var open func() gorm.Dialector
	switch engine {
	case SQLiteCgo:
		open, connections = copied(tb, cgoSQLite, engine, models), 8
	case SQLiteGo:
		open, connections = copied(tb, goSQLite, engine, models), 8
	default:
		dsn, err := everyday()
		need(tb, "postgres", err)
		dsn = migratedSchema(tb, dsn, models)
		if engine == PostgresSerializable {
			dsn = withParameter(dsn, "default_transaction_isolation", "serializable")
		}
		open = func() gorm.Dialector { return postgres.Open(dsn) }
	}
	return func() *gorm.DB { return connect(tb, open(), connections) }
}

func migrate(tb testing.TB, db *gorm.DB, models []any) {
	tb.Helper()
	if len(models) == 0 {
		return
	}
	if err := db.AutoMigrate(models...); err != nil {
		tb.Fatalf("testdb: migrate on %s: %v", db.Name(), err)
	}
}

// connect bounds the pool so that tests that race many goroutines stay within
// the server's connections, and queue instead of failing.
func connect(tb testing.TB, dialector gorm.Dialector, connections int) *gorm.DB {
	tb.Helper()
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		tb.Fatalf("testdb: open: %v", err)
	}
	pool, err := db.DB()
	if err != nil {
		tb.Fatalf("testdb: pool: %v", err)
	}
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	tb.Cleanup(func() {
		if err := pool.Close(); err != nil {
			tb.Errorf("testdb: close: %v", err)
		}
	})
	return db
}
