package engines_test

import (
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/plugin/dbresolver"

	"github.com/gormoauth/gormoauth/internal/testdb"
)

type note struct {
	ID   uint
	Text string `gorm:"uniqueIndex;size:100"`
}

func TestInstancesShareAFreshDatabase(t *testing.T) {
	t.Parallel()
	for _, engine := range testdb.AllEngines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			other := testdb.OpenInstances(t, engine, &note{})
			require.NoError(t, other[0].Create(&note{Text: "other"}).Error)

			handles := testdb.OpenInstances(t, engine, &note{})
			require.GreaterOrEqual(t, len(handles), 2)
			for i, db := range handles {
				text := rand.Text()
				require.NoError(t, db.Create(&note{Text: text}).Error)
				for _, reader := range handles {
					// One by one, as nodes of a cluster leave gaps between their keys.
					var found note
					require.NoError(t, reader.Clauses(dbresolver.Write).Where("text = ?", text).First(&found).Error)
				}
				var count int64
				require.NoError(t, db.Clauses(dbresolver.Write).Model(&note{}).Count(&count).Error)
				assert.EqualValues(t, i+1, count)
			}
		})
	}
}

func TestEveryInstanceHasItsOwnConnections(t *testing.T) {
	t.Parallel()
	for _, engine := range testdb.AllEngines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			handles := testdb.OpenInstances(t, engine)
			for i, db := range handles {
				for _, other := range handles[:i] {
					assert.NotSame(t, must(other.DB()), must(db.DB()))
				}
			}
		})
	}
}

func TestTheReplicaLags(t *testing.T) {
	db := testdb.OpenInstances(t, testdb.PostgresReplica, &note{})[0]
	start := time.Now()
	require.NoError(t, db.Create(&note{Text: "one"}).Error)
	assert.Zero(t, count(t, db), "the replica does not know of it yet")
	assert.EqualValues(t, 1, count(t, db.Clauses(dbresolver.Write)))
	assert.EqualValues(t, 1, count(t, db.Set("gorm:db_resolver:write", struct{}{})))
	require.Eventually(t, func() bool { return count(t, db) == 1 }, 10*time.Second, 5*time.Millisecond)
	assert.GreaterOrEqual(t, time.Since(start), 100*time.Millisecond)
	assert.Equal(t, "t", text(t, db, "SELECT pg_is_in_recovery()::text")[:1])
}

func TestGaleraNodesAreACluster(t *testing.T) {
	t.Parallel()
	handles := testdb.OpenInstances(t, testdb.Galera)
	require.Len(t, handles, 3)
	var names []string
	for _, db := range handles {
		assert.Equal(t, "3", text(t, db, "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_cluster_size'"))
		assert.Equal(t, "1", text(t, db, "SELECT @@wsrep_sync_wait"))
		names = append(names, text(t, db, "SELECT @@wsrep_node_name"))
	}
	slices.Sort(names)
	assert.Len(t, slices.Compact(names), 3)
}

// Two nodes change one row at the same time. The second to commit is refused.
func TestGaleraCertifiesAtCommit(t *testing.T) {
	t.Parallel()
	handles := testdb.OpenInstances(t, testdb.Galera, &note{})
	require.NoError(t, handles[0].Create(&note{Text: "one"}).Error)
	one, two := handles[0].Begin(), handles[1].Begin()
	defer one.Rollback()
	defer two.Rollback()
	require.NoError(t, one.Model(&note{}).Where("text = ?", "one").Update("text", "two").Error)
	require.NoError(t, two.Model(&note{}).Where("text = ?", "one").Update("text", "three").Error)
	require.NoError(t, one.Commit().Error)
	require.ErrorContains(t, two.Commit().Error, "1213")
}

func TestGaleraLosesANode(t *testing.T) {
	t.Parallel()
	nodes := testdb.StartGalera(t)
	require.Len(t, nodes, 3)
	flush := text(t, dial(t, nodes[0]), "SELECT @@innodb_flush_log_at_trx_commit")
	assert.Equal(t, "1", flush)
	require.NoError(t, dial(t, nodes[0]).Exec("CREATE DATABASE notes").Error)
	handles := make([]*gorm.DB, len(nodes))
	for i, node := range nodes {
		handles[i] = dial(t, node)
	}
	require.NoError(t, handles[0].Exec("CREATE TABLE notes.kept (id INT PRIMARY KEY)").Error)

	require.NoError(t, handles[0].Exec("INSERT INTO notes.kept VALUES (1)").Error)
	nodes[0].Kill(t) // the one that the others have joined
	require.Error(t, handles[0].Exec("INSERT INTO notes.kept VALUES (2)").Error)
	require.NoError(t, handles[1].Exec("INSERT INTO notes.kept VALUES (3)").Error, "the others go on")
	nodes[0].Start(t)
	assert.Equal(t, "3", text(t, handles[0], "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_cluster_size'"))
	for _, db := range handles {
		var kept []int
		require.NoError(t, db.Table("notes.kept").Order("id").Pluck("id", &kept).Error)
		assert.Equal(t, []int{1, 3}, kept)
	}
}

func dial(t *testing.T, server *testdb.Server) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(server.Dialector(), &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	t.Cleanup(func() { _ = must(db.DB()).Close() })
	return db
}

func text(t *testing.T, db *gorm.DB, query string) (value string) {
	t.Helper()
	require.NoError(t, db.Raw(query).Row().Scan(&value))
	return value
}

func count(t *testing.T, db *gorm.DB) (rows int64) {
	t.Helper()
	require.NoError(t, db.Model(&note{}).Count(&rows).Error)
	return rows
}

func must[V any](value V, err error) V {
	if err != nil {
		panic(err)
	}
	return value
}
