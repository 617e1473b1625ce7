package server

import (
	"cmp"
	"context"
	"net/url"
	"slices"

	"github.com/gormoauth/gormoauth/models"
)

// A hook is a small interface with a method name of its own. A value is
// registered once, with [Server.Register] for everything or as an extension of
// one grant with [Server.RegisterGrant], and is used for every hook that it
// implements. A grant is a hook value itself.

// ObserveHook is told of every request to an endpoint, whatever becomes of it:
// for logs, traces and metrics. It is registered with [Server.Register], as it
// begins before the grant is known.
type ObserveHook interface {
	// ObserveRequest is called when a request begins. endpoint is "token",
	// "authorization" for a decision that is answered, "authorization_page" for a
	// request that is looked at before it is shown, the name of an endpoint or of
	// a page, such as "revocation" and "device", "resource" for a token at a
	// protected API, or "unknown". Everything below runs with the context that it
	// returns, queries included. The function, if it is not nil, is called once
	// when the request ends, also where a handler panics.
	ObserveRequest(ctx context.Context, endpoint string) (context.Context, func(Observation))
}

// ResolveRequestHook puts the parameters of an authorization request in the
// place of what stands for it, such as a request_uri, before anything else is
// looked at. Its errors are for the person: the client is not known yet.
type ResolveRequestHook interface {
	ResolveAuthorizationRequest(ctx context.Context, req *Request) error
}

// KeepRequestHook keeps authorization requests that clients have posted and that are
// too long for an address. What travels on, also through sign-in, is a request_uri.
type KeepRequestHook interface {
	// KeepAuthorizationRequest stores the parameters for a short time, and returns the
	// request_uri that stands for them. It is good for one decision, as a pushed one is:
	// an [AuthorizationDecisionHook] uses up what [Request.KeptRequestURI] returns.
	KeepAuthorizationRequest(ctx context.Context, req *Request, parameters url.Values) (requestURI string, err error)
	// KeptAuthorizationRequest returns the parameters that the request's request_uri
	// stands for, nil where it is of another kind.
	KeptAuthorizationRequest(ctx context.Context, req *Request) (url.Values, error)
}

// SubjectHook says by what a client knows a user where that is not the user's id
// (OpenID Connect Core section 8.1).
type SubjectHook interface {
	// ClientSubject returns the subject, or nothing when it is the user's id.
	ClientSubject(client Client, userID string) string
}

// AuthorizationDecisionHook is asked once the user has decided on an
// authorization request, before anything is issued. What the decision uses up it hands to
// [Request.Spend].
type AuthorizationDecisionHook interface {
	DecideAuthorizationRequest(ctx context.Context, req *Request) error
}

