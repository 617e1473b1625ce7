package testdb

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"gorm.io/driver/postgres"
)

// bouncer is a PgBouncer before the private server, in transaction mode: each
// transaction may run on another connection to the server.
var bouncer = sync.OnceValues(func() (server *Server, err error) {
	if leftOut("pgbouncer") {
		return nil, fmt.Errorf("PgBouncer is %w", errMissing)
	}
	primary, err := privatePostgres()
	if err != nil {
		return nil, err
	}
	program, err := exec.LookPath("pgbouncer")
	if err != nil && isFile("/usr/sbin/pgbouncer") { // not in every user's PATH
		program, err = "/usr/sbin/pgbouncer", nil
	}
	if err != nil {
		return nil, fmt.Errorf("PgBouncer is %w", errMissing)
	}
	for range attempts {
		if server, err = newBouncer(program, primary); err == nil {
			atEnd(server.stop)
			return server, nil
		}
	}
	return nil, fmt.Errorf("start PgBouncer: %w", err)
})

// bouncerSettings: reserved connections and the administrator's console aside,
// a pool is half of what one test has, so that transactions do wait for one
// another's connections.
const bouncerSettings = `[databases]
* = host=127.0.0.1 port=%d user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
admin_users = postgres
pool_mode = transaction
default_pool_size = 8
max_client_conn = 1000
`

func newBouncer(program string, primary *Server) (*Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()

	h, err := newHome(onDisk, "postgres")
	if err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	settings := filepath.Join(h.dir, "pgbouncer.ini")
	if err == nil {
		err = os.WriteFile(settings, fmt.Appendf(nil, bouncerSettings, primary.port, port), 0o644) //nolint:gosec // PgBouncer runs as another user
	}
	if err != nil {
		h.remove()
		return nil, err
	}
	server := &Server{
		home:      h,
		driver:    "pgx",
		port:      port,
		dsn:       bouncerDSN(port, "postgres"),
		dialector: postgres.Open,
		signal:    "TERM",
		program:   func(context.Context, bool) ([]string, error) { return []string{program, settings}, nil },
		// On a lost port, another process's PgBouncer could answer, before
		// another PostgreSQL.
		ready: func(ctx context.Context, db *sql.DB) (bool, error) {
			var answered string
			err := db.QueryRowContext(ctx, "SHOW port").Scan(&answered)
			return answered == strconv.Itoa(primary.port), err
		},
	}
	if err := server.start(false); err != nil {
		server.stop()
		return nil, err
	}
	return server, nil
}

// bouncerDSN turns prepared statements off: they belong to one connection to
// the server.
func bouncerDSN(port int, database string) string {
	return withParameter(postgresDSN(port, database), "default_query_exec_mode", "exec")
}

// freshDatabase creates a database, since PgBouncer hands no search_path on,
// and drops it at the end of the test, although PgBouncer stays connected.
func freshDatabase(tb testing.TB, dsn string) string {
	tb.Helper()
	name := freshName()
	if err := execute("pgx", dsn, "CREATE DATABASE "+name); err != nil {
		tb.Fatalf("testdb: create database: %v", err)
	}
	tb.Cleanup(func() {
		if err := execute("pgx", dsn, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("testdb: drop database: %v", err)
		}
	})
	return name
}
