package main

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gormoauth/gormoauth/models"
)

func TestErase(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "example.db")
	p := startProgramOn(t, "-db", database)
	bob := p.signedIn(t, "bob", "builder")
	redirected(t, bob.decide(authorizePath("demo-web"), form("confirm", "yes")))
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	db, closeDB, err := openDatabase(t.Context(), database, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer closeDB()
	var user, alice User
	if err := db.Where("username = ?", "bob").First(&user).Error; err != nil {
		t.Fatal(err)
	}
	if err := db.Where("username = ?", "alice").First(&alice).Error; err != nil {
		t.Fatal(err)
	}
	for token, of := range map[string]*uint{"his": &user.ID, "hers": &alice.ID} {
		if err := db.Create(&Token{UserID: of, TokenMixin: models.TokenMixin{AccessToken: token}}).Error; err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Create(&Client{UserID: &user.ID, ClientMixin: models.ClientMixin{ClientID: "his"}}).Error; err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"erase", "-db", database}, noEnvironment, new(bytes.Buffer), t.Output()); err == nil || !strings.Contains(err.Error(), "-user") {
		t.Errorf("without a name: %v", err)
	}
	if err := run(t.Context(), []string{"erase", "-db", database, "-user", "nobody"}, noEnvironment, new(bytes.Buffer), t.Output()); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("of nobody: %v", err)
	}
	var stdout bytes.Buffer
	if err := run(t.Context(), []string{"erase", "-db", database, "-user", "bob"}, noEnvironment, &stdout, t.Output()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stdout.String(), "bob is gone") {
		t.Errorf("printed %q", &stdout)
	}
	for _, model := range []any{&Token{}, &AuthorizationCode{}, &Consent{}, &ClientSession{}, &DeviceCode{}, &Client{}, &Audit{}} {
		var left int64
		if err := db.Model(model).Where("user_id = ?", user.ID).Count(&left).Error; err != nil || left != 0 {
			t.Errorf("%T: %d rows are left, %v", model, left, err)
		}
	}
	var others int64
	if err := db.Model(&Token{}).Where("user_id = ?", alice.ID).Count(&others).Error; err != nil || others != 1 {
		t.Errorf("somebody else's token is gone, %v", err)
	}
	var entries []Audit
	if err := db.Order("id").Find(&entries).Error; err != nil {
		t.Fatal(err)
	}
	var granted bool
	for _, entry := range entries {
		if entry.UserID != nil && *entry.UserID == user.ID {
			t.Errorf("the audit trail says who was erased: %+v", entry)
		}
		granted = granted || entry.Event == models.AuditAuthorizationGranted && entry.RemoteAddress == ""
	}
	if !granted {
		t.Error("the audit trail has forgotten what he granted")
	}
	if found := db.Where("username = ?", "bob").Limit(1).Find(new(User)); found.RowsAffected != 0 {
		t.Error("bob is still there")
	}
}
