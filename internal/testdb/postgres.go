package testdb

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// errNoPostgres is the one fault that skips a test. A server that is there and
// does not work is a failure.
var errNoPostgres = errors.New("no PostgreSQL: set GORMOAUTH_TEST_POSTGRES to a server's connection string, or install PostgreSQL's server")

// server finds PostgreSQL once per process and returns its connection string.
var server = sync.OnceValues(func() (string, error) {
	if dsn := os.Getenv("GORMOAUTH_TEST_POSTGRES"); dsn != "" {
		return dsn, nil
	}
	return startCluster()
})

// PostgresDSN returns the connection string of a fresh, empty schema, which is
// its search_path and is dropped at the end of the test. It is for tests that
// hand it to a program; [Open] connects by itself. Where there is no
// PostgreSQL, the test is skipped or fails as the package comment says.
func PostgresDSN(tb testing.TB) string {
	tb.Helper()
	dsn, err := server()
	switch {
	case errors.Is(err, errNoPostgres) && !required("postgres"):
		tb.Skip(err)
	case err != nil:
		tb.Fatalf("testdb: %v", err)
	}

	schema := "test_" + strings.ToLower(rand.Text())
	if err := execute(dsn, "CREATE SCHEMA "+schema); err != nil {
		tb.Fatalf("testdb: create schema: %v", err)
	}
	tb.Cleanup(func() {
		// A transaction that the test left open holds this up until the
		// timeout, and the test then learns of it.
		if err := execute(dsn, "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			tb.Errorf("testdb: drop schema: %v", err)
		}
	})
	return withParameter(dsn, "search_path", schema)
}

// required tells whether GORMOAUTH_TEST_REQUIRE, a list of words, has the word.
func required(word string) bool {
	return slices.Contains(strings.Fields(os.Getenv("GORMOAUTH_TEST_REQUIRE")), word)
}

// execute runs one statement on a connection of its own. It takes no context
// of the test's, which is done by the time of its cleanups.
func execute(dsn, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	db, err := sql.Open("pgx", dsn) // registered by gorm.io/driver/postgres
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}

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
