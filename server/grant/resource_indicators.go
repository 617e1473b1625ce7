package grant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	// is refused with invalid_target. They are compared by [server.SameResource], and
	// an audience has the spelling that stands here.
	Resources []string
	// Default is what a request is for that names none: one of Resources, or
	// empty, for a token of no particular resource.
	Default string
}

// CheckConfig names what is wrong.
func (r ResourceIndicators) CheckConfig(*server.Config) error {
	var faults []error
	for i, resource := range r.Resources {
		if _, err := weburi.Parse(resource); err != nil {
			faults = append(faults, fmt.Errorf("grant: ResourceIndicators.Resources: %q %w", resource, err))
		} else if strings.Contains(resource, "#") {
			faults = append(faults, fmt.Errorf("grant: ResourceIndicators.Resources: %q has a fragment; leave it out", resource))
		}
		if server.HasResource(r.Resources[:i], resource) {
			faults = append(faults, fmt.Errorf("grant: ResourceIndicators.Resources: %q is there twice: an empty path is the same as a slash", resource))
		}
	}
	if r.Default != "" && !server.HasResource(r.Resources, r.Default) {
		faults = append(faults, fmt.Errorf("grant: ResourceIndicators.Default: %q is not one of Resources: add it there", r.Default))
	}
	return errors.Join(faults...)
}

// RepeatableParameters returns "resource".
func (ResourceIndicators) RepeatableParameters() []string { return []string{"resource"} }

// CheckAuthorizationRequest takes the resources of an authorization request.
func (r ResourceIndicators) CheckAuthorizationRequest(_ context.Context, req *server.Request) (err error) {
	req.Audience, err = r.requested(req, r.byDefault())
	return err
}

// CheckIssuance takes those of a token request, which can be no more than what
// was granted (RFC 8707 section 2.2).
func (r ResourceIndicators) CheckIssuance(_ context.Context, req *server.Request, issuance *server.Issuance) error {
	if req.Endpoint == "authorization" { // where the user has decided on them
		return nil
	}
	granted := r.byDefault()
	if issuance.Credential != nil {
		granted = issuance.Credential.Audience
	}
	requested, err := r.requested(req, granted)
	if err != nil {
		return err
	}
	if issuance.Audience != "" { // the grant itself has decided
		req.Audience = strings.Join(r.spelled(strings.Fields(issuance.Audience)), " ")
		return nil
	}
	if issuance.Credential != nil && !names(strings.Fields(granted), strings.Fields(requested)) {
		return server.NewError(server.InvalidTarget, "A 'resource' is not one that was granted.").With(slog.String("resource", requested), slog.String("granted_resource", granted))
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
			return "", server.NewError(server.InvalidTarget, "A 'resource' is not an absolute URI without a fragment.").With(slog.String("resource", server.LoggedURI(resource)))
		}
	}
	if !names(r.Resources, named) {
		return "", server.NewError(server.InvalidTarget, "A 'resource' is not one that this server issues tokens for.").With(slog.String("resource", strings.Join(named, " ")))
	}
	named = r.spelled(named)
	slices.Sort(named)
	return strings.Join(named, " "), nil
}

func (r ResourceIndicators) byDefault() string {
	return strings.Join(r.spelled(strings.Fields(r.Default)), " ")
}

// spelled returns each of the resources once, as the server spells it.
func (r ResourceIndicators) spelled(resources []string) []string {
	all := make([]string, 0, len(resources))
	for _, resource := range resources {
		if i := slices.IndexFunc(r.Resources, func(ours string) bool { return server.SameResource(ours, resource) }); i >= 0 {
			resource = r.Resources[i]
		}
		if !server.HasResource(all, resource) {
			all = append(all, resource)
		}
	}
	return all
}

// names reports whether all of some resources are among those of an audience.
func names(audience, some []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !server.HasResource(audience, one) })
}
