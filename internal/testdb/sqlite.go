package testdb

import (
	"net/url"
	"path/filepath"
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

// sqliteFile escapes the path: the name of a repeated subtest ends in #01, and a
// URI would end before it.
func sqliteFile(tb testing.TB) string {
	path := url.URL{Path: filepath.ToSlash(filepath.Join(tb.TempDir(), "test.db"))}
	return "file:" + path.EscapedPath()
}
