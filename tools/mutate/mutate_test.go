package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tiny returns the options for a copy of testdata/tiny.
func tiny(t *testing.T) options {
	t.Helper()
	t.Setenv("GOWORK", "off")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/tiny")); err != nil {
		t.Fatal(err)
	}
	return options{dir: dir, packages: "./...", tests: "./...", results: filepath.Join(t.TempDir(), "results"), skip: regexp.MustCompile("^$"), seed: 1, n: 100, workers: 2}
}

func mutated(t *testing.T, o options) string {
	t.Helper()
	var w bytes.Buffer
	if err := mutate(o, &w); err != nil {
		t.Fatal(err)
	}
	return w.String()
}

func TestWhatSurvivesIsNamed(t *testing.T) {
	o := tiny(t)
	before := content(t, o.dir)
	want, err := os.ReadFile("testdata/tiny.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := mutated(t, o); got != string(want) {
		t.Errorf("survivors:\n%s\nwant, as in testdata/tiny.txt:\n%s", got, want)
	}
	if after := content(t, o.dir); !maps.Equal(before, after) {
		t.Errorf("the work tree has %v, and had %v", after, before)
	}
}

func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		src, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(src)
	}
	return files
}

func TestASecondRunGoesOn(t *testing.T) {
	o := tiny(t)
	first := mutated(t, o)
	lines := resultLines(t, o)
	if again := mutated(t, o); again != first || resultLines(t, o) != lines {
		t.Errorf("nothing changed, and %d results became %d:\n%s", lines, resultLines(t, o), again)
	}

	more := "package tiny\n\nimport \"testing\"\n\nfunc TestUnused(t *testing.T) {\n\tif !Unused() {\n\t\tt.Error()\n\t}\n}\n"
	if err := os.WriteFile(filepath.Join(o.dir, "unused_test.go"), []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	// The three tests, and the survivors that a test reaches.
	survivors := strings.Count(first, "reach it)")
	unreached := strings.Count(first, "(0 tests reach it)")
	if now := mutated(t, o); strings.Contains(now, "Unused") || strings.Count(now, "reach it)") != survivors-1 {
		t.Errorf("after a test of Unused:\n%s", now)
	}
	if added := resultLines(t, o) - lines; added != 3+survivors-unreached+1 {
		t.Errorf("%d results more; what was killed stays so", added)
	}
}

func resultLines(t *testing.T, o options) int {
	t.Helper()
	content, err := os.ReadFile(o.results)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(content, []byte("\n"))
}

func TestTheSeedDrawsTheSample(t *testing.T) {
	o := tiny(t)
	draw := func(seed uint64) []string {
		p, err := load(o.dir, []string{"./..."}, seed, 5)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, m := range p.mutants {
			keys = append(keys, m.key())
		}
		return keys
	}
	if one := draw(1); len(one) != 5 || !slices.Equal(one, draw(1)) || slices.Equal(one, draw(2)) {
		t.Errorf("seed 1 draws %v and %v, seed 2 %v", one, draw(1), draw(2))
	}
}

func TestSkippedTestsDoNotRun(t *testing.T) {
	o := tiny(t)
	o.skip = regexp.MustCompile(".")
	if none := mutated(t, o); !strings.Contains(none, " | 0 | 0 |") {
		t.Errorf("killed by no test:\n%s", none)
	}
}
