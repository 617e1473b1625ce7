package gormstore_test

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server/secret"
)

// Whoever presents something twice fills no log with errors; a statement that fails
// is logged, and its values only as the program's logger has it.
func TestADuplicateIsNoErrorOfTheDatabase(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		var log bytes.Buffer
		logged := func(parameterized bool) *gormstore.Replays {
			replays, err := gormstore.NewReplays[oauthtest.Replay](db.Session(&gorm.Session{Logger: logger.NewSlogLogger(
				slog.New(slog.NewTextHandler(&log, nil)), logger.Config{LogLevel: logger.Warn, SlowThreshold: time.Hour, ParameterizedQueries: parameterized})}))
			require.NoError(t, err)
			return replays
		}
		hidden, shown := logged(true), logged(false)
		for _, want := range []bool{true, false} {
			first, err := hidden.FirstUse(t.Context(), "a proof", time.Now().Add(time.Hour))
			require.NoError(t, err)
			assert.Equal(t, want, first)
		}
		assert.Empty(t, log.String())

		require.NoError(t, db.Migrator().DropTable(&oauthtest.Replay{}))
		digest := secret.Digest("another")
		_, err := hidden.FirstUse(t.Context(), "another", time.Now())
		require.Error(t, err)
		assert.Contains(t, log.String(), "level=ERROR")
		assert.NotContains(t, log.String(), digest)
		_, err = shown.FirstUse(t.Context(), "another", time.Now())
		require.Error(t, err)
		assert.Contains(t, log.String(), digest)
	})
}
