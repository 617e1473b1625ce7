package ratelimit

import (
	"net/http"
	"net/netip"
)

// RemoteAddress returns the address at the other end of the request's
// connection, as a key: of IPv6 the first 64 bits, since the others are anybody's
// to choose who has a network. Behind a proxy it is the proxy's.
func RemoteAddress(r *http.Request) string {
	end, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	address := end.Addr().Unmap().WithZone("")
	if address.Is4() {
		return address.String()
	}
	return netip.PrefixFrom(address, 64).Masked().String()
}
