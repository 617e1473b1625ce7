// Package indicator compares resource indicators (RFC 8707), by which a token names its API.
package indicator

import (
	"slices"

	"github.com/gormoauth/gormoauth/internal/weburi"
)

// Same reports whether two resource identifiers (RFC 8707 section 2) name the same
// resource. URIs with a host are compared after the normalization of RFC 3986 sections 6.2.2 and
// 6.2.3, so that "https://api.example" equals "https://api.example/". Anything else, such as a
// URN or a name, is compared character by character.
func Same(a, b string) bool { return weburi.Normal(a) == weburi.Normal(b) }

// Has reports whether audience contains the resource, compared by [Same].
func Has(audience []string, resource string) bool {
	normal := weburi.Normal(resource)
	return slices.ContainsFunc(audience, func(one string) bool { return one == resource || weburi.Normal(one) == normal })
}
