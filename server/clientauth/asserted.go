package clientauth

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

const (
	assertionType    = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	signingAlgMember = "token_endpoint_auth_signing_alg"
)

// assertionJWTTypes are the types of a client assertion: what its client signed for
// another purpose, such as a request object, does not authenticate it (RFC 8725
// section 3.11).
var assertionJWTTypes = [...]string{"", "jwt", "client-authentication+jwt"}

// asserted is what the methods have in common in which a client signs something
// (RFC 7523 section 3).
type asserted struct {
	method     string
	algorithms []jose.SignatureAlgorithm
	replays    server.ReplayStorage
	verify     func(ctx context.Context, req *server.Request, assertion *server.Assertion, client *models.ClientMixin) (bool, error)
}

// authenticate verifies the request's assertion. It is good once.
func (a asserted) authenticate(ctx context.Context, req *server.Request, query server.QueryClientFunc) (server.Client, error) {
	if req.Params.Get("client_assertion_type") != assertionType {
		return nil, server.NewError(server.InvalidRequest, "The 'client_assertion_type' is none that the server knows.")
	}
	assertion := server.ParseAssertion(req.Params.Get("client_assertion"), a.algorithms)
	if assertion == nil || !slices.Contains(assertionJWTTypes[:], assertion.Type()) || assertion.Issuer != assertion.Subject || !assertion.IsFor(req) {
		return nil, nil
	}
	client, err := query(ctx, assertion.Subject)
	if err != nil || client == nil {
		return nil, err
	}
	registered, err := registeredClient(client, a.method)
	if err != nil {
		return nil, err
	}
	if algorithm, given := registered.ClientMetadata.Extra[signingAlgMember]; given && string(registeredAlgorithm(algorithm)) != assertion.Algorithm() {
		return nil, nil
	}
	verified, err := a.verify(ctx, req, assertion, registered)
	if err != nil || !verified {
		return nil, err
	}
	first, err := a.replays.FirstUse(ctx, assertion.ReplayKey(), assertion.RememberUntil())
	if err != nil {
		return nil, fmt.Errorf("remember a client assertion: %w", err)
	}
	if !first {
		return nil, nil
	}
	return client, nil
}

// registeredClient returns what a client registered.
func registeredClient(client server.Client, method string) (*models.ClientMixin, error) {
	registered, ok := client.(server.RegisteredClient)
	if !ok {
		return nil, fmt.Errorf("clientauth: %s needs what the client registered, which a %T does not tell: it must embed models.ClientMixin", method, client)
	}
	return registered.AsClientMixin(), nil
}

// checkSigningAlgorithm refuses a client of the method whose algorithm is none
// of it.
func checkSigningAlgorithm(metadata *models.ClientMetadata, method string, algorithms []jose.SignatureAlgorithm) error {
	algorithm, given := metadata.Extra[signingAlgMember]
	if metadata.TokenEndpointAuthMethod == method && given && !slices.Contains(algorithms, registeredAlgorithm(algorithm)) {
		return server.NewError(server.InvalidClientMetadata, "The 'token_endpoint_auth_signing_alg' is none that the server takes.")
	}
	return nil
}

func registeredAlgorithm(member json.RawMessage) (algorithm jose.SignatureAlgorithm) {
	_ = strictjson.Unmarshal(member, &algorithm) // what is no text is no algorithm
	return algorithm
}
