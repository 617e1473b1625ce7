package testdb_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/testdb"
)

// In transaction mode a connection belongs to a client for one transaction: one
// client of many that are open at once does not hold it.
func TestPgBouncerSharesConnections(t *testing.T) {
	db := testdb.OpenInstances(t, testdb.PostgresPgBouncer, &note{})[0]
	pool := must(db.DB())
	processes := map[string]bool{}
	for range 12 { // more than there are connections to the server
		conn, err := pool.Conn(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		var pid string
		require.NoError(t, conn.QueryRowContext(t.Context(), "SELECT pg_backend_pid()::text").Scan(&pid))
		processes[pid] = true
	}
	assert.Less(t, len(processes), 12)
}

func text(t *testing.T, db *gorm.DB, query string) (value string) {
	t.Helper()
	require.NoError(t, db.Raw(query).Row().Scan(&value))
	return value
}

func count(t *testing.T, db *gorm.DB) (rows int64) {
	t.Helper()
	require.NoError(t, db.Model(&note{}).Count(&rows).Error)
	return rows
}

func must[V any](value V, err error) V {
	if err != nil {
		panic(err)
	}
	return value
}
