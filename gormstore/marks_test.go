package gormstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
)

// Who ends the grants of a client by a handle that is about others marks none of theirs.
func TestAMarkIsWithinTheConditionsOfTheHandle(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		for _, id := range []string{"ours", "theirs"} {
			require.NoError(t, db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: id}}).Error)
		}
		generation := func(id string) int64 {
			var client Client
			require.NoError(t, db.First(&client, "client_id = ?", id).Error)
			return client.Generation
		}
		revoke := func(handle *gorm.DB, id string) {
			tokens, err := gormstore.NewTokens[Token](handle)
			require.NoError(t, err)
			require.NoError(t, tokens.RevokeClient(underway.Shorten(t.Context(), 0), id, time.Now()))
		}
		_, err := gormstore.NewClients[Client](db)
		require.NoError(t, err)
		ours := db.Where("client_id <> ?", "theirs").Session(&gorm.Session{})
		revoke(ours, "ours")
		assert.Zero(t, generation("ours"), "a client of all may have grants that the handle is not about")
		_, err = gormstore.NewClients[Client](ours)
		require.NoError(t, err)
		revoke(ours, "theirs")
		assert.Zero(t, generation("theirs"))
		revoke(ours, "ours")
		assert.EqualValues(t, 1, generation("ours"))
		revoke(db, "theirs")
		assert.EqualValues(t, 1, generation("theirs"))
	})
}
