package clientcache_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/gormstore/clientcache"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/cache"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

func TestMain(m *testing.M) { testdb.Main(m) }

type Client = oauthtest.Client

// fixture is a cache on a database whose look-ups are counted.
type fixture struct {
	db       *gorm.DB
	query    storage.QueryClientFunc
	factory  *gormstore.ClientFactory[Client]
	clientID string
	queries  atomic.Int64
	now      time.Time
}

func setUp(t *testing.T, options clientcache.Options) *fixture {
	t.Helper()
	return setUpOn(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), options)
}

func setUpOn(t *testing.T, db *gorm.DB, options clientcache.Options) *fixture {
	t.Helper()
	f := &fixture{now: time.Unix(1_800_000_000, 0)}
	f.db = faults.DB(db, &faults.Plan{Next: func(call faults.Call) faults.Fault {
		if strings.HasPrefix(call.SQL, "SELECT") {
			f.queries.Add(1)
		}
		return faults.Fault{}
	}})
	options.Clock = func() time.Time { return f.now }
	var err error
	f.query, err = clientcache.New[Client](f.db, options)
	require.NoError(t, err)
	f.factory, err = gormstore.NewClientFactory[Client](f.db, oauthtest.New(t, db).Server)
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

// stopFirst lets the first look-up read, and returns when it has; its answer
// waits for goOn.
func (f *fixture) stopFirst(t *testing.T) (hasRead, goOn chan struct{}) {
	t.Helper()
	hasRead, goOn = make(chan struct{}), make(chan struct{})
	var stopped atomic.Bool
	require.NoError(t, f.db.Callback().Query().After("gorm:query").Register("test:stop", func(*gorm.DB) {
		if stopped.CompareAndSwap(false, true) {
			close(hasRead)
			<-goOn
		}
	}))
	return hasRead, goOn
}

// waiting is a context that tells when somebody waits for it.
type waiting struct {
	context.Context
	once  sync.Once
	waits chan struct{}
}

func newWaiting(ctx context.Context) *waiting {
	return &waiting{Context: ctx, waits: make(chan struct{})}
}

func (w *waiting) Done() <-chan struct{} {
	w.once.Do(func() { close(w.waits) })
	return w.Context.Done()
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

func TestNobodyChangesWhatOthersSee(t *testing.T) {
	f := setUp(t, clientcache.Options{})
	for range 2 {
		found, _ := f.look(t, f.clientID)
		assert.Empty(t, found.DefaultScope)
		found.DefaultScope = "mine"
	}
}

func TestAWriteDropsWhatIsRemembered(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		f := setUpOn(t, db, clientcache.Options{})
		for name, write := range map[string]func() error{
			"a secret is rotated": func() error {
				_, err := f.factory.RotateSecret(context.Background(), f.clientID, gormstore.SecretRotation{})
				return err
			},
			"the program changes it": func() error { return db.Model(&Client{}).Where("id = 1").Update("default_scope", "x").Error },
			"the program saves it": func() error {
				return db.Save(&Client{ID: 7, ClientMixin: models.ClientMixin{ClientID: "seven"}}).Error
			},
			"the program names it otherwise": func() error {
				return db.Table("clients AS c").Where("id = 1").Update("default_scope", "z").Error
			},
			"the program deletes one":  func() error { return db.Delete(&Client{}, "id = 99").Error },
			"the program writes SQL":   func() error { return db.Exec("UPDATE clients SET default_scope = 'y'").Error },
			"SQL in other letters":     func() error { return db.Exec("update CLIENTS set default_scope = 'y'").Error },
			"a write that is no error": func() error { _ = db.Exec("UPDATE clients SET id = NULL"); return nil },
		} {
			f.look(t, f.clientID)
			require.NoError(t, write(), name)
			_, cost := f.look(t, f.clientID)
			assert.EqualValues(t, 1, cost, name)
			_, cost = f.look(t, f.clientID)
			assert.Zero(t, cost, name)
		}
		require.NoError(t, db.Create(&oauthtest.User{}).Error)
		require.NoError(t, db.Exec("UPDATE tokens SET client_id = '' WHERE id = 0").Error)
		f.create(t)
		_, cost := f.look(t, f.clientID)
		assert.Zero(t, cost, "a user, a token or a new client changes nothing")
	})
}

