package testdb

import (
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
)

// everyday finds PostgreSQL once per process and returns its connection string.
var everyday = sync.OnceValues(func() (string, error) {
	if dsn := os.Getenv("GORMOAUTH_TEST_POSTGRES"); dsn != "" {
		return dsn, nil
	}
	server, err := privatePostgres()
	if err != nil {
		return "", err
	}
	return server.dsn, nil
})

// PostgresDSN returns the connection string of a fresh, empty schema, which is
// its search_path and is dropped at the end of the test. It is for tests that
// hand it to a program; [Open] connects by itself. Where there is no
// PostgreSQL, the test is skipped or fails as the package comment says.
func PostgresDSN(tb testing.TB) string {
	tb.Helper()
	dsn, err := everyday()
	need(tb, "postgres", err)
	return withParameter(dsn, "search_path", freshSchema(tb, dsn))
}

func freshSchema(tb testing.TB, dsn string) string {
	tb.Helper()
	schema := freshName()
	if err := execute("pgx", dsn, "CREATE SCHEMA "+schema); err != nil {
		tb.Fatalf("testdb: create schema: %v", err)
	}
	tb.Cleanup(func() {
		// A transaction that the test left open holds this up until the
		// timeout, and the test then learns of it.
		if err := execute("pgx", dsn, "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			tb.Errorf("testdb: drop schema: %v", err)
		}
	})
	return schema
}

// freshName is a name of a schema or a database that nobody has.
func freshName() string { return "test_" + strings.ToLower(rand.Text()) }

// withParameter adds a setting to a connection string of either form, URL or
// keywords; what is there already under that name loses.
func withParameter(dsn, name, value string) string {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return dsn + " " + name + "=" + value
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return dsn // the driver says better what is wrong with it
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}
