package testdb

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/plugin/dbresolver"
)

// The engines that [OpenInstances] has beside those of [Engines]: what stands
// between several instances of a program and their database.
const (
	PostgresReplica   = "postgres-replica"   // reads go to a lagging replica, by gorm.io/plugin/dbresolver
	PostgresPgBouncer = "postgres-pgbouncer" // in transaction mode
	Galera            = "galera"             // three nodes of MariaDB that all take writes
)

// AllEngines names every engine that [OpenInstances] takes.
func AllEngines() []string {
	return append(Engines(), PostgresReplica, PostgresPgBouncer, Galera)
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
		dsn := pgBouncerDSN(tb)
		handles = []*gorm.DB{connect(tb, postgres.Open(dsn), 16), connect(tb, postgres.Open(dsn), 16)}
	case Galera:
		for _, dsn := range galeraDSNs(tb) {
			handles = append(handles, connect(tb, mysql.Open(dsn), 16))
		}
	default:
		open := everydayEngine(tb, engine)
		handles = []*gorm.DB{open(), open()}
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
	resolver := dbresolver.Register(dbresolver.Config{Replicas: []gorm.Dialector{postgres.Open(dsn)}})
	if err := db.Use(resolver.SetMaxOpenConns(8).SetMaxIdleConns(8)); err != nil {
		tb.Fatalf("testdb: open the replica: %v", err)
	}
	tb.Cleanup(func() {
		// The primary's pool is among them, and may be closed twice.
		if err := resolver.Call(func(pool gorm.ConnPool) error { return pool.(*sql.DB).Close() }); err != nil {
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
