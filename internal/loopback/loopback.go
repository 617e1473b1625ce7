// Package loopback knows the addresses that do not leave the machine.
package loopback

import "net"

// Is reports whether a host is the machine itself.
func Is(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
