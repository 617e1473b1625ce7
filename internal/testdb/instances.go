package testdb

import (
	"context"
	"testing"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// The engines that [OpenInstances] has beside those of [Engines]: what stands
// between several instances of a program and their database.
const (
	PostgresReplica   = "postgres-replica"   // reads go to a lagging replica, by gorm.io/plugin/dbresolver
	PostgresPgBouncer = "postgres-pgbouncer" // in transaction mode, by default_query_exec_mode=exec
	Galera            = "galera"             // three nodes of MariaDB that all take writes
	MariaDB           = "mariadb"            // a single server
	Dqlite            = "dqlite"             // three nodes that replicate an SQLite
)

// Drivers are what some engines need and this module does not require, so that no program
// that uses it has to. The module internal/engines brings them.
type Drivers struct {
	// MySQL is gorm.io/driver/mysql, for [Galera] and [MariaDB].
	MySQL func(dsn string) gorm.Dialector
	// Dqlite opens a database of a cluster, for [Dqlite], by its nodes' addresses and its name:
	// 127.0.0.1:9001,127.0.0.1:9002/accounts. DqliteNode builds the program of a node.
	Dqlite     func(dsn string) gorm.Dialector
	DqliteNode func(ctx context.Context, target string) error
	// Replicate is gorm.io/plugin/dbresolver, for [PostgresReplica]: it has a handle read from
	// a replica, by a pool of so many connections, until closed.
	Replicate func(db *gorm.DB, replica gorm.Dialector, connections int) (closed func() error, err error)
}

// drivers are those that [MainWith] was given.
var drivers Drivers

// AllEngines names every engine that [OpenInstances] takes here, the slowest first: of those
// that run side by side, all wait for the last.
func AllEngines() (engines []string) {
	if drivers.Dqlite != nil {
		engines = append(engines, Dqlite)
	}
	if drivers.MySQL != nil {
		engines = append(engines, Galera, MariaDB)
	}
	if drivers.Replicate != nil {
		engines = append(engines, PostgresReplica)
	}
	return append(append(engines, PostgresPgBouncer), Engines()...)
}

// needDriver fails a test whose package does not bring what its engine needs.
func needDriver(tb testing.TB, engine string, has bool) {
	tb.Helper()
	if !has {
		tb.Fatalf("testdb: no driver for %s here: write the test in internal/engines, which has it", engine)
	}
}

// OpenInstances returns several handles of one fresh database in which the
// models are migrated, as the instances of a program have: each with a pool of
// its own, and on a cluster each with a node of its own. They are closed, and
// the database is dropped, at the end of the test.
func OpenInstances(tb testing.TB, engine string, models ...any) []*gorm.DB {
	tb.Helper()
	var handles []*gorm.DB
	switch engine {
	case PostgresReplica:
		return openReplicated(tb, models)
	case PostgresPgBouncer:
		return OpenPgBouncer(tb, []string{"exec", "exec"}, models...)
	case MariaDB:
		dsn := MariaDBDSN(tb, nil)
		handles = []*gorm.DB{connect(tb, drivers.MySQL(dsn), 16), connect(tb, drivers.MySQL(dsn), 16)}
	case Dqlite:
		dsn := dqliteDSN(tb)
		handles = []*gorm.DB{connect(tb, drivers.Dqlite(dsn), 16), connect(tb, drivers.Dqlite(dsn), 16)}
	case Galera:
		for _, dsn := range galeraDSNs(tb) {
			handles = append(handles, connect(tb, drivers.MySQL(dsn), 16))
		}
	default:
		open := everydayEngine(tb, engine, models)
		return []*gorm.DB{open(), open()}
	}
	migrate(tb, handles[0], models)
	return handles
}

// OpenPgBouncer is [OpenInstances] behind PgBouncer in transaction mode, with an instance for
// each of these values of default_query_exec_mode of the driver.
func OpenPgBouncer(tb testing.TB, execModes []string, models ...any) (handles []*gorm.DB) {
	tb.Helper()
	dsn := pgBouncerDSN(tb)
	for _, mode := range execModes {
		handles = append(handles, connect(tb, postgres.Open(withParameter(dsn, "default_query_exec_mode", mode)), 16))
	}
	migrate(tb, handles[0], models)
	return handles
}

// pgBouncerDSN returns the connection string of a fresh database behind
// PgBouncer.
func pgBouncerDSN(tb testing.TB) string {
	tb.Helper()
	primary, err := privatePostgres()
	need(tb, "postgres", err)
	server, err := bouncer()
	need(tb, "pgbouncer", err)
	return bouncerDSN(server.port, freshDatabase(tb, primary.dsn))
}

// openReplicated returns handles that read from the replica what is not marked
// for the primary.
func openReplicated(tb testing.TB, models []any) []*gorm.DB {
	tb.Helper()
	needDriver(tb, PostgresReplica, drivers.Replicate != nil)
	primary, err := privatePostgres()
	need(tb, "postgres", err)
	replica, err := replicaPostgres()
	need(tb, "postgres", err)

	schema := freshSchema(tb, primary.dsn)
	writes := withParameter(primary.dsn, "search_path", schema)
	reads := withParameter(replica.dsn, "search_path", schema)
	handles := []*gorm.DB{connect(tb, postgres.Open(writes), 16), connect(tb, postgres.Open(writes), 16)}
	// Before the replica is known: the migration would ask it what is there.
	migrate(tb, handles[0], models)
	for _, db := range handles {
		replicate(tb, db, reads)
	}
	if err := waitForReplica(handles[0], connect(tb, postgres.Open(reads), 1)); err != nil {
		tb.Fatalf("testdb: the replica does not follow: %v", err)
	}
	return handles
}

// replicate has a handle read from a replica.
func replicate(tb testing.TB, db *gorm.DB, dsn string) {
	tb.Helper()
	closed, err := drivers.Replicate(db, postgres.Open(dsn), 8)
	if err != nil {
		tb.Fatalf("testdb: open the replica: %v", err)
	}
	tb.Cleanup(func() {
		if err := closed(); err != nil {
			tb.Errorf("testdb: close the replica: %v", err)
		}
	})
}

func waitForReplica(primary, replica *gorm.DB) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	writes, err := primary.DB()
	if err != nil {
		return err
	}
	reads, err := replica.DB()
	if err != nil {
		return err
	}
	return catchUp(ctx, writes, reads)
}
