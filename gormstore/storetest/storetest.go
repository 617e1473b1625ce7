package storetest

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Config says what to test.
type Config struct {
	// DB is the database, with the models migrated. Required.
	DB *gorm.DB
	// Instances are further handles on the same database, such as the program's other
	// instances would have: another connection pool, or another node of a cluster. The kit
	// distributes its calls over all handles.
	Instances []*gorm.DB
	// Prepare fills in the program's own columns of a row that the kit is about to store.
	// row is a pointer to the model of users, before the user has an id, or to the model of
	// clients. It may be nil if such rows need nothing.
	Prepare func(row any)
	// Parts are further models to test, such as DeviceCodes[DeviceCode]().
	Parts []Part
}

// Part is an optional model, with the tests of its guarantees.
type Part struct {
	name string
	// assemble adds the model to an instance.
	assemble func(t testing.TB, in *instance)
	test     func(k *kit, t *testing.T)
}

// Run tests the models U of users, C of clients, T of tokens and A of authorization
// codes. Each guarantee is a subtest, so that -run can select it.
func Run[U, C, T, A any, PU gormstore.UserModel[U], PC gormstore.ClientModel[C], PT gormstore.TokenModel[T], PA gormstore.AuthorizationCodeModel[A]](t *testing.T, config Config) {
	t.Helper()
	if config.DB == nil {
		t.Fatal("storetest: Config.DB is missing")
	}
	if config.Prepare == nil {
		config.Prepare = func(any) {}
	}
	k := &kit{parts: config.Parts}
	k.tokenModel, k.codeModel = new(T), new(A)
	k.newUser = func(t testing.TB, db *gorm.DB) storage.User {
		t.Helper()
		row := new(U)
		config.Prepare(row)
		if err := again(func() error { return db.Create(row).Error }); err != nil {
			t.Fatalf("storetest: store a user (use Config.Prepare to fill in columns): %v", err)
		}
		return PU(row)
	}
	k.newClient = func(t testing.TB, db *gorm.DB, metadata models.ClientMetadata) client {
		t.Helper()
		row := new(C)
		PC(row).AsClientMixin().ClientMetadata = metadata
		config.Prepare(row)
		secret, err := gormoauth.CreateClientFactory[C, PC](db, k.on(t, db).server).Create(t.Context(), row)
		if err != nil {
			t.Fatalf("storetest: store a client (use Config.Prepare to fill in columns): %v", err)
		}
		return client{PC(row).GetClientID(), secret}
	}
	k.assemble = func(t testing.TB, db *gorm.DB, config server.Config) *instance {
		t.Helper()
		tokens, codes := must(gormstore.NewTokens[T, PT](db))(t), must(gormstore.NewAuthorizationCodes[A, PA](db))(t)
		clients := must(gormstore.NewClients[C, PC](db))(t)
		in := &instance{
			db: db,
			server: must(gormoauth.New(db, config, gormoauth.Users[U, PU](), gormoauth.Clients[C, PC](),
				gormoauth.Tokens[T, PT](), gormoauth.AuthorizationCodes[A, PA]()))(t),
			protector: must(resource.NewProtector(resource.Config{Clock: config.Clock}, &resource.BearerTokenValidator{QueryToken: tokens.Query}))(t),
			tokens:    tokens, codes: codes, queryClient: clients.Query,
		}
		in.rotateSecret = gormoauth.CreateClientFactory[C, PC](db, in.server).RotateSecret
		check(t, in.server.Register(grant.ResourceIndicators{Resources: []string{resourceA, resourceB}}))
		allowed := func(context.Context, *server.Request, *grant.Exchange) error { return nil }
		check(t, in.server.RegisterGrant(&grant.TokenExchange{QueryToken: tokens.Query, Policy: allowed}))
		for _, part := range k.parts {
			part.assemble(t, in)
		}
		in.prune = gormoauth.CreatePruneFunc[T, A, PT, PA](db, in.prunable...)
		in.erase = gormoauth.CreateEraseFunc[T, A, PT, PA](db, in.erasable...)
		// With a condition, so that no store takes this for the table of consents, which does
		// not exist.
		_, consentsErr := gormstore.NewConsents[indexes, T, A, *indexes, PT, PA](db.Where("1 = 1"))
		in.indexed = consentsErr == nil
		return in
	}
	k.handles = append([]*gorm.DB{config.DB}, config.Instances...)
	k.user = k.newUser(t, config.DB)

	t.Run("columns", k.columns)
	t.Run("odd bytes", k.oddBytes)
	t.Run("time", k.time)
	t.Run("races", k.races)
	t.Run("grace", k.grace)
	t.Run("replicas", k.replicas)
	t.Run("retries", k.retries)
	t.Run("history", k.history)
	t.Run("pruning", k.pruning)
	t.Run("erase", k.erase)
	for _, part := range k.parts {
		t.Run(part.name, func(t *testing.T) { part.test(k, t) })
	}
}

// indexes is a model that serves to find out whether the others have an index on UserID.
type indexes struct {
	UserID string `gorm:"index"`
	models.ConsentMixin
}

// kit is what the tests share, independent of the models.
type kit struct {
	handles               []*gorm.DB
	tokenModel, codeModel any
	user                  storage.User
	parts                 []Part
	running               atomic.Int32 // races

	newUser   func(t testing.TB, db *gorm.DB) storage.User
	newClient func(t testing.TB, db *gorm.DB, metadata models.ClientMetadata) client
	assemble  func(t testing.TB, db *gorm.DB, config server.Config) *instance
}

// everyRow returns a handle for the kit's own statements, without the conditions of the
// program's handle.
func (k *kit) everyRow() *gorm.DB {
	return k.handles[0].Session(&gorm.Session{NewDB: true}).Set("gorm:db_resolver:write", struct{}{})
}

// rows counts the rows of a model that belong to a client.
func (k *kit) rows(t testing.TB, model any, c client) (rows int64) {
	t.Helper()
	check(t, again(func() error {
		return k.everyRow().Model(model).Where("client_id = ?", c.id).Count(&rows).Error
	}))
	return rows
}

// again repeats one of the kit's own statements, which an engine may refuse because of a
// concurrent one.
func again(statement func() error) (err error) {
	const attempts, pause = 10, 10 * time.Millisecond
	for range attempts {
		if err = statement(); err == nil {
			return nil
		}
		time.Sleep(pause)
	}
	return err
}

// must returns the value, or ends the test if err is not nil.
func must[V any](value V, err error) func(t testing.TB) V {
	return func(t testing.TB) V {
		t.Helper()
		if err != nil {
			t.Fatal(strings.TrimPrefix(err.Error(), "gormstore: "))
		}
		return value
	}
}
