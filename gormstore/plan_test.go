package gormstore_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// No statement of an exchange reads a whole table, however large it grows.
func TestEveryStatementHasAnIndex(t *testing.T) {
	testdb.Each(t, allModels, everyStatementHasAnIndex)
}

// Nor does one where the tables have the engine's own indexes.
func TestEveryStatementHasAnIndexOfTheEngine(t *testing.T) {
	onPostgres(t, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		var hashes int64
		require.NoError(t, db.Raw("SELECT count(*) FROM pg_indexes WHERE schemaname = current_schema() AND indexdef LIKE '%USING hash%'").Scan(&hashes).Error)
		require.EqualValues(t, 4, hashes, "grants of tokens, codes and device authorizations, and refresh tokens")
		everyStatementHasAnIndex(t, db)
		assert.Empty(t, diagnosed(t, db), "the doctor takes none of them for missing")
	})
}

// An older table gets them by statements, and a table that GORM made has larger ones that work.
func TestAnOlderTableIsCompacted(t *testing.T) {
	onPostgres(t, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, db.AutoMigrate(allModels...))
		before := tablesOf(t, db)
		require.NoError(t, gormstore.AutoMigrate(db, allModels...))
		assert.Equal(t, before, tablesOf(t, db), "nothing is made beside what is there")
		text, err := gormstore.CompactSQL(db, allModels...)
		require.NoError(t, err)
		for statement := range strings.SplitSeq(strings.TrimSpace(text), ";\n") {
			require.NoError(t, db.Exec(statement).Error, statement)
		}
		assert.Equal(t, before, tablesOf(t, db), "by the same names")
		everyStatementHasAnIndex(t, db)
		require.NoError(t, db.AutoMigrate(allModels...))
		assert.Equal(t, before, tablesOf(t, db))
	})
}

func everyStatementHasAnIndex(t *testing.T, db *gorm.DB) {
	t.Helper()
	p := newProvider(t, db)
	var statements []string
	note := func(tx *gorm.DB) {
		statements = append(statements, tx.Dialector.Explain(tx.Statement.SQL.String(), tx.Statement.Vars...))
	}
	require.NoError(t, db.Callback().Query().After("gorm:query").Register("plan", note))
	require.NoError(t, db.Callback().Update().After("gorm:update").Register("plan", note))
	require.NoError(t, db.Callback().Delete().After("gorm:delete").Register("plan", note))

	code := p.code("profile")
	first := p.redeem(code)
	p.valid(first.AccessToken)
	p.refresh(first.RefreshToken)
	p.refresh(first.RefreshToken) // reuse: the grant is revoked
	require.NoError(t, db.Model(&Token{}).Where("id > 0").Update("expires_at", 1).Error)
	tokens, codes := stores(t, db)
	require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{}))

	require.NotEmpty(t, statements)
	for _, statement := range statements {
		if plan := explain(t, db, statement); plan != "" {
			assert.NotRegexp(t, `\bSCAN\b|Seq Scan`, plan, statement)
		}
	}
}

// explain returns the plan of a statement. PostgreSQL prefers to read small
// tables whole, unless that is made expensive.
func explain(t *testing.T, db *gorm.DB, statement string) string {
	t.Helper()
	var plan []string
	require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
		if tx.Name() == "postgres" {
			if err := tx.Exec("SET LOCAL enable_seqscan = off").Error; err != nil {
				return err
			}
			return tx.Raw("EXPLAIN " + statement).Scan(&plan).Error
		}
		var rows []struct{ Detail string }
		err := tx.Raw("EXPLAIN QUERY PLAN " + statement).Scan(&rows).Error
		for _, row := range rows {
			plan = append(plan, row.Detail)
		}
		return err
	}))
	return strings.Join(plan, "\n")
}
