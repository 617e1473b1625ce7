//go:build unix

package testdb

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// supervise makes the data directory in $1 by the programs in $2, runs the
// server with the remaining arguments until it ends by itself or the pipe on
// file descriptor 3 closes, and then removes $1. The test process holds the
// pipe's only writing end, so that the kernel closes it however that process
// ends: by return, by panic, by a timeout or by SIGKILL.
//
// SIGQUIT is PostgreSQL's immediate shutdown, which still frees its shared
// memory. It is sent again until it has been heard: initdb is let finish, and
// a server that has only just begun does not listen yet.
const supervise = `
dir=$1 bin=$2; shift 2
(
	trap '' QUIT
	"$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync &&
		exec "$bin/postgres" -D "$dir/data" -k "$dir" "$@"
) 3<&- &
server=$!
(read -r _ <&3; while kill -QUIT "$server"; do sleep 1; done) 2>/dev/null &
watcher=$!
wait "$server"
kill "$watcher" 2>/dev/null
rm -rf "$dir"
`

// cluster is a private PostgreSQL server with a directory of its own.
type cluster struct {
	dir    string
	owner  *syscall.Credential // nil: this process's own user
	log    *os.File
	alive  *os.File      // closing it ends the server
	exited chan struct{} // closed when the server and its directory are gone
}

// running is the cluster of this process, if there is one.
var running *cluster

// startCluster starts the private server and returns its connection string.
// Another process may take the free port before the server does, which is
// worth another try.
func startCluster() (string, error) {
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	for range 3 {
		var dsn string
		if running, dsn, err = newCluster(bin); err == nil {
			return dsn, nil
		}
	}
	return "", err
}

// stopCluster ends the private server, if one was started, and waits until its
// files are gone.
func stopCluster() {
	if running != nil {
		running.stop()
	}
}

func newCluster(bin string) (*cluster, string, error) {
	c := &cluster{exited: make(chan struct{})}
	if err := c.makeDir(); err != nil {
		return nil, "", err
	}
	dsn, err := c.start(bin)
	if err != nil {
		c.stop()
		return nil, "", errors.Join(fmt.Errorf("start a private PostgreSQL: %w", err), os.RemoveAll(c.dir))
	}
	return c, dsn, nil
}

// makeDir makes the directory for data and socket. Servers refuse to run as
// root, who therefore hands it to the user postgres; that user may be unable
// to enter root's TMPDIR, but can enter /tmp.
func (c *cluster) makeDir() (err error) {
	if os.Geteuid() != 0 {
		c.dir, err = os.MkdirTemp("", "gormoauth-testdb-")
		return err
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("%w (as root, its server also needs the user postgres: %w)", errNoPostgres, err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return err
	}
	if c.dir, err = os.MkdirTemp("/tmp", "gormoauth-testdb-"); err != nil {
		return err
	}
	c.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(c.dir, int(uid), int(gid))
}

// start runs the server and waits for its first answer.
func (c *cluster) start(bin string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	port, err := freePort(ctx)
	if err != nil {
		return "", err
	}
	if err := c.run(bin, port); err != nil {
		return "", err
	}
	dsn := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
	if err := c.waitReady(ctx, dsn); err != nil {
		return "", err
	}
	return dsn, nil
}

// run starts the supervisor, in a session of its own: an interrupt typed at
// the terminal ends the tests, and they end the server.
func (c *cluster) run(bin string, port int) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	if c.log, err = os.CreateTemp("", "gormoauth-testdb-log-"); err != nil {
		return errors.Join(err, write.Close())
	}
	// Read through the open file only, so that nothing is left to remove.
	if err := os.Remove(c.log.Name()); err != nil {
		return errors.Join(err, write.Close())
	}

	cmd := exec.Command("/bin/sh", "-c", supervise, "sh", c.dir, bin, //nolint:gosec,noctx // bin is from PATH, and it lives as long as the process
		"-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1",
		"-c", "max_connections="+strconv.Itoa(maxConnections()),
		"-c", "shared_buffers=16MB",
		"-c", "fsync=off", "-c", "full_page_writes=off",
		"-c", "autovacuum=off",
		"-c", "log_min_messages=log")
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = c.log, c.log
	cmd.ExtraFiles = []*os.File{read}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.owner, Setsid: true}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, write.Close())
	}
	c.alive = write
	go func() {
		_ = cmd.Wait() // how it ended is in the log
		close(c.exited)
	}()
	return nil
}

// waitReady asks until the server answers. The answer must name our data
// directory: on a lost port it could come from another process's server.
func (c *cluster) waitReady(ctx context.Context, dsn string) error {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	for {
		var directory string
		err := db.QueryRowContext(ctx, "SHOW data_directory").Scan(&directory)
		if err == nil && directory == filepath.Join(c.dir, "data") {
			return nil
		}
		select {
		case <-c.exited:
			return fmt.Errorf("the server ended:\n%s", c.readLog())
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w\n%s", errors.Join(ctx.Err(), err), c.readLog())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the server and waits for it; a server that was never run has
// nothing to wait for.
func (c *cluster) stop() {
	if c.alive == nil {
		return
	}
	_ = c.alive.Close()
	select {
	case <-c.exited:
	case <-time.After(30 * time.Second):
	}
	_ = c.log.Close()
}

func (c *cluster) readLog() []byte {
	text, _ := io.ReadAll(io.NewSectionReader(c.log, 0, 1<<20))
	return bytes.TrimSpace(text)
}

// maxConnections leaves room for a full pool in each test that runs in
// parallel, of which there are GOMAXPROCS.
func maxConnections() int { return max(100, 20+16*runtime.GOMAXPROCS(0)) }

func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

// binaries returns the directory that holds initdb and postgres. Debian keeps
// every version's outside of PATH.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil && isServer(filepath.Dir(path)) {
			return filepath.Dir(path), nil
		}
	}
	found, newest := "", 0
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	for _, dir := range dirs {
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		if err == nil && version > newest && isServer(dir) {
			found, newest = dir, version
		}
	}
	if found == "" {
		return "", errNoPostgres
	}
	return found, nil
}

func isServer(dir string) bool {
	_, err1 := os.Stat(filepath.Join(dir, "initdb"))
	_, err2 := os.Stat(filepath.Join(dir, "postgres"))
	return err1 == nil && err2 == nil
}
