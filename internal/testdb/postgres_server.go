package testdb

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"gorm.io/driver/postgres"
)

// errNoPostgres tells what to do about it.
var errNoPostgres = fmt.Errorf("PostgreSQL's server is %w: install it, or set GORMOAUTH_TEST_POSTGRES to a server's connection string", errMissing)

// quick makes a server fast that nobody kills.
var quick = []string{"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "autovacuum=off"}

// StartPostgres starts a PostgreSQL server for this test alone, durable as
// PostgreSQL is by default. It is gone when the test is.
func StartPostgres(tb testing.TB) *Server {
	tb.Helper()
	server, err := newPostgres(onDisk)
	need(tb, "postgres", err)
	tb.Cleanup(server.stop)
	return server
}

// privatePostgres is the server that all tests of this process share.
var privatePostgres = sync.OnceValues(func() (*Server, error) {
	server, err := newPostgres(inMemory(), quick...)
	if err == nil {
		atEnd(server.stop)
	}
	return server, err
})

func newPostgres(parent string, settings ...string) (server *Server, err error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	initdb := func(ctx context.Context, h *home, data string) error {
		_, err := h.run(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
		return err
	}
	for range attempts {
		if server, err = newPostgresIn(parent, bin, initdb, settings); err == nil {
			return server, nil
		}
	}
	return nil, fmt.Errorf("start a private PostgreSQL: %w", err)
}

// newPostgresIn starts a server on the data directory that fill makes.
func newPostgresIn(parent, bin string, fill func(ctx context.Context, h *home, data string) error, settings []string) (*Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()

	h, err := newHome(parent, "postgres")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(h.dir, "data")
	port, err := freePort(ctx)
	if err == nil {
		err = fill(ctx, h, data)
	}
	if err != nil {
		h.remove()
		return nil, err
	}
	program := append([]string{
		filepath.Join(bin, "postgres"), "-D", data, "-k", h.dir, "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1",
		"-c", "max_connections=" + strconv.Itoa(maxConnections()),
		"-c", "shared_buffers=16MB",
		"-c", "log_min_messages=log",
	}, settings...)
	server := &Server{
		home:      h,
		driver:    "pgx", // registered by gorm.io/driver/postgres
		port:      port,
		dsn:       postgresDSN(port, "postgres"),
		dialector: postgres.Open,
		// The immediate shutdown, which still frees the shared memory.
		signal:  "QUIT",
		program: func(context.Context, bool) ([]string, error) { return program, nil },
		// On a lost port, another process's server could answer.
		ready: func(ctx context.Context, db *sql.DB) (bool, error) {
			var directory string
			err := db.QueryRowContext(ctx, "SHOW data_directory").Scan(&directory)
			return directory == data, err
		},
	}
	if err := server.start(false); err != nil {
		server.stop()
		return nil, err
	}
	return server, nil
}

func postgresDSN(port int, database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", port, database)
}

// maxConnections leaves room for the full pools of two instances in each test that runs in
// parallel.
func maxConnections() int { return max(400, 20+2*16*runtime.GOMAXPROCS(0)) }

// postgresPrograms returns the directory that holds initdb and postgres. Debian
// keeps every version's outside of PATH.
func postgresPrograms() (string, error) {
	if leftOut("postgres") {
		return "", errNoPostgres
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil && isFile(filepath.Dir(path), "postgres") {
			return filepath.Dir(path), nil
		}
	}
	found, newest := "", 0
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	for _, dir := range dirs {
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		if err == nil && version > newest && isFile(dir, "initdb") && isFile(dir, "postgres") {
			found, newest = dir, version
		}
	}
	if found == "" {
		return "", errNoPostgres
	}
	return found, nil
}

// replicaPostgres is a replica of the private server which applies what it
// receives a moment later, as one under load does.
var replicaPostgres = sync.OnceValues(func() (server *Server, err error) {
	primary, err := privatePostgres()
	if err != nil {
		return nil, err
	}
	if server, err = newReplica(inMemory(), primary, append([]string{"-c", "recovery_min_apply_delay=150ms"}, quick...)...); err == nil {
		atEnd(server.stop)
	}
	return server, err
})

// StartPostgresReplica starts a replica of a server of [StartPostgres], which may be promoted.
// It is gone when the test is.
func StartPostgresReplica(tb testing.TB, primary *Server) *Server {
	tb.Helper()
	replica, err := newReplica(onDisk, primary)
	need(tb, "postgres", err)
	tb.Cleanup(replica.stop)
	return replica
}

func newReplica(parent string, primary *Server, settings ...string) (server *Server, err error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	copyPrimary := func(ctx context.Context, h *home, data string) error {
		// Without a slot of its own it would miss what the primary has thrown
		// away when it comes to ask.
		_, err := h.run(ctx, filepath.Join(bin, "pg_basebackup"), "-d", primary.dsn, "-D", data,
			"--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync",
			"--create-slot", "--slot="+freshName())
		return err
	}
	for range attempts {
		if server, err = newPostgresIn(parent, bin, copyPrimary, settings); err == nil {
			return server, nil
		}
	}
	return nil, fmt.Errorf("start a replica of PostgreSQL: %w", err)
}

// catchUp waits until the replica has what the primary has.
func catchUp(ctx context.Context, primary, replica *sql.DB) error {
	var position string
	if err := primary.QueryRowContext(ctx, "SELECT pg_current_wal_lsn()").Scan(&position); err != nil {
		return err
	}
	return until(ctx, func(ctx context.Context) (bool, error) {
		var there bool
		err := replica.QueryRowContext(ctx, "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", position).Scan(&there)
		return there, err
	})
}
