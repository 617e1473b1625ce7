// Package testdb gives tests real databases. Every call answers with a fresh
// one.
//
//	func TestMain(m *testing.M) { testdb.Main(m) }
//
//	func TestClient(t *testing.T) {
//		testdb.Each(t, []any{&Client{}}, func(t *testing.T, db *gorm.DB) {
//			…
//		})
//	}
//
// [Each] has the everyday engines: SQLite through cgo and in pure Go, and
// PostgreSQL at two isolation levels. [OpenInstances] has them as several
// instances of a program would, and also what may stand between these and
// their database: a replica that lags, PgBouncer, a single MariaDB, a Galera cluster, a cluster
// of dqlite.
// [StartPostgres], [StartMariaDB], [StartGalera] and [StartDqlite] have servers that a test may kill. The replica
// and the cluster need drivers that are in the module internal/engines, with the
// tests of both.
//
// # Where servers come from
//
// The installed programs run private servers, once per test process, when they
// are first asked for. Their files and processes are gone when the process is,
// however it ends. Root runs them as the users postgres and mysql.
//
// What no test kills, SQLite's files among it, is in memory (/dev/shm) where there are 6 GB of it,
// which takes a tenth less of the processors than a disk, unless GORMOAUTH_TEST_LEAVE_OUT contains
// the word memory. Everything else is in the directory for temporary files.
//
// PostgreSQL's are those in PATH, or else the newest of /usr/lib/postgresql. The
// environment variable GORMOAUTH_TEST_POSTGRES may name another server for the
// everyday engines, by its connection string; its user must be allowed to
// create schemas.
//
// A test that asks for a server that is not installed is skipped, or fails when
// GORMOAUTH_TEST_REQUIRE contains its word: postgres, pgbouncer, mariadb, galera or
// dqlite, whose nodes are built with its headers. A
// server that is installed and does not work is a failure. What the environment
// variable GORMOAUTH_TEST_LEAVE_OUT contains, by the same words, counts as not
// installed, and an engine that it names is none of [Engines].
package testdb
