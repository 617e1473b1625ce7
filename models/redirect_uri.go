package models

import "strings"

// sameLoopbackURI reports whether two redirect URIs differ only in the port of a loopback
// address over http (RFC 8252 section 7.3, RFC 9700 section 4.1.3). It compares the
// strings as they are: URIs that are equal only after decoding or normalization are not
// the same.
func sameLoopbackURI(a, b string) bool {
	hostA, restA := cutLoopback(a)
	hostB, restB := cutLoopback(b)
	return hostA != "" && hostA == hostB && restA == restB
}

// cutLoopback splits "http://127.0.0.1:8081/callback?x" into the host without its port
// and the part after the authority. The host of any other URI is empty.
func cutLoopback(uri string) (host, rest string) {
	after, ok := strings.CutPrefix(uri, "http://")
	if !ok {
		return "", ""
	}
	for _, host := range []string{"127.0.0.1", "[::1]", "localhost"} {
		rest, found := strings.CutPrefix(after, host)
		if !found {
			continue
		}
		if port, found := strings.CutPrefix(rest, ":"); found {
			rest = strings.TrimLeft(port, "0123456789")
			if digits := len(port) - len(rest); digits == 0 || digits > 5 {
				return "", ""
			}
		}
		if rest == "" || rest[0] == '/' || rest[0] == '?' {
			return host, rest
		}
	}
	return "", ""
}
