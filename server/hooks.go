package server

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"time"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/storage"
)

// A hook is a small interface with one method, whose name no other hook has. A value is
// registered once, with [Server.Register] for every request or with [Server.RegisterGrant] as
// an extension of one grant, and serves every hook that it implements. A grant is itself a
// hook value.

// ObserveHook is told of every request to an endpoint, whatever its outcome: for logs, traces and
// metrics. Register it with [Server.Register], since it is called before the grant is known.
type ObserveHook interface {
	// ObserveRequest is called when a request begins. endpoint is "token"; "authorization" for a
	// decision that is answered; "authorization_page" for a request that is checked before its
	// page is shown; the name of an endpoint or a page, such as "revocation" or "device";
	// "resource" for a token at a protected API; or "unknown". The request, including its
	// queries, runs with the context that ObserveRequest returns. The returned function, if not
	// nil, is called once when the request ends, even if a handler panics.
	ObserveRequest(ctx context.Context, endpoint string) (context.Context, func(Observation))
}

// ResolveRequestHook replaces a request_uri or request object by the authorization request
// parameters it stands for, before anything else is checked. Its errors are shown to the user,
// because the client is not known yet.
type ResolveRequestHook interface {
	ResolveAuthorizationRequest(ctx context.Context, req *Request) error
}

// KeepRequestHook stores authorization requests that clients sent by POST and that are too long
// for a URL. From then on, including through sign-in, a request_uri takes the place of the
// parameters.
type KeepRequestHook interface {
	// KeepAuthorizationRequest stores the parameters for a short time and returns the request_uri
	// that stands for them. Like that of a pushed request, it is good for one decision: an
	// [AuthorizationDecisionHook] spends what [Request.KeptRequestURI] returns.
	KeepAuthorizationRequest(ctx context.Context, req *Request, parameters url.Values) (requestURI string, err error)
	// KeptAuthorizationRequest returns the parameters that the request's request_uri stands for,
	// or nil if it is a request_uri of another kind.
	KeptAuthorizationRequest(ctx context.Context, req *Request) (url.Values, error)
}

// SubjectHook supplies a user's subject identifier for a client, where it differs from the user's
// id (OpenID Connect Core section 8.1).
type SubjectHook interface {
	// ClientSubject returns the subject identifier, or "" if it is the user's id.
	ClientSubject(client storage.Client, userID string) string
}

// InteractionHook influences what the page has to do. It calls methods of the consent grant,
// where the order of the hooks does not matter, or refuses the request.
type InteractionHook interface {
	PrepareInteraction(ctx context.Context, req *Request, consent *ConsentGrant) error
}

// AuthorizationDecisionHook is called once the user has decided on an authorization request,
// before anything is issued. It passes whatever the decision spends to [Request.Spend].
type AuthorizationDecisionHook interface {
	DecideAuthorizationRequest(ctx context.Context, req *Request) error
}

// AuthorizationRequestHook checks an authorization request, before the user is asked for consent
// and again before the request is answered. The client, redirect URI, response type and scope
// have already been checked. An *Error is delivered to the client.
type AuthorizationRequestHook interface {
	CheckAuthorizationRequest(ctx context.Context, req *Request) error
}

// CodeChallengeHook is implemented by a profile under which every client needs a challenge.
type CodeChallengeHook interface {
	// RequiresCodeChallenge reports whether every client needs a challenge, regardless of
	// Config.PKCE and the client's model.
	RequiresCodeChallenge() bool
}

// IDTokenHook says which requests are answered with an ID token, in which the client can check
// its 'nonce'.
type IDTokenHook interface {
	// IssuesIDTokens reports whether a request with the scope is answered with one.
	IssuesIDTokens(scope string) bool
}

// AuthorizationCodeHook completes the record of a code before it is stored.
type AuthorizationCodeHook interface {
	PrepareAuthorizationCode(ctx context.Context, req *Request, record *models.AuthorizationCodeMixin) error
}

// PushedRequestHook completes the record of a pushed authorization request (RFC
// 9126) before it is stored.
type PushedRequestHook interface {
	PreparePushedRequest(ctx context.Context, req *Request, record *models.PushedRequestMixin) error
}

// AuthorizationResponseHook adds parameters to a successful authorization
// response.
type AuthorizationResponseHook interface {
	PrepareAuthorizationResponse(ctx context.Context, req *Request, response map[string][]string) error
}

