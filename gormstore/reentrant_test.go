package gormstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// callingToken and callingAudit are models whose hooks call a store of the library's.
type (
	callingToken struct{ Token }
	callingAudit struct{ Audit }
)

func (callingToken) TableName() string { return "tokens" }
func (callingAudit) TableName() string { return "audits" }

// call is what a hook does, found by the context of its statement.
type callKey struct{}

func called(tx *gorm.DB) error {
	if call, ok := tx.Statement.Context.Value(callKey{}).(func(ctx context.Context) error); ok {
		return call(tx.Statement.Context)
	}
	return nil
}

func (*callingToken) AfterCreate(tx *gorm.DB) error { return called(tx) }
func (*callingAudit) AfterCreate(tx *gorm.DB) error { return called(tx) }

// A hook that calls the library with the context of its statement is in the transaction of
// that: it waits for nothing, and what it does stays or goes with it.
func TestAHookMayCallTheLibrary(t *testing.T) {
	testdb.Each(t, append(allModels, &oauthtest.Replay{}), func(t *testing.T, db *gorm.DB) {
		replays, err := gormstore.NewReplays[oauthtest.Replay](db)
		require.NoError(t, err)
		hooked, err := gormstore.NewTokens[callingToken](db)
		require.NoError(t, err)
		audited, err := gormstore.WithAudit[callingAudit](db)
		require.NoError(t, err)
		noted, err := gormstore.NewTokens[Token](audited)
		require.NoError(t, err)
		for name, tokens := range map[string]*gormstore.Tokens{"a hook of the model": hooked, "a hook of the audit trail": noted} {
			t.Run(name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				save := func(call func(ctx context.Context) error) error {
					exchange := storage.Exchange{Kind: storage.ExchangeIssue, Token: &models.TokenMixin{AccessToken: rand.Text(), Authorization: models.Authorization{ClientID: "c"}}}
					return tokens.Save(context.WithValue(ctx, callKey{}, call), exchange)
				}
				used := func(ctx context.Context, key string) bool {
					first, err := replays.FirstUse(ctx, key, time.Now())
					require.NoError(t, err)
					return !first
				}
				goes, stays := rand.Text(), rand.Text()
				var left context.Context
				failure := errors.New("the hook has its reasons")
				require.ErrorIs(t, save(func(ctx context.Context) error {
					assert.True(t, gormstore.InTransaction(ctx))
					assert.False(t, used(ctx, goes))
					assert.True(t, used(ctx, goes), "it sees what it did")
					return failure
				}), failure)
				assert.False(t, used(ctx, goes), "it went with the transaction")
				require.NoError(t, save(func(ctx context.Context) error {
					assert.False(t, used(ctx, stays))
					left = ctx
					return nil
				}))
				assert.True(t, used(ctx, stays), "it stayed")
				assert.False(t, gormstore.InTransaction(left), "what a hook leaves running is on the pool again")
				assert.False(t, used(left, rand.Text()))

				require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
					ctx := gormstore.WithTransaction(ctx, tx)
					return tokens.Save(context.WithValue(ctx, callKey{}, func(ctx context.Context) error {
						assert.True(t, used(ctx, stays), "in the program's own transaction as well")
						return nil
					}), storage.Exchange{Kind: storage.ExchangeIssue, Token: &models.TokenMixin{AccessToken: rand.Text()}})
				}))
			})
		}
	})
}

// A statement without a transaction has none in which something else could be. On SQLite,
// where that would wait for the statement itself, it is refused with what to do.
func TestACallThatWouldWaitForItself(t *testing.T) {
	testdb.Each(t, append(allModels, &oauthtest.Replay{}), func(t *testing.T, db *gorm.DB) {
		replays, err := gormstore.NewReplays[oauthtest.Replay](db)
		require.NoError(t, err)
		tokens, err := gormstore.NewTokens[Token](db)
		require.NoError(t, err)
		var refused error
		require.NoError(t, db.Callback().Create().Before("gorm:create").Register("calls", func(tx *gorm.DB) {
			if tx.Statement.Table == "tokens" {
				_, refused = replays.FirstUse(tx.Statement.Context, rand.Text(), time.Now())
			}
		}))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		require.NoError(t, tokens.Save(ctx, storage.Exchange{Kind: storage.ExchangeIssue, Token: &models.TokenMixin{AccessToken: rand.Text()}}))
		if db.Name() != "sqlite" {
			assert.NoError(t, refused)
			return
		}
		assert.ErrorContains(t, refused, "WithTransaction")
	})
}

// The transaction of a step is one of its database. Another database's store has its own.
func TestAHookMayCallAnotherDatabase(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	other := testdb.Open(t, testdb.SQLiteGo, &oauthtest.Replay{})
	replays, err := gormstore.NewReplays[oauthtest.Replay](other)
	require.NoError(t, err)
	tokens, err := gormstore.NewTokens[callingToken](db)
	require.NoError(t, err)
	failure := errors.New("the hook has its reasons")
	require.ErrorIs(t, tokens.Save(context.WithValue(t.Context(), callKey{}, func(ctx context.Context) error {
		first, err := replays.FirstUse(ctx, "k", time.Now())
		assert.True(t, first)
		require.NoError(t, err)
		return failure
	}), storage.Exchange{Kind: storage.ExchangeIssue, Token: &models.TokenMixin{AccessToken: rand.Text()}}), failure)
	first, err := replays.FirstUse(t.Context(), "k", time.Now())
	require.NoError(t, err)
	assert.False(t, first, "it was committed there")
}
