package gormstore_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// growing has a grant get another token after each of the first statements by which its
// tokens are revoked, as an exchange leaves one that was waited for.
func growing(t *testing.T, db *gorm.DB, times int) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(db.Dialector, &gorm.Config{ConnPool: db.ConnPool, Logger: db.Logger, TranslateError: db.TranslateError})
	require.NoError(t, err)
	require.NoError(t, db.Callback().Update().After("gorm:update").Register("test:exchange", func(tx *gorm.DB) {
		if times == 0 || tx.Statement.Table != "tokens" || !strings.Contains(tx.Statement.SQL.String(), "refresh_token_revoked_at") {
			return
		}
		times--
		row := &Token{TokenMixin: models.TokenMixin{Authorization: models.Authorization{GrantID: "g"}, AccessToken: rand.Text()}}
		require.NoError(t, tx.Session(&gorm.Session{NewDB: true}).Create(row).Error)
	}))
	return db
}

// A grant ends whole, however many exchanges were waited for one after another. One that
// never stops growing is told, and does not take for ever.
func TestAGrantThatGrowsWhileItEnds(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		for times, ends := range map[int]bool{5: true, 1000: false} {
			tokens, err := gormstore.NewTokens[Token](growing(t, db, times))
			require.NoError(t, err)
			require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{Authorization: models.Authorization{GrantID: "g"}, AccessToken: rand.Text()}}).Error)
			err = tokens.RevokeGrant(gormstore.WithTransaction(t.Context(), db), "g", time.Unix(1, 0))
			var alive int64
			require.NoError(t, db.Model(&Token{}).Where("refresh_token_revoked_at = 0").Count(&alive).Error)
			if ends {
				require.NoError(t, err)
				assert.Zero(t, alive)
			} else {
				assert.ErrorIs(t, err, server.ErrUnavailable)
			}
		}
	})
}
