// Package clientcache caches clients for a short time, so that most requests need no
// query for theirs:
//
//	query, err := clientcache.New[Client](db, clientcache.Options{})
//	srv, err := gormoauth.New(db, server.Config{QueryClient: query}, …)
//
// It is not on by default, because it has a cost. A write through the same [gorm.DB]
// empties the cache at once; a write by another instance or another program is seen only
// after Options.TTL. Until then, this instance may still accept a client that was
// deleted.
//
// After a write in a transaction of the program's own, nothing is cached for Options.TTL.
// Only the writes of a transaction that stays open for longer than that may be seen late,
// by up to Options.TTL again.
package clientcache
