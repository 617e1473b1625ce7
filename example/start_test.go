package main

import (
	"encoding/binary"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// A start against a database that is up to date asks little of it before the first answer.
func TestAStartIsAFewStatements(t *testing.T) {
	dsn := testdb.PostgresDSN(t)
	startProgramOn(t, "-db", dsn).stop()

	direct, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	var sent statements
	proxy, err := faults.NewProxy(direct.Host, sent.note)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	direct.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(proxy.Port()))
	p := startProgramOn(t, "-db", direct.String())
	before := sent.all()
	if doctor := slices.IndexFunc(before, func(statement string) bool { return strings.Contains(statement, "pg_is_in_recovery") }); doctor >= 0 {
		before = before[:doctor] // who looks behind the start
	}
	response, err := http.Get(p.address + "/login")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	work := slices.DeleteFunc(before, func(statement string) bool {
		word, _, _ := strings.Cut(strings.ToLower(strings.TrimLeft(statement, "-; ")), " ")
		return slices.Contains([]string{"begin", "commit", "rollback", "ping", ""}, word)
	})
	if len(work) == 0 || len(work) > 10 {
		t.Errorf("a start is %d statements:\n%s", len(work), strings.Join(work, "\n"))
	}
}

// statements are those that were sent to PostgreSQL, by the messages Query and Parse of its
// protocol.
type statements struct {
	mu   sync.Mutex
	sent []string
}

func (s *statements) note(sent []byte) (hang bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(sent) > 5 {
		length := int(binary.BigEndian.Uint32(sent[1:])) + 1
		if length < 5 || length > len(sent) {
			break // the first message has no kind
		}
		body := sent[5:length]
		switch sent[0] {
		case 'P': // its name, and the statement
			_, text, _ := strings.Cut(string(body), "\x00")
			text, _, _ = strings.Cut(text, "\x00")
			s.sent = append(s.sent, text)
		case 'Q':
			s.sent = append(s.sent, strings.TrimRight(string(body), "\x00"))
		}
		sent = sent[length:]
	}
	return false
}

func (s *statements) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}
