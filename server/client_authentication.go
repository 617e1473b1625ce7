package server

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/basicauth"
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
	// AuthenticateClient returns the client whose credentials these are. The error
	// of a request that has no client's credentials is a [*NotAuthenticated]; a nil
	// client without an error is one as well, and is counted as a guess. Credentials that
	// are good once it hands to [Request.Spend].
	AuthenticateClient(ctx context.Context, req *Request, query QueryClientFunc) (Client, error)
}

// NotAuthenticated is why a request is not a client's. The answer is invalid_client
// and the same for every reason; the log has the reason.
type NotAuthenticated struct {
	// Reason is why, such as a [*Reason].
	Reason error
	// ClientID is the client that the request claims to come from, where the method
	// found that out without looking the client up.
	ClientID string
	// Guess is whether the request has a secret or a signature that is not the
	// client's. Only these are counted, see Config.FailedAuthentications.
	Guess bool
}

// Error returns the reason.
func (e *NotAuthenticated) Error() string { return e.Reason.Error() }

// Unwrap returns the reason.
func (e *NotAuthenticated) Unwrap() error { return e.Reason }

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

// DerivedSecretHook is for a client authentication method that derives the secrets of
// its clients and stores none of them.
type DerivedSecretHook interface {
	// CheckDerivedSecret reports whether the secret is the client's and valid, and
	// whether it is the client's and has expired.
	CheckDerivedSecret(client *models.ClientMixin, secret string, now time.Time) (right, expired bool)
}

// SecretKeysHook is for a [DerivedSecretHook] whose keys can be named.
type SecretKeysHook interface {
	// KnowsSecretKey reports whether the method has the key with which a stored secret was
	// derived.
	KnowsSecretKey(stored string) bool
}

// KnowsSecretKey reports whether a client authentication method has the key with which a
// stored secret was derived. It is true of any other stored secret, and where no method
// says which keys it has.
func (s *Server) KnowsSecretKey(stored string) bool {
	asked := false
	for _, m := range s.methods {
		if hook, ok := m.(SecretKeysHook); ok {
			if hook.KnowsSecretKey(stored) {
				return true
			}
			asked = true
		}
	}
	return !asked || !models.IsDerivedClientSecret(stored)
}

// RequireAuthMethodMember is the member of a client's metadata that insists on its
// token_endpoint_auth_method where Config.StrictClientSecretMethod does not: true or
// false.
const RequireAuthMethodMember = "require_token_endpoint_auth_method"

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
	req.attempt = &attempt{req: req, proves: !isImplicit(method)}
	client, err := method.AuthenticateClient(ctx, req, req.attempt.limited(query))
	if err == nil && isNil(client) {
		err = &NotAuthenticated{Reason: NewReason("the credentials match no client"), Guess: true}
	}
	if err != nil {
		return s.notAuthenticated(ctx, req, err)
	}
	if !s.mayAuthenticate(client, method.AuthMethod(), req.Endpoint) {
		return s.wrongAuthMethod(req, client, method)
	}
	if !isNamed(req, client.GetClientID()) {
		return NewError(InvalidRequest, "The 'client_id' does not match the client that authenticated.").With(req.param("client_id"), slog.String("authenticated_client_id", client.GetClientID()))
	}
	req.Client, req.AuthMethod = client, method.AuthMethod()
	tell(req, func(hook ClientAuthenticatedHook) { hook.ClientAuthenticated(ctx, req) })
	return nil
}

// notAuthenticated is the answer to an error of a method. It counts a guess.
func (s *Server) notAuthenticated(ctx context.Context, req *Request, err error) error {
	var why *NotAuthenticated
	if !errors.As(err, &why) {
		return err
	}
	if why.ClientID != "" {
		req.claimed = why.ClientID
	}
	if why.Guess {
		if err := req.attempt.failed(ctx); err != nil {
			return err
		}
	}
	return s.notAClient(req, why)
}

// notAClient is the one answer to whoever is not a client.
func (s *Server) notAClient(req *Request, why *NotAuthenticated) *Error {
	return s.invalidClient(req, "The client authentication failed.").BecauseOf(why)
}

