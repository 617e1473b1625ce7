package endpoint

import (
	"context"
	"errors"
	"net/http"

	"github.com/gormoauth/gormoauth/server"
)

// JWKS is the document of the server's public keys (RFC 7517 section 5), named
// "jwks". A server on which something signs that is registered, such as an
// oidc.Provider, has one anyway; register this one for keys of which the server does not
// know, such as those of JWT access tokens.
type JWKS struct {
	// Keys are the server's keys.
	Keys server.SigningKeys
}

// EndpointName returns "jwks".
func (*JWKS) EndpointName() string { return "jwks" }

// EndpointPath returns "/oauth/jwks".
func (*JWKS) EndpointPath() string { return "/oauth/jwks" }

// Methods returns "GET".
func (*JWKS) Methods() []string { return []string{http.MethodGet} }

// PrepareMetadata names the document (RFC 8414 section 2).
func (*JWKS) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	metadata["jwks_uri"] = s.EndpointURL("jwks")
}

// CheckConfig names what is missing.
func (e *JWKS) CheckConfig(*server.Config) error {
	if e.Keys == nil {
		return errors.New("endpoint: JWKS.Keys is missing: write gormoauth.CreateSigningKeys[SigningKey](db, gormstore.SigningKeyOptions{})")
	}
	return nil
}

// PublishedKeys returns the keys.
func (e *JWKS) PublishedKeys() server.SigningKeys { return e.Keys }

// CreateResponse writes the keys, which may be cached for five minutes: a new
// one is announced long before it signs.
func (e *JWKS) CreateResponse(ctx context.Context, req *server.Request) (*server.Response, error) {
	return server.PublicKeysResponse(ctx, req.Time, e.Keys)
}
