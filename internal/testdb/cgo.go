//go:build cgo

package testdb

// hasCgo tells whether github.com/mattn/go-sqlite3 works: without cgo it is a
// stub whose every call fails.
const hasCgo = true
