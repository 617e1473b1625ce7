package server

import (
	"context"
	"net/http"
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

// AuthMethodHook is for a grant that not every client may use, however it
// authenticated.
type AuthMethodHook interface {
	CheckAuthMethod(method string) bool
}

// authenticateClient finds out who asks, before anything else is looked at.
func (s *Server) authenticateClient(ctx context.Context, req *Request) error {
	method, err := s.presentedMethod(req)
	if err != nil {
		return err
	}
	if method == nil {
		return s.invalidClient(req, "The request has no client authentication.")
	}
	client, err := method.AuthenticateClient(ctx, req, s.QueryClient)
	if err != nil {
		return err
	}
	if isNil(client) || !client.CheckEndpointAuthMethod(method.AuthMethod(), req.Endpoint) {
		return s.invalidClient(req, "The client authentication failed.")
	}
	if id := req.Params.Get("client_id"); id != "" && id != client.GetClientID() {
		return NewError(InvalidRequest, "The 'client_id' is not that of the client that authenticated.")
	}
	req.Client, req.AuthMethod = client, method.AuthMethod()
	tell(req, func(hook ClientAuthenticatedHook) { hook.ClientAuthenticated(ctx, req) })
	return nil
}

// presentedMethod returns the one method whose credentials the request
// carries. More than one is refused (RFC 6749 section 2.3).
func (s *Server) presentedMethod(req *Request) (ClientAuthMethod, error) {
	var presented ClientAuthMethod
	for _, m := range s.methods {
		if !m.Presented(req) {
			continue
		}
		if presented != nil {
			return nil, NewError(InvalidRequest, "The request has more than one client authentication.")
		}
		presented = m
	}
	return presented, nil
}

// invalidClient is 401 with a challenge when the client used the Authorization
// header or nothing at all, and 400 when its credentials stood in the body
// (RFC 6749 section 5.2). It never tells an unknown client from a wrong secret.
func (s *Server) invalidClient(req *Request, description string) *Error {
	failure := NewError(InvalidClient, description)
	if req.HTTP.Header.Get("Authorization") != "" || req.Params.Get("client_id") == "" {
		failure.Status = http.StatusUnauthorized
		failure.Header = http.Header{"Www-Authenticate": {`Basic realm="` + s.config.Issuer + `", charset="UTF-8"`}}
	}
	return failure
}
