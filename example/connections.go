package main

import (
	"net"
	"net/http"
	"sync"

	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// maxConnections is how many connections one address may have open. Each costs a
// file and some memory, also while nothing is sent: without a bound, one machine
// could have all that there are. People who share an address share them, and need
// few, since idle ones are closed. A proxy has one address for everybody: what comes by
// one is left to it.
const maxConnections = 256

// connections counts those that are open, by address.
type connections struct {
	most  int
	proxy func(end net.Addr) bool // whether it is a proxy's

	mu   sync.Mutex
	open map[string]int
}

func newConnections(most int, proxy func(end net.Addr) bool) *connections {
	return &connections{most: most, proxy: proxy, open: make(map[string]int)}
}

// changed is an http.Server's ConnState: it closes a new connection that is one too
// many.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if c.proxy(conn.RemoteAddr()) {
		return
	}
	address := ratelimit.Address(conn.RemoteAddr().String())
	switch state {
	case http.StateNew:
		if c.opened(address) > c.most {
			_ = conn.Close() // and then it is in StateClosed, like any other
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