// ResponseModeHook adds response modes that wrap the response, such as those of JARM. The modes
// are the hook's suffix itself, and each of the engine's modes with the suffix, such as
// "form_post.jwt".
type ResponseModeHook interface {
	// ResponseModeSuffix returns the suffix, without the dot.
	ResponseModeSuffix() string
	// WrapAuthorizationResponse returns the parameters that are sent instead of the response's.
	WrapAuthorizationResponse(ctx context.Context, req *Request, response url.Values) (url.Values, error)
}

// IssuanceHook checks a token request before anything is issued. The engine has checked that the
// credential belongs to the client and is still valid; it checks the user and the scope
// afterwards.
type IssuanceHook interface {
	CheckIssuance(ctx context.Context, req *Request, issuance *Issuance) error
}

// TokenHook completes the record of a token before its access token is generated.
type TokenHook interface {
	PrepareToken(ctx context.Context, req *Request, record *models.TokenMixin) error
}

// TokenResponseHook completes a token response before anything is stored.
type TokenResponseHook interface {
	PrepareTokenResponse(ctx context.Context, req *Request, record *models.TokenMixin, response *TokenResponse) error
}

// RepeatableParametersHook names parameters that a request may repeat, such as resource (RFC
// 8707). Any other repeated parameter is refused (RFC 6749 section 3.1).
type RepeatableParametersHook interface {
	RepeatableParameters() []string
}

// IntrospectionHook adds members to the introspection response for an active token (RFC 7662
// section 2.2).
type IntrospectionHook interface {
	PrepareIntrospection(ctx context.Context, req *Request, token *storage.StoredToken, response map[string]any) error
}

// MetadataHook is implemented by a grant, an extension, an endpoint or a client authentication
// method that adds to the server's metadata.
type MetadataHook interface {
	PrepareMetadata(s *Server, metadata Metadata)
}

// DiagnoseHook is implemented by a grant, an extension, an endpoint, a client authentication
// method or another value of the program that can report problems of its own, such as a setting
// that is allowed but rarely intended. What can never work is refused by a [ConfigChecker]
// instead.
type DiagnoseHook interface {
	// Diagnose returns the problems found, nil if there are none. It changes nothing.
	Diagnose(ctx context.Context, s *Server) finding.List
}

// ClientLookupHook finds clients outside the program's storage, or not only there, such as those
// of client metadata documents.
type ClientLookupHook interface {
	// LookUpClient is called at every lookup of a client. found is what Config.QueryClient or an
	// earlier hook returned, or nil. LookUpClient returns found, another client in its place, or
	// nil for none. An error means that the lookup failed, not that there is no such client; the
	// exception is a [*reason.Reason], which means that there is no such client and says why in the log.
	LookUpClient(ctx context.Context, s *Server, clientID string, found storage.Client) (storage.Client, error)
}

// ClientMetadataHook checks the metadata of every client before it is stored, after the checks
// that apply to all clients; see [Server.CheckClient].
type ClientMetadataHook interface {
	// ClientMetadataMembers returns the members beyond RFC 7591 that the hook understands.
	// Members that no hook understands are dropped when a client registers itself.
	ClientMetadataMembers() []string
	// CheckClientMetadata may change the metadata, or refuse it.
	CheckClientMetadata(ctx context.Context, req *Request, metadata *models.ClientMetadata) error
}

// AssertionHook decides whether to accept an assertion that is addressed to this server and
// current (RFC 7523), before its signature is verified. Its error, such as a [*reason.Reason], says why
// not.
type AssertionHook interface {
	CheckAssertion(req *Request, assertion *assertion.Assertion) error
}

// RequestObjectHook is implemented by a profile that has stricter rules for request objects (RFC
// 9101).
type RequestObjectHook interface {
	// HoldsRequestObjectsStrictly reports whether a request object must have an 'exp' within the
	// hour and an 'iat' or 'nbf', and is good for one decision only.
	HoldsRequestObjectsStrictly() bool
}

// PublishedKeysHook is implemented by a value whose signatures others verify. The server
// publishes its keys in the document "jwks", unless an endpoint of that name is registered.
type PublishedKeysHook interface {
	// PublishedKeys returns the signing keys, or nil if nothing is signed.
	PublishedKeys() jwk.SigningKeys
}

// RegistrationHook enforces rules on the configuration of the whole server.
type RegistrationHook interface {
	// CheckRegistration is called after each registration, including the hook's own, and checks
	// the server as it is then configured. If it returns an error, which should name what to
	// write instead, nothing is registered.
	CheckRegistration(s *Server) error
}

