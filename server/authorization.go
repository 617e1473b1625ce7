package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/clientrules"
	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/internal/logtext"
	"github.com/gormoauth/gormoauth/internal/wordlist"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

// ConsentGrant is a valid authorization request, for the page that asks the user for consent.
type ConsentGrant struct {
	// Client is the client that asks.
	Client storage.Client
	// User is the user who is asked, nil if nobody has signed in yet.
	User storage.User
	// Scope is the scope that the client would get, space separated.
	Scope string
	// RedirectURI is where the answer will go.
	RedirectURI string
	// Request is the whole request.
	Request *Request
	// Interaction is what the page has to do next.
	Interaction Interaction
	// ReturnTo is the address of this request, path and query. The user returns to it after
	// signing in or choosing an account, and the page's form is posted to it. A user who has
	// returned is recognized by [Authentication], whose ReturnTo or AccountChosenFor then has the
	// same value.
	ReturnTo string
	// Decision is the value that the page's form sends back in a hidden field, see
	// [Decision.Input].
	Decision Decision
	// Deciding reports whether this request is the user's decision, sent from the page as it
	// would be shown now. The hooks may then only refuse it.
	Deciding bool

	requires requirements
	agreed   bool // the user's decision, if the request is one
}

// Scopes returns the scope as a list.
func (c *ConsentGrant) Scopes() []string { return strings.Fields(c.Scope) }

// ClientName returns the client's name for a page, see [display.Name].
func (c *ConsentGrant) ClientName() string { return display.Name(c.Client) }

// Links returns the addresses of the client that a page shows, see [display.LinksOf].
func (c *ConsentGrant) Links(languages ...string) display.Links {
	return display.LinksOf(c.Client, c.RedirectURI, languages...)
}

// Destination returns where the answer will go, as a page shows it, see [display.Host].
func (c *ConsentGrant) Destination() string { return display.Host(c.RedirectURI) }

// consentTime is how long a user may take on the consent page. Meanwhile the sign-in becomes
// older than it was when max_age was first checked.
const consentTime = 10 * time.Minute

// recentEnough reports whether the user signed in within the request's max_age plus more.
func (r *Request) recentEnough(more time.Duration) bool {
	if !r.Params.Has("max_age") {
		return true
	}
	seconds, err := strconv.Atoi(r.Params.Get("max_age"))
	return err == nil && r.Authentication.IsWithin(time.Duration(seconds)*time.Second+more, r.Time)
}

// GetConsentGrant validates an authorization request before it is shown to the user. user is the
// one who has signed in, or nil. The consent grant's Interaction says what the page has to do,
// unless the request already is the user's decision, see ConsentGrant.Deciding. Pass an error to
// [Server.WriteError]: it sends the error to the client, shows it to the user if the client
// cannot be trusted with a redirect, or has the browser repeat by GET a request that another site
// has posted.
func (s *Server) GetConsentGrant(r *http.Request, user storage.User) (*ConsentGrant, error) {
	if !s.initialized {
		return nil, ErrNotInitialized
	}
	var consent *ConsentGrant
	err := s.ObservePage(r, authorizationPage, func(r *http.Request) (req *Request, err error) {
		req, consent, err = s.consentGrant(r, user)
		return req, err
	})
	return consent, err
}

func (s *Server) consentGrant(r *http.Request, user storage.User) (*Request, *ConsentGrant, error) {
	req, err := s.authorizationRequest(r)
	if err != nil {
		return req, nil, err
	}
	req.SetUser(user)
	consent, err := s.interact(req.Context(), req)
	if err == nil && !consent.Deciding {
		consent.logUndecided()
		err = consent.silent()
	}
	if err != nil {
		return req, nil, s.redirectable(req, err)
	}
	return req, consent, nil
}

