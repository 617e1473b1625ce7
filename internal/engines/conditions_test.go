package engines_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
)

// named is a user with a name for an id, which a collation compares without its case.
type named struct {
	Name string `gorm:"primaryKey;type:varchar(40) COLLATE nocase"`
}

func (n *named) GetUserID() string { return n.Name }

type consentOfNamed struct {
	ID     uint
	UserID string `gorm:"type:varchar(40) COLLATE nocase;index"`
	models.ConsentMixin
}

func (consentOfNamed) TableName() string { return "consents" }

func TestAnIDInOtherLettersIsAnothers(t *testing.T) {
	t.Parallel()
	each := func(test func(t *testing.T, db *gorm.DB)) {
		for _, engine := range []string{testdb.SQLiteGo, testdb.Postgres} {
			t.Run(engine, func(t *testing.T) {
				t.Parallel()
				db := testdb.Open(t, engine)
				if engine == testdb.Postgres {
					execAll(t, db, "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
				}
				require.NoError(t, gormoauth.AutoMigrate(db, &named{}, &consentOfNamed{}))
				test(t, db)
			})
		}
		t.Run(testdb.Galera, func(t *testing.T) {
			t.Parallel()
			db := testdb.OpenInstances(t, testdb.Galera)[0]
			execAll(t, db, "CREATE TABLE nameds (name varchar(40) COLLATE utf8mb4_general_ci PRIMARY KEY)")
			execAll(t, db, "CREATE TABLE consents (id bigint AUTO_INCREMENT PRIMARY KEY, user_id varchar(40) COLLATE utf8mb4_general_ci)")
			require.NoError(t, gormoauth.AutoMigrate(db, &named{}, &consentOfNamed{}))
			test(t, db)
		})
	}
	each(func(t *testing.T, db *gorm.DB) {
		require.NoError(t, db.Create(&named{"alice"}).Error)
		var rows int64
		require.NoError(t, db.Model(&named{}).Where("name = ?", "Alice").Count(&rows).Error)
		require.EqualValues(t, 1, rows, "the database finds her")
		query := gormoauth.CreateQueryUserFunc[named](db)
		user, err := query(t.Context(), "alice")
		require.True(t, err == nil && user != nil)
		user, err = query(t.Context(), "Alice")
		assert.True(t, err == nil && user == nil, "who is somebody else")

		consents := gormoauth.CreateConsentStorage[consentOfNamed, oauthtest.Token, oauthtest.AuthorizationCode](db)
		saved, err := consents.SaveConsent(t.Context(), nil, &models.ConsentMixin{ClientID: "c"}, &named{"alice"})
		require.True(t, err == nil && saved)
		for name, want := range map[string]int{"alice": 1, "Alice": 0} {
			of, err := consents.Of(t.Context(), name)
			assert.True(t, err == nil && len(of) == want, name)
		}
	})
}
