package storetest_test

import (
	"testing"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore/storetest"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
)

type (
	User              = oauthtest.User
	Client            = oauthtest.Client
	AuthorizationCode = oauthtest.AuthorizationCode
)

func ExampleRun() {
	var (
		t  *testing.T // of a test of yours
		db *gorm.DB   // for tests alone, with your models migrated
	)
	storetest.Run[User, Client, Token, AuthorizationCode](t, storetest.Config{DB: db})
}
