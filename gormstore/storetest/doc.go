// Package storetest proves that a program's own models, on its own database,
// keep the promises of gormoauth: a credential is spent once, an acknowledged
// answer stays true, through races, retries, lagging replicas and lost
// connections, and what comes back is what was stored. One call in a test is
// the whole of it:
//
//	func TestStorage(t *testing.T) {
//		storetest.Run[User, Client, Token, AuthorizationCode](t, storetest.Config{DB: openTestDatabase(t)})
//	}
//
// The kit talks to a whole server, by its HTTP handlers. It needs a database
// with the models migrated, for tests alone: it leaves rows behind, and it
// prunes.
package storetest
