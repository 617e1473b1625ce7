package gormstore_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server/finding"
)

func TestWhatCompactingWouldSaveIsFound(t *testing.T) {
	db := testdb.Open(t, testdb.Postgres, allModels...) // with b-trees, as GORM makes them
	const digest = "encode(sha256((n || random()::text)::bytea), 'hex')"
	execAll(t, db, `INSERT INTO tokens (issued_at, expires_in, access_token, refresh_token, grant_id, expires_at, access_token_revoked_at, refresh_token_revoked_at)
		SELECT 0, 3600, `+digest+", "+digest+", "+digest+", 4000000000, 0, 0 FROM generate_series(1, 50000) AS n")
	found := diagnosed(t, db)["compact table tokens"]
	assert.Equal(t, finding.Hint, found.Severity)
	assert.Contains(t, found.Problem, "idx_tokens_grant_id, idx_tokens_refresh_token")
	assert.Regexp(t, `, \d\d? MB$`, found.Problem)
	assert.Regexp(t, `^they take about \d\d? MB more `, found.Consequence)

	before := indexSize(t, db)
	statements, err := gormstore.CompactSQL(db, allModels...)
	require.NoError(t, err)
	for statement := range strings.Lines(statements) {
		require.NoError(t, db.Exec(statement).Error, statement)
	}
	assert.NotContains(t, diagnosed(t, db), "compact table tokens")
	assert.Less(t, indexSize(t, db), before-7<<19, "about as much as was said: how full a hash index is depends on the rows")
}

func indexSize(t *testing.T, db *gorm.DB) (bytes int) {
	t.Helper()
	require.NoError(t, db.Raw("SELECT pg_indexes_size('tokens')").Row().Scan(&bytes))
	return bytes
}
