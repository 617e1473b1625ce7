package gormstore_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/secret"
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
		longPast := time.Now().Add(-31 * 24 * time.Hour).Unix()
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
			code(fmt.Sprint("redeemed", i), fmt.Sprint("dead", i), longPast, longPast)
			code(fmt.Sprint("redeemed, and its grant lives", i), "alive", longPast, longPast)
			code(fmt.Sprint("never used", i), "none", longPast, 0)
			code(fmt.Sprint("just ended", i), "alive", past, past) // a replay is to revoke its grant
		}
		token("alive", "alive", future)
		token("endless", "endless", 0)
		code("fresh", "fresh", future, 0)

		var seen []gormstore.PruneProgress
		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{
			BatchSize: 10, Report: func(p gormstore.PruneProgress) { seen = append(seen, p) },
		}))
		assert.Equal(t, gormstore.PruneProgress{Removed: 0, Expired: 100}, seen[0])
		assert.Equal(t, gormstore.PruneProgress{Removed: 100, Expired: 100}, seen[len(seen)-1])
		for i := 1; i < len(seen); i++ {
			assert.LessOrEqual(t, seen[i].Removed-seen[i-1].Removed, int64(10), "a batch is bounded")
		}
		var names []string
		require.NoError(t, db.Model(&Token{}).Order("access_token").Pluck("access_token", &names).Error)
		assert.Equal(t, []string{"alive", "endless"}, names)
		var left int64
		require.NoError(t, db.Model(&AuthorizationCode{}).Where("code = 'fresh' OR code LIKE 'just ended%'").Count(&left).Error)
		assert.EqualValues(t, 26, left, "what a replay needs stays for a while, and what has not expired")

		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{}), "again, with nothing to do")
		assert.ErrorContains(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{Before: time.Now().Add(time.Hour)}), "in the future")
	})
}

// A code that was redeemed stays for a while after its end, and its replay revokes the
// grant. After that a replay is refused, and revokes nothing.
func TestAReplayIsRecognisedAfterPruning(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		tokens, codes := stores(t, db)
		code := p.code("profile")
		first := p.redeem(code)
		pruneAt := func(age time.Duration) {
			at := time.Now().Add(-age).Unix()
			require.NoError(t, db.Model(&AuthorizationCode{}).Where("1 = 1").Updates(map[string]any{"expires_at": at, "auth_time": at}).Error)
			require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{}))
		}
		pruneAt(29 * 24 * time.Hour)
		assert.True(t, p.valid(first.AccessToken))
		assert.Equal(t, http.StatusBadRequest, p.redeem(code).Status)
		assert.False(t, p.valid(first.AccessToken))

		code = p.code("profile")
		first = p.redeem(code)
		pruneAt(31 * 24 * time.Hour)
		assert.Equal(t, "invalid_grant", p.redeem(code).Error)
		assert.True(t, p.valid(first.AccessToken))
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

// A grant that would last for ever leaves once it is revoked, and its code after its time.
func TestRevokedGrantsWithoutEndArePruned(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db, func(c *server.Config) { c.RefreshTokenExpiresIn = -1 })
		tokens, codes := stores(t, db)
		kept := p.redeem(p.code("profile"))
		revoked, byOlder := p.redeem(p.code("profile")), p.redeem(p.code("profile"))
		p.Revoke(p.client, "token="+revoked.RefreshToken)
		p.Revoke(p.client, "token="+byOlder.RefreshToken)
		for _, row := range []string{revoked.AccessToken, byOlder.AccessToken} {
			require.NoError(t, db.Model(&Token{}).Where("access_token = ?", secret.Digest(row)).Update("refresh_token_revoked_at", 1).Error)
		}
		require.NoError(t, db.Model(&Token{}).Where("access_token = ?", secret.Digest(revoked.AccessToken)).Update("expires_at", gorm.Expr("expires_at - 1800000000 + 1")).Error, "the clock of the tests is ahead")
		require.NoError(t, db.Model(&Token{}).Where("access_token = ?", secret.Digest(byOlder.AccessToken)).Update("expires_at", 0).Error, "an older release leaves it as it was")
		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{}))
		var left []string
		require.NoError(t, db.Model(&Token{}).Pluck("access_token", &left).Error)
		assert.Equal(t, []string{secret.Digest(kept.AccessToken)}, left)
		assert.True(t, p.valid(kept.AccessToken))
	})
}

