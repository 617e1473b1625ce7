package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/tools/go/packages"
)

// binary is the tests of one package, with all mutants.
type binary struct {
	pkg, dir, path string
	sum            string // of its content: what is known of another one is void
	tests          []string
}

// test is a top-level test, and what it does without a mutant.
type test struct {
	Package string  `json:"package"`
	Name    string  `json:"test"`
	Sum     string  `json:"sum"`
	Seconds float64 `json:"seconds"`
	Passed  bool    `json:"passed"`
	Reached []int   `json:"reached"`

	binary *binary
}

// build compiles the tests of each package whose program has one of the mutated packages, and names those
// that are not to be skipped.
func (p *program) build(patterns []string, skip *regexp.Regexp, to string) ([]*binary, error) {
	overlay, err := p.overlay(to)
	if err != nil {
		return nil, err
	}
	mutated := make(map[string]bool)
	for _, m := range p.mutants {
		mutated[m.Package] = true
	}
	loaded, err := packages.Load(&packages.Config{
		Dir: p.dir, Tests: true, Mode: packages.NeedName | packages.NeedImports | packages.NeedDeps | packages.NeedFiles,
	}, patterns...)
	if err != nil {
		return nil, err
	}
	dirs := make(map[string]string)
	for _, pkg := range loaded {
		if len(pkg.GoFiles) > 0 && !strings.HasSuffix(pkg.ID, ".test") {
			dirs[strings.TrimSuffix(pkg.PkgPath, "_test")] = filepath.Dir(pkg.GoFiles[0])
		}
	}
	var binaries []*binary
	for _, pkg := range loaded {
		tested, ok := strings.CutSuffix(pkg.ID, ".test")
		if !ok || !imports(pkg, mutated) {
			continue
		}
		b := &binary{pkg: tested, dir: dirs[tested], path: filepath.Join(to, strconv.Itoa(len(binaries))+".test")}
		log.Print("building ", tested)
		if _, err := output(p.dir, "go", "test", "-c", "-vet=off", "-trimpath", "-buildvcs=false", "-ldflags=-w", "-overlay", overlay, "-o", b.path, tested); err != nil {
			return nil, err
		}
		content, err := os.ReadFile(b.path)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(content)
		b.sum = hex.EncodeToString(sum[:])
		names, err := output(b.dir, b.path, "-test.list", ".")
		if err != nil {
			return nil, err
		}
		for name := range strings.FieldsSeq(names) {
			if !strings.HasPrefix(name, "Benchmark") && !skip.MatchString(name) {
				b.tests = append(b.tests, name)
			}
		}
		binaries = append(binaries, b)
	}
	return binaries, nil
}

func imports(pkg *packages.Package, mutated map[string]bool) bool {
	found := false
	packages.Visit([]*packages.Package{pkg}, func(p *packages.Package) bool {
		found = found || mutated[p.PkgPath]
		return !found
	}, nil)
	return found
}

// probe runs every test without a mutant, unless the results know it.
func probe(binaries []*binary, r *results, temporary string, workers int) ([]test, error) {
	var all []test
	for _, b := range binaries {
		for _, name := range b.tests {
			all = append(all, test{Package: b.pkg, Name: name, Sum: b.sum, binary: b})
		}
	}
	log.Printf("%d tests, once each without a mutant", len(all))
	err := parallel(workers, len(all), func(i int) error {
		t := &all[i]
		if known, ok := r.tests[t.Sum+t.Name]; ok {
			known.binary = t.binary
			*t = known
			return nil
		}
		reached := filepath.Join(temporary, fmt.Sprintf("reached-%d", i))
		before := time.Now()
		_, err := run(t.binary, []string{t.Name}, 10*time.Minute, "MUTANT_REACHED="+reached)
		t.Seconds, t.Passed = time.Since(before).Seconds(), err == nil
		if err != nil {
			log.Printf("%s in %s fails without a mutant, and is left out: %v", t.Name, t.Package, err)
		}
		if t.Reached, err = numbers(reached); err != nil {
			return err
		}
		return r.add(record{Test: t})
	})
	return all, err
}

func numbers(path string) ([]int, error) {
	file, err := os.Open(path) //nolint:gosec // a file of its own
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	seen := make(map[int]bool)
	var all []int
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// A line may be cut short where two processes of a test write at once.
		if number, err := strconv.Atoi(lines.Text()); err == nil && !seen[number] {
			seen[number] = true
			all = append(all, number)
		}
	}
	return all, nil
}

// verdict is what became of a mutant.
type verdict struct {
	mutant

	Key    string `json:"key"`
	Tests  int    `json:"tests"` // that reach it
	Killed bool   `json:"killed"`
	By     string `json:"by,omitempty"`
	Sum    string `json:"sum"` // of all tests that it survived
}

// kill runs the tests that reach a mutant until one fails: the fastest alone,
// and then ever more of them at once, as starting a program takes time as well.
func kill(m mutant, tests []test) verdict {
	v := verdict{mutant: m, Key: m.key(), Tests: len(tests)}
	tests = slices.Clone(tests)
	slices.SortFunc(tests, func(a, b test) int { return cmp.Compare(a.Seconds, b.Seconds) })
	for size := 1; len(tests) > 0; size *= 2 {
		batch := tests[:min(size, len(tests))]
		tests = tests[len(batch):]
		for len(batch) > 0 {
			var names []string
			var usual float64
			b := batch[0].binary
			batch = slices.DeleteFunc(slices.Clone(batch), func(t test) bool {
				if t.binary != b {
					return false
				}
				names, usual = append(names, t.Name), usual+t.Seconds
				return true
			})
			timeout := max(20*time.Second, time.Duration(10*usual*float64(time.Second)))
			if by, err := run(b, names, timeout, "MUTANT="+strconv.Itoa(m.id)); err != nil {
				v.Killed, v.By = true, b.pkg+": "+by
				return v
			}
		}
	}
	return v
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// run runs tests of a package, and returns the first that failed.
func run(b *binary, names []string, timeout time.Duration, env ...string) (string, error) {
	// The program ends itself at its timeout, unless it is stuck.
	ctx, cancel := context.WithTimeout(context.Background(), timeout+10*time.Second)
	defer cancel()
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	cmd := exec.CommandContext(ctx, b.path, "-test.failfast", "-test.run", "^("+strings.Join(quoted, "|")+")$", "-test.timeout", timeout.String()) //nolint:gosec // the tests
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	said, err := cmd.CombinedOutput()
	if err == nil {
		return "", nil
	}
	// The innermost of a test and its parts is printed last, after those around it.
	if matches := failed.FindAllSubmatch(said, -1); matches != nil {
		return string(matches[len(matches)-1][1]), errors.New(tail(said))
	}
	return strings.Join(names, "|") + ": " + err.Error(), errors.New(tail(said))
}

func tail(said []byte) string { return string(said[max(0, len(said)-2000):]) }

// output runs a command and returns what it prints.
func output(dir string, command ...string) (string, error) {
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...) //nolint:gosec // the go command and tests
	cmd.Dir = dir
	printed, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, exit.Stderr)
	}
	return string(printed), err
}

// parallel calls f for each number below n, and returns the first error.
func parallel(workers, n int, f func(i int) error) error {
	next := make(chan int)
	errs := make([]error, n)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for i := range next {
				errs[i] = f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
	return errors.Join(errs...)
}
