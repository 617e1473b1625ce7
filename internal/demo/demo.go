// Package demo has the example run as a person builds and starts it, for tests that
// see it from outside.
package demo

import (
	"bufio"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// Build builds the program, and returns where it is.
func Build(tb testing.TB) (binary string) {
	tb.Helper()
	_, file, _, _ := runtime.Caller(0)
	binary = filepath.Join(tb.TempDir(), "example")
	build := exec.CommandContext(tb.Context(), "go", "build", "-o", binary, ".") //nolint:gosec // a path of its own
	build.Dir = filepath.Join(filepath.Dir(file), "..", "..", "example")         // which is a module
	if output, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("demo: build the example: %v\n%s", err, output)
	}
	return binary
}

// Program is one that runs.
type Program struct {
	// Address is where it says that it is, such as http://127.0.0.1:12345.
	Address string
	// PID is its process.
	PID int
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// Start starts a program that was built, with its own options, on a database and a
// free port. What it logs goes to log. At the end of the test it is asked to stop,
// and must do so well: a Cleanup from before sees all of the log.
func Start(tb testing.TB, binary, db string, log io.Writer, args ...string) Program {
	tb.Helper()
	cmd := exec.Command(binary, append(args, "-addr", "127.0.0.1:0", "-db", db)...) //nolint:gosec,noctx // that was built; its end is asked for below
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatalf("demo: %v", err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("demo: start the example: %v", err)
	}
	tb.Cleanup(func() {
		kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			tb.Errorf("demo: stop the example: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			tb.Errorf("demo: the example does not exit with 0: %v", err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		tb.Fatalf("demo: the example does not say where it is: %v", err)
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	p := Program{Address: address.FindString(line), PID: cmd.Process.Pid}
	if p.Address == "" {
		tb.Fatalf("demo: the example says %q, and not where it is", line)
	}
	return p
}
