package ratelimit

import (
	"net/http"
	"net/netip"
)

// RemoteAddress returns the address at the other end of the request's
// connection, as a key. Behind a proxy it is the proxy's.
func RemoteAddress(r *http.Request) string { return Address(r.RemoteAddr) }

// Address returns the address of an end of a connection, "address:port", as a
// key: of IPv6 the first 64 bits, since the others are anybody's to choose who has
// a network. What is no such end is a key as it is.
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
