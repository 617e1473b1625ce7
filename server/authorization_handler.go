package server

import (
	"cmp"
	"net/http"

	"github.com/gormoauth/gormoauth/internal/header"
)

// AuthorizationPages are what [Server.AuthorizationHandler] needs of the program: who
// is signed in, and pages that render. What they are shown for, the consent grant says.
type AuthorizationPages struct {
	// User returns who is signed in in the browser, nil when nobody is. A [SignedIn]
	// says when and how. Required.
	User func(r *http.Request) (User, error)
	// SignIn has somebody sign in, whoever is signed in already, and come back to the
	// consent grant's ReturnTo. Required.
	SignIn func(w http.ResponseWriter, r *http.Request, consent *ConsentGrant)
	// SelectAccount has the user choose among accounts, and come back; nil has them
	// sign in.
	SelectAccount func(w http.ResponseWriter, r *http.Request, consent *ConsentGrant)
	// Consent shows what the client asks for, with a form that is posted to the consent
	// grant's ReturnTo: its hidden field is that of [Decision.Input], and its buttons
	// have the name [ConfirmField] and the values "yes" and "no". Required.
	Consent func(w http.ResponseWriter, r *http.Request, consent *ConsentGrant)
	// Answering is called before a request is answered for good, be it by an error that
	// the client gets of a user who had signed in for it, for the program to forget
	// ReturnTo and AccountChosenFor of its session's [Authentication]; nil forgets nothing.
	Answering func(r *http.Request)
}

// AuthorizationHandler is the authorization endpoint (RFC 6749 section 3.1) as one
// handler. It takes requests by GET and by POST, has the program's pages shown, and
// answers. What a user decides it takes from a POST of the program's own page alone, see
// [Decision]; any other POST is a client's request (OpenID Connect Core section
// 3.1.2.1), which is met again by GET, as cookies with SameSite=Lax do not come along
// with it. It panics when a page is missing.
//
// Its pages cannot be framed, unless the program has set headers that say otherwise.
func (s *Server) AuthorizationHandler(pages AuthorizationPages) http.HandlerFunc {
	if pages.User == nil || pages.SignIn == nil || pages.Consent == nil {
		panic("server: AuthorizationPages needs User, SignIn and Consent: see the README")
	}
	if pages.SelectAccount == nil {
		pages.SelectAccount = pages.SignIn
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.ready(w) {
			return
		}
		user, err := pages.User(r)
		if err != nil {
			s.serve(w, r, authorizationPage, func(http.ResponseWriter, *http.Request) (*Request, error) { return nil, err })
			return
		}
		answering := func() {
			if pages.Answering != nil {
				pages.Answering(r)
			}
		}
		consent, err := s.GetConsentGrant(r, user)
		if err != nil {
			if AsError(err).endsSignIn() {
				answering()
			}
			s.WriteError(w, r, err)
			return
		}
		if consent.Deciding || consent.nothingToAsk() {
			answering()
			s.answerPage(w, r, consent)
			return
		}
		noFrames(w)
		switch consent.Interaction {
		case SignIn:
			pages.SignIn(w, r, consent)
		case SelectAccount:
			pages.SelectAccount(w, r, consent)
		default:
			pages.Consent(w, r, consent)
		}
	}
}

// endsSignIn reports whether an error is for the client of a request for which the user
// had signed in: the same request of another day is another one.
func (e *Error) endsSignIn() bool {
	req := cmp.Or(e.redirect, e.held)
	return req != nil && e.cause == nil && req.Authentication.ReturnTo != "" && req.Authentication.ReturnTo == req.returnTo()
}

// answerPage answers a request that was looked at for its page a moment ago.
func (s *Server) answerPage(w http.ResponseWriter, r *http.Request, consent *ConsentGrant) {
	s.serve(w, r, authorizationEndpoint, func(w http.ResponseWriter, r *http.Request) (*Request, error) {
		consent.Request.enter(r)
		return consent.Request, s.answer(w, consent, consent.agreed || !consent.Deciding)
	})
}

// noFrames keeps a page out of frames, and of caches.
func noFrames(w http.ResponseWriter) {
	for name, value := range map[string]string{
		"Content-Security-Policy": "frame-ancestors 'none'", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
	} {
		if w.Header().Get(name) == "" {
			header.Set(w, name, value)
		}
	}
}
