package clientauth

import (
	"context"
	"errors"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/storage"
)

// PrivateKeyJWT is authentication by a JWT that the client signs with its private key,
// whose public key it registered by jwks or jwks_uri (RFC 7523 section 2.2, OpenID Connect
// Core section 9). The server stores no secret that could be stolen.
type PrivateKeyJWT struct {
	// Replays remembers which assertions were used.
	Replays storage.Replays
	// Fetcher fetches the key sets of clients with a jwks_uri. nil refuses such clients.
	Fetcher *fetch.Fetcher
	// Algorithms are the algorithms with which clients may sign. nil means all that the
	// server accepts.
	Algorithms []jose.SignatureAlgorithm
}

// AuthMethod returns "private_key_jwt".
func (*PrivateKeyJWT) AuthMethod() string { return models.PrivateKeyJWT }

// CheckConfig returns an error for each missing or invalid field.
func (m *PrivateKeyJWT) CheckConfig(config *server.Config) error {
	var faults []error
	if m.Replays == nil {
		faults = append(faults, errors.New("clientauth: PrivateKeyJWT.Replays is missing: write gormoauth.CreateReplayStorage[Replay](db)"))
	}
	return errors.Join(append(faults, jwk.CheckAlgorithms(config.Profile, "clientauth: PrivateKeyJWT.Algorithms", m.Algorithms...))...)
}

// PrepareMetadata adds the supported algorithms (RFC 8414 section 2).
func (m *PrivateKeyJWT) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	for _, algorithm := range s.SignatureAlgorithms(m.Algorithms) {
		metadata.Add("token_endpoint_auth_signing_alg_values_supported", string(algorithm))
	}
}

// ClientMetadataMembers returns "token_endpoint_auth_signing_alg", the client's algorithm.
func (*PrivateKeyJWT) ClientMetadataMembers() []string { return []string{signingAlgMember} }

// CheckClientMetadata refuses a client that could not authenticate by this method.
func (m *PrivateKeyJWT) CheckClientMetadata(_ context.Context, req *server.Request, metadata *models.ClientMetadata) error {
	if metadata.TokenEndpointAuthMethod != models.PrivateKeyJWT {
		return nil
	}
	if len(metadata.JWKs) == 0 && (metadata.JWKsURI == "" || m.Fetcher == nil) {
		return clientmeta.Invalid("jwks", "", "is missing: a client that authenticates by private_key_jwt must register its keys, here or at a jwks_uri from which the server fetches them")
	}
	algorithms := req.Server.SignatureAlgorithms(m.Algorithms)
	if err := checkSigningAlgorithm(metadata, models.PrivateKeyJWT, algorithms); err != nil {
		return err
	}
	if chosen, given := metadata.Extra[signingAlgMember]; given {
		algorithms = []jose.SignatureAlgorithm{registeredAlgorithm(chosen)}
	}
	return clientmeta.CheckSigningKeys(metadata, algorithms)
}

// Presented reports whether the request has a client assertion that is not
// signed with a secret.
func (*PrivateKeyJWT) Presented(req *server.Request) bool {
	return req.Params.Has("client_assertion") && !signedWithSecret(req)
}

// AuthenticateClient verifies the assertion, which can be used once.
func (m *PrivateKeyJWT) AuthenticateClient(ctx context.Context, req *server.Request, query storage.QueryClientFunc) (storage.Client, error) {
	a := asserted{models.PrivateKeyJWT, req.Server.SignatureAlgorithms(m.Algorithms), m.Replays, m.verify}
	return a.authenticate(ctx, req, query)
}

// verify returns nil if the assertion is signed with one of the client's keys.
func (m *PrivateKeyJWT) verify(ctx context.Context, _ *server.Request, assertion *assertion.Assertion, client *models.ClientMixin) error {
	return m.Fetcher.InKeySet(ctx, client.ClientMetadata.JWKs, client.ClientMetadata.JWKsURI, assertion.VerifyBy)
}
