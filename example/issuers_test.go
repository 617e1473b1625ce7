package main

import (
	"io"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/models"
)

// The demo takes what it issued under another port; a real installation takes nothing of
// anybody else's by itself.
func TestTheDemoRemembersItsLoopbackIssuers(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	db, closeDB, err := openDatabase(t.Context(), t.TempDir()+"/demo.db", log)
	require.NoError(t, err)
	defer closeDB()
	demo := &config{demo: true, issuer: "http://127.0.0.1:9000"}
	assert.Empty(t, formerIssuers(db, demo), "a database that is new")
	require.NoError(t, migrate(db))
	for i, issuer := range []string{"http://127.0.0.1:8080", "http://localhost:8080", "http://127.0.0.1:9000", "https://id.example", "", "http://127.0.0.1:8080"} {
		require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{AccessToken: string(rune('a' + i)), Authorization: models.Authorization{Issuer: issuer}}}).Error)
	}
	require.NoError(t, db.Model(&Token{}).Where("issuer = ''").Update("issuer", nil).Error)
	assert.ElementsMatch(t, []string{"http://127.0.0.1:8080", "http://localhost:8080"}, formerIssuers(db, demo))
	assert.Empty(t, formerIssuers(db, &config{issuer: "https://id.example"}))
}