// CreateAuthorizationResponse validates the request again and answers it: with what was granted,
// or with access_denied if user is nil or a nil pointer.
//
// It issues and denies nothing unless the request is the user's decision, that is a POST from the
// program's own page with the page's [Decision]. Otherwise the browser is sent to the page. A GET
// is answered only if there is nothing left to ask ([NoInteraction]).
func (s *Server) CreateAuthorizationResponse(w http.ResponseWriter, r *http.Request, user storage.User) {
	if !s.ready(w) {
		return
	}
	s.serve(w, r, authorizationEndpoint, func(w http.ResponseWriter, r *http.Request) (*Request, error) {
		req, consent, err := s.decidedRequest(r, user)
		if err != nil {
			return req, err
		}
		return req, s.answer(w, consent, !IsNilUser(user))
	})
}

// decidedRequest returns a request that the user has decided on, now or earlier. For any other
// request its error says what to do instead.
func (s *Server) decidedRequest(r *http.Request, user storage.User) (*Request, *ConsentGrant, error) {
	req, err := s.authorizationRequest(r)
	if err != nil {
		return req, nil, err
	}
	req.SetUser(user)
	consent, err := s.interact(req.Context(), req)
	switch {
	case req.User == nil && req.isDenial(consent.Decision):
		req.decided = true
		return req, consent, nil
	case err != nil:
	case consent.Deciding, consent.nothingToAsk():
		return req, consent, nil
	default:
		err = consent.undecided()
	}
	return req, nil, s.redirectable(req, err)
}

// nothingToAsk reports whether the request is answered without showing the page. Only a GET is: a
// POST may be the decision on an older page, which must not be overruled.
func (c *ConsentGrant) nothingToAsk() bool {
	return c.Request.HTTP.Method == http.MethodGet && c.User != nil && c.Interaction == NoInteraction
}

// undecided returns the answer to a request that should have been a decision.
func (c *ConsentGrant) undecided() error {
	c.logUndecided()
	if err := c.silent(); err != nil {
		return err
	}
	if c.Request.HTTP.Method == http.MethodPost {
		return SeeOther(c.ReturnTo)
	}
	return c.Request.stays(NewError(InvalidRequest, "The user's decision must be a POST from the page that asked for it."))
}

// answer answers a request that the user has decided on.
func (s *Server) answer(w http.ResponseWriter, consent *ConsentGrant, granted bool) error {
	req := consent.Request
	req.decided = true
	params, err := s.authorize(req.Context(), consent, granted)
	if err != nil {
		return s.redirectable(req, err)
	}
	return s.deliver(w, req, params)
}

// authorizationRequest is the gate of the authorization endpoint. Nothing is delivered to a
// redirect URI before it was found to be the client's. If it refuses a request, it returns what
// it has read of it.
func (s *Server) authorizationRequest(r *http.Request) (*Request, error) {
	if err := checkMethod(r, http.MethodGet, http.MethodPost); err != nil {
		return s.newRequest(r, authorizationEndpoint).refused(err)
	}
	req, err := s.parse(r, authorizationEndpoint, true)
	if err != nil {
		return req.refused(err)
	}
	moving := r.Method == http.MethodPost && !req.isOnPage()
	if here := req.Address(req.Params); moving && len(here) <= header.MaxAddress {
		return req, SeeOther(here)
	}
	posted := req.Params
	if err := s.checkAuthorization(req); err != nil {
		return req, err
	}
	if moving {
		return req, s.moveOn(req, posted)
	}
	return req, nil
}

// checkAuthorization loads everything about an authorization request and validates it.
func (s *Server) checkAuthorization(req *Request) error {
	ctx := req.Context()
	for _, check := range []func(context.Context, *Request) error{s.restore, s.resolve, s.checkAuthorizationClient} {
		if err := check(ctx, req); err != nil {
			return req.failure(err)
		}
	}
	if err := s.checkAuthorizationRequest(ctx, req); err != nil {
		return s.redirectable(req, err)
	}
	return nil
}

// resolve replaces a request_uri or request object by the parameters it stands for.
func (s *Server) resolve(ctx context.Context, req *Request) error {
	err := each(req, func(hook ResolveRequestHook) error { return hook.ResolveAuthorizationRequest(ctx, req) })
	req.State = req.Params.Get("state")
	return err
}

