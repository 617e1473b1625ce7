package gormstore_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// framesLog keeps the functions of the package from the last statement up to Tokens.Save.
type framesLog struct {
	logger.Interface

	between []string
}

// Trace is called where a statement was sent.
func (l *framesLog) Trace(context.Context, time.Time, func() (string, int64), error) {
	l.between = functionsSince("(*Tokens).Save")
}

// functionsSince returns the functions of the package below one, the lowest first.
func functionsSince(name string) (between []string) {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, name) || !more {
			return between
		}
		if strings.Contains(frame.Function, "/gormstore.") {
			between = append(between, frame.Function[strings.LastIndexByte(frame.Function, '/')+1:])
		}
	}
}

// A reader of how a token is stored passes at most five functions between Tokens.Save and the
// statement, which GORM sends, or the type sent.
func TestFewFunctionsLieBetweenSaveAndTheStatement(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	log := &framesLog{Interface: logger.Discard}
	tokens, err := gormstore.NewTokens[Token](db.Session(&gorm.Session{Logger: log}))
	require.NoError(t, err)
	for n, sender := range []string{"gormstore.duplicatesLogger.Trace", "gormstore.(*sent).row", "gormstore.(*sent).row"} {
		require.NoError(t, tokens.Save(t.Context(), storage.Exchange{
			Kind: storage.ExchangeIssue, Token: &models.TokenMixin{AccessToken: string(rune('a' + n))}, Time: time.Unix(1, 0), GrantType: "client_credentials",
		}))
		i := slices.Index(log.between, sender)
		require.GreaterOrEqual(t, i, 0, log.between)
		assert.LessOrEqual(t, len(log.between)-i-1, 5, log.between)
	}
}
