package testdb_test

import (
	"crypto/rand"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/testdb"
)

type note struct {
	ID   uint
	Text string `gorm:"uniqueIndex;size:100"`
}

func TestMain(m *testing.M) { testdb.Main(m) }

// The second round runs under names that end in #01, which once cut short the
// path of an SQLite file and made all rounds share one.
func TestEachDatabaseIsFresh(t *testing.T) {
	for range 2 {
		for _, engine := range testdb.Engines() {
			t.Run(engine, func(t *testing.T) {
				one, two := testdb.Open(t, engine), testdb.Open(t, engine, &note{})
				assert.False(t, one.Migrator().HasTable(&note{}))
				require.NoError(t, one.AutoMigrate(&note{}))
				require.NoError(t, one.Create(&note{Text: "one"}).Error)

				var count int64
				require.NoError(t, two.Model(&note{}).Count(&count).Error)
				assert.Zero(t, count)
			})
		}
	}
}

func TestUniqueIndexHolds(t *testing.T) {
	testdb.Each(t, []any{&note{}}, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, db.Create(&note{Text: "one"}).Error)
		require.Error(t, db.Create(&note{Text: "one"}).Error)
		require.NoError(t, db.Create(&note{Text: "two"}).Error)
	})
}

// Serializable transactions may fail instead, and are then the caller's to try
// again: that engine is not among these.
func TestConcurrentWritersQueue(t *testing.T) {
	for _, engine := range slices.DeleteFunc(testdb.Engines(), func(e string) bool { return e == testdb.PostgresSerializable }) {
		t.Run(engine, func(t *testing.T) { concurrentWritersQueue(t, testdb.Open(t, engine, &note{})) })
	}
}

func concurrentWritersQueue(t *testing.T, db *gorm.DB) {
	t.Helper()
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			assert.NoError(t, db.Transaction(func(tx *gorm.DB) error {
				var count int64
				if err := tx.Model(&note{}).Count(&count).Error; err != nil {
					return err
				}
				return tx.Create(&note{Text: rand.Text()}).Error
			}))
		})
	}
	group.Wait()
}

func TestIsolation(t *testing.T) {
	for engine, want := range map[string]string{
		testdb.Postgres:             "read committed",
		testdb.PostgresSerializable: "serializable",
	} {
		t.Run(engine, func(t *testing.T) {
			assert.Equal(t, want, isolation(t, testdb.Open(t, engine)))
		})
	}
}

// Two transactions each read what the other writes. Only a serializable engine
// refuses one of them.
func TestSerializableRefusesWriteSkew(t *testing.T) {
	skew := func(t *testing.T, engine string) error {
		db := testdb.Open(t, engine, &note{})
		one, two := db.Begin(), db.Begin()
		defer one.Rollback()
		defer two.Rollback()
		for _, tx := range []*gorm.DB{one, two} {
			var count int64
			require.NoError(t, tx.Model(&note{}).Count(&count).Error)
		}
		require.NoError(t, one.Create(&note{Text: "one"}).Error)
		require.NoError(t, one.Commit().Error)
		if err := two.Create(&note{Text: "two"}).Error; err != nil {
			return err
		}
		return two.Commit().Error
	}
	require.NoError(t, skew(t, testdb.Postgres))
	require.ErrorContains(t, skew(t, testdb.PostgresSerializable), "40001")
}

func isolation(t *testing.T, db *gorm.DB) string {
	t.Helper()
	var level string
	require.NoError(t, db.Raw("SHOW transaction_isolation").Scan(&level).Error)
	return level
}