// checkAuthorizationClient finds the client and the redirect URI. Its errors are shown to the
// user and never sent to the client (RFC 6749 section 4.1.2.1).
func (s *Server) checkAuthorizationClient(ctx context.Context, req *Request) error {
	clientID := req.Params.Get("client_id")
	if clientID == "" {
		return NewError(InvalidClient, "The request has no 'client_id'.")
	}
	client, err := req.queryClient(ctx, clientID)
	if err != nil {
		return err
	}
	if client == nil {
		return req.NoSuchClient(InvalidClient)
	}
	req.Client = client
	return req.checkRedirectURI()
}

// checkRedirectURI determines where the answer goes. Registered URIs are checked again: a row may
// be older than the rules, or may have been written by something else.
func (r *Request) checkRedirectURI() error {
	uri := r.Params.Get("redirect_uri")
	switch {
	case uri == "":
		if uri = r.Client.GetDefaultRedirectURI(); uri == "" {
			return NewError(InvalidRequest, "The request has no 'redirect_uri', and the client has not registered exactly one.")
		}
	case !r.Client.CheckRedirectURI(uri):
		return NewError(InvalidRequest, "The 'redirect_uri' '%s' is not registered for this client.", display.Excerpt(uri)).With(slog.String("redirect_uri", logtext.URI(uri)))
	}
	if err := r.Server.MayRedirect(r.Client, uri); err != nil {
		return NewError(InvalidRequest, "The client cannot use its 'redirect_uri' '%s': it %s.", display.Excerpt(uri), err).With(slog.String("redirect_uri", logtext.URI(uri)))
	}
	r.RedirectURI = uri
	return nil
}

// checkAuthorizationRequest checks the rest of the request; its errors go to the client.
func (s *Server) checkAuthorizationRequest(ctx context.Context, req *Request) error {
	switch {
	case req.Params.Has("request"): // an unread request object could contradict the parameters
		return NewError(RequestNotSupported, "The server does not accept request objects.")
	case req.Params.Has("request_uri"):
		return NewError(RequestURINotSupported, "The server does not support this kind of 'request_uri'.").With(slog.String("request_uri", logtext.URI(req.Params.Get("request_uri"))))
	}
	req.ResponseType = req.Params.Get("response_type")
	if req.ResponseType == "" {
		return NewError(InvalidRequest, "The request has no 'response_type'.")
	}
	grant, extensions := s.authorizationGrant(req.ResponseType)
	if grant == nil {
		return NewError(UnsupportedResponseType, "The server does not support this 'response_type'.").With(req.param("response_type"))
	}
	req.grant, req.extensions = grant, extensions
	if maxAge := req.Params.Get("max_age"); maxAge != "" && !isSeconds(maxAge) {
		return NewError(InvalidRequest, "The 'max_age' is not a number of seconds.").With(req.param("max_age"))
	}
	if _, _, ok := responseMode(req); !ok {
		return NewError(InvalidRequest, "The server does not support this 'response_mode' for this 'response_type'.").With(req.param("response_mode"), req.param("response_type"))
	}
	if !req.Client.CheckResponseType(req.ResponseType) {
		return NewError(UnauthorizedClient, "The client may not use this 'response_type'.").With(req.param("response_type"))
	}
	return req.CheckAuthorization(ctx)
}

// authorize returns the answer to a request that the user has decided on.
func (s *Server) authorize(ctx context.Context, consent *ConsentGrant, granted bool) (url.Values, error) {
	req := consent.Request
	if err := each(req, func(hook AuthorizationDecisionHook) error { return hook.DecideAuthorizationRequest(ctx, req) }); err != nil {
		return nil, err
	}
	if !granted {
		if err := req.settle(ctx, nil); err != nil {
			return nil, err
		}
		return nil, NewError(AccessDenied, "The resource owner denied the request.")
	}
	if err := s.checkUser(ctx, req, req.User); err != nil {
		return nil, err
	}
	if err := consent.mayDecide(); err != nil {
		return nil, err
	}
	params, err := req.grant.(AuthorizationGrant).Authorize(ctx, req)
	if err == nil && len(params) == 0 {
		err = fmt.Errorf("server: the grant for %q authorized nothing and returned no error", req.ResponseType)
	}
	if err := req.settle(ctx, err); err != nil {
		return nil, err
	}
	if err := each(req, func(hook AuthorizationResponseHook) error {
		return hook.PrepareAuthorizationResponse(ctx, req, params)
	}); err != nil {
		return nil, err
	}
	response := url.Values(params)
	if req.State != "" {
		response.Set("state", req.State)
	}
	return response, nil
}

