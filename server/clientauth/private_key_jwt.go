package clientauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
)

// PrivateKeyJWT is a JWT that the client signs with a private key of its own,
// whose public key it registered as jwks or jwks_uri (RFC 7523 section 2.2,
// OpenID Connect Core section 9). The server holds nothing that could be stolen.
type PrivateKeyJWT struct {
	// Replays remembers which assertions were presented.
	Replays server.ReplayStorage
	// Fetcher gets the key sets of clients with a jwks_uri; nil refuses such
	// clients.
	Fetcher *fetch.Fetcher
	// Algorithms are those by which clients may sign; nil is
	// [server.SignatureAlgorithms].
	Algorithms []jose.SignatureAlgorithm
}

const (
	assertionType    = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	signingAlgMember = "token_endpoint_auth_signing_alg"
)

// AuthMethod returns "private_key_jwt".
func (*PrivateKeyJWT) AuthMethod() string { return models.PrivateKeyJWT }

// CheckConfig names what is missing.
func (m *PrivateKeyJWT) CheckConfig(*server.Config) error {
	if m.Replays == nil {
		return errors.New("clientauth: PrivateKeyJWT.Replays is missing: write gormoauth.CreateReplayStorage[Replay](db)")
	}
	return nil
}

// PrepareMetadata names the algorithms (RFC 8414 section 2).
func (m *PrivateKeyJWT) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	for _, algorithm := range m.algorithms() {
		metadata.Add("token_endpoint_auth_signing_alg_values_supported", string(algorithm))
	}
}

func (m *PrivateKeyJWT) algorithms() []jose.SignatureAlgorithm {
	if m.Algorithms == nil {
		return server.SignatureAlgorithms()
	}
	return m.Algorithms
}

// ClientMetadataMembers returns the member by which a client names its
// algorithm.
func (*PrivateKeyJWT) ClientMetadataMembers() []string { return []string{signingAlgMember} }

// CheckClientMetadata refuses a client that could not authenticate.
func (m *PrivateKeyJWT) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	if metadata.TokenEndpointAuthMethod != models.PrivateKeyJWT {
		return nil
	}
	if len(metadata.JWKs) == 0 && (metadata.JWKsURI == "" || m.Fetcher == nil) {
		return server.NewError(server.InvalidClientMetadata, "A client that authenticates by private_key_jwt needs its keys: jwks, or jwks_uri where the server fetches them.")
	}
	if algorithm, given := metadata.Extra[signingAlgMember]; given && !slices.Contains(m.algorithms(), registeredAlgorithm(algorithm)) {
		return server.NewError(server.InvalidClientMetadata, "The 'token_endpoint_auth_signing_alg' is none that the server takes.")
	}
	return nil
}

func registeredAlgorithm(member json.RawMessage) (algorithm jose.SignatureAlgorithm) {
	_ = json.Unmarshal(member, &algorithm) // what is no text is no algorithm
	return algorithm
}

// Presented reports whether the request has a client assertion.
func (*PrivateKeyJWT) Presented(req *server.Request) bool { return req.Params.Has("client_assertion") }

// AuthenticateClient verifies the assertion. It is good once.
func (m *PrivateKeyJWT) AuthenticateClient(ctx context.Context, req *server.Request, query server.QueryClientFunc) (server.Client, error) {
	if req.Params.Get("client_assertion_type") != assertionType {
		return nil, server.NewError(server.InvalidRequest, "The 'client_assertion_type' is none that the server knows.")
	}
	assertion := server.ParseAssertion(req.Params.Get("client_assertion"), m.algorithms())
	if assertion == nil || assertion.Issuer != assertion.Subject || !assertion.IsFor(req) {
		return nil, nil
	}
	client, err := query(ctx, assertion.Subject)
	if err != nil || client == nil {
		return nil, err
	}
	metadata, err := metadataOf(client, models.PrivateKeyJWT)
	if err != nil {
		return nil, err
	}
	verified, err := m.verify(ctx, assertion, metadata)
	if err != nil || !verified {
		return nil, err
	}
	first, err := m.Replays.FirstUse(ctx, assertion.ReplayKey(), assertion.RememberUntil())
	if err != nil {
		return nil, fmt.Errorf("remember a client assertion: %w", err)
	}
	if !first {
		return nil, nil
	}
	return client, nil
}

// verify reports whether one of the client's keys made the signature.
func (m *PrivateKeyJWT) verify(ctx context.Context, assertion *server.Assertion, metadata *models.ClientMetadata) (bool, error) {
	if algorithm, given := metadata.Extra[signingAlgMember]; given && string(registeredAlgorithm(algorithm)) != assertion.Algorithm() {
		return false, nil
	}
	return inKeySet(ctx, m.Fetcher, metadata, assertion.VerifiedBy)
}
