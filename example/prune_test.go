package main

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/models"
)

func TestPrune(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "example.db")
	if err := startProgramOn(t, "-db", database).end(); err != nil {
		t.Fatal(err)
	}
	db, closeDB, err := openDatabase(t.Context(), database, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer closeDB()
	for name, expiresAt := range map[string]int64{"old": 1, "older": 2, "alive": time.Now().Add(time.Hour).Unix()} {
		if err := db.Create(&Token{TokenMixin: models.TokenMixin{AccessToken: name, ExpiresAt: expiresAt}}).Error; err != nil {
			t.Fatal(err)
		}
	}
	var stdout bytes.Buffer
	if err := run(t.Context(), []string{"prune", "-db", database}, noEnvironment, &stdout, t.Output()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stdout.String(), "2 expired rows removed") {
		t.Errorf("printed %q", &stdout)
	}
	var left int64
	if err := db.Model(&Token{}).Count(&left).Error; err != nil || left != 1 {
		t.Errorf("%d rows are left, %v", left, err)
	}
}
