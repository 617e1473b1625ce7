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

	"github.com/gormoauth/gormoauth/models"
)

// ConsentGrant is a valid authorization request, for the page that asks the
// user for consent.
type ConsentGrant struct {
	// Client asks.
	Client Client
	// User is asked, nil when nobody has signed in yet.
	User User
	// Scope is what the client would get, space separated.
	Scope string
	// RedirectURI is where the answer will go.
	RedirectURI string
	// Request is the whole request.
	Request *Request
	// Interaction is what the page has to do next.
	Interaction Interaction
	// ReturnTo is the address of this request, path and query: where the user comes
	// back to from signing in or from choosing an account, and where the form of the
	// page is posted to. A user who has come back is known by [Authentication], whose
	// ReturnTo or AccountChosenFor is then the same.
	ReturnTo string
	// Decision is what the form of the page gives back in a hidden field, see
	// [Decision.Input].
	Decision Decision
	// Deciding is whether this request is the user's decision, from the page as it
	// would be shown now. All that hooks still have to say is whether the user may.
	Deciding bool

	requires requirements
	agreed   bool // where the request is the user's decision: what it is
}

// Scopes returns the scope as a list.
func (c *ConsentGrant) Scopes() []string { return strings.Fields(c.Scope) }

// ClientName is what a page calls the client, see [DisplayName].
func (c *ConsentGrant) ClientName() string { return DisplayName(c.Client) }

// Links are the addresses that a page shows of the client, see [DisplayLinks].
func (c *ConsentGrant) Links(languages ...string) ClientLinks {
	return DisplayLinks(c.Client, c.RedirectURI, languages...)
}

// Destination is where the answer will go, as a page says it, see [DisplayHost].
func (c *ConsentGrant) Destination() string { return DisplayHost(c.RedirectURI) }

// consentTime is how long a user may look at the page that asks for consent, by
// which the sign-in grows older than it was when max_age was looked at.
const consentTime = 10 * time.Minute

// recentEnough reports whether the user signed in no longer ago than the
// request's max_age, and some more.
func (r *Request) recentEnough(more time.Duration) bool {
	if !r.Params.Has("max_age") {
		return true
	}
	seconds, err := strconv.Atoi(r.Params.Get("max_age"))
	return err == nil && r.Authentication.IsWithin(time.Duration(seconds)*time.Second+more, r.Time)
}

