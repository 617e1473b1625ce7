package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
)

// results is the file of what is known, a line of JSON each. A run that was
// interrupted goes on where it ended.
type results struct {
	mu       sync.Mutex
	file     *os.File
	tests    map[string]test // by the sum of the binary, and the name
	verdicts map[string]verdict
}

type record struct {
	Test    *test    `json:"test,omitempty"`
	Verdict *verdict `json:"verdict,omitempty"`
}

func openResults(path string) (*results, error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the file that was asked for
	if err != nil {
		return nil, err
	}
	r := &results{file: file, tests: make(map[string]test), verdicts: make(map[string]verdict)}
	for decoder := json.NewDecoder(file); ; {
		var line record
		switch err := decoder.Decode(&line); {
		case errors.Is(err, io.EOF):
			return r, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if line.Test != nil {
			r.tests[line.Test.Sum+line.Test.Name] = *line.Test
		}
		if line.Verdict != nil {
			r.verdicts[line.Verdict.Key] = *line.Verdict
		}
	}
}

func (r *results) add(line record) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err = r.file.Write(append(text, '\n'))
	return err
}

// report writes the table by package, and what survived.
func report(w io.Writer, verdicts []verdict) {
	type room struct{ mutants, killed int }
	rooms := make(map[string]*room)
	for _, v := range verdicts {
		if rooms[v.Package] == nil {
			rooms[v.Package] = &room{}
		}
		rooms[v.Package].mutants++
		if v.Killed {
			rooms[v.Package].killed++
		}
	}
	fmt.Fprintln(w, "| package | mutants | killed | percent |\n|---|---|---|---|")
	for _, name := range slices.Sorted(maps.Keys(rooms)) {
		fmt.Fprintf(w, "| %s | %d | %d | %d |\n", name, rooms[name].mutants, rooms[name].killed, 100*rooms[name].killed/rooms[name].mutants)
	}
	fmt.Fprintln(w)
	for _, v := range verdicts {
		if !v.Killed {
			mutated := v.Mutated
			if mutated == "" {
				mutated = "(dropped)"
			}
			fmt.Fprintf(w, "%s:%d:%d: %s: %s -> %s (%d tests reach it)\n", v.File, v.Line, v.Column, v.Function, oneLine(v.Original), oneLine(mutated), v.Tests)
		}
	}
}

func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 160 {
		return string(runes[:160]) + "…"
	}
	return text
}
