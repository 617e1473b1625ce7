// Package loopback knows the addresses that do not leave the machine.
package loopback

import (
	"net"
	"net/url"
)

// Is reports whether a host is the machine itself.
func Is(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Serves reports whether the address of a server is on the machine itself, so that nobody
// else reaches it.
func Serves(address string) bool {
	u, err := url.Parse(address)
	return err == nil && Is(u.Hostname())
}
