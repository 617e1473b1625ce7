package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	accounts "os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// engine is a kind of database with its settings. Each contestant gets a
// database of its own.
type engine struct {
	name         string
	short        string // its name as an option
	kind         string // of [open]
	fresh        func(name string) (dsn string, err error)
	server       string // what it says of its version
	oidcProvider string // where that program is; empty when it cannot run
	place        *workplace
}

// enginesNamed returns the engines of these short names, in their own order.
func enginesNamed(all []engine, names []string) ([]engine, error) {
	for _, name := range names {
		if !slices.ContainsFunc(all, func(e engine) bool { return e.short == name }) {
			return nil, fmt.Errorf("there is no engine %q", name)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(e engine) bool { return !slices.Contains(names, e.short) }), nil
}

// workplace is a directory for databases, and the PostgreSQL server in it.
type workplace struct {
	dir      string
	postgres *exec.Cmd
	dsn      func(database string) string
	once     sync.Once // closes it
	mu       sync.Mutex
	running  []*process
}

func newWorkplace(parent string) (*workplace, error) {
	dir, err := os.MkdirTemp(parent, "gormoauth-bench-")
	if err != nil {
		return nil, err
	}
	return &workplace{dir: dir}, os.Chmod(dir, 0o755) //nolint:gosec // the server's user has to enter
}

// started has the process end with the workplace.
func (w *workplace) started(p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = append(w.running, p)
}

// close ends whatever runs before it removes the files, in which it would
// otherwise write on.
func (w *workplace) close() {
	w.once.Do(func() {
		w.mu.Lock()
		defer w.mu.Unlock() // nothing starts from here on
		for _, p := range w.running {
			p.stop()
		}
		if w.postgres != nil {
			_ = w.postgres.Process.Signal(syscall.SIGINT)
			_ = w.postgres.Wait()
		}
		_ = os.RemoveAll(w.dir)
	})
}

// sqlite is SQLite in WAL mode, with the connection string that docs/engines.md recommends.
func (w *workplace) sqlite(synchronous string) engine {
	return engine{name: "SQLite, synchronous " + synchronous, short: strings.ToLower(synchronous), kind: "sqlite", place: w, fresh: func(name string) (string, error) {
		return "file:" + filepath.Join(w.dir, "sqlite-"+synchronous+"-"+name+".db") +
			"?_journal_mode=WAL&_busy_timeout=1000&_txlock=immediate&_synchronous=" + synchronous, nil
	}}
}

// startPostgres starts a server with its own defaults, fsync on, except for its memory and the
// settings, such as "wal_compression=on".
func (w *workplace) startPostgres(settings ...string) (engine, error) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		if len(bins) == 0 {
			return engine{}, errors.New("PostgreSQL's server is not installed")
		}
		initdb = bins[len(bins)-1]
	}
	data := filepath.Join(w.dir, "postgres")
	if err := os.Mkdir(data, 0o700); err != nil {
		return engine{}, err
	}
	attributes := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Geteuid() == 0 { // the server refuses to run as root
		account, err := accounts.Lookup("postgres")
		if err != nil {
			return engine{}, err
		}
		uid, _ := strconv.Atoi(account.Uid)
		gid, _ := strconv.Atoi(account.Gid)
		attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // they are ids
		if err := os.Chown(data, uid, gid); err != nil {
			return engine{}, err
		}
	}
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return engine{}, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return engine{}, err
	}
	initialize := exec.Command(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C") //nolint:gosec,noctx // from PATH
	initialize.Dir, initialize.SysProcAttr = "/", attributes
	if output, err := initialize.CombinedOutput(); err != nil {
		return engine{}, fmt.Errorf("initdb: %w\n%s", err, output)
	}
	w.postgres = exec.Command(filepath.Join(filepath.Dir(initdb), "postgres"), "-D", data, "-p", strconv.Itoa(port), "-k", data, //nolint:gosec,noctx // from PATH
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300", "-c", "shared_buffers=1GB", "-c", "max_wal_size=4GB")
	for _, setting := range settings {
		w.postgres.Args = append(w.postgres.Args, "-c", setting)
	}
	w.postgres.Dir, w.postgres.SysProcAttr = "/", attributes
	if err := w.postgres.Start(); err != nil {
		return engine{}, err
	}
	w.dsn = func(database string) string {
		return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", port, database)
	}
	version, err := w.waitReady()
	return engine{name: "PostgreSQL", short: "postgres", kind: "postgres", server: version, place: w, fresh: func(name string) (string, error) {
		return w.dsn(name), w.execute(`CREATE DATABASE "` + name + `"`)
	}}, err
}

func (w *workplace) waitReady() (version string, err error) {
	for range 300 {
		if err = w.query("SHOW server_version", &version); err == nil {
			return version, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return "", err
}

func (w *workplace) query(statement string, into any) error {
	db, err := sql.Open("pgx", w.dsn("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	return db.QueryRowContext(context.Background(), statement).Scan(into)
}

func (w *workplace) execute(statement string) error {
	db, err := sql.Open("pgx", w.dsn("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(context.Background(), statement)
	return err
}
