package engines_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
)

// Eight instances of a program start at once on an empty database, on a cluster
// at all of its nodes.
func TestManyInstancesMigrateTogether(t *testing.T) {
	t.Parallel()
	for _, engine := range testdb.AllEngines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			handles := testdb.OpenInstances(t, engine)
			programs := eight(t, handles)
			for _, err := range race(8, func(i int) error {
				return migration(engine).AutoMigrate(programs[i], allModels...)
			}) {
				assert.NoError(t, err)
			}
			works(t, handles[0])
		})
	}
}

// migration is how a program migrates on an engine.
func migration(engine string) gormstore.Migration {
	return gormstore.Migration{TransactionPooler: engine == testdb.PostgresPgBouncer}
}

// eight returns handles that share pools and nothing else: GORM reads a model's
// indexes into a schema that all users of one handle share, without a lock, and
// programs have processes of their own.
func eight(t *testing.T, handles []*gorm.DB) []*gorm.DB {
	t.Helper()
	programs := make([]*gorm.DB, 8)
	for i := range programs {
		db := handles[i%len(handles)]
		pool, err := db.DB()
		require.NoError(t, err)
		dialector := map[string]gorm.Dialector{
			"sqlite":   sqlite.New(sqlite.Config{Conn: pool}),
			"postgres": postgres.New(postgres.Config{Conn: pool}),
			"mysql":    mysql.New(mysql.Config{Conn: pool}),
		}[db.Name()]
		programs[i], err = gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
		require.NoError(t, err)
	}
	return programs
}

// They do so once more to add a column and an index.
func TestManyInstancesAddColumnsTogether(t *testing.T) {
	t.Parallel()
	for _, engine := range testdb.AllEngines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			handles := testdb.OpenInstances(t, engine, allModels...)
			programs := eight(t, handles)
			for _, err := range race(8, func(i int) error {
				return migration(engine).AutoMigrate(programs[i], &grownToken{})
			}) {
				if engine == testdb.PostgresPgBouncer {
					assert.ErrorContains(t, err, "the column tokens.tenant")
				} else {
					assert.NoError(t, err)
				}
			}
			if engine == testdb.PostgresPgBouncer {
				return
			}
			if handles[0].Name() == "postgres" {
				require.Eventually(t, func() bool { // others take it meanwhile
					var held int64
					err := handles[0].Raw("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(&held).Error
					return err == nil && held == 0
				}, 30*time.Second, time.Millisecond, "the lock is given back")
			}
			require.NoError(t, handles[0].Create(&grownToken{Tenant: "a", TokenMixin: models.TokenMixin{AccessToken: "a"}}).Error)
		})
	}
}

func TestAnotherMigrationChangesNothing(t *testing.T) {
	t.Parallel()
	for _, engine := range testdb.AllEngines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			db := testdb.OpenInstances(t, engine)[0]
			require.NoError(t, migration(engine).AutoMigrate(db, allModels...))
			require.NoError(t, db.Callback().Raw().Before("*").Register("test:ddl", func(tx *gorm.DB) {
				statement := tx.Statement.SQL.String()
				assert.NotRegexp(t, "^(CREATE|ALTER|DROP)", statement)
			}))
			require.NoError(t, migration(engine).AutoMigrate(db, allModels...))
		})
	}
}

// grownToken is oauthtest.Token after its program gave it another column and index.
type grownToken struct {
	ID     uint
	UserID *uint
	models.TokenMixin
	Tenant string `gorm:"index"`
}

func (grownToken) TableName() string { return "tokens" }
