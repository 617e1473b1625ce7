package gormstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// indexedToken is Token after its program has added columns and indexes, one of them unique.
type indexedToken struct {
	ID     uint
	UserID *uint `gorm:"index"`
	models.TokenMixin
	Tenant string `gorm:"index"`
	Serial *int64 `gorm:"uniqueIndex"`
}

func (indexedToken) TableName() string { return "tokens" }

func onPostgres(t *testing.T, test func(t *testing.T, db *gorm.DB)) {
	t.Helper()
	for _, engine := range testdb.Engines() {
		if strings.HasPrefix(engine, testdb.Postgres) {
			t.Run(engine, func(t *testing.T) { test(t, testdb.Open(t, engine)) })
		}
	}
}

// indexesOf lists the indexes of a table, with their columns.
func indexesOf(t *testing.T, db *gorm.DB, model any) (all []string) {
	t.Helper()
	indexes, err := db.Migrator().GetIndexes(model)
	require.NoError(t, err)
	for _, index := range indexes {
		unique, _ := index.Unique()
		all = append(all, fmt.Sprintf("%s %v %t", index.Name(), index.Columns(), unique))
	}
	slices.Sort(all)
	return all
}

// manyTokens fills the table by the statement.
func manyTokens(t *testing.T, db *gorm.DB, rows int) {
	t.Helper()
	require.NoError(t, db.Exec(`INSERT INTO tokens (client_id, access_token, issued_at, expires_in, access_token_revoked_at, refresh_token_revoked_at)
		SELECT 'c', 'a' || i, 0, 3600, 0, 0 FROM generate_series(1, ?) i`, rows).Error)
}

// Nobody who reads or writes a large table waits long while columns and indexes are added.
func TestAMigrationKeepsNobodyWaiting(t *testing.T) {
	db := testdb.Open(t, testdb.Postgres) // the locks are the same at every isolation
	require.NoError(t, gormstore.AutoMigrate(db, allModels...))
	manyTokens(t, db, 300_000)
	tokens, _ := stores(t, db)
	var longestRead, longestWrite time.Duration
	ctx, stop := context.WithCancel(t.Context())
	others := make(chan struct{})
	go func() {
		defer close(others)
		for i := 0; ctx.Err() == nil; i++ {
			token := fmt.Sprint("a", 1+i%300_000)
			began := time.Now()
			_, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: token})
			assert.NoError(t, err)
			longestRead = max(longestRead, time.Since(began))
			began = time.Now()
			assert.NoError(t, tokens.RevokeToken(t.Context(), token, time.Now()))
			longestWrite = max(longestWrite, time.Since(began))
		}
	}()
	// Somebody else reads for a while, which the new columns have to wait for.
	slow := db.Begin()
	require.NoError(t, slow.Exec("SELECT count(*) FROM tokens").Error)
	go func() {
		time.Sleep(500 * time.Millisecond)
		slow.Rollback()
	}()
	require.NoError(t, gormstore.AutoMigrate(db, &indexedToken{}))
	stop()
	<-others
	assert.Contains(t, strings.Join(indexesOf(t, db, &indexedToken{}), "\n"), "idx_tokens_serial [serial] true")
	// On an idle machine that is below 150 ms; this one runs other tests.
	t.Log("the longest read and write:", longestRead, longestWrite)
	assert.Less(t, max(longestRead, longestWrite), 600*time.Millisecond)
}

// Who holds a table for ever is named, and nobody queues up behind the migration.
func TestAMigrationThatGetsNoLockSaysSo(t *testing.T) {
	onPostgres(t, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		holder := db.Begin()
		defer holder.Rollback()
		require.NoError(t, holder.Exec("LOCK TABLE tokens IN ACCESS SHARE MODE").Error)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, gormstore.AutoMigrate(db.WithContext(ctx), &indexedToken{}), context.DeadlineExceeded)
		err := gormstore.Migration{Patience: 300 * time.Millisecond}.AutoMigrate(db, &indexedToken{})
		require.ErrorContains(t, err, "other transactions have kept tokens locked for 300ms")
		assert.False(t, db.Migrator().HasColumn(&indexedToken{}, "serial"))
		require.NoError(t, holder.Rollback().Error)
		require.NoError(t, gormstore.AutoMigrate(db, &indexedToken{}), "and the next start goes through")
	})
}

// An index that failed, or was interrupted, is made anew.
func TestAnInvalidIndexIsMadeAnew(t *testing.T) {
	onPostgres(t, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		require.NoError(t, db.Exec("ALTER TABLE tokens ADD COLUMN serial bigint").Error)
		manyTokens(t, db, 10)
		require.NoError(t, db.Exec("UPDATE tokens SET serial = 7").Error)
		require.Error(t, db.Exec("CREATE UNIQUE INDEX CONCURRENTLY idx_tokens_serial ON tokens (serial)").Error)
		err := gormstore.AutoMigrate(db, &indexedToken{})
		require.ErrorContains(t, err, `tokens has several rows with the same serial, which must be unique: "7" in 10 rows`)
		require.NoError(t, db.Exec("UPDATE tokens SET serial = id").Error)
		require.NoError(t, gormstore.AutoMigrate(db, &indexedToken{}))
		var valid bool
		require.NoError(t, db.Raw("SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_tokens_serial'::regclass").Scan(&valid).Error)
		assert.True(t, valid)
	})
}

