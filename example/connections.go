package main

import (
	"net"
	"net/http"
	"sync"

	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// maxConnections is how many connections one address may have open. Each takes a file
// descriptor and some memory, even while nothing is sent: without a limit, one machine could
// take all of them. People who share an address share the limit; they need few, because idle
// connections are closed. A trusted proxy has one address for everybody, so its connections are
// not counted.
const maxConnections = 256

// connections counts open connections by address.
type connections struct {
	most  int
	proxy func(end net.Addr) bool // whether the other end is a proxy

	mu   sync.Mutex
	open map[string]int
}

func newConnections(most int, proxy func(end net.Addr) bool) *connections {
	return &connections{most: most, proxy: proxy, open: make(map[string]int)}
}

// changed is the ConnState of an http.Server: it closes a new connection that exceeds the
// limit.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if c.proxy(conn.RemoteAddr()) {
		return
	}
	address := ratelimit.Address(conn.RemoteAddr().String())
	switch state {
	case http.StateNew:
		if c.opened(address) > c.most {
			_ = conn.Close() // which is followed by StateClosed, as for any other connection
		}
	case http.StateClosed, http.StateHijacked:
		c.closed(address)
	}
}

func (c *connections) opened(address string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[address]++
	return c.open[address]
}

func (c *connections) closed(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[address]--; c.open[address] == 0 {
		delete(c.open, address)
	}
}
