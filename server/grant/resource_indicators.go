package grant

import (
	"context"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/server"
)

// ResourceIndicators lets clients say which APIs a token is for (RFC 8707), so
// that one API cannot use it at another. Register it for every request:
//
//	srv.Register(grant.ResourceIndicators{Resources: []string{"https://api.example.com"}})
//
// An authorization request may name several; a token request may narrow them.
// A token of another resource does not end the one before.
type ResourceIndicators struct {
	// Resources are the resources that tokens can be for. A request for any other
	// is refused with invalid_target.
	Resources []string
	// Default is what a request is for that names none: one of Resources, or
	// empty, for a token of no particular resource.
	Default string
}

// RepeatableParameters returns "resource".
func (ResourceIndicators) RepeatableParameters() []string { return []string{"resource"} }

// CheckAuthorizationRequest takes the resources of an authorization request.
func (r ResourceIndicators) CheckAuthorizationRequest(_ context.Context, req *server.Request) (err error) {
	req.Audience, err = r.requested(req, r.Default)
	return err
}

// CheckIssuance takes those of a token request, which can be no more than what
// was granted (RFC 8707 section 2.2).
func (r ResourceIndicators) CheckIssuance(_ context.Context, req *server.Request, issuance *server.Issuance) error {
	granted := r.Default
	if issuance.Credential != nil {
		granted = issuance.Credential.Audience
	}
	requested, err := r.requested(req, granted)
	if err != nil {
		return err
	}
	if issuance.Audience != "" { // the grant itself has decided
		return nil
	}
	if issuance.Credential != nil && !contains(strings.Fields(granted), strings.Fields(requested)) {
		return server.NewError(server.InvalidTarget, "A 'resource' is none of those that were granted.")
	}
	req.Audience = requested
	return nil
}

// requested returns what the request names, or otherwise.
func (r ResourceIndicators) requested(req *server.Request, otherwise string) (audience string, err error) {
	named := req.Params["resource"]
	if len(named) == 0 {
		return otherwise, nil
	}
	for _, resource := range named {
		if _, err := weburi.Parse(resource); err != nil || strings.Contains(resource, "#") {
			return "", server.NewError(server.InvalidTarget, "A 'resource' is not an absolute URI without a fragment.")
		}
	}
	if !contains(r.Resources, named) {
		return "", server.NewError(server.InvalidTarget, "A 'resource' is none that this server issues tokens for.")
	}
	named = slices.Clone(named)
	slices.Sort(named)
	return strings.Join(slices.Compact(named), " "), nil
}

func contains(all, some []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(all, one) })
}