// AuthorizationRequestHook checks an authorization request, before consent is
// asked and again before it is answered. The client, redirect URI, response
// type and scope have been checked. An *Error is delivered to the client.
type AuthorizationRequestHook interface {
	CheckAuthorizationRequest(ctx context.Context, req *Request) error
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

// IssuanceHook checks what a token request is about to be given. That the
// credential is the client's and alive has been checked; the user and the
// scope are checked afterwards.
type IssuanceHook interface {
	CheckIssuance(ctx context.Context, req *Request, issuance *Issuance) error
}

// TokenHook completes the record of a token before its access token is
// generated.
type TokenHook interface {
	PrepareToken(ctx context.Context, req *Request, record *models.TokenMixin) error
}

// TokenResponseHook completes a token response before anything is stored.
type TokenResponseHook interface {
	PrepareTokenResponse(ctx context.Context, req *Request, record *models.TokenMixin, response *TokenResponse) error
}

// RepeatableParametersHook names parameters that a request may hold more than
// once, such as resource (RFC 8707). Any other repeated one is refused
// (RFC 6749 section 3.1).
type RepeatableParametersHook interface {
	RepeatableParameters() []string
}

// IntrospectionHook adds members to what introspection tells of an active
// token (RFC 7662 section 2.2).
type IntrospectionHook interface {
	PrepareIntrospection(ctx context.Context, req *Request, token *StoredToken, response map[string]any) error
}

// ClientLookupHook finds clients that are not, or not only, in the program's storage,
// such as those of metadata documents.
type ClientLookupHook interface {
	// LookUpClient is asked at every look-up of a client. found is what
	// Config.QueryClient or a hook before returned, nil for none; the hook returns
	// that, another client in its place, or nil. An error is a failure and never "not
	// found", but for a [*Reason]: there is no such client, and the log has why.
	LookUpClient(ctx context.Context, s *Server, clientID string, found Client) (Client, error)
}

// ClientMetadataHook checks the metadata of every client before it is stored, after
// what all clients have in common; see [Server.CheckClient].
type ClientMetadataHook interface {
	// ClientMetadataMembers are members beyond RFC 7591 that the hook
	// understands. Of a client that registers itself others are dropped.
	ClientMetadataMembers() []string
	// CheckClientMetadata may change the metadata, or refuse it.
	CheckClientMetadata(ctx context.Context, req *Request, metadata *models.ClientMetadata) error
}

// AssertionHook is asked whether an assertion will do that is for this server and
// current (RFC 7523), before its signature is verified. Its error is why it will not, such
// as a [*Reason].
type AssertionHook interface {
	CheckAssertion(req *Request, assertion *Assertion) error
}

// RequestObjectHook is for a profile that asks more of request objects (RFC 9101).
type RequestObjectHook interface {
	// HoldsRequestObjectsStrictly reports whether they must name their time, end soon,
	// and are good for one decision.
	HoldsRequestObjectsStrictly() bool
}

// PublishedKeysHook is for a value that signs what others verify. The server publishes
// its keys in the document "jwks", unless an endpoint of that name is registered.
type PublishedKeysHook interface {
	// PublishedKeys returns the keys that sign, nil where nothing is signed.
	PublishedKeys() SigningKeys
}

// RegistrationHook holds the whole server to rules of its own.
type RegistrationHook interface {
	// CheckRegistration is asked after each registration, the hook's own included,
	// whether the server may be as it is now. On an error, which names what to write
	// instead, nothing is registered.
	CheckRegistration(s *Server) error
}

// ClientAuthenticatedHook is told of every client that authenticated. That its assertion was
// used before is found when the request is answered, and refuses it all the same.
type ClientAuthenticatedHook interface {
	ClientAuthenticated(ctx context.Context, req *Request)
}

// TokenIssuedHook is told of every token after it was stored.
type TokenIssuedHook interface {
	TokenIssued(ctx context.Context, req *Request, record *models.TokenMixin)
}

// TokenRevokedHook is told of every revocation after it was stored: once for each grant,
// client or user that ends. What storage ends by itself, such as all that came of a
// consent, it tells with a request that has a server and may have nothing else.
type TokenRevokedHook interface {
	TokenRevoked(ctx context.Context, req *Request, revocation Revocation)
}

// Revocation says what was revoked, and why.
type Revocation struct {
	// GrantID is the grant that ended with all that came of it, or that the one token
	// belonged to; empty where all grants of a client or of a user ended.
	GrantID string
	// ClientID is the client whose grant it was, or all of whose grants ended; empty where
	// it is not known, or where a user's grants ended at all clients.
	ClientID string
	// UserID is the user whose grant it was, or all of whose grants ended, at the client if
	// there is one; empty where it is not known, or where a client's grants ended.
	UserID string
	// Reason is why: [RevokedByRequest], [RevokedByReuse] and so on.
	Reason string
	// Token is the token that was presented, nil when none was loaded.
	Token *StoredToken
	// AccessTokenOnly is true when the refresh token lives on.
	AccessTokenOnly bool
	// Reuse is true when the engine revoked the grant because a code or
	// refresh token was presented a second time.
	Reuse bool
}

// Why something was revoked.
const (
	// RevokedByRequest is a client that asked for it (RFC 7009).
	RevokedByRequest = "request"
	// RevokedByReuse is a code or refresh token that was presented again.
	RevokedByReuse = "reuse"
	// RevokedBySession is a session that ended, and the grant with it.
	RevokedBySession = "session"
	// RevokedByConsent is a user who took back what a client was allowed.
	RevokedByConsent = "consent"
	// RevokedByClient is a client all of whose grants were revoked.
	RevokedByClient = "client"
	// RevokedByDeletion is a client that was deleted.
	RevokedByDeletion = "client_deleted"
	// RevokedByUser is a user all of whose grants were revoked.
	RevokedByUser = "user"
	// RevokedByErasure is a user who was erased.
	RevokedByErasure = "erasure"
)

// RevocationSource is storage that revokes by itself, such as where a consent is taken
// back. What uses it names the server to it whose hooks are to be told.
type RevocationSource interface {
	TellRevocationsTo(s *Server)
}

// TellRevocations has a storage tell the server's hooks of what it revokes by itself, if it
// can.
func (s *Server) TellRevocations(storage any) {
	if source, ok := storage.(RevocationSource); ok {
		source.TellRevocationsTo(s)
	}
}

// OnClientAuthenticated makes a function a [ClientAuthenticatedHook].
type OnClientAuthenticated func(ctx context.Context, req *Request)

// ClientAuthenticated calls the function.
func (f OnClientAuthenticated) ClientAuthenticated(ctx context.Context, req *Request) { f(ctx, req) }

// OnTokenIssued makes a function a [TokenIssuedHook].
type OnTokenIssued func(ctx context.Context, req *Request, record *models.TokenMixin)

// TokenIssued calls the function.
func (f OnTokenIssued) TokenIssued(ctx context.Context, req *Request, record *models.TokenMixin) {
	f(ctx, req, record)
}

// OnTokenRevoked makes a function a [TokenRevokedHook].
type OnTokenRevoked func(ctx context.Context, req *Request, revocation Revocation)

// TokenRevoked calls the function.
func (f OnTokenRevoked) TokenRevoked(ctx context.Context, req *Request, revocation Revocation) {
	f(ctx, req, revocation)
}

func isHook(value any) bool {
	switch value.(type) {
	case IDTokenHook, CodeChallengeHook, RequestObjectHook, PublishedKeysHook,
		ObserveHook, ResolveRequestHook, KeepRequestHook, ResponseModeHook, InteractionHook, SubjectHook, AuthorizationDecisionHook, AuthorizationRequestHook, AuthorizationCodeHook, AuthorizationResponseHook, IssuanceHook, TokenHook,
		PushedRequestHook, TokenResponseHook, RepeatableParametersHook, IntrospectionHook, MetadataHook, DiagnoseHook, ClientLookupHook, ClientMetadataHook, AssertionHook, RegistrationHook, ClientAuthenticatedHook, TokenIssuedHook, TokenRevokedHook:
		return true
	default:
		return false
	}
}

// each calls f with every registered value that implements the hook H: the
// grant that answers the request, its extensions, then the server's, endpoints
// and client authentication methods. The first error ends it.
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

// anyHook reports whether one of the server's hooks says so.
func (s *Server) anyHook(says func(hook any) bool) bool {
	return slices.ContainsFunc(s.extensions, says) || slices.ContainsFunc(s.otherHooks, says)
}

// HoldsRequestObjectsStrictly reports whether a profile asks for strict request objects, see
// [RequestObjectHook].
func (s *Server) HoldsRequestObjectsStrictly() bool {
	return s.anyHook(func(hook any) bool { h, ok := hook.(RequestObjectHook); return ok && h.HoldsRequestObjectsStrictly() })
}

// PrepareAuthorizationCode runs the hooks that complete the record of a code.
// A grant calls it before it stores one.
func (r *Request) PrepareAuthorizationCode(ctx context.Context, record *models.AuthorizationCodeMixin) error {
	return each(r, func(hook AuthorizationCodeHook) error { return hook.PrepareAuthorizationCode(ctx, r, record) })
}

// PreparePushedRequest runs the hooks that complete the record of a pushed request.
// An endpoint calls it before it stores one.
func (r *Request) PreparePushedRequest(ctx context.Context, record *models.PushedRequestMixin) error {
	return each(r, func(hook PushedRequestHook) error { return hook.PreparePushedRequest(ctx, r, record) })
}

// Subject returns by what a client knows a user: the user's id, unless a hook says
// something else.
func (s *Server) Subject(client Client, userID string) string {
	subject := ""
	tell(&Request{Server: s}, func(hook SubjectHook) { subject = cmp.Or(subject, hook.ClientSubject(client, userID)) })
	return cmp.Or(subject, userID)
}

// PrepareIntrospection runs the hooks that add to what introspection tells.
func (r *Request) PrepareIntrospection(ctx context.Context, token *StoredToken, response map[string]any) error {
	return each(r, func(hook IntrospectionHook) error { return hook.PrepareIntrospection(ctx, r, token, response) })
}

// TokenRevoked tells the hooks of a revocation. An endpoint calls it after it
// revoked something.
func (r *Request) TokenRevoked(ctx context.Context, revocation Revocation) {
	tell(r, func(hook TokenRevokedHook) { hook.TokenRevoked(ctx, r, revocation) })
}
