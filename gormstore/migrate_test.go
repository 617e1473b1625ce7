package gormstore_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
)

// Eight instances of a program start at once on an empty database, each with
// connections of its own.
func TestManyInstancesMigrateTogether(t *testing.T) {
	for engine, dialector := range map[string]func(t *testing.T) func() gorm.Dialector{
		"postgres": func(t *testing.T) func() gorm.Dialector {
			dsn := testdb.PostgresDSN(t)
			return func() gorm.Dialector { return postgres.Open(dsn) }
		},
		"sqlite": func(t *testing.T) func() gorm.Dialector {
			dsn := "file:" + filepath.Join(t.TempDir(), "x.db") + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate"
			open := func() gorm.Dialector { return sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: dsn}) }
			// Turning WAL on is the file's affair, once, and does not wait for others.
			db, err := gorm.Open(open(), &gorm.Config{Logger: logger.Discard})
			require.NoError(t, err)
			pool, err := db.DB()
			require.NoError(t, err)
			require.NoError(t, pool.Close())
			return open
		},
	} {
		t.Run(engine, func(t *testing.T) {
			open := dialector(t)
			for _, err := range race(8, func(int) error {
				db, err := gorm.Open(open(), &gorm.Config{Logger: logger.Discard})
				if err != nil {
					return err
				}
				pool, err := db.DB()
				if err != nil {
					return err
				}
				defer pool.Close()
				return gormstore.AutoMigrate(db, allModels...)
			}) {
				assert.NoError(t, err)
			}
			db, err := gorm.Open(open(), &gorm.Config{Logger: logger.Discard})
			require.NoError(t, err)
			pool, err := db.DB()
			require.NoError(t, err)
			defer pool.Close()
			p := newProvider(t, db)
			assert.True(t, p.valid(p.redeem(p.code("profile")).AccessToken))
		})
	}
}

// grownToken is Token after its program gave it another column and index.
type grownToken struct {
	ID     uint
	UserID *uint
	models.TokenMixin
	Tenant string `gorm:"index"`
}

func (grownToken) TableName() string { return "tokens" }

func TestMigrationAddsAndKeeps(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{AccessToken: "a"}}).Error)
		require.NoError(t, gormstore.AutoMigrate(db, &grownToken{}))
		var row grownToken
		require.NoError(t, db.First(&row).Error)
		assert.Equal(t, "a", row.AccessToken)
		assert.True(t, db.Migrator().HasColumn(&grownToken{}, "tenant"))
		assert.True(t, db.Migrator().HasIndex(&grownToken{}, "idx_tokens_tenant"))
		require.NoError(t, gormstore.AutoMigrate(db, allModels...), "an older program does not mind")
		assert.Error(t, db.Create(&Token{TokenMixin: models.TokenMixin{AccessToken: "a"}}).Error, "digests are unique")
	})
}
