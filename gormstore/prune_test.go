package gormstore_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
)

func stores(t *testing.T, db *gorm.DB) (*gormstore.Tokens, *gormstore.AuthorizationCodes) {
	t.Helper()
	tokens, err := gormstore.NewTokens[Token](db)
	require.NoError(t, err)
	codes, err := gormstore.NewAuthorizationCodes[AuthorizationCode](db)
	require.NoError(t, err)
	return tokens, codes
}

func TestPruneRemovesWhatHasExpired(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		tokens, codes := stores(t, db)
		user := &User{}
		require.NoError(t, db.Create(user).Error)
		past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
		token := func(name, grantID string, expiresAt int64) {
			require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{Authorization: models.Authorization{GrantID: grantID}, AccessToken: name, ExpiresAt: expiresAt}}).Error)
		}
		code := func(name, grantID string, expiresAt, redeemedAt int64) {
			require.NoError(t, db.Create(&AuthorizationCode{UserID: user.ID, AuthorizationCodeMixin: models.AuthorizationCodeMixin{
				Authorization: models.Authorization{GrantID: grantID},
				Code:          name, ExpiresAt: expiresAt, RedeemedAt: redeemedAt,
			}}).Error)
		}
		for i := range 25 {
			token(fmt.Sprint("expired", i), fmt.Sprint("dead", i), past)
			code(fmt.Sprint("redeemed", i), fmt.Sprint("dead", i), past, past)
			code(fmt.Sprint("waits", i), "alive", past, past) // its grant lives
			code(fmt.Sprint("never used", i), "none", past, 0)
		}
		token("alive", "alive", future)
		token("endless", "endless", 0)
		code("fresh", "fresh", future, 0)

		var seen []gormstore.PruneProgress
		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{
			BatchSize: 10, Report: func(p gormstore.PruneProgress) { seen = append(seen, p) },
		}))
		assert.Equal(t, gormstore.PruneProgress{Removed: 0, Expired: 100}, seen[0])
		assert.Equal(t, gormstore.PruneProgress{Removed: 75, Expired: 100}, seen[len(seen)-1])
		for i := 1; i < len(seen); i++ {
			assert.LessOrEqual(t, seen[i].Removed-seen[i-1].Removed, int64(10), "a batch is bounded")
		}
		var names []string
		require.NoError(t, db.Model(&Token{}).Order("access_token").Pluck("access_token", &names).Error)
		assert.Equal(t, []string{"alive", "endless"}, names)
		var left int64
		require.NoError(t, db.Model(&AuthorizationCode{}).Where("code = 'fresh' OR grant_id = 'alive'").Count(&left).Error)
		assert.EqualValues(t, 26, left, "what a replay needs stays, and what has not expired")

		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{}), "again, with nothing to do")
		assert.ErrorContains(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{Before: time.Now().Add(time.Hour)}), "in the future")
	})
}

// A code that was redeemed is not pruned before the grant that a replay of it
// would have to revoke.
func TestAReplayIsRecognisedAfterPruning(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		tokens, codes := stores(t, db)
		code := p.code("profile")
		first := p.redeem(code)
		require.NoError(t, db.Model(&AuthorizationCode{}).Where("1 = 1").Updates(map[string]any{"expires_at": 1, "auth_time": 1}).Error)
		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{}))
		assert.True(t, p.valid(first.AccessToken))
		assert.Equal(t, http.StatusBadRequest, p.redeem(code).Status)
		assert.False(t, p.valid(first.AccessToken))
	})
}

// A code that an older program left in plaintext has no expires_at. It leaves
// when the older program would not take it any more.
func TestOldCodesArePruned(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		tokens, codes := stores(t, db)
		user := &User{}
		require.NoError(t, db.Create(user).Error)
		for code, age := range map[string]time.Duration{"dead": 6 * time.Minute, "alive": 4 * time.Minute} {
			require.NoError(t, db.Create(&AuthorizationCode{UserID: user.ID, AuthorizationCodeMixin: models.AuthorizationCodeMixin{
				AuthTime: time.Now().Add(-age).Unix(),
				Code:     code,
			}}).Error)
		}
		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{}))
		var left []string
		require.NoError(t, db.Model(&AuthorizationCode{}).Pluck("code", &left).Error)
		assert.Equal(t, []string{"alive"}, left)
	})
}

func TestManyInstancesPruneTogether(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		tokens, codes := stores(t, db)
		rows := make([]Token, 500)
		for i := range rows {
			rows[i].TokenMixin = models.TokenMixin{AccessToken: fmt.Sprint(i), ExpiresAt: 1 + int64(i%7)}
		}
		require.NoError(t, db.CreateInBatches(rows, 100).Error)
		for _, err := range race(4, func(int) error {
			return gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{BatchSize: 20})
		}) {
			assert.NoError(t, err)
		}
		assert.Zero(t, count(t, db))
	})
}
