// Package testdb gives tests real databases: SQLite through cgo and in pure Go,
// and PostgreSQL at two isolation levels. Every call answers with a fresh one.
//
//	func TestMain(m *testing.M) { testdb.Main(m) }
//
//	func TestClient(t *testing.T) {
//		testdb.Each(t, []any{&Client{}}, func(t *testing.T, db *gorm.DB) {
//			…
//		})
//	}
//
// # Where PostgreSQL comes from
//
// The environment variable GORMOAUTH_TEST_POSTGRES names a server by its
// connection string; its user must be allowed to create schemas. Without it
// the installed binaries (those in PATH, or else the newest of
// /usr/lib/postgresql) run a private server, once per test process, whose
// files and processes are gone when the process is, however it ends.
//
// With neither, a test that asks for PostgreSQL is skipped, or fails when
// GORMOAUTH_TEST_REQUIRE contains the word postgres.
package testdb
