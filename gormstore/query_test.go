package gormstore_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
)

type requestKey struct{}

func TestAQueryIsTheRequestsOwn(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		var request any
		var forPrimary bool
		require.NoError(t, db.Callback().Query().Before("gorm:query").Register("test:look", func(query *gorm.DB) {
			request = query.Statement.Context.Value(requestKey{})
			_, forPrimary = query.Get("gorm:db_resolver:write")
		}))
		clients, err := gormstore.NewClients[Client](db.Where("client_secret <> ?", "disabled"))
		require.NoError(t, err)
		newClient := func(tx *gorm.DB, id, secret string) {
			require.NoError(t, tx.Omit("User").Create(&Client{ClientMixin: models.ClientMixin{ClientID: id, ClientSecret: secret}}).Error)
		}
		found := func(ctx context.Context, id string) bool {
			client, err := clients.Query(ctx, id)
			require.NoError(t, err)
			return client != nil
		}
		newClient(db, "one", models.HashClientSecret("s"))
		newClient(db, "two", models.HashClientSecret("s"))
		newClient(db, "gone", "disabled")

		assert.True(t, found(context.WithValue(t.Context(), requestKey{}, "first"), "one"))
		assert.Equal(t, "first", request, "it runs in the context of the request")
		assert.True(t, forPrimary, "on the primary")
		assert.True(t, found(context.WithValue(t.Context(), requestKey{}, "second"), "two"), "without the conditions of the one before")
		assert.Equal(t, "second", request)
		assert.False(t, found(t.Context(), "gone"), "with those of the program's handle")

		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = clients.Query(canceled, "one")
		require.ErrorIs(t, err, context.Canceled)

		tx := db.Begin()
		defer tx.Rollback()
		newClient(tx, "new", models.HashClientSecret("s"))
		assert.True(t, found(gormstore.WithTransaction(t.Context(), tx), "new"), "in the caller's transaction")
	})
}
