package oidc

import (
	"context"
	"net/http"

	"github.com/gormoauth/gormoauth/server"
)

// Discovery is the provider's metadata document (OpenID Connect Discovery section 4), named
// "openid_configuration". It has the same content as the authorization server metadata.
type Discovery struct{}

// EndpointName returns "openid_configuration".
func (Discovery) EndpointName() string { return "openid_configuration" }

// EndpointPath returns "/.well-known/openid-configuration".
func (Discovery) EndpointPath() string { return "/.well-known/openid-configuration" }

// IsBelowIssuer marks an endpoint whose path is appended to the issuer's path.
func (Discovery) IsBelowIssuer() {}

// Methods returns "GET".
func (Discovery) Methods() []string { return []string{http.MethodGet} }

// CreateResponse returns the document, which may be cached for five minutes.
func (Discovery) CreateResponse(_ context.Context, req *server.Request) (*server.Response, error) {
	return &server.Response{Header: http.Header{"Cache-Control": {"public, max-age=300"}}, Body: req.Server.Metadata()}, nil
}