// With a client that leaves go the consents to it, and no others.
func TestConsentsLeaveWithTheirClient(t *testing.T) {
	testdb.Each(t, append([]any{&oauthtest.Consent{}}, allModels...), func(t *testing.T, db *gorm.DB) {
		tokens, codes := stores(t, db)
		consents := gormoauth.CreateConsentStorage[oauthtest.Consent, Token, AuthorizationCode](db)
		registrations := gormoauth.CreateClientRegistrationStorage[Client, Token](db)
		user := &User{}
		require.NoError(t, db.Create(user).Error)
		for id, unused := range map[string]int64{"deleted": 0, "unused": 1, "in-use": 0} {
			require.NoError(t, registrations.SaveClient(t.Context(), &models.ClientMixin{ClientID: id, UnusedExpiresAt: unused}, nil))
			saved, err := consents.SaveConsent(t.Context(), nil, &models.ConsentMixin{ClientID: id, Scope: "profile"}, user)
			require.NoError(t, err)
			require.True(t, saved)
		}
		require.NoError(t, registrations.DeleteClient(oauthtest.Brief(t), "deleted", time.Now()))
		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{}, registrations))
		var left []string
		require.NoError(t, db.Model(&oauthtest.Consent{}).Pluck("client_id", &left).Error)
		assert.Equal(t, []string{"in-use"}, left)
	})
}

// Whatever a program calls its columns, pruning ends, and what has expired has left.
func TestPruningEndsUnderEveryNamingStrategy(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, plain *gorm.DB) {
		for name, strategy := range map[string]schema.NamingStrategy{
			"NoLowerCase": {NoLowerCase: true}, "a prefix": {TablePrefix: "x_"}, "singular": {SingularTable: true},
			"short names": {IdentifierMaxLength: 30}, "replaced": {NameReplacer: strings.NewReplacer("Token", "Tkn")},
		} {
			db, err := gorm.Open(plain.Dialector, &gorm.Config{ConnPool: plain.ConnPool, Logger: plain.Logger, NamingStrategy: strategy})
			require.NoError(t, err)
			all := []any{&oauthtest.User{}, &namedClient{}, &namedToken{}, &namedCode{}, &namedConsent{}}
			require.NoError(t, db.Migrator().DropTable(all...))
			require.NoError(t, gormstore.AutoMigrate(db, all...))
			tokens, err := gormstore.NewTokens[namedToken](db)
			require.NoError(t, err)
			codes, err := gormstore.NewAuthorizationCodes[namedCode](db)
			require.NoError(t, err)
			registrations, err := gormstore.NewClientRegistration[namedClient, namedToken](db)
			require.NoError(t, err)
			for i := range 30 {
				require.NoError(t, db.Create(&namedToken{TokenMixin: models.TokenMixin{AccessToken: fmt.Sprint(i), ExpiresAt: 1}}).Error)
				require.NoError(t, db.Create(&namedCode{AuthorizationCodeMixin: models.AuthorizationCodeMixin{Code: fmt.Sprint(i), ExpiresAt: 1}}).Error)
				require.NoError(t, db.Create(&namedClient{ClientMixin: models.ClientMixin{ClientID: fmt.Sprint(i), UnusedExpiresAt: 1}}).Error)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			require.NoError(t, gormstore.Prune(ctx, tokens, codes, gormstore.PruneOptions{BatchSize: 7}, registrations), name)
			for _, model := range []any{&namedToken{}, &namedCode{}, &namedClient{}} {
				var rows int64
				require.NoError(t, db.Model(model).Count(&rows).Error)
				assert.Zero(t, rows, "%s: %T", name, model)
			}
		}
	})
}

type (
	namedToken struct {
		ID     uint
		UserID *uint `gorm:"index"`
		models.TokenMixin
	}
	namedCode struct {
		ID     uint
		UserID uint `gorm:"index"`
		models.AuthorizationCodeMixin
	}
	namedClient struct {
		ID uint
		models.ClientMixin
	}
	namedConsent struct {
		ID     uint
		UserID uint `gorm:"index"`
		models.ConsentMixin
	}
)
