package display

import (
	"net/url"
	"strings"
)

// LocalPath returns next if it is the address of a page of this site, path and query, and "/"
// otherwise. A sign-in page uses it to send users back, so that a link to the page cannot lead
// them to another site. Browsers take "//host" and "/\host" for another host, and ignore tabs and
// line breaks.
func LocalPath(next string) string {
	u, err := url.Parse(next)
	switch {
	case err != nil, u.Scheme != "", u.Host != "", u.User != nil,
		!strings.HasPrefix(next, "/"), strings.HasPrefix(next, "//"),
		strings.Contains(next, `\`), strings.ContainsFunc(next, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return "/"
	}
	return next
}
