package weburi

import "strings"

// Normal returns a URI after the normalization of RFC 3986 sections 6.2.2 and 6.2.3, so
// that equivalent URIs become equal: it normalizes the case of the scheme, the host and
// percent-encodings, percent-encoded unreserved characters, dot segments, the default
// port of the scheme, and an empty path. Reserved characters stay encoded: %2F is not a
// slash.
//
// A text that is not a well-formed URI with a host is returned unchanged, and is equal
// only to itself.
func Normal(uri string) string {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || !isScheme(scheme) {
		return uri
	}
	scheme = strings.ToLower(scheme)
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, ok := normalAuthority(scheme, rest[:end])
	if !ok {
		return uri
	}
	rest, ok = normalEncoding(rest[end:])
	if !ok {
		return uri
	}
	end = strings.IndexAny(rest, "?#")
	if end < 0 {
		end = len(rest)
	}
	return scheme + "://" + authority + normalPath(rest[:end]) + rest[end:]
}

func isScheme(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || strings.IndexByte("+-.", c) >= 0):
		default:
			return false
		}
	}
	return text != ""
}

// normalAuthority returns a host in lowercase, with its port unless that is the default
// of the scheme. It does not accept user names.
func normalAuthority(scheme, authority string) (normal string, ok bool) {
	authority = strings.ToLower(authority)
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i+1:]
	}
	characters := "abcdefghijklmnopqrstuvwxyz0123456789.-_"
	name := host
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		name, characters = host[1:len(host)-1], "abcdef0123456789:."
	}
	if name == "" || strings.Trim(name, characters) != "" || strings.Trim(port, "0123456789") != "" {
		return "", false
	}
	if port == "" || scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		return host, true
	}
	return host + ":" + port, true
}

// normalEncoding decodes percent-encoded unreserved characters and writes the other
// percent-encodings in uppercase (section 6.2.2). ok is false if the text has a character
// that is not allowed in a URI.
func normalEncoding(text string) (normal string, ok bool) {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != '%' {
			if !isUnreserved(c) && strings.IndexByte("/?#[]@:!$&'()*+,;=", c) < 0 {
				return "", false
			}
			b.WriteByte(c)
			continue
		}
		if i+2 >= len(text) {
			return "", false
		}
		high, low := strings.IndexByte(digits, upper(text[i+1])), strings.IndexByte(digits, upper(text[i+2]))
		if high < 0 || low < 0 {
			return "", false
		}
		if decoded := byte(high<<4 | low); isUnreserved(decoded) { //nolint:gosec // two hexadecimal digits
			b.WriteByte(decoded)
		} else {
			b.Write([]byte{'%', digits[high], digits[low]})
		}
		i += 2
	}
	return b.String(), true
}

// isUnreserved reports whether c is an unreserved character (section 2.3).
func isUnreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// normalPath removes dot segments (section 5.2.4) from a path that begins with a slash
// or is empty.
func normalPath(path string) string {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	kept := segments[:0]
	for i, segment := range segments {
		last := i == len(segments)-1
		switch {
		case segment == ".." && len(kept) > 0:
			kept = kept[:len(kept)-1]
		case segment != "." && segment != "..":
			kept = append(kept, segment)
			continue
		}
		if last {
			kept = append(kept, "") // a path that ends in a dot segment ends in a slash
		}
	}
	return "/" + strings.Join(kept, "/")
}
