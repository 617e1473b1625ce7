package gormstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// An access token in a row of its own ends by its own time, and has nothing of the refresh
// token that it came from.
func TestAnAccessTokenBesideTheRefreshTokenEndsAlone(t *testing.T) {
	refreshToken := "refresh"
	for rule, change := range map[string]func(*storage.Exchange){
		"kept":                   func(e *storage.Exchange) { e.Kind = storage.ExchangeKeep },
		"kept again":             func(e *storage.Exchange) { e.Kind, e.Again = storage.ExchangeKeep, true },
		"rotated, for other API": func(e *storage.Exchange) { e.Kind, e.Beside = storage.ExchangeRotate, true },
	} {
		t.Run(rule, func(t *testing.T) {
			testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
				tokens, _ := stores(t, db)
				grant := models.Authorization{GrantID: "g", ClientID: "c"}
				require.NoError(t, tokens.Save(t.Context(), issueOf(&models.TokenMixin{
					Authorization: grant, AccessToken: "first", RefreshToken: &refreshToken, IssuedAt: 1_000, ExpiresIn: 60, ExpiresAt: 9_000, RefreshTokenExpiresAt: 9_000,
				}, nil)))
				var root Token
				require.NoError(t, db.First(&root).Error)
				successor := "successor"
				exchange := storage.Exchange{From: &root, Presented: refreshToken, Time: time.Unix(2_000, 0), Token: &models.TokenMixin{
					Authorization: grant, AccessToken: "second", RefreshToken: &successor, IssuedAt: 2_000, ExpiresIn: 60, ExpiresAt: 9_500, RefreshTokenExpiresAt: 9_500,
					RefreshedFor: "for", SuccessorSalt: "salt",
				}}
				change(&exchange)
				require.NoError(t, tokens.Save(t.Context(), exchange))
				var own Token
				require.NoError(t, db.Where("access_token = ?", "second").First(&own).Error)
				assert.EqualValues(t, 2_060, own.ExpiresAt)
				assert.Nil(t, own.RefreshToken)
				assert.Zero(t, own.RefreshTokenExpiresAt)
				assert.Empty(t, own.RefreshedFor+own.SuccessorSalt)
				assert.Equal(t, models.MadeByRefresh, own.Origin)
			})
		})
	}
}

// A token that never ends is pruned long after it was revoked; one that has an end, at that.
func TestWhatWasRevokedIsPrunedByItsEnd(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		long, soon, never := time.Now().Add(-100*24*time.Hour).Unix(), time.Now().Add(time.Hour).Unix(), int64(0)
		for name, row := range map[string]models.TokenMixin{
			"revoked":               {ExpiresAt: never, RefreshTokenRevokedAt: long},
			"revoked, with an end":  {ExpiresAt: soon, RefreshTokenRevokedAt: long},
			"revoked now":           {ExpiresAt: never, RefreshTokenRevokedAt: time.Now().Add(time.Minute).Unix()},
			"for ever":              {ExpiresAt: never},
			"revoked, and expired":  {ExpiresAt: long, RefreshTokenRevokedAt: long},
			"not revoked, with end": {ExpiresAt: soon},
		} {
			row.AccessToken = name
			require.NoError(t, db.Create(&Token{TokenMixin: row}).Error)
		}
		tokens, codes := stores(t, db)
		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{}))
		var left []string
		require.NoError(t, db.Model(&Token{}).Order("access_token").Pluck("access_token", &left).Error)
		assert.Equal(t, []string{"for ever", "not revoked, with end", "revoked now", "revoked, with an end"}, left)
	})
}

// Who ends everything waits for the requests that are under way, but not within a transaction
// of its own, which would keep them from ending.
func TestAnEndingWaitsOutsideOfATransaction(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		tokens, _ := stores(t, db)
		ctx, cancel := context.WithTimeout(underway.Shorten(t.Context(), time.Hour), 300*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, tokens.RevokeClient(ctx, "client", time.Now()), context.DeadlineExceeded)
		require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
			return tokens.RevokeClient(gormstore.WithTransaction(underway.Shorten(t.Context(), time.Hour), tx), "client", time.Now())
		}))
	})
}
