package main

import (
	"net/http"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/oidc"
)

type logoutView struct {
	layout
	// ClientName is the application that asks, empty if the user opened the page.
	ClientName string
	// Action is the address that the form is posted to, with what the application sent.
	Action   string
	Decision server.Decision
}

// showLogout asks first: a link alone must not sign a user out.
func (a *app) showLogout(w http.ResponseWriter, r *http.Request) {
	user, err := a.currentUser(r)
	switch {
	case err != nil:
		a.fail(w, r, err)
	case user == nil:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	default:
		leadsOn(w, "")
		a.pages.render(w, http.StatusOK, "logout", logoutView{layout: layout{Title: "Sign out", User: user}, Action: "/logout"})
	}
}

// logout ends the session, and the sessions at applications that the user signed in to. Offline
// access remains.
func (a *app) logout(w http.ResponseWriter, r *http.Request) {
	form, ok := a.readForm(w, r)
	if !ok {
		return
	}
	ended, err := a.endSession(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if form.Get("next") != "" || !a.openid.CreateLogoutResponse(w, r, new(oidc.LogoutRequest), ended) {
		redirectLocal(w, r, form.Get("next"))
	}
}

// endSession ends the browser's session.
func (a *app) endSession(r *http.Request) (*oidc.EndedSession, error) {
	ended, err := a.openid.EndSession(a.oauth.PageContext(r, "logout", nil), a.sessions.GetString(r.Context(), sessionID))
	if err != nil {
		return nil, err
	}
	return ended, a.sessions.Destroy(r.Context())
}

// endOpenIDSession is where applications send users to sign out (RP-Initiated Logout). It asks
// the user, unless the request is known to come from the application.
func (a *app) endOpenIDSession(w http.ResponseWriter, r *http.Request) {
	user, err := a.currentUser(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	logout, err := a.openid.GetLogoutRequest(r, a.authenticated(r, user))
	if err != nil {
		a.oauth.WriteError(w, r, err)
		return
	}
	if user != nil && !logout.Confirmed {
		view := logoutView{layout: layout{Title: "Sign out", User: user}, Action: logout.ReturnTo, Decision: logout.Decision}
		if client, ok := logout.Client.(*Client); ok {
			view.ClientName = client.Name()
		}
		leadsOn(w, "")
		a.pages.render(w, http.StatusOK, "logout", view)
		return
	}
	ended, err := a.endSession(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if !a.openid.CreateLogoutResponse(w, r, logout, ended) {
		a.pages.render(w, http.StatusOK, "signed-out", layout{Title: "Signed out"})
	}
}
