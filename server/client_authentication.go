package server

import (
	"context"
	"net/http"
	"slices"

	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/models"
)

// ClientAuthMethod is one way for a client to authenticate (RFC 6749 section
// 2.3).
type ClientAuthMethod interface {
	// AuthMethod is its name, as clients register it.
	AuthMethod() string
	// Presented reports whether the request carries credentials of this
	// method. A request that carries those of two is refused.
	Presented(req *Request) bool
	// AuthenticateClient returns the client whose credentials these are, or
	// nil when they are nobody's.
	AuthenticateClient(ctx context.Context, req *Request, query QueryClientFunc) (Client, error)
}

// ImplicitAuthMethod is a method that adds nothing to a request but the
// client_id: "none" has nothing to add, and a certificate comes with the
// connection. Of several of them the one counts that the client is registered
// for.
type ImplicitAuthMethod interface {
	ClientAuthMethod
	ImpliedByRegistration()
}

// ClientSecretHook is for a client authentication method whose secrets are not
// just random.
type ClientSecretHook interface {
	// NewClientSecret returns a secret, and what is stored of it.
	NewClientSecret(clientID string) (secret, stored string)
}

// NewClientSecret returns a secret for a client that authenticates by the method,
// to be told once, and what is stored of it. Both are empty where the method has
// no secrets.
func (s *Server) NewClientSecret(authMethod, clientID string) (secret, stored string) {
	for _, m := range s.methods {
		if hook, ok := m.(ClientSecretHook); ok && m.AuthMethod() == authMethod {
			return hook.NewClientSecret(clientID)
		}
	}
	if !models.UsesClientSecret(authMethod) {
		return "", ""
	}
	secret = s.GenerateSecret(ClientSecretKind)
	return secret, models.HashClientSecret(secret)
}

// AuthMethodHook is for a grant that not every client may use, however it
// authenticated.
type AuthMethodHook interface {
	CheckAuthMethod(method string) bool
}

// authenticateClient finds out who asks, before anything else is looked at.
func (s *Server) authenticateClient(ctx context.Context, req *Request) error {
	methods, err := s.presentedMethods(req)
	if err != nil {
		return err
	}
	if len(methods) == 0 {
		return s.invalidClient(req, "The request has no client authentication.")
	}
	method, query, err := s.registeredMethod(ctx, req, methods)
	if err != nil {
		return err
	}
	req.attempt = &attempt{req: req}
	client, err := method.AuthenticateClient(ctx, req, req.attempt.limited(query))
	if err != nil {
		return err
	}
	if isNil(client) || !client.CheckEndpointAuthMethod(method.AuthMethod(), req.Endpoint) {
		if err := req.attempt.failed(ctx); err != nil {
			return err
		}
		return s.invalidClient(req, "The client authentication failed.")
	}
	if id := req.Params.Get("client_id"); id != "" && id != client.GetClientID() {
		return NewError(InvalidRequest, "The 'client_id' is not that of the client that authenticated.")
	}
	req.Client, req.AuthMethod = client, method.AuthMethod()
	tell(req, func(hook ClientAuthenticatedHook) { hook.ClientAuthenticated(ctx, req) })
	return nil
}

// presentedMethods returns the methods whose credentials the request may carry:
// several of them only where all are implicit. Otherwise more than one is
// refused (RFC 6749 section 2.3).
func (s *Server) presentedMethods(req *Request) (presented []ClientAuthMethod, err error) {
	for _, m := range s.methods {
		if m.Presented(req) {
			presented = append(presented, m)
		}
	}
	explicit := func(m ClientAuthMethod) bool { _, implicit := m.(ImplicitAuthMethod); return !implicit }
	if len(presented) > 1 && slices.ContainsFunc(presented, explicit) {
		return nil, NewError(InvalidRequest, "The request has more than one client authentication.")
	}
	return presented, nil
}

// registeredMethod returns the one of the methods that the client is registered
// for, and how to look the client up, which has been done then.
func (s *Server) registeredMethod(ctx context.Context, req *Request, methods []ClientAuthMethod) (ClientAuthMethod, QueryClientFunc, error) {
	if len(methods) == 1 {
		return methods[0], s.QueryClient, nil
	}
	client, err := s.QueryClient(ctx, req.Params.Get("client_id"))
	if err != nil {
		return nil, nil, err
	}
	known := func(context.Context, string) (Client, error) { return client, nil }
	for _, m := range methods {
		if client != nil && client.CheckEndpointAuthMethod(m.AuthMethod(), req.Endpoint) {
			return m, known, nil
		}
	}
	return methods[0], known, nil
}

// invalidClient is 401 with a challenge when the client used the Authorization
// header or nothing at all, and 400 when its credentials stood in the body
// (RFC 6749 section 5.2). It never tells an unknown client from a wrong secret.
func (s *Server) invalidClient(req *Request, description string) *Error {
	failure := NewError(InvalidClient, description)
	if req.HTTP.Header.Get("Authorization") != "" || req.Params.Get("client_id") == "" {
		failure.Status = http.StatusUnauthorized
		failure.Header = http.Header{"Www-Authenticate": {header.Challenge("Basic", "realm", s.config.Issuer, "charset", "UTF-8")}}
	}
	return failure
}
