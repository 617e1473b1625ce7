package server

import (
	"iter"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// TrustForwardedAddress returns a [Config].RemoteAddress for a program behind proxies: the
// address that they write into a header, which is X-Forwarded-For, Forwarded (RFC 7239),
// or one with a single address such as X-Real-Ip. Where the connection is not one of the
// proxies, nobody has written the header but a stranger, and it counts for nothing.
//
// A proxy adds to what came in, which is a stranger's to choose. So the header is read from
// its end, through as many of the proxies as there are: the first address that is none of
// them is the client's. Name the addresses of the proxies alone, and no network in which
// there is anybody else. A connection over a Unix socket is one from 127.0.0.1.
func TrustForwardedAddress(header string, proxies ...netip.Prefix) func(r *http.Request) string {
	trusted := func(address netip.Addr) bool {
		address = address.Unmap().WithZone("")
		return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(address) })
	}
	isForwarded := strings.EqualFold(header, "Forwarded")
	return func(r *http.Request) string {
		end, address := r.RemoteAddr, netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if connected, err := netip.ParseAddrPort(end); err == nil {
			address = connected.Addr()
		}
		if !trusted(address) {
			return ratelimit.Address(end)
		}
		for element := range fromTheEnd(r.Header.Values(header)) {
			if isForwarded {
				element = forwardedFor(element)
			}
			before, ok := forwardedAddress(element)
			if !ok { // the proxy does not know, or does not say
				break
			}
			address, end = before, netip.AddrPortFrom(before, 0).String()
			if !trusted(address) {
				break
			}
		}
		return ratelimit.Address(end)
	}
}

// fromTheEnd are the elements of a list in a header, the last one first. A comma within
// quotes is one, too: a quote that a stranger began would otherwise take in what the proxy
// added.
func fromTheEnd(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range slices.Backward(lines) {
			for more := true; more; {
				var element string
				comma := strings.LastIndexByte(line, ',')
				element, line, more = strings.TrimSpace(line[comma+1:]), line[:max(comma, 0)], comma >= 0
				if element != "" && !yield(element) {
					return
				}
			}
		}
	}
}

// forwardedFor is whom an element of a Forwarded header is for (RFC 7239 section 4), empty
// where it does not say.
func forwardedFor(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		if name, value, _ := strings.Cut(strings.TrimSpace(pair), "="); strings.EqualFold(name, "for") {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// forwardedAddress reads an address as proxies write it: with a port or without, of IPv6 in
// brackets or without.
func forwardedAddress(text string) (address netip.Addr, ok bool) {
	if with, err := netip.ParseAddrPort(text); err == nil {
		return with.Addr(), true
	}
	if inner, found := strings.CutPrefix(text, "["); found {
		text = strings.TrimSuffix(inner, "]")
	}
	address, err := netip.ParseAddr(text)
	return address, err == nil
}
