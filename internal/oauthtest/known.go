package oauthtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Known fails the test unless a file of its package's testdata has this text. With
// GORMOAUTH_TEST_WRITE set, the file is written: look at what changed.
func Known(tb testing.TB, file, text string) {
	tb.Helper()
	path := filepath.Join("testdata", file)
	if os.Getenv("GORMOAUTH_TEST_WRITE") != "" {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	known, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	old, now := strings.Split(string(known), "\n"), strings.Split(text, "\n")
	for i := range max(len(old), len(now)) {
		had, has := lineOf(old, i), lineOf(now, i)
		if had != has {
			tb.Fatalf("%s, line %d:\n  is  %s\n  now %s\nGORMOAUTH_TEST_WRITE=1 writes it", path, i+1, had, has)
		}
	}
}

func lineOf(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(the end)"
}
