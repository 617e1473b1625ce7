// Package clientcache remembers clients for a moment, so that most requests do
// without the look-up of theirs:
//
//	query, err := clientcache.New[Client](db, clientcache.Options{})
//	srv, err := gormoauth.New(db, server.Config{QueryClient: query}, …)
//
// It is not on by itself, since it has a price. A write through the same
// [gorm.DB] drops what is remembered at once; a write of another instance, or of
// another program, is seen when the time that Options.TTL says is over. For as
// long, a client that was deleted, or a secret that was replaced, may still be
// taken there.
//
// After a write in a transaction of the program's own, nothing is remembered for
// as long as Options.TTL says. Only what a transaction writes that stays open
// for longer than that may be seen late, by as much again.
package clientcache
