package testdb_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// A process that is killed has no time to clean up. Another one that is this
// test's own is, in the middle of its work.
func TestNothingOutlivesTheProcess(t *testing.T) {
	if os.Getenv("GORMOAUTH_TESTDB_VICTIM") != "" {
		testdb.OpenInstances(t, testdb.PostgresPgBouncer)
		fmt.Println(text(t, testdb.Open(t, testdb.SQLiteGo, &note{}), "SELECT file FROM pragma_database_list"))
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
	file := lines.Text()
	assert.FileExists(t, file)
	require.True(t, lines.Scan(), "%v", lines.Err())
	directory := lines.Text()
	assert.DirExists(t, directory)
	require.NoError(t, victim.Process.Kill())
	require.Error(t, victim.Wait())
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Dir(directory))
		return os.IsNotExist(err)
	}, 20*time.Second, 10*time.Millisecond, "its servers and their files are gone")
	if strings.HasPrefix(file, "/dev/shm/") { // on disk it stays with the other temporary files of a killed test
		require.Eventually(t, func() bool {
			_, err := os.Stat(file)
			return os.IsNotExist(err)
		}, 20*time.Second, 10*time.Millisecond, "what it had in memory is free")
	}
}
