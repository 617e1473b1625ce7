// Command mutate changes the packages of a program in small ways, one at a
// time, and tells which changes the tests do not notice.
//
//	mutate -seed 1 -n 40 -packages './gormstore ./server/fetch'
//
// It draws n mutants of each package that compile, and builds the tests once
// with all of them behind a switch, through the overlay of the go command: the
// work tree stays as it is. Each test runs alone once, to learn which mutants
// it reaches. Each mutant is then switched on for the tests that reach it,
// until one fails. What is known stands in the file of results: a second run
// goes on from there, and runs only the survivors again if a test changed.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"io"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var packageClause = regexp.MustCompile(`(?m)^package \w+`)

type options struct {
	dir, packages, tests, results string
	skip                          *regexp.Regexp
	seed                          uint64
	n, workers                    int
}

func main() {
	var o options
	flag.StringVar(&o.packages, "packages", "./...", "the `patterns` of the packages to mutate")
	flag.StringVar(&o.tests, "tests", "./...", "the `patterns` of the packages whose tests run, if they have a mutated one among their imports")
	skip := flag.String("skip", "^$", "the `names` of tests that do not run, such as those of durations, as a regular expression")
	flag.StringVar(&o.results, "results", filepath.Join(os.TempDir(), "mutate.jsonl"), "the `file` of what is known")
	flag.Uint64Var(&o.seed, "seed", 1, "what the sample is drawn with")
	flag.IntVar(&o.n, "n", 40, "how many mutants of each package to try")
	flag.IntVar(&o.workers, "p", 1, "how many tests to run at once")
	flag.Parse()
	o.skip = regexp.MustCompile(*skip)
	o.dir, _ = os.Getwd()
	if err := mutate(o, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func mutate(o options, w io.Writer) error {
	r, err := openResults(o.results)
	if err != nil {
		return err
	}
	defer r.file.Close()
	temporary, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)

	p, err := load(o.dir, strings.Fields(o.packages), o.seed, o.n)
	if err != nil {
		return err
	}
	log.Printf("%d mutants", len(p.mutants))
	binaries, err := p.build(strings.Fields(o.tests), o.skip, temporary)
	if err != nil {
		return err
	}
	tests, err := probe(binaries, r, temporary, o.workers)
	if err != nil {
		return err
	}
	verdicts := make([]verdict, len(p.mutants))
	err = parallel(o.workers, len(p.mutants), func(i int) error {
		m := p.mutants[i]
		reaching := slices.DeleteFunc(slices.Clone(tests), func(t test) bool { return !t.Passed || !slices.Contains(t.Reached, m.id) })
		sum := sumOf(reaching)
		if known, ok := r.verdicts[m.key()]; ok && (known.Killed || known.Sum == sum) {
			verdicts[i] = known
			return nil
		}
		verdicts[i] = kill(m, reaching)
		verdicts[i].Sum = sum
		if !verdicts[i].Killed {
			log.Print("survived: ", oneLine(m.key()))
		}
		return r.add(record{Verdict: &verdicts[i]})
	})
	if err != nil {
		return err
	}
	report(w, verdicts)
	return nil
}

func sumOf(tests []test) string {
	sum := sha256.New()
	for _, t := range tests {
		sum.Write([]byte(t.Sum + t.Name))
	}
	return hex.EncodeToString(sum.Sum(nil))
}