// What takes effect after GORM has told of it is not outrun by a look-up.
func TestNothingIsRememberedWhileAWriteIsOpen(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		for name, write := range map[string]func(f *fixture) error{
			"a transaction of the program's own": func(f *fixture) error {
				return db.Transaction(func(tx *gorm.DB) error {
					err := tx.Model(&Client{}).Where("client_id = ?", f.clientID).Update("default_scope", "new").Error
					f.look(t, f.clientID)
					return err
				})
			},
			"an UPDATE with an answer": func(*fixture) error {
				var ids []int
				return db.Raw("UPDATE clients SET default_scope = 'new' RETURNING id").Scan(&ids).Error
			},
			"an UPDATE that finds": func(*fixture) error {
				var clients []Client
				return db.Raw("UPDATE clients SET default_scope = 'new' RETURNING *").Find(&clients).Error
			},
			"a WITH": func(*fixture) error {
				var ids []int
				return db.Raw("WITH s AS (SELECT 'new' AS scope) UPDATE clients SET default_scope = (SELECT scope FROM s) RETURNING id").Scan(&ids).Error
			},
		} {
			f := setUpOn(t, db, clientcache.Options{TTL: time.Minute})
			f.look(t, f.clientID)
			require.NoError(t, write(f), name)
			for range 2 {
				found, cost := f.look(t, f.clientID)
				assert.Equal(t, "new", found.DefaultScope, name)
				assert.EqualValues(t, 1, cost, name)
			}
			f.now = f.now.Add(time.Minute)
			f.look(t, f.clientID)
			_, cost := f.look(t, f.clientID)
			assert.Zero(t, cost, "remembered again after %s", name)
		}
	})
}

type owner struct {
	ID      uint
	Name    string
	Clients []owned `gorm:"foreignKey:OwnerID"`
}

type owned struct {
	ID      uint
	OwnerID uint
	models.ClientMixin
}

// GORM writes an owner and its clients in one transaction, and tells of the
// clients before its COMMIT.
func TestAClientIsWrittenWithItsOwner(t *testing.T) {
	testdb.Each(t, []any{&owner{}, &owned{}}, func(t *testing.T, db *gorm.DB) {
		o := &owner{Clients: []owned{{ClientMixin: models.ClientMixin{ClientID: "id", ClientSecret: "$sha256$old"}}}}
		require.NoError(t, db.Create(o).Error)
		query, err := clientcache.New[owned](db, clientcache.Options{})
		require.NoError(t, err)
		looked := false
		require.NoError(t, db.Callback().Update().Before("gorm:commit_or_rollback_transaction").Register("test:look", func(tx *gorm.DB) {
			if tx.Statement.Table == "owners" {
				found, err := query(context.Background(), "id")
				assert.NoError(t, err)
				assert.Equal(t, "$sha256$old", found.(*owned).ClientSecret)
				looked = true
			}
		}))
		o.Clients[0].ClientSecret = "$sha256$new"
		require.NoError(t, db.Session(&gorm.Session{FullSaveAssociations: true}).Updates(o).Error)
		require.True(t, looked)
		found, err := query(t.Context(), "id")
		require.NoError(t, err)
		assert.Equal(t, "$sha256$new", found.(*owned).ClientSecret)
	})
}

type elsewhere struct {
	ID           uint
	DefaultScope string
	models.ClientMixin
}

func (elsewhere) TableName() string { return "main.client" }

func TestTheNameOfATable(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	require.NoError(t, db.Table("client").AutoMigrate(&elsewhere{}))
	require.NoError(t, db.Create(&elsewhere{ClientMixin: models.ClientMixin{ClientID: "id"}}).Error)
	query, err := clientcache.New[elsewhere](db, clientcache.Options{})
	require.NoError(t, err)
	scope := func() string {
		found, err := query(t.Context(), "id")
		require.NoError(t, err)
		return found.(*elsewhere).DefaultScope
	}
	scope()
	require.NoError(t, db.Model(&elsewhere{}).Where("id = 1").Update("default_scope", "1").Error)
	assert.Equal(t, "1", scope(), "with its schema")
	require.NoError(t, db.Exec(`UPDATE "main"."client" SET default_scope = '2'`).Error)
	assert.Equal(t, "2", scope())
	require.NoError(t, db.Exec(`UPDATE client SET default_scope = '3'`).Error)
	assert.Equal(t, "3", scope())

	cost := 0
	require.NoError(t, db.Callback().Query().Register("test:count", func(*gorm.DB) { cost++ }))
	require.NoError(t, db.Exec("CREATE TABLE others (client_id text)").Error)
	require.NoError(t, db.Exec("UPDATE others SET client_id = ''").Error)
	scope()
	assert.Zero(t, cost, "a column that begins like it is not the table")
}

