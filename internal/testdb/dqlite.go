package testdb

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A cluster of dqlite is nodes that have one SQLite: the leader takes what is written, and
// it is committed once most nodes have it.

// StartDqlite starts a cluster of three nodes for this test alone. It is gone when the test
// is. Two nodes go on without the third; one that is started again takes from the others
// what it has missed.
func StartDqlite(tb testing.TB) []*Server {
	tb.Helper()
	needDriver(tb, Dqlite, drivers.Dqlite != nil)
	cluster, err := newDqlite("0s")
	need(tb, Dqlite, err)
	tb.Cleanup(func() { stopAll(cluster) })
	return cluster
}

// restarting starts a node again that has crashed, as the supervisor of a program does: under
// many connections at once the C code of dqlite 1.11 now and then ends with "realloc(): invalid
// next size".
const restarting = `for crash in $(seq 100); do "$@"; done`

// sharedDqlite is the cluster that all tests of this process share, and that nobody kills.
var sharedDqlite = sync.OnceValues(func() ([]*Server, error) {
	// A machine that is busy with tests is not taken for a leader that is lost.
	cluster, err := newDqlite("1s")
	if err == nil {
		atEnd(func() { stopAll(cluster) })
	}
	return cluster, err
})

func newDqlite(latency string) (cluster []*Server, err error) {
	if leftOut(Dqlite) {
		return nil, fmt.Errorf("dqlite is %w", errMissing)
	}
	if err := findDqlite(); err != nil {
		return nil, err
	}
	for range attempts {
		if cluster, err = startDqlite(latency); err == nil {
			return cluster, nil
		}
	}
	return nil, fmt.Errorf("start a cluster of dqlite: %w", err)
}

// findDqlite looks for what a node is built with.
func findDqlite() error {
	for _, program := range []string{"go", "gcc"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s, which builds a node of dqlite, is %w", program, errMissing)
		}
	}
	for _, header := range []string{"dqlite.h", "raft.h"} {
		if !isFile("/usr/include", header) && !isFile("/usr/local/include", header) {
			return fmt.Errorf("%s, with which a node of dqlite is built, is %w", header, errMissing)
		}
	}
	return nil
}

func startDqlite(latency string) (cluster []*Server, err error) {
	defer func() {
		if err != nil {
			stopAll(cluster)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()

	addresses := make([]string, nodes)
	ports := make([]int, nodes)
	for i := range nodes {
		if ports[i], err = freePort(ctx); err != nil {
			return nil, err
		}
		addresses[i] = loopback(ports[i])
	}
	var program string
	for i, address := range addresses {
		h, err := newHome(onDisk, "")
		if err != nil {
			return cluster, err
		}
		data := filepath.Join(h.dir, "data")
		node := &Server{
			home: h, driver: "dqlite", port: ports[i], dsn: strings.Join(addresses, ",") + "/test", dialector: drivers.Dqlite, signal: "KILL",
		}
		node.ready = func(ctx context.Context, db *sql.DB) (bool, error) {
			err := db.PingContext(ctx) // is there a leader?
			return err == nil && bytes.Contains(node.process.log.Bytes(), []byte("ready")), err
		}
		cluster = append(cluster, node)
		if i == 0 {
			program = filepath.Join(h.dir, "node")
			if err := drivers.DqliteNode(ctx, program); err != nil {
				return cluster, err
			}
		}
		node.program = func(context.Context, bool) ([]string, error) {
			return append([]string{"sh", "-c", restarting, "node", program, data, address, latency}, addresses[:i]...), nil
		}
		if _, err := h.run(ctx, "mkdir", data); err != nil {
			return cluster, err
		}
		if err := node.start(false); err != nil {
			return cluster, err
		}
	}
	return cluster, nil
}

// dqliteDSN returns the connection string of a fresh database of the shared cluster. It
// stays until that ends.
func dqliteDSN(tb testing.TB) string {
	tb.Helper()
	needDriver(tb, Dqlite, drivers.Dqlite != nil)
	cluster, err := sharedDqlite()
	need(tb, Dqlite, err)
	nodes, _, _ := strings.Cut(cluster[0].dsn, "/")
	return nodes + "/" + freshName()
}
