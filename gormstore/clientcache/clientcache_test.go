package clientcache_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/gormstore/clientcache"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

func TestMain(m *testing.M) { testdb.Main(m) }

type Client = oauthtest.Client

// fixture is a cache on a database whose look-ups are counted.
type fixture struct {
	db       *gorm.DB
	query    server.QueryClientFunc
	factory  *gormstore.ClientFactory[Client, *Client]
	clientID string
	queries  atomic.Int64
	now      time.Time
}

func setUp(t *testing.T, options clientcache.Options) *fixture {
	t.Helper()
	f := &fixture{now: time.Unix(1_800_000_000, 0)}
	f.db = faults.DB(testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), &faults.Plan{Next: func(call faults.Call) faults.Fault {
		if strings.HasPrefix(call.SQL, "SELECT") {
			f.queries.Add(1)
		}
		return faults.Fault{}
	}})
	options.Clock = func() time.Time { return f.now }
	var err error
	f.query, err = clientcache.New[Client](f.db, options)
	require.NoError(t, err)
	f.factory, err = gormstore.NewClientFactory[Client](f.db)
	require.NoError(t, err)
	f.clientID = f.create(t)
	return f
}

func (f *fixture) create(t *testing.T) string {
	t.Helper()
	client := &Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{GrantTypes: []string{"client_credentials"}}}}
	_, err := f.factory.Create(t.Context(), client)
	require.NoError(t, err)
	return client.ClientID
}

// look finds a client, and returns how many queries that cost.
func (f *fixture) look(t *testing.T, clientID string) (*Client, int64) {
	t.Helper()
	before := f.queries.Load()
	found, err := f.query(t.Context(), clientID)
	require.NoError(t, err)
	client, _ := found.(*Client)
	return client, f.queries.Load() - before
}

func TestASecondLookUpCostsNothing(t *testing.T) {
	f := setUp(t, clientcache.Options{})
	first, cost := f.look(t, f.clientID)
	assert.EqualValues(t, 1, cost)
	second, cost := f.look(t, f.clientID)
	assert.Zero(t, cost)
	assert.Equal(t, first, second)
	assert.NotSame(t, first, second, "each call has a copy of its own")
}

func TestAClientIsReadAgainInTime(t *testing.T) {
	f := setUp(t, clientcache.Options{TTL: time.Minute})
	for _, c := range []struct{ after, cost int64 }{{0, 1}, {30, 0}, {59, 0}, {60, 1}, {119, 0}, {120, 1}} {
		f.now = time.Unix(1_800_000_000+c.after, 0)
		_, cost := f.look(t, f.clientID)
		assert.Equal(t, c.cost, cost, "after %d seconds", c.after)
	}
}

func TestAWriteDropsWhatIsRemembered(t *testing.T) {
	f := setUp(t, clientcache.Options{})
	for name, write := range map[string]func() error{
		"a secret is rotated": func() error {
			_, err := f.factory.RotateSecret(context.Background(), f.clientID)
			return err
		},
		"the program changes it": func() error { return f.db.Model(&Client{}).Where("id = 1").Update("default_scope", "x").Error },
		"the program saves it": func() error {
			return f.db.Save(&Client{ID: 7, ClientMixin: models.ClientMixin{ClientID: "seven"}}).Error
		},
		"the program writes SQL": func() error { return f.db.Exec("UPDATE clients SET default_scope = 'y'").Error },
		"the program writes more": func() error {
			return f.db.Transaction(func(tx *gorm.DB) error { return tx.Delete(&Client{}, "id = 99").Error })
		},
	} {
		f.look(t, f.clientID)
		require.NoError(t, write(), name)
		_, cost := f.look(t, f.clientID)
		assert.EqualValues(t, 1, cost, name)
	}
	require.NoError(t, f.db.Create(&oauthtest.User{}).Error)
	f.create(t)
	_, cost := f.look(t, f.clientID)
	assert.Zero(t, cost, "a user or a new client changes nothing")
}

