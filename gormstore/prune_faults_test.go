package gormstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
)

func expiredTokens(t *testing.T, db *gorm.DB, n int) {
	t.Helper()
	rows := make([]Token, n)
	for i := range rows {
		rows[i].TokenMixin = models.TokenMixin{AccessToken: fmt.Sprint(i), ExpiresAt: 1 + int64(i/10)}
	}
	require.NoError(t, db.CreateInBatches(rows, 100).Error)
}

// What fails in one table is told, and the others are pruned.
func TestPruningGoesOnWhereATableFails(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		expiredTokens(t, db, 50)
		user := &User{}
		require.NoError(t, db.Create(user).Error)
		require.NoError(t, db.Create(&AuthorizationCode{UserID: user.ID, AuthorizationCodeMixin: models.AuthorizationCodeMixin{Code: "old", ExpiresAt: 1, AuthTime: 1}}).Error)
		broken := errors.New("this table fails")
		tokens, codes := stores(t, faults.DB(db, &faults.Plan{Next: func(c faults.Call) faults.Fault {
			if strings.Contains(c.SQL, "tokens") && strings.HasPrefix(c.SQL, "DELETE") {
				return faults.Fault{Err: broken}
			}
			return faults.Fault{}
		}}))
		err := gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{})
		require.ErrorIs(t, err, broken)
		assert.ErrorContains(t, err, "prune tokens")
		var left int64
		require.NoError(t, db.Model(&AuthorizationCode{}).Count(&left).Error)
		assert.Zero(t, left)
		assert.EqualValues(t, 50, count(t, db))
	})
}

// On PostgreSQL, an instance takes rows that no other has taken, and waits for none.
func TestInstancesPruneOtherRows(t *testing.T) {
	onPostgres(t, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		expiredTokens(t, db, 100)
		tokens, codes := stores(t, db)
		other := db.Begin()
		defer other.Rollback()
		require.NoError(t, other.Exec("SELECT 1 FROM tokens WHERE expires_at <= 4 FOR UPDATE").Error)
		began := time.Now()
		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{BatchSize: 7}))
		assert.Less(t, time.Since(began), 2*time.Second)
		assert.EqualValues(t, 40, count(t, db), "those of the other are left to it")
		require.NoError(t, other.Rollback().Error)
		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{}))
		assert.Zero(t, count(t, db))
	})
}

// The count for a report reads a bounded number of rows.
func TestTheCountForAReportIsBounded(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		expiredTokens(t, db, 3)
		var counts []string
		tokens, codes := stores(t, faults.DB(db, &faults.Plan{Next: func(c faults.Call) faults.Fault {
			if strings.Contains(strings.ToLower(c.SQL), "count(") {
				counts = append(counts, c.SQL)
			}
			return faults.Fault{}
		}}))
		var expired int64
		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{Report: func(p gormstore.PruneProgress) { expired = p.Expired }}))
		assert.EqualValues(t, 3, expired)
		require.NotEmpty(t, counts)
		for _, query := range counts {
			assert.Contains(t, query, "LIMIT")
		}
	})
}

// A client that is renewed after it was found, and before it is removed, keeps the consents to it. While it
// cannot be known which clients were, none leave.
func TestARenewedClientKeepsItsConsents(t *testing.T) {
	for name, broken := range map[string]error{"renewed": nil, "unknown": errors.New("this statement fails")} {
		db := testdb.Open(t, testdb.SQLiteGo, append([]any{&oauthtest.Consent{}}, allModels...)...)
		user := &User{}
		require.NoError(t, db.Create(user).Error)
		for _, id := range []string{"renewed", "unused"} {
			require.NoError(t, db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: id, UnusedExpiresAt: 1}}).Error)
			require.NoError(t, db.Create(&oauthtest.Consent{UserID: user.ID, ConsentMixin: models.ConsentMixin{ConsentKey: id, ClientID: id}}).Error)
		}
		found, removed := false, false
		observed := faults.DB(db, &faults.Plan{Next: func(c faults.Call) faults.Fault {
			of := strings.Contains(c.SQL, "`clients`")
			switch {
			case c.SQL == "BEGIN" && found && broken == nil:
				require.NoError(t, db.Model(&Client{}).Where("client_id = 'renewed'").Update("unused_expires_at", 0).Error)
			case of && strings.HasPrefix(c.SQL, "DELETE"):
				removed = true
			case of && removed:
				return faults.Fault{Err: broken}
			case of:
				found = true
			}
			return faults.Fault{}
		}})
		tokens, codes := stores(t, observed)
		registrations := gormoauth.CreateClientRegistrationStorage[Client, Token](observed)
		gormoauth.CreateConsentStorage[oauthtest.Consent, Token, AuthorizationCode](observed)
		err := gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{}, registrations)
		require.ErrorIs(t, err, broken, name)
		want := []string{"renewed"}
		if broken != nil {
			want = append(want, "unused")
		}
		for _, model := range []any{&Client{}, &oauthtest.Consent{}} {
			var left []string
			require.NoError(t, db.Model(model).Order("client_id").Pluck("client_id", &left).Error)
			assert.Equal(t, want, left, "%s: %T", name, model)
		}
	}
}

// If it cannot be counted how many rows have expired, nothing is reported.
func TestPruningThatCannotCountReportsNothing(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	tokens, codes := stores(t, db)
	require.NoError(t, db.Migrator().DropTable(&Token{}))
	err := gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{Report: func(gormstore.PruneProgress) { t.Error("reported") }})
	require.ErrorContains(t, err, "tokens")
}
