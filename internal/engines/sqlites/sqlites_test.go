// Package sqlites_test runs the conformance kit on the drivers of SQLite that cannot be in one
// program with those of internal/testdb, as they register the same names.
package sqlites_test

import (
	"path/filepath"
	"testing"

	"github.com/glebarez/sqlite"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/internal/engines/kit"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
)

const settings = "?_pragma=busy_timeout(1000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_pragma=synchronous(OFF)&_txlock=immediate"

// drivers are what a program opens a database by.
var drivers = map[string]func(t *testing.T, dsn string) gorm.Dialector{
	"github.com/glebarez/sqlite": func(_ *testing.T, dsn string) gorm.Dialector { return sqlite.Open(dsn) },
	"github.com/ncruces/go-sqlite3": func(t *testing.T, dsn string) gorm.Dialector {
		pool, err := driver.Open(dsn)
		require.NoError(t, err)
		return sqlite.Dialector{Conn: pool}
	},
}

func open(t *testing.T, dialector gorm.Dialector) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	pool.SetMaxOpenConns(8)
	pool.SetMaxIdleConns(8)
	t.Cleanup(func() { assert.NoError(t, pool.Close()) })
	return db
}

func TestEveryDriverOfSQLite(t *testing.T) {
	for name, dialector := range drivers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := "file:" + filepath.ToSlash(filepath.Join(t.TempDir(), "kit.db")) + settings
			instances := []*gorm.DB{open(t, dialector(t, dsn)), open(t, dialector(t, dsn))}
			require.NoError(t, instances[0].AutoMigrate(oauthtest.Models()...))
			kit.Run(t, instances)
		})
	}
}
