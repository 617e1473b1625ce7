package testdb

import (
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// Both drivers get the settings that a program is told to use: without WAL, a
// busy timeout and immediate transactions most concurrent writers fail as
// locked. Only synchronous is for tests alone, which survive no power cut.

func cgoSQLite(file string) gorm.Dialector {
	return sqlite.Open(file +
		"?_journal_mode=WAL&_busy_timeout=1000&_foreign_keys=1&_txlock=immediate&_synchronous=OFF")
}

func goSQLite(file string) gorm.Dialector {
	return sqlite.New(sqlite.Config{
		DriverName: "sqlite",
		DSN: file + "?_pragma=busy_timeout(1000)&_pragma=journal_mode(WAL)" +
			"&_pragma=foreign_keys(1)&_txlock=immediate&_pragma=synchronous(OFF)",
	})
}

// file is a database of SQLite.
type file struct{ path, dsn string }

// sqliteFile escapes the path: the name of a repeated subtest ends in #01, and a
// URI would end before it.
func sqliteFile(tb testing.TB) file {
	path := filepath.Join(sqliteDirectory(tb), "test.db")
	escaped := url.URL{Path: filepath.ToSlash(path)}
	return file{path: path, dsn: "file:" + escaped.EscapedPath()}
}

// sqliteHome is where this process has its files of SQLite in memory, or "" if they are on disk.
var sqliteHome = sync.OnceValues(func() (directory string, err error) {
	parent := inMemory()
	if parent == onDisk {
		return "", nil
	}
	h, err := newHome(parent, "")
	if err != nil {
		return "", err
	}
	atEnd(h.remove)
	return h.dir, nil
})

// sqliteDirectory returns a fresh directory, which is gone when the test is.
func sqliteDirectory(tb testing.TB) string {
	tb.Helper()
	parent, err := sqliteHome()
	if err == nil && parent == "" {
		return tb.TempDir()
	}
	var directory string
	if err == nil {
		directory, err = os.MkdirTemp(parent, "")
	}
	if err != nil {
		tb.Fatalf("testdb: make a directory: %v", err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(directory); err != nil {
			tb.Errorf("testdb: remove a directory: %v", err)
		}
	})
	return directory
}

// Copies returns what opens copies of a database of [SQLiteGo] as it is now.
func Copies(tb testing.TB, db *gorm.DB) func(tb testing.TB) *gorm.DB {
	tb.Helper()
	var path string
	err := db.Exec("PRAGMA wal_checkpoint(TRUNCATE)").Error
	if err == nil {
		err = db.Raw("SELECT file FROM pragma_database_list").Scan(&path).Error
	}
	var content []byte
	if err == nil {
		content, err = os.ReadFile(path) //nolint:gosec // the file of the database
	}
	if err != nil {
		tb.Fatalf("testdb: read a database: %v", err)
	}
	return func(tb testing.TB) *gorm.DB {
		tb.Helper()
		return connect(tb, goSQLite(writtenFile(tb, content).dsn), 8)
	}
}

// writtenFile writes the content of a database to a fresh file.
func writtenFile(tb testing.TB, content []byte) file {
	tb.Helper()
	file := sqliteFile(tb)
	if err := os.WriteFile(file.path, content, 0o600); err != nil { //nolint:gosec // a fresh file
		tb.Fatalf("testdb: copy a database: %v", err)
	}
	return file
}

// copied returns what opens a copy of a database in which the models are migrated.
func copied(tb testing.TB, dialector func(dsn string) gorm.Dialector, driver string, models []any) func() gorm.Dialector {
	tb.Helper()
	var content []byte // an empty file is an empty database
	if len(models) > 0 {
		content = migratedFile(tb, dialector, driver, models)
	}
	dsn := writtenFile(tb, content).dsn
	return func() gorm.Dialector { return dialector(dsn) }
}
