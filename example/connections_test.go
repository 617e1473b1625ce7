package main

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// One address cannot have all the connections that there are; what it closes, it may
// open again, and others are served meanwhile.
func TestOneAddressDoesNotTakeAllConnections(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	elsewhere := p.visitFrom(t, "127.0.0.3")
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.2")}}
	dial := func() net.Conn {
		conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(p.address, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		return conn
	}
	open := make([]net.Conn, maxConnections)
	for i := range open {
		open[i] = dial()
	}
	ask := func(conn net.Conn) string {
		_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		answer, _ := io.ReadAll(conn)
		return string(answer)
	}
	if answer := ask(dial()); answer != "" {
		t.Errorf("one connection too many is answered %q", answer)
	}
	elsewhere.get("/healthz").want(t, http.StatusOK)
	if answer := ask(open[0]); !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
		t.Errorf("the first connection is answered %q", answer)
	}
	answer := ""
	for end := time.Now().Add(time.Minute); answer == "" && time.Now().Before(end); {
		answer = ask(dial()) // as soon as the server has noticed that the first one is gone
	}
	if !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
		t.Errorf("a connection in the place of the first is answered %q", answer)
	}
}

// What comes by a proxy has one address, and the proxy counts it.
func TestAProxyTakesTheConnectionsThatItNeeds(t *testing.T) {
	t.Parallel()
	c := newConnections(1, (&config{proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.4/32")}}).isProxy)
	for address, wantClosed := range map[string]bool{"127.0.0.4:1": false, "[::ffff:127.0.0.4]:1": false, "127.0.0.5:1": true} {
		first, second := &end{address: address}, &end{address: address}
		c.changed(first, http.StateNew)
		c.changed(second, http.StateNew)
		if first.closed || second.closed != wantClosed {
			t.Errorf("of two connections from %s: %v, %v", address, first.closed, second.closed)
		}
		c.changed(second, http.StateClosed)
		c.changed(first, http.StateClosed)
	}
	if len(c.open) > 0 {
		t.Errorf("counted are still %v", c.open)
	}
}

// end is a connection with an address.
type end struct {
	net.Conn
	address string
	closed  bool
}

func (e *end) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(e.address))
}
func (e *end) Close() error { e.closed = true; return nil }
