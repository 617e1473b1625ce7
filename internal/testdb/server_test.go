package testdb_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/internal/testdb"
)

func dial(t *testing.T, server *testdb.Server) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(server.Dialector(), &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	t.Cleanup(func() { _ = must(db.DB()).Close() })
	return db
}

func TestPostgresKeepsWhatItCommitted(t *testing.T) {
	t.Parallel()
	server := testdb.StartPostgres(t)
	db := dial(t, server)
	assert.Equal(t, "on", text(t, db, "SHOW fsync"))
	require.NoError(t, db.AutoMigrate(&note{}))
	for i := range 3 {
		require.NoError(t, db.Create(&note{Text: string(rune('a' + i))}).Error)
		server.Kill(t)
		require.Error(t, db.Create(&note{Text: "lost"}).Error)
		server.Start(t)
		assert.EqualValues(t, i+1, count(t, db))
	}
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

// A process that is killed has no time to clean up. Another one that is this
// test's own is, in the middle of its work.
func TestNothingOutlivesTheProcess(t *testing.T) {
	if os.Getenv("GORMOAUTH_TESTDB_VICTIM") != "" {
		testdb.OpenInstances(t, testdb.PostgresPgBouncer)
		fmt.Println(text(t, dial(t, testdb.StartPostgres(t)), "SHOW data_directory"))
		select {}
	}
	t.Parallel()
	testdb.OpenInstances(t, testdb.PostgresPgBouncer) // skips where there is none
	victim := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNothingOutlivesTheProcess$")
	victim.Env = append(os.Environ(), "GORMOAUTH_TESTDB_VICTIM=1")
	stdout, err := victim.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, victim.Start())
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan(), "%v", lines.Err())
	directory := lines.Text()
	assert.DirExists(t, directory)
	require.NoError(t, victim.Process.Kill())
	require.Error(t, victim.Wait())
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Dir(directory))
		return os.IsNotExist(err)
	}, 20*time.Second, 10*time.Millisecond, "its servers and their files are gone")
}
