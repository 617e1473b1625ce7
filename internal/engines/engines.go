// Package engines brings the drivers of the engines that the library is tested on and
// programs seldom have: MariaDB and its cluster Galera, dqlite, and replicas by dbresolver. Here are the
// tests that run on every engine there is, or on one of these alone.
//
// It is a module of its own, so that a program that uses the library requires none of them.
package engines

import (
	"database/sql"
	"testing"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/plugin/dbresolver"

	"github.com/gormoauth/gormoauth/internal/testdb"
)

// Main is [testdb.Main] with every engine. It is a package's whole TestMain.
func Main(m *testing.M) {
	testdb.MainWith(m, testdb.Drivers{MySQL: mysql.Open, Dqlite: OpenDqlite, DqliteNode: buildDqliteNode, Replicate: replicate})
}

func replicate(db *gorm.DB, replica gorm.Dialector, connections int) (closed func() error, err error) {
	resolver := dbresolver.Register(dbresolver.Config{Replicas: []gorm.Dialector{replica}})
	err = db.Use(resolver.SetMaxOpenConns(connections).SetMaxIdleConns(connections))
	return func() error {
		// The primary's pool is among them, and may be closed twice.
		return resolver.Call(func(pool gorm.ConnPool) error { return pool.(*sql.DB).Close() })
	}, err
}
