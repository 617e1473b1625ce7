package gormstore_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/testdb"
)

// statements records what reaches the database.
type statements struct{ all []string }

func record(t *testing.T, db *gorm.DB) *statements {
	t.Helper()
	s := &statements{}
	note := func(tx *gorm.DB) { s.all = append(s.all, tx.Statement.SQL.String()) }
	require.NoError(t, db.Callback().Query().After("gorm:query").Register("record", note))
	require.NoError(t, db.Callback().Create().After("gorm:create").Register("record", note))
	require.NoError(t, db.Callback().Update().After("gorm:update").Register("record", note))
	return s
}

// take returns the statements since the last call, as "VERB table".
func (s *statements) take() []string {
	var short []string
	for _, statement := range s.all {
		words := strings.FieldsFunc(statement, func(c rune) bool { return strings.ContainsRune(" `\"();", c) })
		table := map[string]int{"SELECT": 3, "INSERT": 2, "UPDATE": 1}[words[0]]
		short = append(short, words[0]+" "+words[table])
	}
	s.all = nil
	return short
}

func TestStatementsOfEachExchange(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		s := record(t, db)

		code := p.code("profile")
		assert.Equal(t, []string{"SELECT clients", "SELECT users", "INSERT authorization_codes"}, s.take(), "authorize")
		first := p.redeem(code)
		assert.Equal(t, []string{"SELECT clients", "SELECT authorization_codes", "SELECT users",
			"UPDATE authorization_codes", "INSERT tokens"}, s.take(), "redeem")
		p.refresh(first.RefreshToken)
		assert.Equal(t, []string{"SELECT clients", "SELECT tokens", "SELECT users", "UPDATE tokens"}, s.take(), "refresh")
		p.valid(first.AccessToken)
		assert.Equal(t, []string{"SELECT tokens"}, s.take(), "validate")

		p.valid(first.AccessToken[:len(first.AccessToken)-1])
		assert.Empty(t, s.take(), "a malformed token costs nothing")
		p.redeem(code[:len(code)-1])
		assert.Equal(t, []string{"SELECT clients"}, s.take(), "nor does a malformed code")
	})
}

func TestNoCredentialReachesAStatement(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	p := newProvider(t, db)
	var logged strings.Builder
	explain := func(tx *gorm.DB) {
		logged.WriteString(tx.Dialector.Explain(tx.Statement.SQL.String(), tx.Statement.Vars...) + "\n")
	}
	require.NoError(t, db.Callback().Query().After("gorm:query").Register("explain", explain))
	require.NoError(t, db.Callback().Create().After("gorm:create").Register("explain", explain))
	require.NoError(t, db.Callback().Update().After("gorm:update").Register("explain", explain))

	code := p.code("profile")
	first := p.redeem(code)
	second := p.refresh(first.RefreshToken)
	p.valid(second.AccessToken)
	p.refresh(first.RefreshToken)
	require.Contains(t, logged.String(), "UPDATE")
	for _, secret := range []string{code, first.AccessToken, first.RefreshToken, second.AccessToken, second.RefreshToken} {
		assert.NotContains(t, logged.String(), secret)
		assert.NotContains(t, logged.String(), secret[len(secret)-33:len(secret)-7], "nor the grant secret")
	}
}
