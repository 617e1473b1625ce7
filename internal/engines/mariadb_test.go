package engines_test

import (
	"bytes"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/internal/engines/kit"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/budget"
)

func openMariaDB(t *testing.T, dsn string, connections int) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(mysql.Open(dsn), &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	t.Cleanup(func() { _ = pool.Close() }) // connections of some are broken
	return db
}

// The default, REPEATABLE READ and strict, is in TestEveryEngine. The others are an instance each
// of one run: calls that race are of the same level, and of both. The first one gets the odd
// bytes, and is the one that cuts what is too long. READ UNCOMMITTED reads what is rolled back,
// and is found by the doctor.
func TestMariaDBAtEveryIsolationAndMode(t *testing.T) {
	t.Parallel()
	config, err := driver.ParseDSN(testdb.MariaDBDSN(t, nil))
	require.NoError(t, err)
	var instances []*gorm.DB
	for _, settings := range []map[string]string{
		{"sql_mode": "''", "tx_isolation": "'SERIALIZABLE'"},
		{"sql_mode": "'ANSI,TRADITIONAL,NO_BACKSLASH_ESCAPES'", "tx_isolation": "'READ-COMMITTED'"}, // ANSI_QUOTES among them
	} {
		session := config.Clone()
		maps.Copy(session.Params, settings)
		db := openMariaDB(t, session.FormatDSN(), 16)
		var level string
		require.NoError(t, db.Raw("SELECT @@tx_isolation").Scan(&level).Error)
		require.Equal(t, settings["tx_isolation"], "'"+level+"'")
		require.NoError(t, db.AutoMigrate(allModels...))
		instances = append(instances, db)
	}
	kit.Run(t, instances)
}

// What MariaDB refuses and would refuse again is told at once, and a lock that another has
// for long is not waited for, however long MariaDB would.
func TestMariaDBAnswersWithinTheBudget(t *testing.T) {
	t.Parallel()
	const allowed = 500 * time.Millisecond
	for name, c := range map[string]struct {
		settings map[string]string
		locked   bool
		atLeast  time.Duration
	}{
		"max_statement_time":       {map[string]string{"max_statement_time": "0.1"}, true, 0},
		"a transaction that reads": {map[string]string{"tx_read_only": "1"}, false, 0},
		"a lock for 50 s":          {map[string]string{"innodb_lock_wait_timeout": "50"}, true, allowed},
		"a lock for a second":      {map[string]string{"innodb_lock_wait_timeout": "1"}, true, allowed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := testdb.MariaDBDSN(t, nil)
			db := openMariaDB(t, dsn, 4)
			require.NoError(t, db.AutoMigrate(allModels...))
			good := oauthtest.New(t, db)
			client := good.NewClient(oauthtest.Public)
			code := good.Code(client, "scope=profile")
			limited := openMariaDB(t, dsn, 1)
			p := oauthtest.New(t, limited, func(c *server.Config) { c.StorageBudget = allowed })
			for variable, value := range c.settings {
				require.NoError(t, limited.Exec("SET SESSION "+variable+" = "+value).Error)
			}
			other := db.Begin()
			require.NoError(t, other.Error)
			t.Cleanup(func() { other.Rollback() })
			if c.locked {
				require.NoError(t, other.Exec("UPDATE authorization_codes SET client_id = CONCAT(client_id, '')").Error)
				require.NoError(t, other.Exec("SELECT id FROM authorization_codes FOR UPDATE").Error)
			}
			begin := time.Now()
			a := p.Redeem(client, code)
			took := time.Since(begin)
			assert.Equal(t, http.StatusServiceUnavailable, a.Status, a.Raw)
			assert.NotEmpty(t, a.Header.Get("Retry-After"))
			assert.GreaterOrEqual(t, took, c.atLeast)
			assert.Less(t, took, allowed+budget.Default+5*time.Second)
			other.Rollback()
			assert.Equal(t, http.StatusOK, good.Redeem(client, code).Status, "nothing was spent")
		})
	}
}

// A user without the right to write where only administrators may is told so at once (1290).
func TestMariaDBThatTakesNoWritesIsToldAtOnce(t *testing.T) {
	t.Parallel()
	server := testdb.StartMariaDB(t)
	root, err := gorm.Open(server.Dialector(), &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	execAll(t, root, "CREATE DATABASE app CHARACTER SET utf8mb4", "CREATE USER app IDENTIFIED BY ''", "GRANT ALL ON app.* TO app")
	db := openMariaDB(t, strings.NewReplacer("root@", "app@", ")/?", ")/app?").Replace(server.DSN()), 4)
	require.NoError(t, db.AutoMigrate(allModels...))
	p := oauthtest.New(t, db)
	client := p.NewClient(oauthtest.Public)
	code := p.Code(client, "scope=profile")
	execAll(t, root, "SET GLOBAL read_only = 1")
	a := p.Redeem(client, code)
	assert.Equal(t, http.StatusServiceUnavailable, a.Status, a.Raw)
	assert.NotEmpty(t, a.Header.Get("Retry-After"))
	execAll(t, root, "SET GLOBAL read_only = 0")
	assert.Equal(t, http.StatusOK, p.Redeem(client, code).Status, "nothing was spent")
}

// The driver sends COMMIT without a context, and would wait for ever for a server that hangs: the
// client is told to come again. What a server that only took long has written is told as success.
func TestMariaDBThatHangsAtCommitIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	const allowed = 300 * time.Millisecond
	dsn := testdb.MariaDBDSN(t, nil)
	db := openMariaDB(t, dsn, 4)
	require.NoError(t, db.AutoMigrate(allModels...))
	config, err := driver.ParseDSN(dsn)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		hangsFor time.Duration // 0 is for ever
		want     int
	}{
		"for longer than the budget": {3 * allowed, http.StatusOK},
		"for ever":                   {0, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			var proxy *faults.Proxy
			var armed atomic.Bool
			proxy, err := faults.NewProxy(config.Addr, func(sent []byte) bool {
				hangs := armed.Load() && bytes.Contains(sent, []byte("COMMIT"))
				if hangs && c.hangsFor > 0 {
					time.AfterFunc(c.hangsFor, proxy.Resume)
				}
				return hangs
			})
			require.NoError(t, err)
			through := config.Clone()
			through.Addr = "127.0.0.1:" + strconv.Itoa(proxy.Port())
			slow := openMariaDB(t, through.FormatDSN(), 4)
			t.Cleanup(proxy.Close) // before the pool, which waits for the connection
			p := oauthtest.New(t, slow, func(c *server.Config) { c.StorageBudget = allowed })
			client := p.NewClient(oauthtest.Public)
			code := p.Code(client, "scope=profile")
			armed.Store(true)
			begin := time.Now()
			a := p.Redeem(client, code)
			assert.Equal(t, c.want, a.Status, a.Raw)
			assert.GreaterOrEqual(t, time.Since(begin), c.hangsFor)
			assert.Less(t, time.Since(begin), allowed+budget.Default+5*time.Second)
		})
	}
}
