package testdb

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A Galera cluster is nodes of MariaDB that all take writes. Each transaction
// is certified against those of the other nodes when it commits.

const nodes = 3

// StartGalera starts a Galera cluster of three nodes for this test alone, which
// write to disk what they commit. It is gone when the test is. Two nodes go on
// without the third; a node that has been killed takes from the others what it
// has missed.
func StartGalera(tb testing.TB) []*Server {
	tb.Helper()
	needDriver(tb, Galera, drivers.MySQL != nil)
	cluster, err := newGalera(onDisk, "--innodb-flush-log-at-trx-commit=1")
	need(tb, "galera", err)
	tb.Cleanup(func() { stopAll(cluster) })
	return cluster
}

// sharedGalera is the cluster that all tests of this process share, and that
// nobody kills.
var sharedGalera = sync.OnceValues(func() ([]*Server, error) {
	cluster, err := newGalera(inMemory(), "--innodb-flush-log-at-trx-commit=0")
	if err == nil {
		atEnd(func() { stopAll(cluster) })
	}
	return cluster, err
})

func newGalera(parent string, settings ...string) (cluster []*Server, err error) {
	software, err := findGalera()
	if err != nil {
		return nil, err
	}
	for range attempts {
		if cluster, err = software.start(parent, settings); err == nil {
			return cluster, nil
		}
	}
	return nil, fmt.Errorf("start a Galera cluster: %w", err)
}

func stopAll(cluster []*Server) {
	var group sync.WaitGroup
	for _, node := range cluster {
		group.Go(node.stop)
	}
	group.Wait()
}

// galera is where the software is.
type galera struct{ install, server, provider string }

// candidates are where a program may be.
type candidates struct {
	found *string
	paths []string
}

func findGalera() (galera, error) {
	if leftOut("galera") {
		return galera{}, fmt.Errorf("a Galera cluster is %w", errMissing)
	}
	g, err := findMariaDB()
	if err != nil {
		return g, err
	}
	err = find([]candidates{
		{&g.provider, []string{"/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so"}},
		{new(string), []string{"rsync"}}, // sends a new node the others' data
	})
	return g, err
}

func findMariaDB() (g galera, err error) {
	err = find([]candidates{
		{&g.install, []string{"mariadb-install-db"}},
		{&g.server, []string{"mariadbd", "/usr/sbin/mariadbd"}}, // not in every user's PATH
	})
	return g, err
}

func find(programs []candidates) error {
	for _, candidates := range programs {
		for _, path := range candidates.paths {
			if found, err := exec.LookPath(path); err == nil {
				*candidates.found = found
			} else if isFile(path) {
				*candidates.found = path // a library is no program
			}
		}
		if *candidates.found == "" {
			return fmt.Errorf("MariaDB's %s is %w", candidates.paths[0], errMissing)
		}
	}
	return nil
}

// member is a node's place in its cluster. Beside the port for clients it has
// one for the group, and one for each way of taking data from another node.
type member struct {
	cluster                              string
	number                               int
	client, group, increments, snapshots int
	everyone                             string // the address of the group
}

