package server

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gormoauth/gormoauth/internal/weburi"
)

// ResourceServer is implemented by a client that is itself an API, such as [models.ClientMixin].
type ResourceServer interface {
	// GetAPIResources returns the resources for which the client is the API, nil if there are
	// none.
	GetAPIResources() []string
}

// CheckAPIResources returns an error that names the first resource for which no token can be
// issued. A resource must be an absolute URI without a fragment (RFC 8707 section 2), or a name
// as in the "audience" of a token exchange (RFC 8693 section 2.1).
func CheckAPIResources(resources []string) error {
	for _, resource := range resources {
		_, err := weburi.Parse(resource)
		switch {
		case strings.Contains(resource, "#"):
			err = errors.New("has a fragment; leave it out")
		case !strings.Contains(resource, ":") && IsClientID(resource) && !strings.Contains(resource, " "):
			err = nil // a name
		}
		if err != nil {
			return fmt.Errorf("server: the API resource %q %w", resource, err)
		}
	}
	return nil
}