// mayAuthenticate reports whether a client may authenticate by a method. A secret in the
// header and one in the body stand for each other: clients try one, and then the other,
// whatever was registered. No other method has a stand-in.
func (s *Server) mayAuthenticate(client Client, method, endpoint string) bool {
	if client.CheckEndpointAuthMethod(method, endpoint) {
		return true
	}
	standIn := map[string]string{
		models.ClientSecretBasic: models.ClientSecretPost,
		models.ClientSecretPost:  models.ClientSecretBasic,
	}[method]
	return standIn != "" && !s.config.StrictClientSecretMethod && !AsksFor(client, RequireAuthMethodMember) && client.CheckEndpointAuthMethod(standIn, endpoint)
}

// wrongAuthMethod is the answer to a client that is not registered for the method. One
// that proved who it is learns which it is registered for.
func (s *Server) wrongAuthMethod(req *Request, client Client, method ClientAuthMethod) error {
	mayNot := func(m ClientAuthMethod) bool { return !client.CheckEndpointAuthMethod(m.AuthMethod(), req.Endpoint) }
	registered, used := namesOfMethods(slices.DeleteFunc(slices.Clone(s.methods), mayNot)), method.AuthMethod()
	failure := s.invalidClient(req, "The client is registered for the authentication method '%s', not '%s'.", registered, used)
	switch {
	case isImplicit(method):
		failure = s.invalidClient(req, "The client authentication failed.")
	case registered == "":
		failure = s.invalidClient(req, "The client is not registered for the authentication method '%s'.", used)
	}
	return failure.Because("the client is not registered for the authentication method", slog.String("auth_method", used), slog.String("registered_auth_method", registered))
}

func namesOfMethods(methods []ClientAuthMethod) string {
	names := make([]string, len(methods))
	for i, m := range methods {
		names[i] = m.AuthMethod()
	}
	return strings.Join(names, ", ")
}

func isImplicit(method ClientAuthMethod) bool { _, ok := method.(ImplicitAuthMethod); return ok }

// ClaimedClientID returns the client that the request says to come from: the name of its
// Basic header, or its client_id. It is empty where neither is there, and nothing is
// proved by it.
func (r *Request) ClaimedClientID() string {
	basic, _ := basicauth.Of(r.HTTP)
	return cmp.Or(basic.ClientID, r.Params.Get("client_id"))
}

// isNamed reports whether the request names the client wherever it names one.
func isNamed(req *Request, clientID string) bool {
	basic, _ := basicauth.Of(req.HTTP)
	inBody := req.Params.Get("client_id")
	return (inBody == "" || inBody == clientID) && (basic.ClientID == "" || basic.ClientID == clientID)
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
	explicit := func(m ClientAuthMethod) bool { return !isImplicit(m) }
	if len(presented) > 1 && slices.ContainsFunc(presented, explicit) {
		return nil, NewError(InvalidRequest, "The request uses more than one client authentication method.").With(slog.String("auth_method", namesOfMethods(presented)))
	}
	return presented, nil
}

// registeredMethod returns the one of the methods that the client is registered
// for, and how to look the client up, which has been done then.
func (s *Server) registeredMethod(ctx context.Context, req *Request, methods []ClientAuthMethod) (ClientAuthMethod, QueryClientFunc, error) {
	query := req.queryClient
	if slices.ContainsFunc(methods, func(m ClientAuthMethod) bool { return !isImplicit(m) }) {
		query = func(ctx context.Context, clientID string) (Client, error) {
			return req.queryClient(FreshClients(ctx), clientID)
		}
	}
	if len(methods) == 1 {
		return methods[0], query, nil
	}
	client, err := query(ctx, req.ClaimedClientID())
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
func (s *Server) invalidClient(req *Request, description string, args ...any) *Error {
	failure := NewError(InvalidClient, description, args...)
	if req.HTTP.Header.Get("Authorization") != "" || req.Params.Get("client_id") == "" {
		failure.Status = http.StatusUnauthorized
		failure.Header = http.Header{"Www-Authenticate": {header.Challenge("Basic", "realm", s.config.Issuer, "charset", "UTF-8")}}
	}
	return failure
}
