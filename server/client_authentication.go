package server

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// ClientAuthMethod is one way for a client to authenticate (RFC 6749 section 2.3).
type ClientAuthMethod interface {
	// AuthMethod returns the method's name, as clients register it.
	AuthMethod() string
	// Presented reports whether the request carries credentials for this method. A request with
	// credentials for two methods is refused.
	Presented(req *Request) bool
	// AuthenticateClient returns the client that the credentials belong to. If they belong to no
	// client, the error is a [*NotAuthenticated]; returning a nil client and no error has the
	// same effect and counts as a guess. Credentials that can be used only once are passed to
	// [Request.Spend].
	AuthenticateClient(ctx context.Context, req *Request, query storage.QueryClientFunc) (storage.Client, error)
}

// NotAuthenticated is the error of a request that did not authenticate a client. The answer is
// invalid_client, the same for every reason; the reason goes to the log.
type NotAuthenticated struct {
	// Reason is why, for example a [*reason.Reason].
	Reason error
	// ClientID is the client that the request claims to be, if the method knows it without
	// looking the client up.
	ClientID string
	// Guess reports whether the request carried a wrong secret or signature. Only these are
	// counted, see Config.FailedAuthentications.
	Guess bool
}

// Error returns the reason.
func (e *NotAuthenticated) Error() string { return e.Reason.Error() }

// Unwrap returns the reason.
func (e *NotAuthenticated) Unwrap() error { return e.Reason }

// ImplicitAuthMethod is a method that adds nothing to a request except the client_id: "none" has
// nothing to add, and a certificate comes with the connection. If several apply, the one that the
// client is registered for is used.
type ImplicitAuthMethod interface {
	ClientAuthMethod
	ImpliedByRegistration()
}

// NewClientSecret returns a secret for a client that authenticates by the method, to be shown
// once, and the form in which it is stored. Both are empty if the method has no secrets.
func (s *Server) NewClientSecret(authMethod, clientID string) (plaintext, stored string) {
	for _, m := range s.methods {
		if hook, ok := m.(ClientSecretHook); ok && m.AuthMethod() == authMethod {
			return hook.NewClientSecret(clientID)
		}
	}
	if !models.UsesClientSecret(authMethod) {
		return "", ""
	}
	plaintext = s.GenerateSecret(secret.ClientSecret)
	return plaintext, models.HashClientSecret(plaintext)
}

// KnowsSecretKey reports whether a client authentication method has the key from which a stored
// secret was derived. It returns true for a stored secret of any other form, and if no method can
// tell which keys it has.
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

