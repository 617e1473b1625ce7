package engines_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/plugin/dbresolver"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// diagnosed returns the findings by their checks and where, without that of what the
// databases for tests do without, to be quick.
func diagnosed(t *testing.T, db *gorm.DB) (found map[string]string) {
	t.Helper()
	found = make(map[string]string) // their remedies
	for _, finding := range gormstore.Diagnose(t.Context(), db, allModels...).Without("durability") {
		found[finding.Check+" "+finding.Where] = finding.Remedy
	}
	return found
}

func TestASoundReplicaHasNothingWrong(t *testing.T) {
	for _, db := range testdb.OpenInstances(t, testdb.PostgresReplica, allModels...) {
		assert.Empty(t, diagnosed(t, db))
	}
}

func TestAReplicaInPlaceOfThePrimaryIsFound(t *testing.T) {
	db := testdb.OpenInstances(t, testdb.PostgresReplica, allModels...)[0]
	var replica gorm.Dialector
	require.NoError(t, db.Config.Plugins["gorm:db_resolver"].(*dbresolver.DBResolver).Call(func(pool gorm.ConnPool) error {
		if p, err := db.DB(); err == nil && pool != gorm.ConnPool(p) {
			replica = postgres.New(postgres.Config{Conn: pool})
		}
		return nil
	}))
	require.NotNil(t, replica)
	asPrimary, err := gorm.Open(replica, &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	assert.Equal(t, []string{"read_only the connection string"}, keys(diagnosed(t, asPrimary)))

	// The handle's own connections are the primary's, and what it is told of
	// sources is not.
	mixed := testdb.Open(t, testdb.Postgres)
	require.NoError(t, gormstore.AutoMigrate(mixed, allModels...))
	require.Empty(t, diagnosed(t, mixed))
	require.NoError(t, mixed.Use(dbresolver.Register(dbresolver.Config{Sources: []gorm.Dialector{replica}})))
	assert.Equal(t, []string{"reads_of_replica the *gorm.DB"}, keys(diagnosed(t, mixed)))
}

func TestMariaDBIsDiagnosed(t *testing.T) {
	t.Parallel()
	db := testdb.OpenInstances(t, testdb.Galera)[0]
	execAll(t, db, "ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
	require.NoError(t, gormstore.AutoMigrate(db, allModels...))
	require.Empty(t, diagnosed(t, db), "as it should be")

	dsn := db.Dialector.(*mysql.Dialector).DSN
	for setting, want := range map[string]string{
		"wsrep_sync_wait=0": "wsrep_sync_wait wsrep_sync_wait",
		"sql_mode=''":       "sql_mode sql_mode",
		"charset=latin1":    "character_set the connection string",

		"innodb_lock_wait_timeout=50":     "lock_wait_timeout innodb_lock_wait_timeout",
		"tx_isolation='READ-UNCOMMITTED'": "isolation tx_isolation",
	} {
		name, value, _ := strings.Cut(setting, "=")
		path, query, _ := strings.Cut(dsn, "?")
		settings, err := url.ParseQuery(query)
		require.NoError(t, err)
		settings.Set(name, value)
		other, err := gorm.Open(mysql.Open(path+"?"+settings.Encode()), &gorm.Config{Logger: logger.Discard})
		require.NoError(t, err)
		pool, err := other.DB()
		require.NoError(t, err)
		pool.SetMaxOpenConns(4)
		t.Cleanup(func() { _ = pool.Close() })
		assert.Equal(t, []string{want}, keys(diagnosed(t, other)), setting)
	}

	execAll(t, db,
		"ALTER TABLE clients MODIFY client_id varchar(48) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
		"ALTER TABLE tokens MODIFY scope text CHARACTER SET latin1 COLLATE latin1_bin",
		"ALTER TABLE tokens MODIFY issued_at int NOT NULL",
		"ALTER TABLE tokens MODIFY refresh_token varchar(63)",
		"ALTER TABLE device_codes MODIFY user_id bigint unsigned NOT NULL",
		"DROP INDEX idx_replays_replay_key ON replays", "CREATE INDEX idx_replays_replay_key ON replays (replay_key)",
		"DROP INDEX idx_tokens_grant_id ON tokens",
		"ALTER TABLE logouts ADD COLUMN tenant varchar(9) NOT NULL",
		"DROP TABLE signing_keys",
	)
	found := diagnosed(t, db)
	assert.ElementsMatch(t, []string{
		"collation table clients", "character_set table tokens", "column_time column tokens.issued_at", "column_length column tokens.refresh_token",
		"column_null column device_codes.user_id", "unique_index table replays", "index table tokens", "column_unknown column logouts.tenant", "table table signing_keys",
	}, keys(found))
	severities := make(map[string]string)
	for _, one := range gormstore.Diagnose(t.Context(), db, allModels...).Without("durability") {
		severities[one.Check] = one.Severity.String()
	}
	assert.Equal(t, map[string]string{
		"collation": "warning", "character_set": "warning", "column_time": "warning", "column_length": "grave", "column_null": "grave", "unique_index": "grave", "index": "warning",
		"column_unknown": "grave", "table": "grave",
	}, severities)
	for name, remedy := range found {
		if strings.Contains(remedy, "ALTER") || strings.Contains(remedy, "INDEX") {
			execAll(t, db, strings.Split(remedy, "; ")...)
			delete(found, name)
		}
	}
	assert.Len(t, found, 2)
	assert.ElementsMatch(t, keys(found), keys(diagnosed(t, db)), "the rest is remedied by its remedies")
}