// Client ids that are there twice are named, and digests are not.
func TestDuplicatesAreNamed(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		require.NoError(t, db.Migrator().DropIndex(&Client{}, "idx_clients_client_id"))
		require.NoError(t, db.Migrator().DropIndex(&Token{}, "idx_tokens_access_token"))
		for range 2 {
			require.NoError(t, db.Omit("UserID").Create(&Client{ClientMixin: models.ClientMixin{ClientID: "twice"}}).Error)
			require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{AccessToken: "0a1b"}}).Error)
		}
		err := gormstore.AutoMigrate(db, &Client{})
		require.ErrorContains(t, err, `clients has several rows with the same client_id, which must be unique: "twice" in 2 rows`)
		err = gormstore.AutoMigrate(db, &Token{})
		require.ErrorContains(t, err, `access_token, which must be unique: a digest in 2 rows`)
		assert.NotContains(t, err.Error(), "0a1b")
	})
}

// Where there is an index on the same columns, there is no second one.
func TestAnIndexOnTheSameColumnsIsEnough(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		require.NoError(t, db.Migrator().DropIndex(&Token{}, "idx_tokens_grant_id"))
		require.NoError(t, db.Exec("CREATE INDEX ix_by_somebody_else ON tokens (grant_id)").Error)
		require.NoError(t, db.Migrator().DropIndex(&Client{}, "idx_clients_client_id"))
		require.NoError(t, db.Exec("CREATE UNIQUE INDEX ix_clients_client_id ON clients (client_id)").Error)
		before := append(indexesOf(t, db, &Token{}), indexesOf(t, db, &Client{})...)
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		assert.Equal(t, before, append(indexesOf(t, db, &Token{}), indexesOf(t, db, &Client{})...))
	})
}

// boundToken has an index that keeps some rows apart, which one on the same columns does not.
type boundToken struct {
	ID     uint
	UserID *uint `gorm:"index"`
	models.TokenMixin
	Tenant string `gorm:"index:idx_by_tenant;uniqueIndex:idx_one_of_tenant,where:tenant <> ''"`
}

func (boundToken) TableName() string { return "tokens" }

// An index that keeps rows apart is made beside one that does not.
func TestAUniqueIndexIsMadeBesideAnother(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		require.NoError(t, gormstore.AutoMigrate(db, &boundToken{}))
		one := func(token, tenant string) error {
			return db.Create(&boundToken{TokenMixin: models.TokenMixin{AccessToken: token}, Tenant: tenant}).Error
		}
		require.NoError(t, errors.Join(one("a", "x"), one("b", ""), one("c", "")))
		require.Error(t, one("d", "x"))
	})
}

// A start against a database that is up to date looks, and that is all.
func TestAMigrationOfWhatIsThereIsALook(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		var calls []string
		observed := faults.DB(db, &faults.Plan{Next: func(c faults.Call) faults.Fault {
			calls = append(calls, c.SQL)
			return faults.Fault{}
		}})
		require.NoError(t, gormstore.AutoMigrate(observed, allModels...))
		assert.LessOrEqual(t, len(calls), 6, strings.Join(calls, "\n"))
		for _, call := range calls {
			assert.Regexp(t, `^\s*(SELECT|WITH|BEGIN|PRAGMA|ROLLBACK)`, call)
		}
	})
}

// Behind a pooler in transaction mode an empty database gets its tables, and what lacks in one
// that is there is refused, with what to do.
func TestAMigrationBehindAPoolerHoldsNoLock(t *testing.T) {
	onPostgres(t, func(t *testing.T, db *gorm.DB) {
		pooled := gormstore.Migration{TransactionPooler: true}
		var calls []string
		observed := faults.DB(db, &faults.Plan{Next: func(c faults.Call) faults.Fault {
			calls = append(calls, c.SQL)
			return faults.Fault{}
		}})
		require.NoError(t, pooled.AutoMigrate(observed, allModels...))
		require.NoError(t, pooled.AutoMigrate(observed, allModels...))
		assert.NotContains(t, strings.Join(calls, "\n"), "pg_try_advisory_lock")
		err := pooled.AutoMigrate(observed, &indexedToken{})
		require.ErrorContains(t, err, "the column tokens.serial")
		assert.ErrorContains(t, err, "SchemaSQL")
		assert.False(t, db.Migrator().HasColumn(&indexedToken{}, "serial"))
	})
}

// In a transaction of the program's own, all of it is in that.
func TestAMigrationInATransactionIsInThat(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		rolledBack := errors.New("rolled back")
		require.ErrorIs(t, db.Transaction(func(tx *gorm.DB) error {
			require.NoError(t, gormstore.AutoMigrate(tx, &indexedToken{}))
			assert.True(t, tx.Migrator().HasIndex(&indexedToken{}, "idx_tokens_serial"))
			return rolledBack
		}), rolledBack)
		assert.False(t, db.Migrator().HasColumn(&indexedToken{}, "serial"))
	})
}

