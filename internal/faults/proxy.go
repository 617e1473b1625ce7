package faults

import (
	"net"
	"sync"
)

// Proxy stands between a driver and its server, and can hang: what is sent stays unanswered,
// on connections that are open, as those to a machine without power.
type Proxy struct {
	listener net.Listener
	target   string
	hangAt   func(sent []byte) bool

	mu    sync.Mutex
	goOn  chan struct{} // closed while it does not hang
	conns []net.Conn
}

// NewProxy returns a proxy for a TCP address. It hangs by itself before it passes on what
// hangAt is true of; nil is nothing.
func NewProxy(target string, hangAt func(sent []byte) bool) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // no name to look up
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, target: target, hangAt: hangAt, goOn: make(chan struct{})}
	close(p.goOn)
	go p.accept()
	return p, nil
}

// Port is where the proxy listens, on 127.0.0.1.
func (p *Proxy) Port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// Hang lets nothing through any more.
func (p *Proxy) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.goOn:
		p.goOn = make(chan struct{})
	default:
	}
}

// Resume lets everything through again, also what has waited.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.goOn:
	default:
		close(p.goOn)
	}
}

// Close closes all connections.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Resume()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *Proxy) accept() {
	for {
		driver, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target) //nolint:noctx // no name to look up
		if err != nil {
			_ = driver.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, driver, server)
		p.mu.Unlock()
		go p.pass(server, driver, p.hangAt)
		go p.pass(driver, server, nil)
	}
}

// pass hands on what comes.
func (p *Proxy) pass(to, from net.Conn, hangAt func(sent []byte) bool) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if hangAt != nil && hangAt(buffer[:n]) {
				p.Hang()
			}
			p.wait()
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) wait() {
	p.mu.Lock()
	goOn := p.goOn
	p.mu.Unlock()
	<-goOn
}
