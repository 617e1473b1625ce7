package gormstore_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// openImpatient opens SQLite with no patience at all: a writer that meets
// another is refused at once.
func openImpatient(t *testing.T, connections int) *gorm.DB {
	t.Helper()
	dsn := "file:" + filepath.Join(t.TempDir(), "turn.db") + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(0)&_txlock=immediate"
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: dsn}), &gorm.Config{TranslateError: true})
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	pool.SetMaxOpenConns(connections)
	t.Cleanup(func() { assert.NoError(t, pool.Close()) })
	require.NoError(t, gormoauth.AutoMigrate(db, allModels...))
	return db
}

func TestWritersOfOneProgramQueue(t *testing.T) {
	var inserts atomic.Int64
	db := faults.DB(openImpatient(t, 16), &faults.Plan{Next: func(call faults.Call) faults.Fault {
		if strings.HasPrefix(call.SQL, "INSERT INTO") && strings.Contains(call.SQL, "tokens") {
			inserts.Add(1)
		}
		return faults.Fault{}
	}})
	// Two stores of one database share the queue.
	first, _ := stores(t, db)
	second, _ := stores(t, db)
	const writers, each = 16, 8
	for _, err := range race(writers, func(i int) error {
		tokens := first
		if i%2 == 1 {
			tokens = second
		}
		for range each {
			if err := saveToken(t.Context(), tokens); err != nil {
				return err
			}
		}
		return nil
	}) {
		assert.NoError(t, err)
	}
	assert.Equal(t, int64(writers*each), count(t, db))
	assert.Equal(t, int64(writers*each), inserts.Load(), "no writer met another and had to try again")
}

func saveToken(ctx context.Context, tokens *gormstore.Tokens) error {
	plaintext := secret.Generate("t", secret.AccessToken)
	return tokens.Save(ctx, storage.Exchange{Kind: storage.ExchangeIssue, Token: &models.TokenMixin{AccessToken: secret.Digest(plaintext)}})
}

// The program's own transaction has the one connection and SQLite's lock. Its
// calls must not wait for those that wait for it.
func TestAProgramsTransactionDoesNotQueue(t *testing.T) {
	db := openImpatient(t, 1)
	tokens, _ := stores(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	waiting := make(chan error, 1)
	require.NoError(t, db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		go func() { waiting <- saveToken(ctx, tokens) }() // has the turn, and waits for the connection
		for pool, _ := db.DB(); pool.Stats().WaitCount == 0 && ctx.Err() == nil; {
			time.Sleep(time.Millisecond)
		}
		return saveToken(gormstore.WithTransaction(ctx, tx), tokens)
	}))
	require.NoError(t, <-waiting)
	assert.Equal(t, int64(2), count(t, db))
}

func TestWhoWaitsForATurnMayGiveUp(t *testing.T) {
	db := openImpatient(t, 1)
	tokens, _ := stores(t, db)
	pool, err := db.DB()
	require.NoError(t, err)
	held, err := pool.Conn(t.Context())
	require.NoError(t, err)
	first := make(chan error, 1)
	go func() { first <- saveToken(t.Context(), tokens) }()
	for i := 0; pool.Stats().WaitCount == 0 && i < 5000; i++ {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, saveToken(ctx, tokens), context.DeadlineExceeded)
	assert.Equal(t, int64(1), pool.Stats().WaitCount, "it waited for its turn, not for a connection")
	require.NoError(t, held.Close())
	require.NoError(t, <-first)
	assert.Equal(t, int64(1), count(t, db))
}