func TestWhoDoesNotExistIsNotRemembered(t *testing.T) {
	f := setUp(t, clientcache.Options{})
	for range 2 {
		client, cost := f.look(t, "nobody")
		assert.Nil(t, client)
		assert.EqualValues(t, 1, cost)
	}
	client := &Client{ClientMixin: models.ClientMixin{ClientID: "nobody", ClientMetadata: models.ClientMetadata{TokenEndpointAuthMethod: models.None}}}
	_, err := f.factory.Create(t.Context(), client)
	require.NoError(t, err)
	found, _ := f.look(t, "nobody")
	assert.NotNil(t, found, "a new client is found at once")
}

func TestTheCacheIsBounded(t *testing.T) {
	f := setUp(t, clientcache.Options{Size: 10})
	var ids []string
	for range 200 {
		ids = append(ids, f.create(t))
	}
	for _, id := range ids {
		f.look(t, id)
	}
	time.Sleep(50 * time.Millisecond) // evictions are made beside
	before := f.queries.Load()
	for _, id := range ids {
		f.look(t, id)
	}
	assert.Greater(t, f.queries.Load()-before, int64(150))
}

func TestWithinATransactionNothingIsRemembered(t *testing.T) {
	f := setUp(t, clientcache.Options{})
	f.look(t, f.clientID)
	require.Error(t, f.db.Transaction(func(tx *gorm.DB) error {
		require.NoError(t, tx.Model(&Client{}).Where("client_id = ?", f.clientID).Update("default_scope", "inside").Error)
		found, err := f.query(gormstore.WithTransaction(t.Context(), tx), f.clientID)
		require.NoError(t, err)
		assert.Equal(t, "inside", found.(*Client).DefaultScope)
		return assert.AnError
	}))
	found, _ := f.look(t, f.clientID)
	assert.Empty(t, found.DefaultScope, "what was rolled back was not remembered")
}

func TestACancelledRequestFailsNobodyElse(t *testing.T) {
	f := setUp(t, clientcache.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = f.query(ctx, f.clientID)
	found, _ := f.look(t, f.clientID)
	assert.NotNil(t, found)
}

// Whoever asks after a write was acknowledged sees it, however many read
// meanwhile.
func TestNoReadIsStaleAfterAWrite(t *testing.T) {
	f := setUp(t, clientcache.Options{TTL: time.Hour})
	var group sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, err := f.query(context.Background(), f.clientID)
					assert.NoError(t, err)
				}
			}
		})
	}
	for i := range 200 {
		scope := fmt.Sprint(i)
		require.NoError(t, f.db.Model(&Client{}).Where("client_id = ?", f.clientID).Update("default_scope", scope).Error)
		found, err := f.query(t.Context(), f.clientID)
		require.NoError(t, err)
		require.Equal(t, scope, found.(*Client).DefaultScope)
	}
	close(stop)
	group.Wait()
}

func TestNoGoroutineIsLeft(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	before := runtime.NumGoroutine()
	for range 10 {
		_, err := clientcache.New[Client](db, clientcache.Options{})
		require.NoError(t, err)
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), before)
}

func TestOptionsAreChecked(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	for _, options := range []clientcache.Options{{Size: -1}, {TTL: -1}} {
		_, err := clientcache.New[Client](db, options)
		assert.ErrorContains(t, err, "cannot be negative")
	}
}

func BenchmarkHit(b *testing.B) {
	db := testdb.Open(b, testdb.SQLiteGo, oauthtest.Models()...)
	query, err := clientcache.New[Client](db, clientcache.Options{TTL: time.Hour})
	require.NoError(b, err)
	require.NoError(b, db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: "id", ClientSecret: models.HashClientSecret("s")}}).Error)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := query(b.Context(), "id"); err != nil {
			b.Fatal(err)
		}
	}
}
