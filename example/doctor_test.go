package main

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gormoauth/gormoauth/internal/testdb"
)

// examined runs the doctor and returns what it printed.
func examined(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var stdout bytes.Buffer
	err := run(t.Context(), append([]string{"doctor"}, args...), noEnvironment, &stdout, t.Output())
	return stdout.String(), err
}

func TestTheDoctorFindsNothingInASoundProgram(t *testing.T) {
	t.Parallel()
	for engine, database := range map[string]string{
		"sqlite": filepath.Join(t.TempDir(), "odd ?name#%20.db"), "postgres": testdb.PostgresDSN(t),
	} {
		p := startProgramOn(t, "-db", database)
		if printed, err := examined(t, "-db", database, "-addr", strings.TrimPrefix(p.address, "http://"), "-outside"); err != nil || printed != "nothing is wrong\n" {
			// The servers for tests are quick, and not durable.
			if engine != "postgres" || strings.Count(printed, "\n") != 1 || !strings.Contains(printed, "fsync is off") {
				t.Errorf("%s: %q, %v", engine, printed, err)
			}
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestASoundProgramStartsInSilence(t *testing.T) {
	t.Parallel()
	for _, database := range []string{filepath.Join(t.TempDir(), "example.db"), ":memory:"} {
		p := startProgramOn(t, "-db", database)
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		if logged := p.log.String(); logged != "" {
			t.Errorf("%s: logged %q", database, logged)
		}
	}
}

func TestTheDoctorFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "example.db")
	if printed, err := examined(t, "-db", database); err == nil || !strings.Contains(printed, "table users does not exist") {
		t.Errorf("an empty database: %q, %v", printed, err)
	}
	if err := startProgramOn(t, "-db", database).end(); err != nil {
		t.Fatal(err)
	}
	if printed, err := examined(t, "-db", database); err != nil || printed != "nothing is wrong\n" {
		t.Fatalf("%q, %v", printed, err)
	}
	if printed, err := examined(t, "-db", database, "-outside"); err == nil || !strings.Contains(printed, "cannot be fetched") {
		t.Errorf("nobody serves it: %q, %v", printed, err)
	}
	public := []string{"-db", database, "-issuer", "https://id.example.com", "-demo=false"}
	if printed, err := examined(t, public...); err != nil || !strings.Contains(printed, "warning: Config.RemoteAddress is missing behind the proxy") {
		t.Errorf("behind a proxy: %q, %v", printed, err)
	}
	db, closeDB, err := openDatabase(t.Context(), database, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer closeDB()
	if err := db.Exec("DROP INDEX idx_tokens_access_token").Error; err != nil {
		t.Fatal(err)
	}
	printed, err := examined(t, "-db", database)
	if err == nil || !strings.Contains(printed, "remedy: CREATE UNIQUE INDEX `idx_tokens_access_token`") {
		t.Errorf("without an index: %q, %v", printed, err)
	}
	// A start mends that; what it does not, it says.
	if err := db.Exec("CREATE INDEX idx_tokens_access_token ON tokens (access_token)").Error; err != nil {
		t.Fatal(err)
	}
	p := startProgramOn(t, "-db", database)
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	if logged := p.log.String(); strings.Count(logged, "\n") != 1 || !strings.Contains(logged, "level=ERROR") || !strings.Contains(logged, "unique_index") {
		t.Errorf("a start logged %q", logged)
	}
}