// RegisteredHook is told that a server uses it, so that it can keep what it needs of that server.
// A [ConfigChecker] and a [RegistrationHook] change nothing, because a server may still refuse the
// value.
type RegisteredHook interface {
	// Registered is called after each registration that succeeded, including the hook's own.
	Registered(s *Server)
}

// ClientAuthenticatedHook is called for every client that authenticated. The request may still be
// refused afterwards: whether an assertion was used before is only found when the request is
// answered.
type ClientAuthenticatedHook interface {
	ClientAuthenticated(ctx context.Context, req *Request)
}

// TokenIssuedHook is called for every token after it has been stored.
type TokenIssuedHook interface {
	TokenIssued(ctx context.Context, req *Request, record *models.TokenMixin)
}

// TokenRevokedHook is called for every revocation after it has been stored: once for each grant,
// client or user whose grants end. For a revocation by storage itself, such as one that follows
// from a withdrawn consent, the request has its Server and possibly nothing else.
type TokenRevokedHook interface {
	TokenRevoked(ctx context.Context, req *Request, revocation Revocation)
}

// The hooks below describe one grant, endpoint or client authentication method. The engine asks
// only that value, so [Server.Register] does not accept a value for them alone.

// DefaultExtensionsHook is implemented by a grant that is not secure by itself. The extensions it
// returns are registered with it, except those for which the program registers one of the same
// type.
type DefaultExtensionsHook interface {
	DefaultExtensions() []any
}

// AuthMethodHook is implemented by a grant that only clients with certain authentication methods
// may use.
type AuthMethodHook interface {
	CheckAuthMethod(method string) bool
}

// RedeemedByHook is implemented by a value that issues credentials which clients exchange at the
// token endpoint by a particular grant. The doctor reports it if that grant is not registered.
type RedeemedByHook interface {
	// RedeemedBy returns the grant_type that exchanges the credential, such as
	// "authorization_code".
	RedeemedBy() string
}

// ClientSecretHook is implemented by a client authentication method whose secrets are not plain
// random strings.
type ClientSecretHook interface {
	// NewClientSecret returns a secret, and the form in which it is stored.
	NewClientSecret(clientID string) (secret, stored string)
}

// DerivedSecretHook is implemented by a client authentication method that derives the secrets of
// its clients and stores none of them.
type DerivedSecretHook interface {
	// CheckDerivedSecret reports whether the secret is the client's and valid (right), or is the
	// client's but has expired (expired).
	CheckDerivedSecret(client *models.ClientMixin, secret string, now time.Time) (right, expired bool)
}

// SecretKeysHook is implemented by a [DerivedSecretHook] that can tell which keys it has.
type SecretKeysHook interface {
	// KnowsSecretKey reports whether the method has the key from which a stored secret was
	// derived.
	KnowsSecretKey(stored string) bool
}

// Revocation says what was revoked, and why.
type Revocation struct {
	// GrantID is the grant that ended together with everything issued from it, or the grant of
	// the one token that was revoked. It is empty if all grants of a client or a user ended.
	GrantID string
	// ClientID is the client whose grant it was, or all of whose grants ended. It is empty if the
	// client is not known, or if a user's grants ended for all clients.
	ClientID string
	// UserID is the user whose grant it was, or all of whose grants ended, for ClientID if that
	// is set. It is empty if the user is not known, or if a client's grants ended.
	UserID string
	// Reason is why: [RevokedByRequest], [RevokedByReuse] and so on.
	Reason string
	// Token is the token that was presented, or nil if none was loaded.
	Token *storage.StoredToken
	// AccessTokenOnly is true if the refresh token remains valid.
	AccessTokenOnly bool
	// Reuse is true if the engine revoked the grant because a code or refresh token was presented
	// a second time.
	Reuse bool
}

// The reasons of a [Revocation].
const (
	// RevokedByRequest is a revocation that the client requested (RFC 7009).
	RevokedByRequest = "request"
	// RevokedByReuse is a revocation because a code or refresh token was presented again.
	RevokedByReuse = "reuse"
	// RevokedBySession is a revocation because the session of the grant ended.
	RevokedBySession = "session"
	// RevokedByConsent is a revocation because the user withdrew consent.
	RevokedByConsent = "consent"
	// RevokedByClient is the revocation of all grants of a client.
	RevokedByClient = "client"
	// RevokedByDeletion is a revocation because the client was deleted.
	RevokedByDeletion = "client_deleted"
	// RevokedByUser is the revocation of all grants of a user.
	RevokedByUser = "user"
	// RevokedByErasure is a revocation because the user was erased.
	RevokedByErasure = "erasure"
)