// definitionsOf lists the definitions of all indexes, with their methods and conditions.
func definitionsOf(t *testing.T, db *gorm.DB) (all []string) {
	t.Helper()
	query := "SELECT coalesce(sql, name) FROM sqlite_master WHERE type = 'index'"
	if db.Name() == "postgres" {
		query = "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema()"
	}
	require.NoError(t, db.Raw(query).Scan(&all).Error)
	require.NotEmpty(t, all)
	slices.Sort(all)
	return all
}

// The statements of SchemaSQL make what AutoMigrate makes.
func TestTheSchemaInWritingIsThatOfAutoMigrate(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		text, err := gormstore.SchemaSQL(db, allModels...)
		require.NoError(t, err)
		assert.False(t, db.Migrator().HasTable(&Token{}), "nothing was run")
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		want, definitions := tablesOf(t, db), definitionsOf(t, db)
		require.NoError(t, db.Migrator().DropTable(allModels...))
		for statement := range strings.SplitSeq(strings.TrimSpace(text), ";\n") {
			require.NoError(t, db.Exec(statement).Error, statement)
		}
		assert.Equal(t, want, tablesOf(t, db))
		assert.Equal(t, definitions, definitionsOf(t, db))
		require.NoError(t, gormstore.AutoMigrate(db, allModels...), "which finds nothing to add")
		assert.Equal(t, want, tablesOf(t, db))
		if db.Name() == "postgres" {
			var options string
			require.NoError(t, db.Raw("SELECT array_to_string(reloptions, ',') FROM pg_class WHERE oid = 'tokens'::regclass").Scan(&options).Error)
			assert.Equal(t, "fillfactor=85", options)
		}
	})
}

// A name that something else has is not passed over, as IF NOT EXISTS would.
func TestAnIndexWhoseNameAnotherTableHasIsNamed(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, gormstore.AutoMigrate(db, &User{}, &Token{}))
		execAll(t, db, "CREATE TABLE others (id integer)", "CREATE INDEX idx_tokens_serial ON others (id)")
		err := gormstore.AutoMigrate(db, &indexedToken{})
		require.Error(t, err)
		assert.Contains(t, err.Error(), "idx_tokens_serial")
		execAll(t, db, "DROP INDEX idx_tokens_serial")
		require.NoError(t, gormstore.AutoMigrate(db, &indexedToken{}))
	})
}

// A server in front of which a pooler lends connections is seen where it is not said.
func TestAPoolerIsSeen(t *testing.T) {
	db := testdb.OpenInstances(t, testdb.PostgresPgBouncer)[0]
	err := gormstore.AutoMigrate(db, allModels...)
	require.ErrorContains(t, err, "TransactionPooler: true")
	assert.False(t, db.Migrator().HasTable(&Token{}))
	require.NoError(t, gormstore.Migration{TransactionPooler: true}.AutoMigrate(db, allModels...))
}

// A program sets its own timeouts when it connects, and the pool has them afterwards.
func TestAMigrationLeavesTheSettingsOfASession(t *testing.T) {
	onPostgres(t, func(t *testing.T, db *gorm.DB) {
		pool, err := db.DB()
		require.NoError(t, err)
		pool.SetMaxOpenConns(1)
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		execAll(t, db, "SET statement_timeout = '17s'", "SET lock_timeout = '3s'")
		require.NoError(t, gormstore.AutoMigrate(db, &indexedToken{}))
		var statement, lock string
		require.NoError(t, db.Raw("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')").Row().Scan(&statement, &lock))
		assert.Equal(t, []string{"17s", "3s"}, []string{statement, lock})
	})
}

// Whatever statement fails, the caller is told, and the next call completes what was begun.
func TestNoFailureOfAMigrationIsLost(t *testing.T) {
	all := []any{&Client{}, &oauthtest.Replay{}}
	for _, engine := range []string{testdb.SQLiteGo, testdb.Postgres} {
		for rule, breaks := range map[string][]string{
			"an empty database": {"DROP TABLE clients", "DROP TABLE replays"},
			"an older database": {"DROP INDEX idx_clients_unused_expires_at", "ALTER TABLE clients DROP COLUMN api_resources", "DROP TABLE replays"},
			"a sound database":  nil,
		} {
			t.Run(engine+"/"+rule, func(t *testing.T) {
				t.Parallel()
				db := testdb.Open(t, engine, all...)
				heard, l := heardBy(t, db)
				for number := 1; ; number++ {
					execAll(t, db, breaks...)
					l.said, l.fail = nil, number
					err := gormstore.AutoMigrate(heard, all...)
					if len(l.said) < number {
						require.NoError(t, err)
						break
					}
					failed := l.said[number-1]
					l.fail = 0
					guess := len(l.said) > number && strings.Contains(l.said[number], "pg_try_advisory_lock") // whether there is a pooler
					if !guess || err != nil {
						require.ErrorIs(t, err, errBroken, failed)
						require.NoError(t, gormstore.AutoMigrate(heard, all...), failed)
					}
					require.Empty(t, diagnosed(t, db, all...), failed)
				}
			})
		}
	}
}
