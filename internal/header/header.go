// Package header writes what comes from outside into the headers of answers: nothing
// gets there but through it, and each value has a strict alphabet.
package header

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/gormoauth/gormoauth/internal/weburi"
)

// Set sets a header of an answer, unless the value has another character than printable
// ASCII, which is then left out.
func Set(w http.ResponseWriter, name, value string) {
	if IsPrintable(value) {
		w.Header().Set(name, value)
	}
}

// Copy sets the headers of an answer, as [Set] does.
func Copy(w http.ResponseWriter, from http.Header) {
	for name, values := range from {
		w.Header().Del(name)
		for _, value := range values {
			if IsPrintable(value) {
				w.Header().Add(name, value)
			}
		}
	}
}

// MaxAddress is the maximum length of an address that a browser is redirected to by a server that
// can choose. It still fits into a header when it is escaped again, as the parameter of a sign-in page.
const MaxAddress = 4 << 10

// Redirect sends a browser to a URI. One that is not fit for a header, or that starts a
// program or a script, is an error, and nothing is written.
func Redirect(w http.ResponseWriter, uri string, status int) error {
	u, err := weburi.Parse(uri)
	if err != nil {
		return fmt.Errorf("a redirect to %.200q, which %w", uri, err)
	}
	if weburi.StartsPrograms(u.Scheme) {
		return fmt.Errorf("a redirect to %.200q, whose scheme starts programs or scripts", uri)
	}
	w.Header().Set("Location", uri)
	w.WriteHeader(status)
	return nil
}

// Challenge returns a challenge of a WWW-Authenticate header (RFC 9110 section 11.6.1):
// the scheme, and parameters by name and value in turn. A value that is empty, or that
// cannot stand in a quoted string, is left out with its name.
func Challenge(scheme string, parameters ...string) string {
	var b strings.Builder
	b.WriteString(scheme)
	separator := " "
	for i := 0; i+1 < len(parameters); i += 2 {
		if name, value := parameters[i], parameters[i+1]; value != "" && IsQuotable(value) {
			b.WriteString(separator + name + `="` + value + `"`)
			separator = ", "
		}
	}
	return b.String()
}

// IsPrintable reports whether a text is printable ASCII.
func IsPrintable(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c < 0x20 || c > 0x7e })
}

// IsQuotable reports whether a text may stand in a quoted string (RFC 6750 section 3).
func IsQuotable(text string) bool { return IsPrintable(text) && !strings.ContainsAny(text, `"\`) }
