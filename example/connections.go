package main

import (
	"net"
	"sync"

	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// maxConnections is how many connections one address may have open. Each costs a
// file and some memory, also while nothing is sent: without a bound, one machine
// could have all that there are. People who share an address share them, and need
// few, since idle ones are closed. A proxy has one address for everybody: behind
// one, leave this to it.
const maxConnections = 256

// fairListener is a listener that closes what is more than one address may have.
type fairListener struct {
	net.Listener
	most int

	mu   sync.Mutex
	open map[string]int // by address
}

func newFairListener(listener net.Listener, most int) *fairListener {
	return &fairListener{Listener: listener, most: most, open: make(map[string]int)}
}

// Accept waits for a connection from an address that may have one more.
func (l *fairListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address := ratelimit.Address(conn.RemoteAddr().String())
		if l.enter(address) {
			return &fairConn{conn, sync.OnceFunc(func() { l.leave(address) })}, nil
		}
		_ = conn.Close()
	}
}

func (l *fairListener) enter(address string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[address] == l.most {
		return false
	}
	l.open[address]++
	return true
}

func (l *fairListener) leave(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[address]--; l.open[address] == 0 {
		delete(l.open, address)
	}
}

// fairConn makes room for another connection when it is closed.
type fairConn struct {
	net.Conn
	leave func()
}

// Close closes the connection.
func (c *fairConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
