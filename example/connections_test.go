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
// open again.
func TestConnectionsOfAnAddressAreBounded(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := newFairListener(inner, 2)
	t.Cleanup(func() { _ = listener.Close() })
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		return conn
	}
	dial()
	dial()
	first := <-accepted
	<-accepted
	if n, err := dial().Read(make([]byte, 1)); err == nil || n > 0 {
		t.Fatal("a third connection was taken")
	}
	_ = first.Close()
	_ = first.Close() // which gives back nothing more
	again := dial()
	if _, err := io.WriteString(<-accepted, "x"); err != nil {
		t.Fatal(err)
	}
	if n, _ := again.Read(make([]byte, 1)); n != 1 {
		t.Error("what was closed could not be opened again")
	}
	if n, err := dial().Read(make([]byte, 1)); err == nil || n > 0 {
		t.Error("closing twice made room for two")
	}
}

// The program as it runs is bounded, and others are served meanwhile.
func TestOneAddressDoesNotTakeAllConnections(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	elsewhere := p.visitFrom(t, "127.0.0.3")
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.2")}}
	open := make([]net.Conn, maxConnections+1)
	for i := range open {
		conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(p.address, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		open[i] = conn
	}
	ask := func(conn net.Conn) string {
		_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		answer, _ := io.ReadAll(conn)
		return string(answer)
	}
	if answer := ask(open[maxConnections]); answer != "" {
		t.Errorf("one connection too many is answered %q", answer)
	}
	elsewhere.get("/healthz").want(t, http.StatusOK)
	if answer := ask(open[0]); !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
		t.Errorf("the first connection is answered %q", answer)
	}
}
