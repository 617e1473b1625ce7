package endpoint

import (
	"context"
	"errors"
	"net/http"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/jwk"
)

// JWKS is the JWK Set document of the server's public keys (RFC 7517 section 5), named
// "jwks". A server has one by default if something registered on it signs, such as an
// oidc.Provider. Register this one for keys that the server does not know of, such as those
// of JWT access tokens.
type JWKS struct {
	// Keys are the server's keys.
	Keys jwk.SigningKeys
}

// EndpointName returns "jwks".
func (*JWKS) EndpointName() string { return "jwks" }

// EndpointPath returns "/oauth/jwks".
func (*JWKS) EndpointPath() string { return "/oauth/jwks" }

// Methods returns "GET".
func (*JWKS) Methods() []string { return []string{http.MethodGet} }

// PrepareMetadata adds the document's URL (RFC 8414 section 2).
func (*JWKS) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	metadata["jwks_uri"] = s.EndpointURL("jwks")
}

// CheckConfig returns an error if Keys is missing.
func (e *JWKS) CheckConfig(*server.Config) error {
	if e.Keys == nil {
		return errors.New("endpoint: JWKS.Keys is missing: write gormoauth.CreateSigningKeys[SigningKey](db, gormstore.SigningKeyOptions{})")
	}
	return nil
}

// PublishedKeys returns the keys.
func (e *JWKS) PublishedKeys() jwk.SigningKeys { return e.Keys }

// CreateResponse returns the keys. The response may be cached for five minutes, since a new
// key is published long before it signs.
func (e *JWKS) CreateResponse(ctx context.Context, req *server.Request) (*server.Response, error) {
	return req.PublicKeysResponse(ctx, e.Keys)
}
