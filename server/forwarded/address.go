// Package forwarded reads what a trusted proxy says about a request: the address that it comes from,
// and the certificate of the client.
package forwarded

import (
	"iter"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// Address returns a server.Config.RemoteAddress function for a program behind proxies:
// it reads the address from a header that they set, which is X-Forwarded-For, Forwarded (RFC
// 7239), or one with a single address such as X-Real-Ip. If the connection does not come from one
// of the proxies, the header was written by a stranger and is ignored.
//
// A proxy appends to a header that the client may have sent. So the header is read from its end,
// skipping the proxies: the first address that is not one of them is the client's. List only the
// addresses of the proxies, not a network that contains other machines. A connection over a Unix
// socket counts as one from 127.0.0.1.
func Address(header string, proxies ...netip.Prefix) func(r *http.Request) string {
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
			if !ok { // the proxy does not know the address, or hides it
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

// fromTheEnd iterates over the elements of a header's list, the last one first. A comma within
// quotes separates elements as well: otherwise a quotation mark sent by a stranger would swallow
// what the proxy appended.
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

// forwardedFor returns the "for" value of an element of a Forwarded header (RFC 7239 section 4),
// or "" if it has none.
func forwardedFor(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		if name, value, _ := strings.Cut(strings.TrimSpace(pair), "="); strings.EqualFold(name, "for") {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// forwardedAddress parses an address as proxies write it: with or without a port, and IPv6 with
// or without brackets.
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