// start starts the first node, which is the cluster, and then lets the others
// join it one by one: it sends its data to one at a time.
func (g galera) start(parent string, settings []string) (cluster []*Server, err error) {
	defer func() {
		if err != nil {
			stopAll(cluster)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()

	members := make([]member, nodes)
	name, everyone := freshName(), make([]string, nodes)
	for i := range members {
		m := &members[i]
		m.cluster, m.number = name, i+1
		for _, port := range []*int{&m.client, &m.group, &m.increments, &m.snapshots} {
			if *port, err = freePort(ctx); err != nil {
				return nil, err
			}
		}
		everyone[i] = loopback(m.group)
	}
	for _, m := range members {
		m.everyone = "gcomm://" + strings.Join(everyone, ",")
		h, err := newHome(parent, "mysql")
		if err != nil {
			return cluster, err
		}
		node := g.node(h, m, settings)
		cluster = append(cluster, node)
		if err := g.fill(ctx, h, m); err != nil {
			return cluster, err
		}
		if err := node.start(false); err != nil {
			return cluster, err
		}
	}
	return cluster, nil
}

func (g galera) node(h *home, m member, settings []string) *Server {
	program := append([]string{
		g.server, "--no-defaults", "--datadir=" + dataOf(h),
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(m.client),
		"--socket=" + filepath.Join(h.dir, "socket"), "--pid-file=" + filepath.Join(h.dir, "pid"),
		"--skip-name-resolve", "--max-connections=" + strconv.Itoa(maxConnections()),
		"--innodb-buffer-pool-size=32M", logSize,
		"--character-set-server=utf8mb4", // as Debian has it, latin1 otherwise
		"--binlog-format=ROW", "--default-storage-engine=InnoDB", "--innodb-autoinc-lock-mode=2",
		"--wsrep-on=ON", "--wsrep-provider=" + g.provider,
		"--wsrep-cluster-name=" + m.cluster, "--wsrep-node-name=" + strconv.Itoa(m.number),
		"--wsrep-node-address=" + loopback(m.group),
		"--wsrep-sst-method=rsync", "--wsrep-sst-receive-address=" + loopback(m.snapshots),
		"--wsrep-provider-options=gcache.size=32M;" +
			"gmcast.listen_addr=tcp://" + loopback(m.group) + ";ist.recv_addr=" + loopback(m.increments),
	}, settings...)
	return &Server{
		home:      h,
		driver:    "mysql", // registered by gorm.io/driver/mysql
		port:      m.client,
		dsn:       galeraDSN(m.client, ""),
		dialector: drivers.MySQL,
		signal:    "KILL",
		program: func(ctx context.Context, again bool) ([]string, error) {
			if !again && m.number == 1 {
				return append(program, "--wsrep-cluster-address=gcomm://"), nil // with nobody: the cluster begins
			}
			joining := append(slices.Clip(program), "--wsrep-cluster-address="+m.everyone)
			if !again {
				return joining, nil
			}
			return recoverPosition(ctx, h, joining)
		},
		ready: func(ctx context.Context, db *sql.DB) (bool, error) { return synced(ctx, db, m.cluster) },
	}
}

// logSize has to be the same from the beginning.
const logSize = "--innodb-log-file-size=32M"

func dataOf(h *home) string { return filepath.Join(h.dir, "data") }

// fill makes the first data directory. The others are filled by the first node.
func (g galera) fill(ctx context.Context, h *home, m member) error {
	if m.number == 1 {
		return g.initialize(ctx, h)
	}
	_, err := h.run(ctx, "mkdir", dataOf(h))
	return err
}

// initialize makes the data directory of a server.
func (g galera) initialize(ctx context.Context, h *home) error {
	_, err := h.run(ctx, g.install, "--no-defaults", "--datadir="+dataOf(h), logSize,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	return err
}

var recovered = regexp.MustCompile(`Recovered position:? ([0-9a-f-]+:-?[0-9]+)`)

// recoverPosition asks the files of a crashed node first up to where they go,
// as mariadbd-safe does. From there on the others send the rest; without, they
// send everything.
func recoverPosition(ctx context.Context, h *home, program []string) ([]string, error) {
	text, err := h.run(ctx, append(slices.Clip(program), "--wsrep-recover")...)
	if err != nil {
		return nil, err
	}
	if found := recovered.FindSubmatch(text); found != nil {
		program = append(program, "--wsrep-start-position="+string(found[1]))
	}
	return program, nil
}

// synced reports whether a node has all of its cluster's data and takes writes.
func synced(ctx context.Context, db *sql.DB, cluster string) (bool, error) {
	var name, state, ready string
	var ignored string
	for variable, into := range map[string]*string{
		"VARIABLES LIKE 'wsrep_cluster_name'": &name,
		"STATUS LIKE 'wsrep_local_state'":     &state,
		"STATUS LIKE 'wsrep_ready'":           &ready,
	} {
		if err := db.QueryRowContext(ctx, "SHOW "+variable).Scan(&ignored, into); err != nil {
			return false, err
		}
	}
	const isSynced = "4"
	return name == cluster && state == isSynced && ready == "ON", nil
}

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// galeraDSN has reads wait for what other nodes have committed.
func galeraDSN(port int, database string) string {
	return "root@tcp(" + loopback(port) + ")/" + database + "?charset=utf8mb4&parseTime=true&wsrep_sync_wait=1&innodb_lock_wait_timeout=1"
}

// galeraDSNs returns the connection strings of a fresh database, one for each
// node, and drops it at the end of the test.
func galeraDSNs(tb testing.TB) []string {
	tb.Helper()
	needDriver(tb, Galera, drivers.MySQL != nil)
	cluster, err := sharedGalera()
	need(tb, "galera", err)
	name := freshName()
	if err := execute("mysql", cluster[0].dsn, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4"); err != nil {
		tb.Fatalf("testdb: create database: %v", err)
	}
	tb.Cleanup(func() {
		if err := execute("mysql", cluster[0].dsn, "DROP DATABASE "+name); err != nil {
			tb.Errorf("testdb: drop database: %v", err)
		}
	})
	dsns := make([]string, len(cluster))
	for i, node := range cluster {
		// A read waits for what other nodes have done, a connection does not.
		if err := execute("mysql", node.dsn, "SELECT schema_name FROM information_schema.schemata"); err != nil {
			tb.Fatalf("testdb: wait for a database: %v", err)
		}
		dsns[i] = galeraDSN(node.port, name)
	}
	return dsns
}
