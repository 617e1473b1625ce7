package server

import (
	"slices"

	"github.com/gormoauth/gormoauth/internal/weburi"
)

// SameResource reports whether two resource identifiers (RFC 8707 section 2) name one
// resource: as URIs with a host are compared after the normalization of RFC 3986
// sections 6.2.2 and 6.2.3, by which "https://api.example" is "https://api.example/",
// and as everything else, such as a URN or a name, is compared: character by character.
func SameResource(a, b string) bool { return weburi.Normal(a) == weburi.Normal(b) }

// HasResource reports whether a resource is among those of an audience, by
// [SameResource].
func HasResource(audience []string, resource string) bool {
	normal := weburi.Normal(resource)
	return slices.ContainsFunc(audience, func(one string) bool { return one == resource || weburi.Normal(one) == normal })
}
