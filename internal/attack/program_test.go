package attack

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/demo"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
)

// program is the example, as its users build and start it.
type program struct {
	demo.Program
	log     log
	secrets oauthtest.Secrets // that it was sent and has answered, some of them
}

// startProgram starts what was built.
func startProgram(t *testing.T, binary, db string) *program {
	t.Helper()
	p := new(program)
	t.Cleanup(func() { p.checkLog(t) })
	p.Program = demo.Start(t, binary, db, &p.log)
	return p
}

// checkLog looks for what must not be in the log: secrets, and failures.
func (p *program) checkLog(t *testing.T) {
	t.Helper()
	assert.Contains(t, p.secrets.Kinds(), "client_secret")
	assert.Contains(t, p.log.text.String(), "endpoint=token status=200")
	assert.Empty(t, p.secrets.In(p.log.text.String()), "secrets in the log")
	assert.Empty(t, p.log.failures, "lines of failures in the log")
}

// log keeps the beginning of what the program logs, in which all secrets that are
// looked for would stand, and the lines that tell of failures.
type log struct {
	mu       sync.Mutex
	text     bytes.Buffer
	failures []string
	lines    int
}

const (
	maxLog      = 4 << 20
	maxFailures = 20
)

// Write is given whole lines.
func (l *log) Write(lines []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text.Len() < maxLog {
		l.text.Write(lines)
	}
	for line := range strings.Lines(string(lines)) {
		l.lines++
		failed := strings.Contains(line, "level=ERROR") && !strings.Contains(line, "finding.check=durability") || // of a database for tests
			strings.Contains(line, "panic")
		if failed && len(l.failures) < maxFailures {
			l.failures = append(l.failures, strings.TrimSpace(line))
		}
	}
	return len(lines), nil
}

// usage is what the program has of the machine.
type usage struct {
	kilobytes int // resident
	files     int // open, connections among them
}

func (p *program) usage() (u usage, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return u, err
	}
	_, rss, found := bytes.Cut(status, []byte("VmRSS:"))
	if !found {
		return u, fmt.Errorf("%d has no resident memory", p.PID)
	}
	if _, err := fmt.Sscan(string(rss), &u.kilobytes); err != nil {
		return u, err
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID))
	u.files = len(files)
	return u, err
}

// sampled remembers the secrets of the first requests: looking for those of
// millions would take hours.
type sampled struct {
	program *program
	next    *http.Transport

	mu   sync.Mutex
	left int
}

func (s *sampled) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	remember := s.left > 0
	s.left--
	s.mu.Unlock()
	if remember {
		return s.program.secrets.Transport(s.next).RoundTrip(r)
	}
	return s.next.RoundTrip(r)
}

// CloseIdleConnections is for http.Client's.
func (s *sampled) CloseIdleConnections() { s.next.CloseIdleConnections() }

// peak is the most that the program has of anything during a time.
func (p *program) peak(t *testing.T, d time.Duration) (most usage) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		u, err := p.usage()
		if assert.NoError(t, err) {
			most = usage{max(most.kilobytes, u.kilobytes), max(most.files, u.files)}
		}
		wait(t.Context(), pause)
	}
	return most
}

const (
	calmness = 2 * time.Minute // more than the longest timeout of the program's
	// What the program may keep: memory that the collector has not given back yet, and
	// the connections of honest clients.
	moreFiles     = 100
	moreKilobytes = 300 << 10
)

// calm waits until the program is what it was before, for a bounded time.
func (p *program) calm(t *testing.T, before usage) (after usage) {
	t.Helper()
	var err error
	for end := time.Now().Add(calmness); time.Now().Before(end); wait(t.Context(), pause) {
		after, err = p.usage()
		require.NoError(t, err)
		if after.files <= before.files+moreFiles && after.kilobytes <= before.kilobytes+moreKilobytes {
			return after
		}
	}
	t.Errorf("the program keeps %d kB and %d files, and had %d and %d", after.kilobytes, after.files, before.kilobytes, before.files)
	return after
}

func usageTable(before, most, after usage) string {
	return fmt.Sprintf("| the program | before | at most | after |\n|---|---|---|---|\n| resident, MB | %d | %d | %d |\n| open files | %d | %d | %d |\n",
		before.kilobytes>>10, most.kilobytes>>10, after.kilobytes>>10, before.files, most.files, after.files)
}
