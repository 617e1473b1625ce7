package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/server/secret"
)

// The secret of a database of SQLite is made beside it, once, and for nobody else to read.
func TestTheSecretBesideTheDatabase(t *testing.T) {
	p := startProgram(t)
	file := p.file + ".secret"
	made, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v", info.Mode())
	}
	p.visit(t).get("/oauth/jwks").want(t, http.StatusOK, `"keys":[{`)
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	kid := keyOf(t, p)
	again := startProgramOn(t, "-db", p.file)
	again.file = p.file
	if now, err := os.ReadFile(file); err != nil || !bytes.Equal(made, now) {
		t.Errorf("it was made again: %v", err)
	}
	again.visit(t).get("/oauth/jwks").want(t, http.StatusOK, kid)
}

// keyOf returns the id of a key that signs, and fails where one can be read in the
// database.
func keyOf(t *testing.T, p *program) string {
	t.Helper()
	var keys []SigningKey
	if err := p.database(t).Where("algorithm = ?", jose.ES256).Find(&keys).Error; err != nil || len(keys) == 0 {
		t.Fatalf("%d keys: %v", len(keys), err)
	}
	for _, key := range keys {
		if secret.SealedBy(key.PrivateKey) == "" {
			t.Errorf("the key %s is readable", key.KeyID)
		}
	}
	return keys[0].KeyID
}

func TestTheSecretsOfTheEnvironment(t *testing.T) {
	long, other := strings.Repeat("a", 43), strings.Repeat("b", 43)
	beside := filepath.Join(t.TempDir(), "example.db")
	for name, row := range map[string]struct {
		db, secret string
		demo       string
		secrets    int
		want       string
	}{
		"one":                           {"postgres://x", long, "false", 1, ""},
		"two":                           {"postgres://x", long + ", " + other, "false", 2, ""},
		"two in SQLite":                 {beside, long + "," + other, "true", 2, ""},
		"in memory":                     {":memory:", "", "true", 1, ""},
		"one that is short":             {"postgres://x", long + ",short", "false", 0, "GORMOAUTH_SECRET: server: Config.Secrets[1] has 5 bytes"},
		"one twice":                     {beside, long + "," + long, "false", 0, "listed twice"},
		"none on PostgreSQL":            {"postgres://x", "", "false", 0, "openssl rand -base64 32"},
		"none on PostgreSQL, in a demo": {"postgres://x", "", "true", 1, ""},
	} {
		cfg, err := parseConfig([]string{"-db", row.db, "-demo=" + row.demo}, noEnvironment, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = cfg.readSecrets(func(string) string { return row.secret }, true)
		switch {
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
			t.Errorf("%s: %v, want %q", name, err, row.want)
		case row.want == "" && (err != nil || len(cfg.secrets) != row.secrets):
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(beside + ".secret"); err == nil {
		t.Error("a file was made although the environment has the secrets")
	}
}

// On PostgreSQL the program does not start without a secret, and the doctor makes none.
func TestNoSecretIsMadeForPostgreSQL(t *testing.T) {
	err := run(t.Context(), []string{"-addr", "127.0.0.1:0", "-db", "postgres://somebody@127.0.0.1:1/x", "-demo=false"}, noEnvironment, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "GORMOAUTH_SECRET is not set") {
		t.Error(err)
	}
	database := filepath.Join(t.TempDir(), "example.db")
	_ = run(t.Context(), []string{"doctor", "-db", database}, noEnvironment, io.Discard, io.Discard) // of a database that is empty
	if _, err := os.Stat(database + ".secret"); err == nil {
		t.Error("a file was made")
	}
}

// A demo of an earlier release goes on with what it had made, and its keys are encrypted
// from now on.
func TestADemoOfBefore(t *testing.T) {
	database := filepath.Join(t.TempDir(), "example.db")
	before := startProgramOn(t, "-db", database)
	before.file = database
	if err := before.end(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(database + ".secret"); err != nil {
		t.Fatal(err)
	}
	db := before.database(t)
	if err := db.Where("1 = 1").Delete(&SigningKey{}).Error; err != nil {
		t.Fatal(err)
	}
	readable, err := gormstore.NewSigningKeys[SigningKey](db, gormstore.SigningKeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	key, err := readable.SigningKey(t.Context(), jose.ES256, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	now := startProgramOn(t, "-db", database)
	now.file = database
	now.visit(t).get("/oauth/jwks").want(t, http.StatusOK, key.KeyID)
	made, err := os.ReadFile(database + ".secret")
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(made)), ","+demoSecret) {
		t.Errorf("the secret of before is not the oldest: %v", err)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); { // it is encrypted behind the start
		var rows []SigningKey
		if err := db.Find(&rows, "key_id = ?", key.KeyID).Error; err != nil || len(rows) != 1 {
			t.Fatalf("%d rows: %v", len(rows), err)
		}
		if secret.SealedBy(rows[0].PrivateKey) != "" {
			return
		}
		now.visit(t).get("/healthz")
	}
	if kid := keyOf(t, now); kid != key.KeyID {
		t.Errorf("it signs by %s", kid)
	}
}