// RevocationSource is storage that revokes by itself, such as when a consent is withdrawn. The
// value that uses the storage names the server whose hooks are told.
type RevocationSource interface {
	TellRevocationsTo(s *Server)
}

// TellRevocations registers the server with storage that is a [RevocationSource], so that the
// server's hooks are told of what the storage revokes by itself. Other storage is ignored.
func (s *Server) TellRevocations(storage any) {
	if source, ok := storage.(RevocationSource); ok {
		source.TellRevocationsTo(s)
	}
}

func isHook(value any) bool {
	switch value.(type) {
	case ObserveHook, ResolveRequestHook, KeepRequestHook, SubjectHook, InteractionHook,
		AuthorizationDecisionHook, AuthorizationRequestHook, CodeChallengeHook, IDTokenHook,
		AuthorizationCodeHook, PushedRequestHook, AuthorizationResponseHook, ResponseModeHook,
		IssuanceHook, TokenHook, TokenResponseHook, RepeatableParametersHook, IntrospectionHook,
		MetadataHook, DiagnoseHook, ClientLookupHook, ClientMetadataHook, AssertionHook,
		RequestObjectHook, PublishedKeysHook, RegistrationHook, RegisteredHook,
		ClientAuthenticatedHook, TokenIssuedHook, TokenRevokedHook:
		return true
	default:
		return false
	}
}

// each calls f with every registered value that implements the hook H: first the grant that
// answers the request, then its extensions, the server's extensions, the endpoints and the client
// authentication methods. It stops at the first error.
func each[H any](req *Request, f func(H) error) error {
	for _, values := range [3][]any{req.extensions, req.Server.extensions, req.Server.otherHooks} {
		for _, value := range values {
			if hook, ok := value.(H); ok {
				if err := f(hook); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// tell is each for hooks that cannot fail.
func tell[H any](req *Request, f func(H)) {
	_ = each(req, func(hook H) error { f(hook); return nil })
}

// anyHook reports whether says is true of one of the server's hooks.
func (s *Server) anyHook(says func(hook any) bool) bool {
	return slices.ContainsFunc(s.extensions, says) || slices.ContainsFunc(s.otherHooks, says)
}

// HoldsRequestObjectsStrictly reports whether a registered profile requires strict request
// objects; see [RequestObjectHook].
func (s *Server) HoldsRequestObjectsStrictly() bool {
	return s.anyHook(func(hook any) bool { h, ok := hook.(RequestObjectHook); return ok && h.HoldsRequestObjectsStrictly() })
}

// PrepareAuthorizationCode runs the hooks that complete the record of a code. A grant calls it
// before it stores a code.
func (r *Request) PrepareAuthorizationCode(ctx context.Context, record *models.AuthorizationCodeMixin) error {
	return each(r, func(hook AuthorizationCodeHook) error { return hook.PrepareAuthorizationCode(ctx, r, record) })
}

// PreparePushedRequest runs the hooks that complete the record of a pushed request. An endpoint
// calls it before it stores one.
func (r *Request) PreparePushedRequest(ctx context.Context, record *models.PushedRequestMixin) error {
	return each(r, func(hook PushedRequestHook) error { return hook.PreparePushedRequest(ctx, r, record) })
}

// Subject returns the user's subject identifier for a client: the user's id, unless a
// [SubjectHook] returns another.
func (s *Server) Subject(client storage.Client, userID string) string {
	subject := ""
	tell(&Request{Server: s}, func(hook SubjectHook) { subject = cmp.Or(subject, hook.ClientSubject(client, userID)) })
	return cmp.Or(subject, userID)
}

// PrepareIntrospection runs the hooks that add to an introspection response.
func (r *Request) PrepareIntrospection(ctx context.Context, token *storage.StoredToken, response map[string]any) error {
	return each(r, func(hook IntrospectionHook) error { return hook.PrepareIntrospection(ctx, r, token, response) })
}

// TokenRevoked tells the hooks of a revocation. An endpoint calls it after it has revoked
// something.
func (r *Request) TokenRevoked(ctx context.Context, revocation Revocation) {
	tell(r, func(hook TokenRevokedHook) { hook.TokenRevoked(ctx, r, revocation) })
}
