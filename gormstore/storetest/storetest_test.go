package storetest_test

import (
	"testing"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/gormstore/storetest"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// Token is the token model of the tests.
type Token = oauthtest.Token

var oauthtestModels = oauthtest.Models()

func run[T any, P gormstore.TokenModel[T]](t *testing.T, config storetest.Config) {
	t.Helper()
	storetest.Run[oauthtest.User, oauthtest.Client, T, oauthtest.AuthorizationCode, *oauthtest.User, *oauthtest.Client, P](t, config)
}

func TestEveryEngine(t *testing.T) {
	for _, engine := range testdb.Engines() {
		t.Run(engine, func(t *testing.T) {
			run[Token](t, storetest.Config{DB: testdb.Open(t, engine, oauthtestModels...)})
		})
	}
}
