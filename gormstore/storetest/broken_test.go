package storetest_test

import (
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/gormstore/storetest"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// eternalToken is a model whose tokens never expire.
type eternalToken struct{ Token }

func (eternalToken) TableName() string         { return "tokens" }
func (*eternalToken) IsExpired(time.Time) bool { return false }

// trimmingToken is a model whose hook drops a part of a stored value.
type trimmingToken struct{ Token }

func (trimmingToken) TableName() string { return "tokens" }
func (t *trimmingToken) BeforeCreate(*gorm.DB) error {
	t.Audience = strings.TrimRight(t.Audience, "_")
	return nil
}

// broken are faults in a program's storage, each with the test of the kit that finds it.
var broken = map[string]struct {
	finds string
	run   func(t *testing.T, db *gorm.DB)
}{
	"the unique index is gone": {"columns/token$", func(t *testing.T, db *gorm.DB) {
		require.NoError(t, db.Migrator().DropIndex(&Token{}, "idx_tokens_access_token"))
		run[Token](t, storetest.Config{DB: db})
	}},
	"a hook spoils a column": {"columns/token$", func(t *testing.T, db *gorm.DB) {
		run[trimmingToken](t, storetest.Config{DB: db})
	}},
	"nothing expires": {"time", func(t *testing.T, db *gorm.DB) {
		run[eternalToken](t, storetest.Config{DB: db})
	}},
	"a code is redeemed without a guard": {"races/one_code", func(t *testing.T, db *gorm.DB) {
		forget(t, db, "redeemed_at")
		run[Token](t, storetest.Config{DB: db})
	}},
	"a refresh token is rotated without a guard": {"races/one_refresh", func(t *testing.T, db *gorm.DB) {
		forget(t, db, "refresh_token")
		run[Token](t, storetest.Config{DB: db})
	}},
	"a revoked grant is rotated": {"races/what_was_read", func(t *testing.T, db *gorm.DB) {
		forget(t, db, "refresh_token_revoked_at")
		run[Token](t, storetest.Config{DB: db})
	}},
	"nothing is revoked": {"history/no_faults", func(t *testing.T, db *gorm.DB) {
		loseRevocations(t, db)
		run[Token](t, storetest.Config{DB: db})
	}},
	"the tabs of one client are strangers": {"grace", func(t *testing.T, db *gorm.DB) {
		loseRotationTime(t, db)
		run[Token](t, storetest.Config{DB: db})
	}},
	"an instance has another database": {"replicas", func(t *testing.T, db *gorm.DB) {
		run[Token](t, storetest.Config{DB: db, Instances: []*gorm.DB{testdb.Open(t, testdb.SQLiteGo, oauthtestModels...)}})
	}},
	"pruning removes what is in use": {"pruning", func(t *testing.T, db *gorm.DB) {
		require.NoError(t, db.Callback().Delete().Before("gorm:delete").Register("broken", func(tx *gorm.DB) {
			tx.Statement.Clauses["WHERE"] = clause.Clause{Name: "WHERE", Expression: clause.Where{Exprs: []clause.Expression{gorm.Expr("1 = 1")}}}
		}))
		run[Token](t, storetest.Config{DB: db})
	}},
}

const brokenName = "GORMOAUTH_BROKEN"

// TestTheKitFindsWhatIsBroken runs itself on a storage with a fault, and expects the
// right test to fail.
func TestTheKitFindsWhatIsBroken(t *testing.T) {
	if name := os.Getenv(brokenName); name != "" {
		broken[name].run(t, testdb.Open(t, testdb.SQLiteGo, oauthtestModels...))
		return
	}
	for name, b := range broken {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheKitFindsWhatIsBroken$/"+b.finds, "-test.timeout=1m")
			cmd.Env = append(os.Environ(), brokenName+"="+name)
			output, err := cmd.CombinedOutput()
			require.Error(t, err, "nothing was found: %s", output)
			failed := "--- FAIL: TestTheKitFindsWhatIsBroken/" + strings.TrimSuffix(b.finds, "$")
			assert.Contains(t, string(output), failed)
		})
	}
}

// forget removes one of the conditions from every UPDATE.
func forget(t *testing.T, db *gorm.DB, column string) {
	t.Helper()
	require.NoError(t, db.Callback().Update().Before("gorm:update").Register("broken", func(tx *gorm.DB) {
		where, ok := tx.Statement.Clauses["WHERE"].Expression.(clause.Where)
		if !ok {
			return
		}
		where.Exprs = without(where.Exprs, column)
		tx.Statement.Clauses["WHERE"] = clause.Clause{Name: "WHERE", Expression: where}
	}))
}

// without returns the expressions except those about a column. A store's own conditions
// are one expression, which is a list.
func without(expressions []clause.Expression, column string) []clause.Expression {
	kept := []clause.Expression{gorm.Expr("1 = 1")}
	for _, e := range expressions {
		about := func(e clause.Expression) bool {
			eq, ok := e.(clause.Eq)
			return ok && eq.Column.(clause.Column).Name == column
		}
		if or, ok := e.(clause.OrConditions); about(e) || ok && slices.ContainsFunc(or.Exprs, about) {
			continue
		}
		if list := reflect.ValueOf(e); list.Kind() == reflect.Slice {
			inner := without(list.Convert(reflect.TypeFor[[]clause.Expression]()).Interface().([]clause.Expression), column)
			e = reflect.ValueOf(inner).Convert(list.Type()).Interface().(clause.Expression)
		}
		kept = append(kept, e)
	}
	return kept
}

// loseRevocations makes the UPDATE of a revocation change nothing.
func loseRevocations(t *testing.T, db *gorm.DB) {
	t.Helper()
	require.NoError(t, db.Callback().Update().Before("gorm:update").Register("broken", func(tx *gorm.DB) {
		if values, ok := tx.Statement.Dest.(map[string]any); ok && values["refresh_token_revoked_at"] != nil {
			tx.Statement.AddClause(clause.Where{Exprs: []clause.Expression{gorm.Expr("1 = 0")}})
		}
	}))
}

// loseRotationTime makes a rotation not store its time.
func loseRotationTime(t *testing.T, db *gorm.DB) {
	t.Helper()
	require.NoError(t, db.Callback().Update().Before("gorm:update").Register("broken", func(tx *gorm.DB) {
		if values, ok := tx.Statement.Dest.(map[string]any); ok && values["rotated_at"] != nil {
			values["rotated_at"] = 0
		}
	}))
}