func TestWhoDoesNotExistIsNotRemembered(t *testing.T) {
	f := setUp(t, clientcache.Options{})
	for range 2 {
		client, cost := f.look(t, "nobody")
		assert.Nil(t, client)
		assert.EqualValues(t, 1, cost)
	}
	client := &Client{ClientMixin: models.ClientMixin{ClientID: "nobody", ClientMetadata: models.ClientMetadata{GrantTypes: []string{"client_credentials"}}}}
	_, err := f.factory.Create(t.Context(), client)
	require.NoError(t, err)
	found, _ := f.look(t, "nobody")
	assert.NotNil(t, found, "a new client is found at once")
}

// An answer of "nobody" may be older than the client.
func TestANewClientIsFoundByWhoWaitedForAnother(t *testing.T) {
	f := setUp(t, clientcache.Options{})
	hasRead, goOn := f.stopFirst(t)
	var group sync.WaitGroup
	group.Go(func() {
		found, err := f.query(context.Background(), "late")
		assert.NoError(t, err)
		assert.Nil(t, found)
	})
	<-hasRead
	require.NoError(t, f.db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: "late"}}).Error)
	ctx := newWaiting(context.Background())
	group.Go(func() {
		found, err := f.query(ctx, "late")
		assert.NoError(t, err)
		assert.NotNil(t, found)
	})
	<-ctx.waits
	close(goOn)
	group.Wait()
}

func TestManyLookUpsAtOnceAreOneQuery(t *testing.T) {
	f := setUp(t, clientcache.Options{})
	hasRead, goOn := f.stopFirst(t)
	before := f.queries.Load()
	var group sync.WaitGroup
	look := func(ctx context.Context) {
		group.Go(func() {
			found, err := f.query(ctx, f.clientID)
			assert.NoError(t, err)
			assert.NotNil(t, found)
		})
	}
	look(context.Background())
	<-hasRead
	for range 20 {
		ctx := newWaiting(context.Background())
		look(ctx)
		<-ctx.waits
	}
	close(goOn)
	group.Wait()
	assert.EqualValues(t, 1, f.queries.Load()-before)
}

// Who gets a client learns how long ago it was read: by an earlier look-up, or by another one that it waited for.
func TestALookUpKnowsHowOldItsClientIs(t *testing.T) {
	f := setUp(t, clientcache.Options{TTL: time.Minute})
	began := f.now
	age := func(ctx context.Context) time.Duration {
		readAt := f.now
		_, err := f.query(cache.Note(ctx, &readAt), f.clientID)
		assert.NoError(t, err)
		return f.now.Sub(readAt)
	}
	for _, c := range []struct{ at, age time.Duration }{{0, 0}, {30 * time.Second, 30 * time.Second}, {59 * time.Second, 59 * time.Second}, {time.Minute, 0}} {
		f.now = began.Add(c.at)
		assert.Equal(t, c.age, age(t.Context()), c.at)
	}

	f.now = began.Add(time.Hour)
	hasRead, goOn := f.stopFirst(t)
	var group sync.WaitGroup
	group.Go(func() {
		_, err := f.query(context.Background(), f.clientID)
		assert.NoError(t, err)
	})
	<-hasRead
	f.now = f.now.Add(10 * time.Second)
	ctx := newWaiting(context.Background())
	group.Go(func() { assert.Equal(t, 10*time.Second, age(ctx)) })
	<-ctx.waits
	close(goOn)
	group.Wait()
}

