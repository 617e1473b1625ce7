package gormstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// A newer program has added a column while this one runs: what PostgreSQL has
// prepared for it has another shape then.
func TestATableGrows(t *testing.T) {
	db := testdb.Open(t, testdb.Postgres, oauthtest.Models()...)
	pool, err := db.DB()
	require.NoError(t, err)
	pool.SetMaxOpenConns(1)
	clients, err := gormstore.NewClients[oauthtest.Client](db)
	require.NoError(t, err)
	for _, column := range []string{"", "a", "b"} {
		if column != "" {
			require.NoError(t, db.Exec("ALTER TABLE clients ADD COLUMN "+column+" text").Error)
		}
		for range 2 {
			_, err := clients.Query(t.Context(), "nobody")
			require.NoError(t, err)
		}
	}
}
