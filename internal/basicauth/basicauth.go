// Package basicauth reads the client credentials of an Authorization header.
package basicauth

import (
	"net/http"
	"net/url"
	"slices"
)

// Credentials are a client's (RFC 6749 section 2.3.1).
type Credentials struct {
	// ClientID is the name, empty when there is none.
	ClientID string
	// Secrets are what the password can be read as, nil when it is empty: RFC 6749 has
	// it form-urlencoded, and many clients send it as it is.
	Secrets []string
}

// Of returns the credentials of a well-formed Basic header.
func Of(r *http.Request) (c Credentials, ok bool) {
	name, password, ok := r.BasicAuth()
	if !ok {
		return Credentials{}, false
	}
	c.ClientID = decoded(name)
	if password != "" {
		c.Secrets = slices.Compact([]string{decoded(password), password})
	}
	return c, true
}

func decoded(text string) string {
	if d, err := url.QueryUnescape(text); err == nil {
		return d
	}
	return text
}
