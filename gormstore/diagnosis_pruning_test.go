package gormstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
)

// Rows that Prune would have removed a month ago are found in each table, and no others: it keeps
// single-use credentials for another month, clients that are in use, and marks.
func TestWhatNobodyPrunesIsFound(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	user := &User{}
	require.NoError(t, db.Create(user).Error)
	number := 0
	for table, c := range map[string]struct {
		after int // days after which a row is found
		row   func(key string, expiresAt int64) any
	}{
		"tokens": {30, func(key string, at int64) any {
			return &Token{TokenMixin: models.TokenMixin{AccessToken: key, Form: models.TokenDigest, GrantedAt: 1, ExpiresAt: at}}
		}},
		"authorization_codes": {60, func(key string, at int64) any {
			return &AuthorizationCode{UserID: user.ID, AuthorizationCodeMixin: models.AuthorizationCodeMixin{Code: key, ExpiresAt: at}}
		}},
		"device_codes": {60, func(key string, at int64) any {
			return &oauthtest.DeviceCode{DeviceCodeMixin: models.DeviceCodeMixin{DeviceCode: key, UserCode: key, ExpiresAt: at}}
		}},
		"pushed_requests": {30, func(key string, at int64) any {
			return &oauthtest.PushedRequest{PushedRequestMixin: models.PushedRequestMixin{RequestURI: key, ExpiresAt: at}}
		}},
		"replays": {30, func(key string, at int64) any {
			return &oauthtest.Replay{ReplayMixin: models.ReplayMixin{ReplayKey: key, ExpiresAt: at}}
		}},
		"sessions": {30, func(key string, at int64) any {
			return &oauthtest.Session{UserID: user.ID, SessionMixin: models.SessionMixin{SID: key, ExpiresAt: at}}
		}},
		"logouts": {30, func(key string, at int64) any {
			return &oauthtest.Logout{LogoutMixin: models.LogoutMixin{LogoutID: key, ExpiresAt: at}}
		}},
		"signing_keys": {30, func(key string, at int64) any {
			return &oauthtest.SigningKey{SigningKeyMixin: models.SigningKeyMixin{KeyID: key, Algorithm: key, ExpiresAt: at}}
		}},
		"clients": {30, func(key string, at int64) any {
			return &Client{ClientMixin: models.ClientMixin{ClientID: key, UnusedExpiresAt: at}}
		}},
	} {
		insert := func(expiresAt int64) any {
			number++
			row := c.row(fmt.Sprint("key ", number), expiresAt)
			require.NoError(t, db.Create(row).Error, table)
			return row
		}
		daysAgo := func(days int) int64 { return time.Now().AddDate(0, 0, -days).Unix() }
		name := "pruning table " + table
		insert(0)
		insert(daysAgo(-1))
		insert(daysAgo(c.after - 1))
		require.NotContains(t, diagnosed(t, db), name)
		row := insert(daysAgo(c.after + 1))
		require.Contains(t, diagnosed(t, db), name)
		assert.Contains(t, diagnosed(t, db)[name].Problem, ", 1 of them")
		if table == "clients" {
			require.NoError(t, db.Model(row).Update("client_deleted_at", 1).Error)
		} else {
			require.NoError(t, db.Session(&gorm.Session{}).Delete(row).Error)
		}
		require.NotContains(t, diagnosed(t, db), name)
	}
}
