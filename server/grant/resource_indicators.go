package grant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/logtext"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/indicator"
)

// ResourceIndicators lets clients say which APIs a token is for (RFC 8707), so that one API
// cannot use the token at another. Register it for every request:
//
//	srv.Register(grant.ResourceIndicators{Resources: []string{"https://api.example.com"}})
//
// An authorization request may name several resources; a token request may narrow them. A
// token for another resource does not revoke the earlier one.
type ResourceIndicators struct {
	// Resources are the resources that tokens can be for. A request for any other is
	// refused with invalid_target. They are compared by [indicator.Same]; the audience
	// of a token has the spelling used here.
	Resources []string
	// Default is the resource of a request that names none: one of Resources, or empty for
	// a token without an audience.
	Default string
}

// CheckConfig returns an error for each invalid resource.
func (r ResourceIndicators) CheckConfig(*server.Config) error {
	var faults []error
	for i, resource := range r.Resources {
		if _, err := weburi.Parse(resource); err != nil {
			faults = append(faults, fmt.Errorf("grant: ResourceIndicators.Resources: %q %w", resource, err))
		} else if strings.Contains(resource, "#") {
			faults = append(faults, fmt.Errorf("grant: ResourceIndicators.Resources: %q has a fragment; leave it out", resource))
		}
		if indicator.Has(r.Resources[:i], resource) {
			faults = append(faults, fmt.Errorf("grant: ResourceIndicators.Resources: %q is listed twice: an empty path is the same as a slash", resource))
		}
	}
	if r.Default != "" && !indicator.Has(r.Resources, r.Default) {
		faults = append(faults, fmt.Errorf("grant: ResourceIndicators.Default: %q is not one of Resources: add it there", r.Default))
	}
	return errors.Join(faults...)
}

// RepeatableParameters returns "resource".
func (ResourceIndicators) RepeatableParameters() []string { return []string{"resource"} }

// CheckAuthorizationRequest sets Request.Audience to the resources of an authorization
// request.
func (r ResourceIndicators) CheckAuthorizationRequest(_ context.Context, req *server.Request) (err error) {
	req.Audience, err = r.requested(req, r.byDefault())
	return err
}

// CheckIssuance sets Request.Audience to the resources of a token request, which must be
// among the granted ones (RFC 8707 section 2.2).
func (r ResourceIndicators) CheckIssuance(_ context.Context, req *server.Request, issuance *server.Issuance) error {
	if req.Endpoint == "authorization" { // the user has already decided
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
	if issuance.Audience != "" { // set by the grant
		req.Audience = strings.Join(r.spelled(strings.Fields(issuance.Audience)), " ")
		return nil
	}
	if issuance.Credential != nil && !names(strings.Fields(granted), strings.Fields(requested)) {
		return server.NewError(server.InvalidTarget, "A 'resource' was not granted.").With(slog.String("resource", requested), slog.String("granted_resource", granted))
	}
	req.Audience = requested
	return nil
}

// requested returns the resources that the request names, or otherwise if it names none.
func (r ResourceIndicators) requested(req *server.Request, otherwise string) (audience string, err error) {
	named := req.Params["resource"]
	if len(named) == 0 {
		return otherwise, nil
	}
	for _, resource := range named {
		if _, err := weburi.Parse(resource); err != nil || strings.Contains(resource, "#") {
			return "", server.NewError(server.InvalidTarget, "A 'resource' must be an absolute URI without a fragment.").With(slog.String("resource", logtext.URI(resource)))
		}
	}
	if !names(r.Resources, named) {
		return "", server.NewError(server.InvalidTarget, "This server does not issue tokens for one of the requested 'resource' values.").With(slog.String("resource", strings.Join(named, " ")))
	}
	named = r.spelled(named)
	slices.Sort(named)
	return strings.Join(named, " "), nil
}

func (r ResourceIndicators) byDefault() string {
	return strings.Join(r.spelled(strings.Fields(r.Default)), " ")
}

// spelled returns the resources without duplicates, in the spelling of r.Resources.
func (r ResourceIndicators) spelled(resources []string) []string {
	all := make([]string, 0, len(resources))
	for _, resource := range resources {
		if i := slices.IndexFunc(r.Resources, func(ours string) bool { return indicator.Same(ours, resource) }); i >= 0 {
			resource = r.Resources[i]
		}
		if !indicator.Has(all, resource) {
			all = append(all, resource)
		}
	}
	return all
}

// names reports whether the audience has every one of some resources.
func names(audience, some []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !indicator.Has(audience, one) })
}
