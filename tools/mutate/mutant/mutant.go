// Package mutant is the switch of the mutants that are compiled into a test.
package mutant

import (
	"os"
	"strconv"
	"sync"
)

//nolint:gochecknoglobals // the code between which it switches has no other way to reach it
var (
	active, _ = strconv.Atoi(os.Getenv("MUTANT"))
	reached   = os.Getenv("MUTANT_REACHED")
	seen      sync.Map
)

// On reports whether the mutant of this number is the one that the environment
// variable MUTANT names. If MUTANT_REACHED names a file, On adds a line with
// the number of each mutant that is asked for.
func On(id int) bool {
	if reached != "" {
		note(id)
	}
	return id == active
}

func note(id int) {
	if _, known := seen.LoadOrStore(id, true); known {
		return
	}
	// A test may kill its process at any time: nothing is kept until its end.
	file, err := os.OpenFile(reached, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // whoever set it knows where
	if err != nil {
		panic(err)
	}
	defer file.Close()
	if _, err := file.WriteString(strconv.Itoa(id) + "\n"); err != nil {
		panic(err)
	}
}