// An INSERT that may replace a row is a write, and one of another table that reads that of clients is none.
func TestWhichStatementsAreWrites(t *testing.T) {
	f := setUp(t, clientcache.Options{})
	for name, c := range map[string]struct {
		write  func() *gorm.DB
		forget int64
	}{
		"an INSERT that replaces": {func() *gorm.DB {
			return f.db.Clauses(clause.Insert{Modifier: "OR REPLACE"}).Create(&Client{ID: 7, ClientMixin: models.ClientMixin{ClientID: "seven"}})
		}, 1},
		"an INSERT of another": {func() *gorm.DB { return f.db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: "eight"}}) }, 0},
		"an UPDATE of another table by that of clients": {func() *gorm.DB {
			return f.db.Model(&oauthtest.Token{}).Where("client_id IN (SELECT client_id FROM clients)").Update("scope", "x")
		}, 0},
	} {
		f.look(t, f.clientID)
		require.NoError(t, c.write().Error, name)
		_, cost := f.look(t, f.clientID)
		assert.Equal(t, c.forget, cost, name)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	for size, holds := range map[int]int{10: 10, 0: 1000} {
		f := setUp(t, clientcache.Options{Size: size})
		rows := make([]Client, holds+190)
		for i := range rows {
			rows[i].ClientID = fmt.Sprint("client ", i)
		}
		require.NoError(t, f.db.CreateInBatches(rows, 100).Error)
		for range 2 {
			before := f.queries.Load()
			for _, row := range rows {
				f.look(t, row.ClientID)
			}
			assert.GreaterOrEqual(t, f.queries.Load()-before, int64(190), size)
		}
		if before := f.queries.Load(); size == 0 {
			for _, row := range rows {
				f.look(t, row.ClientID)
			}
			assert.Less(t, f.queries.Load()-before, int64(len(rows)), "some are remembered")
		}
	}
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
	hasRead, goOn := make(chan struct{}), make(chan struct{})
	var stopped atomic.Bool
	require.NoError(t, f.db.Callback().Query().Before("gorm:query").Register("test:stop", func(*gorm.DB) {
		if stopped.CompareAndSwap(false, true) {
			close(hasRead)
			<-goOn
		}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	var group sync.WaitGroup
	group.Go(func() {
		_, err := f.query(ctx, f.clientID)
		assert.ErrorIs(t, err, context.Canceled, "a request's own end is its look-up's, too")
	})
	<-hasRead
	for range 5 {
		ctx := newWaiting(context.Background())
		group.Go(func() {
			found, err := f.query(ctx, f.clientID)
			assert.NoError(t, err)
			assert.NotNil(t, found)
		})
		<-ctx.waits
	}
	impatient, end := context.WithCancel(t.Context())
	waits := newWaiting(impatient)
	go func() { <-waits.waits; end() }()
	_, err := f.query(waits, f.clientID)
	require.ErrorIs(t, err, context.Canceled, "nor does anybody wait for longer than they would")
	cancel()
	close(goOn)
	group.Wait()
}

func TestAnErrorIsNotRemembered(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	plan := &faults.Plan{Next: faults.At(0, faults.Fault{Err: assert.AnError})}
	query, err := clientcache.New[Client](faults.DB(db, plan), clientcache.Options{})
	require.NoError(t, err)
	require.NoError(t, db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: "id"}}).Error)
	_, err = query(t.Context(), "id")
	require.ErrorIs(t, err, assert.AnError)
	found, err := query(t.Context(), "id")
	require.NoError(t, err)
	assert.NotNil(t, found)
}

func TestTwoCachesOnOneDatabase(t *testing.T) {
	f := setUp(t, clientcache.Options{})
	var warned strings.Builder
	f.db.Config.Logger = logger.New(log.New(&warned, "", 0), logger.Config{LogLevel: logger.Warn})
	second, err := clientcache.New[Client](f.db, clientcache.Options{TTL: time.Hour})
	require.NoError(t, err)
	assert.Empty(t, warned.String(), "of a callback that is there twice")
	for _, scope := range []string{"a", "b"} {
		require.NoError(t, f.db.Model(&Client{}).Where("id = 1").Update("default_scope", scope).Error)
		for _, query := range []storage.QueryClientFunc{f.query, second} {
			found, err := query(t.Context(), f.clientID)
			require.NoError(t, err)
			assert.Equal(t, scope, found.(*Client).DefaultScope)
		}
	}
}

