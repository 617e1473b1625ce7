// Package weburi reads URIs of untrusted origin in one strict way.
//
// [net/url.Parse] accepts more than RFC 3986 allows: a host with ';', a quote or a space,
// a zone after an IP literal, letters that only look like Latin ones. A URI that this
// package accepts can be written into a header, a Content-Security-Policy or a page as it
// is.
package weburi

import (
	"errors"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/gormoauth/gormoauth/internal/loopback"
)

// Parse reads an absolute URI (RFC 3986 section 4.3, with an optional fragment). It must
// consist of the characters of RFC 3986 and have no user name, and its host must be an
// ASCII domain name or an IP literal without a zone. http and https need a host. The
// error says what is wrong and how to correct it, as the end of a sentence about the URI.
func Parse(text string) (*url.URL, error) {
	if i := strings.IndexFunc(text, func(c rune) bool { return c > 0x7f }); i >= 0 {
		return nil, errors.New("has a character that is not ASCII; write the host in its punycode form (xn--...) and percent-encode everything else")
	}
	if !hasOnlyURICharacters(text) {
		return nil, errors.New("has a character that is not allowed in a URI; percent-encode it")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil && hasScheme(text):
		return nil, errors.New("is not an absolute URI (RFC 3986); correct its host or its port")
	case err != nil || u.Scheme == "":
		return nil, errors.New("is not an absolute URI; begin with a scheme such as https://")
	case u.User != nil:
		return nil, errors.New("has a user name; remove the @ and everything before it")
	case u.Host == "" && IsWeb(u.Scheme):
		return nil, errors.New("has no host; write it after https://")
	}
	if u.Host != "" {
		if err := checkHost(u); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// hasScheme reports whether a text that is not a URI at least begins like one.
func hasScheme(text string) bool {
	scheme, _, found := strings.Cut(text, "://")
	return found && scheme != "" && isLetter(scheme[0])
}

// IsWeb reports whether a scheme is http or https.
func IsWeb(scheme string) bool { return scheme == "https" || scheme == "http" }

// hasOnlyURICharacters reports whether a text consists of the characters of RFC 3986
// section 2.
func hasOnlyURICharacters(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case isLetter(c), isDigit(c), strings.IndexByte("-._~:/?#[]@!$&'()*+,;=", c) >= 0:
		case c != '%' || i+2 >= len(text) || !isHex(text[i+1]) || !isHex(text[i+2]):
			return false
		}
	}
	return true
}

func checkHost(u *url.URL) error {
	host := u.Hostname()
	switch {
	case strings.HasPrefix(u.Host, "["):
		address, err := netip.ParseAddr(host)
		if err != nil || !address.Is6() || address.Zone() != "" {
			return errors.New("has a host in brackets that is not an IPv6 address without a zone; remove the % and everything after it")
		}
	case IsWeb(u.Scheme) && endsInNumber(host):
		if address, err := netip.ParseAddr(host); err != nil || !address.Is4() {
			return errors.New("has a host that browsers read as an IPv4 address; write it as four decimal numbers")
		}
	case !isDomainName(host, IsWeb(u.Scheme)):
		return errors.New("has a host that is not a domain name of ASCII letters, digits and hyphens; correct it, and write other characters in punycode (xn--...)")
	}
	if _, port, found := strings.Cut(strings.TrimPrefix(u.Host, "["+host+"]"), ":"); found && !isPort(port) {
		return errors.New("has a port that is not a number from 1 to 65535")
	}
	return nil
}

// endsInNumber reports whether browsers take a host for an IPv4 address (the WHATWG URL
// standard's "ends in a number"): to them, 127.1 and 0x7f000001 are 127.0.0.1.
func endsInNumber(host string) bool {
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if digits, found := strings.CutPrefix(last, "0x"); found {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// isDomainName reports whether a host consists of labels of letters, digits and hyphens (RFC 1123 section 2.1), and
// each label that begins with "xn--" is valid punycode. After a private-use scheme (strict is false), it is not a
// network host and may also contain underscores.
func isDomainName(host string, strict bool) bool {
	const maxName, maxLabel = 253, 63
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !isLetter(c) && !isDigit(c) && c != '-' && (strict || c != '_') {
				return false
			}
		}
		if len(label) >= len("xn--") && strings.EqualFold(label[:len("xn--")], "xn--") && !isALabel(label) {
			return false
		}
	}
	return len(host) <= maxName
}

func isPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0 && strconv.FormatUint(port, 10) == text
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// ParseAddress parses a URL that a browser may be sent to, and that may be fetched if the
// fetcher allows it: https, or http on a loopback address.
func ParseAddress(text string) (*url.URL, error) {
	u, err := Parse(text)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme == "https", u.Scheme == "http" && loopback.Is(u.Hostname()):
		return u, nil
	default:
		return nil, errors.New("must be https; http is allowed only for loopback addresses")
	}
}

// ParseServed parses the URL below which a program serves something: it has to satisfy
// [ParseAddress], have no fragment, and have a path that satisfies [CheckPath] or none.
func ParseServed(text string) (*url.URL, error) {
	u, err := ParseAddress(text)
	switch {
	case err != nil:
		return nil, err
	case strings.Contains(text, "#"):
		return nil, errors.New("has a fragment; remove the # and everything after it")
	case u.Path == "":
		return u, nil
	}
	if err := CheckPath(u.EscapedPath()); err != nil {
		return nil, err
	}
	return u, nil
}

// CheckPath returns nil for a path that routers match exactly as clients request it:
// without characters that a router may take for a pattern, without percent-encoding,
// which some routers decode first, and without segments that some routers remove.
func CheckPath(text string) error {
	switch {
	case !strings.HasPrefix(text, "/"):
		return errors.New("has a path that does not begin with /")
	case strings.ContainsAny(text, "%{}*?#") || !hasOnlyURICharacters(text):
		return errors.New("has a path with a character that routers interpret differently; use only letters, digits and -._~")
	case strings.TrimSuffix(text, "/") != strings.TrimSuffix(path.Clean(text), "/"):
		return errors.New("has a path with a segment that is empty, . or ..; remove the segment")
	}
	return nil
}

// Source returns the source expression with which a Content-Security-Policy allows a URI:
// its origin, or its scheme if that is not http or https. It is empty for an invalid URI,
// for one that starts a program or a script, and for an IPv6 address, which the grammar
// of the policy does not support.
func Source(text string) string {
	u, err := Parse(text)
	switch {
	case err != nil || StartsPrograms(u.Scheme):
		return ""
	case !IsWeb(u.Scheme):
		return u.Scheme + ":"
	case strings.HasPrefix(u.Host, "["):
		return ""
	}
	return u.Scheme + "://" + strings.ToLower(u.Host)
}

// Display returns a short form of where a URI leads, for a page: the host in its punycode
// form with the port, or the scheme and a colon if it is not http or https. It is empty
// for an invalid URI.
func Display(text string) string {
	u, err := Parse(text)
	switch {
	case err != nil:
		return ""
	case !IsWeb(u.Scheme):
		return u.Scheme + ":"
	}
	return strings.ToLower(u.Host)
}
