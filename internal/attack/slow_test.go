package attack

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// slow are clients that take their time: each has so many connections, and opens
// another for one that the program closes.
type slow struct {
	name        string
	connections int
	// closedAfter is when the program closes such a connection; a test that is
	// shorter learns nothing.
	closedAfter time.Duration
	// behave sends what it has to send, slowly, until the connection or ctx ends.
	behave func(ctx context.Context, conn net.Conn)

	opened, closed, longest atomic.Int64
}

// spread is the time over which they come: otherwise they would all be closed at the
// same moment, and come back together.
const spread = 3 * time.Second

// slowest is by how much later than it should a connection may be closed on a
// machine that is busy.
const slowest = 20 * time.Second

func slowClients() []*slow {
	return []*slow{
		{name: "silent", connections: 50, closedAfter: 5 * time.Second, behave: silence},
		{name: "slow headers", connections: 50, closedAfter: 5 * time.Second, behave: drip("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")},
		{name: "slow bodies", connections: 50, closedAfter: 15 * time.Second,
			behave: drip("POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ngrant_type=")},
		// Each answer has half a minute, and the system takes some of them before one waits.
		{name: "never reading", connections: 10, closedAfter: time.Minute, behave: neverRead},
		{name: "idle", connections: 100, closedAfter: time.Minute, behave: func(ctx context.Context, conn net.Conn) {
			_, _ = io.WriteString(conn, "GET /static/logo.svg HTTP/1.1\r\nHost: x\r\n\r\n")
			silence(ctx, conn)
		}},
		// The last of these are too many, and closed at once.
		{name: "too many connections", connections: 300, closedAfter: 0, behave: silence},
	}
}

// attack goes on until ctx ends.
func (s *slow) attack(ctx context.Context, p *program, network int) {
	dialer := dialerAt(fmt.Sprintf("127.0.%d.2", network))
	var all sync.WaitGroup
	for range s.connections {
		all.Go(func() {
			wait(ctx, rand.N(spread))
			for ctx.Err() == nil {
				s.connect(ctx, dialer, strings.TrimPrefix(p.Address, "http://"))
			}
		})
	}
	all.Wait()
}

const pause = 500 * time.Millisecond

// connect opens a connection, and waits for its end.
func (s *slow) connect(ctx context.Context, dialer *net.Dialer, address string) {
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		wait(ctx, pause)
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	s.opened.Add(1)
	begin := time.Now()
	s.behave(ctx, conn)
	if ctx.Err() != nil {
		return // it was closed here
	}
	s.closed.Add(1)
	for lasted := int64(time.Since(begin)); ; {
		longest := s.longest.Load()
		if lasted <= longest || s.longest.CompareAndSwap(longest, lasted) {
			break
		}
	}
	wait(ctx, pause)
}

func (s *slow) check(t *testing.T, lasted time.Duration) {
	t.Helper()
	assert.NotZero(t, s.opened.Load(), s.name)
	if lasted > s.closedAfter+slowest || s.closedAfter == 0 {
		assert.NotZero(t, s.closed.Load(), "%s: no connection was closed", s.name)
	}
	if s.closedAfter > 0 {
		assert.Less(t, time.Duration(s.longest.Load()), s.closedAfter+slowest, s.name)
	}
}

// String is what became of its connections.
func (s *slow) String() string {
	return fmt.Sprintf("| %s | %d | %d | %d | %.1f s |", s.name, s.connections, s.opened.Load(), s.closed.Load(), time.Duration(s.longest.Load()).Seconds())
}

// silence reads until the connection ends.
func silence(_ context.Context, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// drip sends the beginning of a request, and then a letter twice a second.
func drip(beginning string) func(context.Context, net.Conn) {
	return func(ctx context.Context, conn net.Conn) {
		ended, end := context.WithCancel(ctx)
		go func() {
			defer end()
			silence(ended, conn)
		}()
		_, err := io.WriteString(conn, beginning)
		for err == nil && wait(ended, pause) {
			_, err = io.WriteString(conn, "a")
		}
		end()
	}
}

// neverRead asks for one thing after the other and reads no answer, until nothing
// more can be sent.
func neverRead(_ context.Context, conn net.Conn) {
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	const request = "GET /static/style.css HTTP/1.1\r\nHost: x\r\n\r\n"
	var err error
	for many := strings.Repeat(request, 100); err == nil; {
		_, err = io.WriteString(conn, many)
	}
}

// wait reports whether the time has passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
