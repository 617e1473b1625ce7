package clientauth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

const (
	assertionType    = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	signingAlgMember = "token_endpoint_auth_signing_alg"
)

// assertionJWTType is the accepted "typ" of a client assertion: a JWT that the client
// signed for another purpose, such as a request object, does not authenticate it (RFC 8725
// section 3.11).
const assertionJWTType = "client-authentication+jwt"

// asserted is the common part of the methods in which a client signs an assertion (RFC 7523
// section 3).
type asserted struct {
	method     string
	algorithms []jose.SignatureAlgorithm
	replays    storage.Replays
	verify     func(ctx context.Context, req *server.Request, assertion *assertion.Assertion, client *models.ClientMixin) error
}

// authenticate verifies the request's assertion. An assertion can be used once: the engine
// spends it.
func (a asserted) authenticate(ctx context.Context, req *server.Request, query storage.QueryClientFunc) (storage.Client, error) {
	if req.Params.Get("client_assertion_type") != assertionType {
		return nil, server.NewError(server.InvalidRequest, "The 'client_assertion_type' is not supported.").
			Because("the type of the client assertion is not supported", slog.String("client_assertion_type", req.Params.Get("client_assertion_type")))
	}
	assertion, err := assertion.Parse(req.Params.Get("client_assertion"), a.algorithms)
	if err != nil {
		return nil, &server.NotAuthenticated{Reason: err}
	}
	if err := a.check(req, assertion); err != nil {
		return nil, &server.NotAuthenticated{Reason: err, ClientID: cmp.Or(assertion.Subject, assertion.Issuer)}
	}
	client, err := query(ctx, assertion.Subject)
	if err != nil {
		return nil, err
	}
	if client == nil {
		return nil, &server.NotAuthenticated{Reason: req.WhyNoClient(reason.New("the client is unknown")), Guess: true}
	}
	if err := a.checkSignature(ctx, req, assertion, client); err != nil {
		return nil, err
	}
	req.Spend(storage.Spend{
		Replays: a.replays, Key: assertion.ReplayKey(), ExpiresAt: assertion.RememberUntil(), Proof: true,
		Refusal: &server.NotAuthenticated{Reason: reason.New("the client assertion was used before")},
	})
	return client, nil
}

// check applies the rules that do not need the client.
func (asserted) check(req *server.Request, assertion *assertion.Assertion) error {
	switch {
	case assertion.CheckType(assertionJWTType) != nil:
		return reason.New("the JWT is not a client assertion", slog.String("typ", assertion.Type()))
	case assertion.Issuer != assertion.Subject:
		return reason.New("the 'iss' and the 'sub' of the client assertion differ", slog.String("iss", assertion.Issuer), slog.String("sub", assertion.Subject))
	}
	return req.CheckAssertion(assertion)
}

// checkSignature returns nil if the client signed the assertion, with its registered
// algorithm if it registered one.
func (a asserted) checkSignature(ctx context.Context, req *server.Request, assertion *assertion.Assertion, client storage.Client) error {
	registered, err := registeredClient(client, a.method)
	if err != nil {
		return err
	}
	if member, given := registered.ClientMetadata.Extra[signingAlgMember]; given && string(registeredAlgorithm(member)) != assertion.Algorithm() {
		return &server.NotAuthenticated{Reason: reason.New("the client registered a different signing algorithm",
			slog.String("algorithm", assertion.Algorithm()), slog.String("registered_algorithm", string(registeredAlgorithm(member))))}
	}
	err = a.verify(ctx, req, assertion, registered)
	var wrong *reason.Reason
	switch {
	case errors.As(err, &wrong):
		return &server.NotAuthenticated{Reason: wrong, Guess: true}
	case errors.Is(err, fetch.ErrRefused):
		return &server.NotAuthenticated{Reason: reason.New("the client's key set cannot be read", slog.String("fault", err.Error()))}
	}
	return err
}

// registeredClient returns the client's mixin, or an error if the client has none.
func registeredClient(client storage.Client, method string) (*models.ClientMixin, error) {
	registered, ok := client.(storage.RegisteredClient)
	if !ok {
		return nil, fmt.Errorf("clientauth: %s needs the client's registered metadata, which a %T does not have: it must embed models.ClientMixin", method, client)
	}
	return registered.AsClientMixin(), nil
}

// checkSigningAlgorithm refuses a client of the method whose registered algorithm is not
// one of algorithms.
func checkSigningAlgorithm(metadata *models.ClientMetadata, method string, algorithms []jose.SignatureAlgorithm) error {
	algorithm, given := metadata.Extra[signingAlgMember]
	if metadata.TokenEndpointAuthMethod == method && given && !slices.Contains(algorithms, registeredAlgorithm(algorithm)) {
		return clientmeta.Invalid(signingAlgMember, string(registeredAlgorithm(algorithm)), fmt.Sprintf("is not an algorithm that the server accepts; choose one of %v", algorithms))
	}
	return nil
}

func registeredAlgorithm(member json.RawMessage) (algorithm jose.SignatureAlgorithm) {
	_ = strictjson.Unmarshal(member, &algorithm) // a value that is not a string names no algorithm
	return algorithm
}
