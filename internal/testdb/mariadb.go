package testdb

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// mariaDB is a single server of MariaDB that all tests of this process share, as most
// programs have one.
var mariaDB = sync.OnceValues(func() (server *Server, err error) {
	if server, err = newMariaDB(inMemory(), "0"); err == nil {
		atEnd(server.stop)
	}
	return server, err
})

// StartMariaDB starts a single server of MariaDB for this test alone, which writes to disk what
// it commits. It is gone when the test is.
func StartMariaDB(tb testing.TB) *Server {
	tb.Helper()
	needDriver(tb, MariaDB, drivers.MySQL != nil)
	server, err := newMariaDB(onDisk, "1")
	need(tb, MariaDB, err)
	tb.Cleanup(server.stop)
	return server
}

// newMariaDB starts a server that writes to disk what it commits ("1"), or soon after ("0").
func newMariaDB(parent, flush string) (server *Server, err error) {
	if leftOut(MariaDB) {
		return nil, fmt.Errorf("MariaDB is %w", errMissing)
	}
	software, err := findMariaDB()
	if err != nil {
		return nil, err
	}
	for range attempts {
		if server, err = software.startSingle(parent, flush); err == nil {
			return server, nil
		}
	}
	return nil, fmt.Errorf("start MariaDB: %w", err)
}

func (g galera) startSingle(parent, flush string) (*Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()

	h, err := newHome(parent, "mysql")
	if err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err == nil {
		err = g.initialize(ctx, h)
	}
	if err != nil {
		h.remove()
		return nil, err
	}
	program := []string{
		g.server, "--no-defaults", "--datadir=" + dataOf(h),
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(port),
		"--socket=" + filepath.Join(h.dir, "socket"), "--pid-file=" + filepath.Join(h.dir, "pid"),
		"--skip-name-resolve", "--max-connections=" + strconv.Itoa(maxConnections()),
		"--innodb-buffer-pool-size=32M", logSize, "--innodb-flush-log-at-trx-commit=" + flush,
		"--character-set-server=utf8mb4",
	}
	server := &Server{
		home: h, driver: "mysql", port: port, dsn: mariaDBDSN(port, "", nil), dialector: drivers.MySQL, signal: "KILL",
		program: func(context.Context, bool) ([]string, error) { return program, nil },
		ready: func(ctx context.Context, db *sql.DB) (bool, error) {
			var data string
			err := db.QueryRowContext(ctx, "SELECT @@datadir").Scan(&data)
			return filepath.Clean(data) == dataOf(h), err // on a lost port another one answers
		},
	}
	if err := server.start(false); err != nil {
		server.stop()
		return nil, err
	}
	return server, nil
}

func mariaDBDSN(port int, database string, settings map[string]string) string {
	query := url.Values{"charset": {"utf8mb4"}, "parseTime": {"true"}, "innodb_lock_wait_timeout": {"1"}}
	for name, value := range settings {
		query.Set(name, value)
	}
	return "root@tcp(" + loopback(port) + ")/" + database + "?" + query.Encode()
}

// MariaDBDSN returns the connection string of a fresh database on a single server of
// MariaDB, with settings of the session beside the usual ones, such as
// "tx_isolation": "'READ-COMMITTED'". It is dropped at the end of the test.
func MariaDBDSN(tb testing.TB, settings map[string]string) string {
	tb.Helper()
	needDriver(tb, MariaDB, drivers.MySQL != nil)
	server, err := mariaDB()
	need(tb, MariaDB, err)
	name := freshName()
	if err := execute("mysql", server.dsn, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4"); err != nil {
		tb.Fatalf("testdb: create database: %v", err)
	}
	tb.Cleanup(func() {
		if err := execute("mysql", server.dsn, "DROP DATABASE "+name); err != nil {
			tb.Errorf("testdb: drop database: %v", err)
		}
	})
	return mariaDBDSN(server.port, name, settings)
}