// QueryClient looks up a client with Config.QueryClient and every [ClientLookupHook]. It returns
// nil, nil if there is none. It compares the id again, because some databases match ids that
// differ in letter case, and it does not query for text that cannot be a client id, because some
// databases cannot compare it.
func (s *Server) QueryClient(ctx context.Context, clientID string) (storage.Client, error) {
	if !clientmeta.IsClientID(clientID) {
		return nil, nil
	}
	var why *reason.Reason
	client, err := s.config.QueryClient(ctx, clientID)
	for i := 0; ; i++ {
		reason, given := errors.AsType[*reason.Reason](err)
		switch {
		case i > 0 && given:
			client, why = nil, reason
		case err != nil:
			return nil, err
		case isNil(client) || client.GetClientID() != clientID:
			client = nil
		}
		if i == len(s.lookups) {
			if client == nil && why != nil {
				s.noteNoClient(ctx, why)
			}
			return client, nil
		}
		client, err = s.lookups[i].LookUpClient(ctx, s, clientID, client)
	}
}

// ClientOf returns the client to which something was issued, or nil if it no longer exists. A
// [ClientLookupHook] is called only for a client that storage does not have: whether the client
// may request anything new is a different question.
func (s *Server) ClientOf(ctx context.Context, clientID string) (storage.Client, error) {
	client, err := s.config.QueryClient(ctx, clientID)
	if err != nil || !isNil(client) && client.GetClientID() == clientID {
		return client, err
	}
	return s.QueryClient(ctx, clientID)
}

// redirectable marks an error for delivery to the client, or, if the browser may not be
// redirected to the client yet, for a page that links to it. invalid_grant is not an error of
// this endpoint (RFC 6749 section 4.1.2.1): here it means that the user may not grant, so it
// becomes access_denied.
func (s *Server) redirectable(req *Request, err error) error {
	f := req.failure(err)
	if errors.Is(err, context.Canceled) || f.way == toUserOnly || f.answer.isSeeOther() {
		return err
	}
	if f.answer.Code == InvalidGrant {
		denied := *f.answer
		denied.Code = AccessDenied
		f.answer = &denied
	}
	f.way = toUserAndLink
	if req.mayRedirect() {
		f.way = toRedirectURI
	}
	return f
}

// mayRedirect reports whether the browser may be redirected to the client without a user's
// action. For a client that the operator did not create, that is only after a user has signed in
// and decided: otherwise the endpoint would be an open redirector (RFC 9700 section 4.11.2). A
// request that forbids all pages cannot be answered in any other way (OpenID Connect Core section
// 3.1.2.1).
func (r *Request) mayRedirect() bool {
	return r.decided || !clientrules.IsSelfMade(r.Client) || r.isSilent()
}

// promptNone is the prompt that forbids all pages (OpenID Connect Core section 3.1.2.1). A
// request without the scope openid may use it as well, when its client waits in a frame.
const promptNone = "none"

// isSilent reports whether the request forbids all pages, even if its prompt has other values as
// well.
func (r *Request) isSilent() bool {
	return wordlist.Has(r.Params.Get("prompt"), promptNone)
}

// isSeconds reports whether text is a number of seconds, with nine digits at most.
func isSeconds(text string) bool {
	const digits = 9
	return len(text) <= digits && strings.Trim(text, "0123456789") == ""
}

// sameWords returns a function that reports whether a response type or scope has the same words
// as a, in any order.
func sameWords(a string) func(string) bool {
	words := sorted(a)
	return func(b string) bool { return slices.Equal(words, sorted(b)) }
}

func sorted(s string) []string {
	words := strings.Fields(s)
	slices.Sort(words)
	return words
}
