package server

import (
	"net/http"

	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/server/storage"
)

// AuthorizationPages are what [Server.AuthorizationHandler] needs from the program: who is signed
// in, and functions that render pages. The consent grant says what a page is shown for.
type AuthorizationPages struct {
	// User returns the user who is signed in in the browser, or nil if nobody is. A [SignedIn]
	// says when and how. Required.
	User func(r *http.Request) (storage.User, error)
	// SignIn shows the sign-in page, even if a user is signed in already, and then sends the
	// browser back to the consent grant's ReturnTo. Required.
	SignIn func(w http.ResponseWriter, r *http.Request, consent *ConsentGrant)
	// SelectAccount lets the user choose among accounts and then sends the browser back to
	// ReturnTo. If nil, SignIn is used.
	SelectAccount func(w http.ResponseWriter, r *http.Request, consent *ConsentGrant)
	// Consent shows what the client asks for, with a form that is posted to the consent grant's
	// ReturnTo. The form has the hidden field of [Decision.Input], and buttons named
	// [ConfirmField] with the values "yes" and "no". Required.
	Consent func(w http.ResponseWriter, r *http.Request, consent *ConsentGrant)
	// Answering is called before a request gets its final answer, including an error sent to the
	// client of a user who had signed in for the request. The program should then forget ReturnTo
	// and AccountChosenFor of its session's [Authentication]. If nil, nothing is called.
	Answering func(r *http.Request)
}

// AuthorizationHandler returns the authorization endpoint (RFC 6749 section 3.1) as one handler.
// It accepts requests by GET and POST, has the program's pages shown, and answers. A user's
// decision is accepted only in a POST from the program's own page, see [Decision]. Any other POST
// is a client's request (OpenID Connect Core section 3.1.2.1); the browser is redirected to
// repeat it by GET, because cookies with SameSite=Lax are not sent with it. AuthorizationHandler
// panics if a required page is missing.
//
// Its pages cannot be framed, unless the program has set headers that allow it.
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
			s.serve(w, r, authorizationPage, func(_ http.ResponseWriter, r *http.Request) (*Request, error) {
				return nil, s.newRequest(r, authorizationPage).Failure(err)
			})
			return
		}
		answering := func() {
			if pages.Answering != nil {
				pages.Answering(r)
			}
		}
		consent, err := s.GetConsentGrant(r, user)
		if err != nil {
			if failureOf(err).endsSignIn() {
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

// answerPage answers a request that GetConsentGrant has just validated.
func (s *Server) answerPage(w http.ResponseWriter, r *http.Request, consent *ConsentGrant) {
	s.serve(w, r, authorizationEndpoint, func(w http.ResponseWriter, r *http.Request) (*Request, error) {
		consent.Request.enter(r)
		return consent.Request, s.answer(w, consent, consent.agreed || !consent.Deciding)
	})
}

// noFrames keeps a page out of frames and caches.
func noFrames(w http.ResponseWriter) {
	for name, value := range map[string]string{
		"Content-Security-Policy": "frame-ancestors 'none'", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
	} {
		if w.Header().Get(name) == "" {
			header.Set(w, name, value)
		}
	}
}
