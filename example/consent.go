package main

import (
	"net/http"
	"net/url"
	"time"

	"github.com/gormoauth/gormoauth/server"
)

type consentView struct {
	layout
	ClientName  string
	ClientID    string
	Destination string
	Scopes      []scope
	Payments    []payment
	// Action is this same page with its query: the form adds the decision and
	// nothing else.
	Action string
}

// justNow is how long ago somebody signed in who was asked to do so again: here
// there is but one way to sign in, and no stronger one.
const justNow = 15 * time.Second

// showConsent asks whether an application may have what it asks for. A request
// that is not valid is answered before anybody is asked to sign in for it.
func (a *app) showConsent(w http.ResponseWriter, r *http.Request) {
	consent, err := a.oauth.GetConsentGrant(r, nil)
	if err != nil {
		a.oauth.WriteError(w, r, err)
		return
	}
	user, err := a.currentUser(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if user == nil {
		signInFirst(w, r)
		return
	}
	authenticated := a.authenticated(r, user)
	consent.Request.SetUser(authenticated)
	if consent.SignInAgain() && !authenticated.Authentication.IsWithin(justNow, time.Now()) {
		http.Redirect(w, r, "/login?again&next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		return
	}
	payments, err := paymentsOf(consent.Request.AuthorizationDetails)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	client := consent.Client.(*Client)
	w.Header().Set("Content-Security-Policy", contentSecurityPolicy(formTarget(consent.RedirectURI)))
	a.pages.render(w, http.StatusOK, "consent", consentView{
		layout:      layout{Title: "Allow access", User: user},
		ClientName:  nameOf(client),
		ClientID:    client.GetClientID(),
		Destination: destination(consent.RedirectURI),
		Scopes:      scopesInWords(consent.Scope),
		Payments:    payments,
		Action:      r.URL.RequestURI(),
	})
}

// consent answers the application. Anything but a clear yes is a no, for which
// the library wants a nil that is not a nil *User.
func (a *app) consent(w http.ResponseWriter, r *http.Request) {
	form, ok := a.readForm(w, r)
	if !ok {
		return
	}
	user, err := a.currentUser(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if user == nil {
		signInFirst(w, r)
		return
	}
	var granting server.User
	if form.Get("confirm") == "yes" {
		granting = a.authenticated(r, user)
	}
	a.oauth.CreateAuthorizationResponse(w, r, granting)
}

// signInFirst sends a person to sign in, and from there back to this page.
func signInFirst(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
}

// nameOf is what a person knows a client by.
func nameOf(client *Client) string {
	if name := client.GetClientName(); name != "" {
		return name
	}
	return client.GetClientID()
}

// destination says in short where a redirect URI leads: a client chooses its
// name freely, but not where it can be reached.
func destination(redirectURI string) string {
	u, err := url.Parse(redirectURI)
	switch {
	case err != nil:
		return ""
	case u.Host == "":
		return "an app on this device (" + u.Scheme + ":)"
	case isLoopback(u.Hostname()):
		return "a program on this device (" + u.Host + ")"
	default:
		return u.Host
	}
}
