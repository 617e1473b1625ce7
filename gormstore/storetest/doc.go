// Package storetest tests whether a program's own models, on its own database, keep the
// guarantees of gormoauth: a credential is spent only once, a successful response stays
// true through races, retries, lagging replicas and lost connections, and every value is
// read back as it was stored. A test needs only one call:
//
//	func TestStorage(t *testing.T) {
//		storetest.Run[User, Client, Token, AuthorizationCode](t, storetest.Config{DB: openTestDatabase(t)})
//	}
//
// The kit runs whole servers and calls their HTTP handlers. It needs a database that is
// used only for tests, with the models migrated: it leaves rows behind, and it prunes.
package storetest
