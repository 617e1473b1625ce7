package testdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"
)

// Server is a private database server. One that a test has of its own, by
// [StartPostgres] or [StartGalera], keeps what it has committed through
// [Server.Kill].
type Server struct {
	home      *home
	driver    string // of database/sql
	port      int
	dsn       string
	dialector func(dsn string) gorm.Dialector
	signal    string // what ends it when it is not needed any more
	program   func(ctx context.Context, again bool) ([]string, error)
	ready     func(ctx context.Context, db *sql.DB) (bool, error)

	process *process
}

// DSN returns the connection string.
func (s *Server) DSN() string { return s.dsn }

// Dialector returns what gorm.Open takes.
func (s *Server) Dialector() gorm.Dialector { return s.dialector(s.dsn) }

// Kill ends the whole server by SIGKILL.
func (s *Server) Kill(tb testing.TB) {
	tb.Helper()
	s.process.crash()
	select {
	case <-s.process.exited:
	default:
		tb.Fatalf("testdb: the server survived SIGKILL:\n%s", s.process.log.Bytes())
	}
}

// Start starts a killed server again, on its files and its port, and waits until
// it answers: a node of a cluster until it has caught up with the others.
func (s *Server) Start(tb testing.TB) {
	tb.Helper()
	if err := s.start(true); err != nil {
		tb.Fatalf("testdb: start the server again: %v", err)
	}
}

func (s *Server) start(again bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()

	program, err := s.program(ctx, again)
	if err != nil {
		return err
	}
	if s.process, err = s.home.start(s.signal, program...); err != nil {
		return err
	}
	return s.wait(ctx)
}

// wait asks until the server is ready.
func (s *Server) wait(ctx context.Context) error {
	db, err := sql.Open(s.driver, s.dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	err = until(ctx, func(ctx context.Context) (bool, error) {
		select {
		case <-s.process.exited:
			return true, errors.New("the server ended")
		default:
			return s.ready(ctx, db)
		}
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, s.process.log.Bytes())
	}
	return nil
}

// until asks again until something is done; an error of an attempt matters only
// when it is the last one.
func until(ctx context.Context, attempt func(ctx context.Context) (done bool, err error)) error {
	for {
		done, err := attempt(ctx)
		if done {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the server and removes its files.
func (s *Server) stop() {
	if s.process != nil {
		s.process.stop()
	}
	s.home.remove()
}

// shared keeps the servers of this process that all tests share, for [Main] to
// stop.
var shared struct {
	mu    sync.Mutex
	stops []func()
}

func atEnd(stop func()) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.stops = append(shared.stops, stop)
}

// stopShared stops the youngest first: a replica before its primary.
func stopShared() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	for _, stop := range slices.Backward(shared.stops) {
		stop()
	}
	shared.stops = nil
}

// onDisk is the parent of a home whose files are wherever temporary files are: those of servers
// that a test kills, and whatever has programs in it, which memory may not run.
const onDisk = ""

// startLimit is how long a server may take to answer.
const startLimit = time.Minute

// attempts: another process may take a free port before the server does, which
// is worth another try.
const attempts = 3

// leftOut reports whether tests are to do as if software were not installed.
func leftOut(word string) bool {
	return slices.Contains(strings.Fields(os.Getenv("GORMOAUTH_TEST_LEAVE_OUT")), word)
}

// errMissing is the one fault that skips a test: software that is not
// installed. A server that is there and does not work is a failure.
var errMissing = errors.New("not installed")

// need ends the test on a fault: missing software skips it, unless
// GORMOAUTH_TEST_REQUIRE has the word.
func need(tb testing.TB, word string, err error) {
	tb.Helper()
	switch {
	case err == nil:
	case errors.Is(err, errMissing) && !slices.Contains(strings.Fields(os.Getenv("GORMOAUTH_TEST_REQUIRE")), word):
		tb.Skip(err)
	default:
		tb.Fatalf("testdb: %v", err)
	}
}

// portTaken remembers the ports that this process has given to a server.
var portTaken sync.Map

// freePort returns a port below those that the system gives to outgoing
// connections: one of these could take it while its server is down.
func freePort(ctx context.Context) (int, error) {
	var last error
	for range 100 {
		port := 15_000 + rand.IntN(17_000) //nolint:gosec // not a secret
		if _, taken := portTaken.LoadOrStore(port, true); taken {
			continue
		}
		var config net.ListenConfig
		listener, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("no free port: %w", last)
}

// execute runs one statement on a connection of its own. It takes no context
// of the test's, which is done by the time of its cleanups.
func execute(driver, dsn, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}

func isFile(elements ...string) bool {
	info, err := os.Stat(filepath.Join(elements...))
	return err == nil && !info.IsDir()
}