// GetConsentGrant validates an authorization request before it is shown to
// the user: the one who has signed in, or nil when nobody has. What the page has
// to do then is the consent grant's Interaction, unless the request is the user's
// decision already, see ConsentGrant.Deciding. Hand an error to [Server.WriteError]: it
// goes back to the client, or to the person where the client is not trustworthy; or it
// has the browser come again by GET, where another site has posted the request.
func (s *Server) GetConsentGrant(r *http.Request, user User) (*ConsentGrant, error) {
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

func (s *Server) consentGrant(r *http.Request, user User) (*Request, *ConsentGrant, error) {
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

// CreateAuthorizationResponse validates the request again and answers it: with
// what was granted when there is a user, with access_denied when there is
// none, be it a bare nil or a nil pointer.
//
// It issues and denies nothing unless the request is the user's decision: a POST from
// the program's own page that brings along the page's [Decision]. Without it the
// browser is sent to the page. A GET is answered where nothing is left to ask
// ([NoInteraction]).
func (s *Server) CreateAuthorizationResponse(w http.ResponseWriter, r *http.Request, user User) {
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

// decidedRequest is a request that the user has decided on, or had before. Of any other
// it says what to do instead.
func (s *Server) decidedRequest(r *http.Request, user User) (*Request, *ConsentGrant, error) {
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

// nothingToAsk reports whether the request is answered without the page. Only a GET
// is: a POST may be the decision on an older page, which is not overruled.
func (c *ConsentGrant) nothingToAsk() bool {
	return c.Request.HTTP.Method == http.MethodGet && c.User != nil && c.Interaction == NoInteraction
}

// undecided is the answer to a request that should have been a decision.
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

// authorizationRequest is the gate of the authorization endpoint. Nothing is
// delivered to a redirect URI before that was found to be the client's. It returns
// what it read of a request that it refuses.
func (s *Server) authorizationRequest(r *http.Request) (*Request, error) {
	if err := checkMethod(r, http.MethodGet, http.MethodPost); err != nil {
		return s.newRequest(r, authorizationEndpoint).refused(err)
	}
	req, err := s.parse(r, authorizationEndpoint, true)
	if err != nil {
		return req.refused(err)
	}
	moving := r.Method == http.MethodPost && !req.isOnPage()
	if here := req.Address(req.Params); moving && len(here) <= MaxAddress {
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

// checkAuthorization finds what there is to know of an authorization request, and
// whether it is valid.
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

// resolve puts the parameters of a request in the place of what stands for it.
func (s *Server) resolve(ctx context.Context, req *Request) error {
	err := each(req, func(hook ResolveRequestHook) error { return hook.ResolveAuthorizationRequest(ctx, req) })
	req.State = req.Params.Get("state")
	return err
}

// checkAuthorizationClient finds the client and the redirect URI. Its errors
// are for the person, never for the client (RFC 6749 section 4.1.2.1).
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

// checkRedirectURI finds where the answer goes. What is registered is checked again: a
// row may be older than the rules, or come from somewhere else.
func (r *Request) checkRedirectURI() error {
	uri := r.Params.Get("redirect_uri")
	switch {
	case uri == "":
		if uri = r.Client.GetDefaultRedirectURI(); uri == "" {
			return NewError(InvalidRequest, "The request has no 'redirect_uri', and the client does not have exactly one.")
		}
	case !r.Client.CheckRedirectURI(uri):
		return NewError(InvalidRequest, "The 'redirect_uri' '%s' is not registered for this client.", Excerpt(uri)).With(slog.String("redirect_uri", LoggedURI(uri)))
	}
	if err := r.Server.MayRedirect(r.Client, uri); err != nil {
		return NewError(InvalidRequest, "The client cannot use its 'redirect_uri' '%s': it %s.", Excerpt(uri), err).With(slog.String("redirect_uri", LoggedURI(uri)))
	}
	r.RedirectURI = uri
	return nil
}

// checkAuthorizationRequest checks the rest; its errors go to the client.
func (s *Server) checkAuthorizationRequest(ctx context.Context, req *Request) error {
	switch {
	case req.Params.Has("request"): // which would say more than the rest does
		return NewError(RequestNotSupported, "The server does not accept request objects.")
	case req.Params.Has("request_uri"):
		return NewError(RequestURINotSupported, "The server does not support this kind of 'request_uri'.").With(slog.String("request_uri", LoggedURI(req.Params.Get("request_uri"))))
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

type freshClientsKey struct{}

// FreshClients returns a context in which clients are looked up where they are kept, and not
// in a cache: what checks a credential of a client's, or changes it, needs the one of now.
func FreshClients(ctx context.Context) context.Context {
	return context.WithValue(ctx, freshClientsKey{}, true)
}

// WantsFreshClients reports whether a context is of [FreshClients]. A cache of clients asks it.
func WantsFreshClients(ctx context.Context) bool {
	fresh, _ := ctx.Value(freshClientsKey{}).(bool)
	return fresh
}

// QueryClient finds a client, by Config.QueryClient and every [ClientLookupHook], or
// returns nil, nil. It compares the id once more, since some databases find one with
// other letters, and some cannot compare what is no client's id to begin with.
func (s *Server) QueryClient(ctx context.Context, clientID string) (Client, error) {
	if !IsClientID(clientID) {
		return nil, nil
	}
	var why *Reason
	client, err := s.config.QueryClient(ctx, clientID)
	for i := 0; ; i++ {
		switch {
		case i > 0 && errors.As(err, &why):
			client = nil
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

// ClientOf returns the client of what was issued to it, or nil where it is gone. A
// [ClientLookupHook] is asked only of one that is not kept: whether a client may ask for
// anything new is another question.
func (s *Server) ClientOf(ctx context.Context, clientID string) (Client, error) {
	client, err := s.config.QueryClient(ctx, clientID)
	if err != nil || !isNil(client) && client.GetClientID() == clientID {
		return client, err
	}
	return s.QueryClient(ctx, clientID)
}

// redirectable marks an error for delivery to the client, or, where nobody may be
// redirected to it yet, for a page that can lead there. invalid_grant is
// not an error of this endpoint (RFC 6749 section 4.1.2.1): what it says here
// is that the user may not grant.
func (s *Server) redirectable(req *Request, err error) error {
	failure := *AsError(err)
	if errors.Is(err, context.Canceled) || failure.stays || failure.isSeeOther() {
		return err
	}
	if failure.Code == InvalidGrant {
		failure.Code = AccessDenied
	}
	if req.mayRedirect() {
		failure.redirect = req
	} else {
		failure.held = req
	}
	return req.failure(&failure)
}

// mayRedirect reports whether the browser may be sent to the client without a person
// who does it. To a client that the operator did not choose it is sent once a person
// has signed in and decided: otherwise the endpoint would lead anybody anywhere (RFC
// 9700 section 4.11.2). A request that forbids all pages has no other answer (OpenID
// Connect Core section 3.1.2.1).
func (r *Request) mayRedirect() bool {
	return r.decided || !IsSelfMade(r.Client) || r.isSilent()
}

// IsSelfMade reports whether a client made itself: it registered by itself, or came
// by a metadata document. Where the program's model does not tell, it did not.
func IsSelfMade(client Client) bool {
	registered, ok := client.(RegisteredClient)
	if !ok {
		return false
	}
	source := registered.AsClientMixin().ClientSource
	return source == models.ClientByRegistration || source == models.ClientByDocument
}

// promptNone is the prompt that forbids all pages (OpenID Connect Core section 3.1.2.1).
// A request that is no OpenID request may have it as well: its client waits in a frame.
const promptNone = "none"

// isSilent reports whether the request forbids all pages, be it beside what it asks for.
func (r *Request) isSilent() bool {
	return slices.Contains(strings.Fields(r.Params.Get("prompt")), promptNone)
}

// isSeconds reports whether a text is a number of seconds, of some years at most.
func isSeconds(text string) bool {
	const digits = 9
	return len(text) <= digits && strings.Trim(text, "0123456789") == ""
}

// SameWords returns a function that reports whether a text has the same words, in
// whatever order, as those of a response type or a scope.
func SameWords(a string) func(string) bool {
	words := sorted(a)
	return func(b string) bool { return slices.Equal(words, sorted(b)) }
}

func sorted(s string) []string {
	words := strings.Fields(s)
	slices.Sort(words)
	return words
}
