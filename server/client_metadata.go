package server

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/models"
)

// ClientMetadataError is what is wrong with a client's metadata.
type ClientMetadataError struct {
	// Faults are sentences for the person who registers the client, each
	// beginning with the name of the member.
	Faults []string
}

// Error returns the faults, one a line.
func (e *ClientMetadataError) Error() string { return strings.Join(e.Faults, "\n") }

// ValidateClientMetadata returns every fault of a client's metadata (RFC 7591
// section 2, RFC 9700 section 2.1) as a [*ClientMetadataError]. It is for the
// moment a client is made; at a request the engine checks again what it relies
// on.
func ValidateClientMetadata(m *models.ClientMetadata) error {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }

	for _, uri := range m.RedirectURIs {
		if err := validateRedirectURI(uri); err != nil {
			fault("redirect_uris: %v", err)
		}
	}
	if !wellFormedScope(m.Scope) {
		fault(`scope: only printable ASCII without " and \ can be a scope`)
	}
	if m.TokenEndpointAuthMethod == models.None && slices.Contains(m.GrantTypes, "client_credentials") {
		fault("grant_types: client_credentials is not for a client without a secret")
	}
	if redirects := len(m.ResponseTypes) > 0; redirects && len(m.RedirectURIs) == 0 {
		fault("redirect_uris: a client with a response_type needs one")
	}
	for _, pair := range [][2]string{{"code", "authorization_code"}, {"token", "implicit"}} {
		if slices.Contains(m.ResponseTypes, pair[0]) != slices.Contains(m.GrantTypes, pair[1]) {
			fault("response_types: %q goes with the grant type %q, and neither without the other", pair[0], pair[1])
		}
	}
	if !wellFormed(m.ClientName) || !allWellFormed(m.RedirectURIs) {
		fault("client_name, redirect_uris: must be UTF-8 text without NUL")
	}
	if len(faults) == 0 {
		return nil
	}
	return &ClientMetadataError{faults}
}

// validateRedirectURI refuses a redirect URI that would leak what it is sent.
func validateRedirectURI(uri string) error {
	if !safeRedirectURI(uri) {
		return fmt.Errorf("%q is not an absolute URI without fragment and user name", uri)
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return err
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return fmt.Errorf("%q must be https; http is for loopback addresses alone", uri)
	case strings.Contains(uri, "*"):
		return fmt.Errorf("%q has a wildcard; redirect URIs are compared as they are", uri)
	}
	return nil
}
