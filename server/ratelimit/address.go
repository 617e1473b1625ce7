package ratelimit

import (
	"net/http"
	"net/netip"
)

// RemoteAddress returns the remote address of the request's connection as a key. Behind a
// proxy this is the proxy's address.
func RemoteAddress(r *http.Request) string { return Address(r.RemoteAddr) }

// Address returns the address in "address:port" as a key. For IPv6 it is the first 64 bits,
// since the owner of a network can choose the others freely. It returns any other text
// unchanged.
func Address(end string) string {
	parsed, err := netip.ParseAddrPort(end)
	if err != nil {
		return end
	}
	address := parsed.Addr().Unmap().WithZone("")
	if address.Is4() {
		return address.String()
	}
	return netip.PrefixFrom(address, 64).Masked().String()
}