// authenticateClient authenticates the client of a request, before anything else is checked.
func (s *Server) authenticateClient(ctx context.Context, req *Request) error {
	methods, err := s.presentedMethods(req)
	if err != nil {
		return err
	}
	if len(methods) == 0 {
		return s.invalidClient(req, "The request has no client authentication.")
	}
	req.attempt = &attempt{req: req, fresh: slices.ContainsFunc(methods, isExplicit)}
	method, err := req.attempt.choose(ctx, methods)
	if err != nil {
		return err
	}
	client, err := method.AuthenticateClient(ctx, req, req.attempt.queryClient)
	if err == nil && isNil(client) {
		err = &NotAuthenticated{Reason: reason.New("the credentials match no client"), Guess: true}
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

// notAuthenticated returns the answer to an error of a method, and counts a guess.
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

// notAClient returns the one answer to any request that did not authenticate a client.
func (s *Server) notAClient(req *Request, why *NotAuthenticated) *Error {
	return s.invalidClient(req, "The client authentication failed.").BecauseOf(why)
}

// mayAuthenticate reports whether a client may authenticate by a method. client_secret_basic and
// client_secret_post stand in for each other, because many clients try one and then the other,
// whatever was registered. No other method has a stand-in.
func (s *Server) mayAuthenticate(client storage.Client, method, endpoint string) bool {
	if client.CheckEndpointAuthMethod(method, endpoint) {
		return true
	}
	standIn := map[string]string{
		models.ClientSecretBasic: models.ClientSecretPost,
		models.ClientSecretPost:  models.ClientSecretBasic,
	}[method]
	return standIn != "" && !s.config.StrictClientSecretMethod && !clientmeta.AsksFor(client, clientmeta.RequireAuthMethod) && client.CheckEndpointAuthMethod(standIn, endpoint)
}

// wrongAuthMethod returns the answer to a client that is not registered for the method. Only a
// client that proved its identity is told which method it is registered for.
func (s *Server) wrongAuthMethod(req *Request, client storage.Client, method ClientAuthMethod) error {
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

func isExplicit(method ClientAuthMethod) bool { return !isImplicit(method) }

// ClaimedClientID returns the client id in the request: the user name of its Basic header, or its
// client_id. It returns "" if the request has neither. The claim is not proved.
func (r *Request) ClaimedClientID() string {
	clientID, _, _ := r.BasicCredentials()
	return cmp.Or(clientID, r.Params.Get("client_id"))
}

// BasicCredentials returns the client id and secret of the request's Basic header (RFC 6749
// section 2.3.1). secrets are the secret's possible spellings: RFC 6749 requires it to be
// form-urlencoded, and many clients send it as it is. secrets is nil if the header has none. ok
// is false if the request has no Basic header, or a malformed one.
func (r *Request) BasicCredentials() (clientID string, secrets []string, ok bool) {
	if !r.basic.read {
		r.basic = readBasic(r.HTTP)
	}
	return r.basic.clientID, r.basic.secrets, r.basic.ok
}

type basicCredentials struct {
	clientID string
	secrets  []string
	ok       bool
	read     bool
}

func readBasic(r *http.Request) basicCredentials {
	name, password, ok := r.BasicAuth()
	basic := basicCredentials{clientID: decoded(name), ok: ok, read: true}
	if password != "" {
		basic.secrets = slices.Compact([]string{decoded(password), password})
	}
	return basic
}

func decoded(text string) string {
	if d, err := url.QueryUnescape(text); err == nil {
		return d
	}
	return text
}

// isNamed reports whether the request gives this client id wherever it gives one.
func isNamed(req *Request, clientID string) bool {
	inHeader, _, _ := req.BasicCredentials()
	inBody := req.Params.Get("client_id")
	return (inBody == "" || inBody == clientID) && (inHeader == "" || inHeader == clientID)
}

// presentedMethods returns the methods whose credentials the request may carry: more than one
// only if all of them are implicit. Any other request with several is refused (RFC 6749 section
// 2.3).
func (s *Server) presentedMethods(req *Request) (presented []ClientAuthMethod, err error) {
	for _, m := range s.methods {
		if m.Presented(req) {
			presented = append(presented, m)
		}
	}
	if len(presented) > 1 && slices.ContainsFunc(presented, isExplicit) {
		return nil, NewError(InvalidRequest, "The request uses more than one client authentication method.").With(slog.String("auth_method", namesOfMethods(presented)))
	}
	return presented, nil
}

// invalidClient returns an invalid_client error. Its status is 401 with a challenge if the client
// used the Authorization header or no credentials at all, and 400 if the credentials were in the
// body (RFC 6749 section 5.2). It never distinguishes an unknown client from a wrong secret.
func (s *Server) invalidClient(req *Request, description string, args ...any) *Error {
	failure := NewError(InvalidClient, description, args...)
	if req.HTTP.Header.Get("Authorization") != "" || req.Params.Get("client_id") == "" {
		failure.Status = http.StatusUnauthorized
		failure.Header = http.Header{"Www-Authenticate": {header.Challenge("Basic", "realm", s.config.Issuer, "charset", "UTF-8")}}
	}
	return failure
}

// CheckAssertion returns nil if an assertion is valid at the request's time and this server is its
// only audience, see [assertion.Assertion.CheckFor]. An [AssertionHook] may check more. The error is a
// [*reason.Reason].
func (r *Request) CheckAssertion(a *assertion.Assertion) error {
	if err := a.CheckFor(r.Time, r.Server.Issuer(), r.Server.EndpointURL(tokenEndpoint), r.Server.EndpointURL(r.Endpoint)); err != nil {
		return err
	}
	return each(r, func(hook AssertionHook) error { return hook.CheckAssertion(r, a) })
}
