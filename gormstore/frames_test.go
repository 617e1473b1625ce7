package gormstore_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// A reader of how a token is stored passes at most five functions between Tokens.Save and GORM.
func TestFewFunctionsLieBetweenSaveAndGORM(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	var between []string
	require.NoError(t, db.Callback().Create().Before("gorm:create").Register("test:frames", func(*gorm.DB) {
		if between != nil {
			return
		}
		callers := make([]uintptr, 64)
		frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
		for {
			frame, more := frames.Next()
			if strings.HasSuffix(frame.Function, "(*Tokens).Save") || !more {
				return
			}
			if strings.Contains(frame.Function, "/gormstore.") {
				between = append(between, frame.Function[strings.LastIndexByte(frame.Function, '/')+1:])
			}
		}
	}))
	tokens, err := gormstore.NewTokens[Token](db)
	require.NoError(t, err)
	require.NoError(t, tokens.Save(t.Context(), storage.Exchange{
		Kind: storage.ExchangeIssue, Token: &models.TokenMixin{AccessToken: "a"}, Time: time.Unix(1, 0), GrantType: "client_credentials",
	}))
	assert.NotEmpty(t, between)
	assert.LessOrEqual(t, len(between), 5, between)
}
