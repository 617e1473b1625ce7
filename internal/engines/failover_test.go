package engines_test

import (
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server/budget"
)

// The primary dies and the replica is promoted, while clients go on. A connection string that
// names both finds the one that takes writes. With a synchronous replica nothing is lost of
// what a client was told.
func TestFailoverLosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	primary := testdb.StartPostgres(t)
	replica := testdb.StartPostgresReplica(t, primary)
	both, err := url.Parse(primary.DSN())
	require.NoError(t, err)
	other, err := url.Parse(replica.DSN())
	require.NoError(t, err)
	both.Host += "," + other.Host
	both.RawQuery = "sslmode=disable&target_session_attrs=read-write"
	open := func(dsn string) *gorm.DB {
		db, err := gorm.Open(postgres.Open(dsn), &gorm.Config{Logger: logger.Discard})
		require.NoError(t, err)
		pool, err := db.DB()
		require.NoError(t, err)
		pool.SetMaxOpenConns(8)
		pool.SetMaxIdleConns(8)
		t.Cleanup(func() { _ = pool.Close() })
		return db
	}
	db := open(both.String())
	require.NoError(t, db.AutoMigrate(allModels...))
	execAll(t, db, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
	goOn(t, db, func() {
		primary.Kill(t)
		execAll(t, open(replica.DSN()), "SELECT pg_promote()", "ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()")
	})
}

// One node after the other is killed, the leader first, and comes back.
func TestACommittedWriteOutlivesEachNodeOfDqlite(t *testing.T) {
	t.Parallel()
	nodes := testdb.StartDqlite(t)
	db := dial(t, nodes[0])
	require.NoError(t, db.AutoMigrate(allModels...))
	for _, node := range nodes {
		goOn(t, db, func() { node.Kill(t) })
		node.Start(t)
	}
}

// goOn has clients redeem codes while something happens to the database, and holds the
// answers: a token that works from then on, or 503, in time.
func goOn(t *testing.T, db *gorm.DB, happens func()) {
	t.Helper()
	p := oauthtest.New(t, db)
	client := p.NewClient(oauthtest.Public)
	codes := make(chan string, 400)
	for range cap(codes) {
		codes <- p.Code(client, "scope=profile")
	}

	var mu sync.Mutex
	var told []string // access tokens
	var before, after, unavailable atomic.Int64
	var happened atomic.Bool
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for code := range codes {
				begin := time.Now()
				a := p.Redeem(client, code)
				assert.Less(t, time.Since(begin), budget.Default*2+5*time.Second)
				switch a.Status {
				case http.StatusOK:
					mu.Lock()
					told = append(told, a.Body["access_token"])
					mu.Unlock()
					if happened.Load() {
						after.Add(1)
					} else {
						before.Add(1)
					}
				case http.StatusServiceUnavailable:
					assert.NotEmpty(t, a.Header.Get("Retry-After"))
					unavailable.Add(1)
				default:
					assert.Fail(t, "neither served nor told to come again", a.Raw)
				}
			}
		})
	}
	require.Eventually(t, func() bool { return before.Load() >= 40 }, 30*time.Second, time.Millisecond)
	happens()
	happened.Store(true)
	close(codes)
	clients.Wait()
	t.Log("served before, and after:", before.Load(), after.Load(), "told to come again:", unavailable.Load())
	assert.Positive(t, after.Load(), "clients are served again")
	for _, token := range told {
		assert.True(t, p.Valid(token), "a token that a client was given")
	}
}
