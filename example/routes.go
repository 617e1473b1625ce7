package main

import (
	"net/http"
)

// routes returns the handler for all paths.
func (a *app) routes() http.Handler {
	mux := http.NewServeMux()

	// For programs. The library handles all methods itself, and requests from any origin.
	for path, handler := range a.oauth.Routes() {
		mux.Handle(path, handler)
	}
	for path, handler := range a.api.Routes() {
		mux.Handle(path, handler)
	}
	me := a.api.Require("profile")(http.HandlerFunc(a.me))
	mux.Handle("GET /api/me", me)
	mux.Handle("OPTIONS /api/me", me)
	mux.HandleFunc("GET /healthz", a.healthz)

	// For people.
	page, clients := a.pageMiddleware(), a.clientMiddleware()
	mux.Handle("GET /{$}", page(a.showHome))
	mux.Handle("GET /login", page(a.showLogin))
	mux.Handle("POST /login", page(a.login))
	mux.Handle("GET /logout", page(a.showLogout))
	mux.Handle("POST /logout", page(a.logout))
	mux.Handle("GET /accounts", page(a.signedIn(a.showAccounts)))
	mux.Handle("POST /accounts", page(a.signedIn(a.chooseAccount)))
	mux.Handle("GET /oauth/end_session", clients(a.endOpenIDSession))
	mux.Handle("POST /oauth/end_session", clients(a.endOpenIDSession))
	mux.Handle("GET /oauth/authorize", clients(a.authorize()))
	mux.Handle("POST /oauth/authorize", clients(a.authorize()))
	mux.Handle("GET /device", page(a.showDevice))
	mux.Handle("POST /device", page(a.device))
	mux.Handle("GET /activity", page(a.signedIn(a.showActivity)))
	mux.Handle("POST /clients", page(a.signedIn(a.createClient)))
	mux.Handle("POST /clients/{id}/secret", page(a.signedIn(a.rotateSecret)))
	mux.Handle("POST /clients/{id}/delete", page(a.signedIn(a.removeClient)))
	mux.Handle("POST /consents/revoke", page(a.signedIn(a.revokeConsent)))
	mux.Handle("POST /applications/{id}/revoke", page(a.signedIn(a.revokeApplication)))
	mux.HandleFunc("GET /static/style.css", serveStatic("style.css"))
	mux.HandleFunc("GET /static/logo.svg", serveStatic("logo.svg"))

	return a.withRequestID(securityHeaders(a.cfg.secure(), a.withErrorPages(mux)))
}

// withRequestID adds the id of a request to all of its log lines.
func (a *app) withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, a.oauth.WithRequestID(r)) })
}

// pageMiddleware loads the session of a page, and refuses forms from other sites, with which the
// cookie might be sent.
func (a *app) pageMiddleware() func(http.HandlerFunc) http.Handler {
	return func(handler http.HandlerFunc) http.Handler {
		session := a.sessions.LoadAndSave(handler)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet && r.Method != http.MethodHead && !a.oauth.FromOwnPage(r) {
				a.errorPage(w, http.StatusForbidden)
				return
			}
			session.ServeHTTP(w, r)
		})
	}
}

// clientMiddleware loads the session of a page that applications send users to, possibly by a form
// of their own. The library tells such a form from the user's decision.
func (a *app) clientMiddleware() func(http.HandlerFunc) http.Handler {
	return func(handler http.HandlerFunc) http.Handler { return a.sessions.LoadAndSave(handler) }
}

// withErrorPages answers with a page, instead of a line of text, where the mux has no handler:
// unknown paths (404) and methods (405).
func (a *app) withErrorPages(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		answer := statusOnly{ResponseWriter: w}
		handler.ServeHTTP(&answer, r)
		a.errorPage(w, answer.status)
	})
}

// statusOnly keeps a response's status and headers, such as Allow, and drops its body.
type statusOnly struct {
	http.ResponseWriter
	status int
}

func (s *statusOnly) WriteHeader(status int)      { s.status = status }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }
