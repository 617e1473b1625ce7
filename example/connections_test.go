package main

import (
	"io"
	"net"
	"net/http"
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