// Whoever asks after a write was acknowledged sees it, however many read
// meanwhile.
func TestNoReadIsStaleAfterAWrite(t *testing.T) {
	for _, engine := range []string{testdb.SQLiteGo, testdb.Postgres} {
		t.Run(engine, func(t *testing.T) {
			noReadIsStale(t, setUpOn(t, testdb.Open(t, engine, oauthtest.Models()...), clientcache.Options{TTL: time.Hour}))
		})
	}
}

func noReadIsStale(t *testing.T, f *fixture) {
	t.Helper()
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
	defer group.Wait()
	defer close(stop)
	for i := range 200 {
		scope := fmt.Sprint(i)
		require.NoError(t, f.db.Model(&Client{}).Where("client_id = ?", f.clientID).Update("default_scope", scope).Error)
		found, err := f.query(t.Context(), f.clientID)
		require.NoError(t, err)
		require.Equal(t, scope, found.(*Client).DefaultScope)
	}
}

func TestNoGoroutineIsLeft(t *testing.T) {
	f := setUp(t, clientcache.Options{Size: 5})
	before := runtime.NumGoroutine()
	for range 10 {
		query, err := clientcache.New[Client](f.db, clientcache.Options{Size: 5})
		require.NoError(t, err)
		for range 10 {
			_, err := query(t.Context(), f.create(t))
			require.NoError(t, err)
		}
		require.NoError(t, f.db.Exec("UPDATE clients SET default_scope = ''").Error)
	}
	// Those of the driver, one for each statement, end a moment later.
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines are left, of %d", runtime.NumGoroutine(), before)
}

// columnless is no model: it has the mixin, and none of its columns.
type columnless struct {
	ID                 uint
	models.ClientMixin `gorm:"-"`
}

func TestOptionsAreChecked(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	for _, options := range []clientcache.Options{{Size: -1}, {TTL: -1}} {
		_, err := clientcache.New[Client](db, options)
		assert.ErrorContains(t, err, "must not be negative")
	}
	_, err := clientcache.New[columnless](db, clientcache.Options{})
	assert.ErrorContains(t, err, "has no columns of models.ClientMixin")
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

// What checks a credential of a client's reads the database: a secret and a registration access
// token that another instance has rotated are void at once.
func TestACredentialIsNeverCheckedByWhatIsRemembered(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		var looked storage.QueryClientFunc
		p := oauthtest.New(t, db, func(c *server.Config) {
			cached, err := clientcache.New[oauthtest.Client](db, clientcache.Options{TTL: time.Hour})
			require.NoError(t, err)
			looked, c.QueryClient = cached, cached
		})
		registration := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
		registration.Open = true
		require.NoError(t, p.Server.RegisterEndpoint(registration))
		client := p.NewClient(oauthtest.Grants("client_credentials"))
		registered := p.Register(`{"redirect_uris":["https://client.example/cb"]}`).Body
		elsewhere, err := gorm.Open(db.Dialector, &gorm.Config{ConnPool: db.ConnPool, Logger: db.Logger}) // of which this cache hears nothing
		require.NoError(t, err)
		manage := func() int {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimPrefix(registered["registration_client_uri"], oauthtest.Issuer), http.NoBody)
			r.Header.Set("Authorization", "Bearer "+registered["registration_access_token"])
			return p.Serve(r).Status
		}
		require.Equal(t, http.StatusOK, p.Token(client, "grant_type=client_credentials").Status)
		require.Equal(t, http.StatusOK, manage())
		for _, id := range []string{client.ClientID, registered["client_id"]} {
			found, err := looked(t.Context(), id)
			require.NoError(t, err)
			require.NotNil(t, found)
		}
		require.NoError(t, elsewhere.Model(&oauthtest.Client{}).Where("1 = 1").Updates(map[string]any{
			"client_secret": models.HashClientSecret("new"), "registration_access_token": secret.Digest("new"),
		}).Error)
		assert.Equal(t, http.StatusUnauthorized, p.Token(client, "grant_type=client_credentials").Status)
		assert.Equal(t, http.StatusUnauthorized, manage())
		found, err := looked(t.Context(), client.ClientID)
		require.NoError(t, err)
		assert.NotEqual(t, models.HashClientSecret("new"), found.(*oauthtest.Client).ClientSecret, "the page may still know the client as it was")
	})
}
