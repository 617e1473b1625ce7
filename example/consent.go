package main

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/oidc"
)

type consentView struct {
	layout
	ClientName  string
	ClientID    string
	Destination string
	Scopes      []scope
	Claims      []string
	Payments    []payment
	// Action is this same page with its query: the form adds the decision and
	// nothing else.
	Action string
}

// showConsent does what the request asks of a page: it has somebody sign in or choose
// an account, asks whether the application may have what it asks for, or answers at
// once where all of that was said before.
func (a *app) showConsent(w http.ResponseWriter, r *http.Request) {
	user, err := a.currentUser(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	consent, err := a.oauth.GetConsentGrant(r, a.authenticated(r, user))
	if err != nil {
		a.oauth.WriteError(w, r, err)
		return
	}
	switch consent.Interaction {
	case server.SignIn:
		a.signInFor(w, r, consent, user != nil)
	case server.SelectAccount:
		redirectWith(w, r, "/accounts", url.Values{"next": {consent.ReturnTo}})
	case server.NoInteraction:
		a.answer(w, r, a.authenticated(r, user))
	default:
		a.askConsent(w, r, consent, user)
	}
}

// signInFor sends a person to sign in, and from there back to the request.
func (a *app) signInFor(w http.ResponseWriter, r *http.Request, consent *server.ConsentGrant, again bool) {
	query := url.Values{"next": {consent.ReturnTo}}
	if again {
		query.Set("again", "")
	}
	if hint := consent.Request.Params.Get("login_hint"); hint != "" {
		query.Set("username", hint)
	}
	redirectWith(w, r, "/login", query)
}

// redirectWith sends a person on to a page of this site, with a query.
func redirectWith(w http.ResponseWriter, r *http.Request, path string, query url.Values) {
	redirectLocal(w, r, path+"?"+query.Encode())
}

func (a *app) askConsent(w http.ResponseWriter, r *http.Request, consent *server.ConsentGrant, user *User) {
	payments, err := paymentsOf(consent.Request.AuthorizationDetails)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	requested, err := oidc.ParseClaims(consent.Request.Claims)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	client := consent.Client.(*Client)
	w.Header().Set("Content-Security-Policy", contentSecurityPolicy(formTarget(consent.RedirectURI)))
	a.pages.render(w, http.StatusOK, "consent", consentView{
		layout:      layout{Title: "Allow access", User: user},
		ClientName:  client.Name(),
		ClientID:    client.GetClientID(),
		Destination: destination(consent.RedirectURI),
		Scopes:      scopesInWords(consent.Scope),
		Claims:      requested.Names(),
		Payments:    payments,
		Action:      consent.ReturnTo,
	})
}

// consent answers the application. Anything but a clear yes is a no, for which
// the library wants a nil that is not a nil *User.
func (a *app) consent(w http.ResponseWriter, r *http.Request) {
	form, ok := a.readForm(w, r)
	if !ok {
		return
	}
	if r.URL.RawQuery == "" && !form.Has("confirm") { // it is not from the page
		a.askInstead(w, r)
		return
	}
	user, err := a.currentUser(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if user == nil {
		redirectWith(w, r, "/login", url.Values{"next": {r.URL.RequestURI()}})
		return
	}
	var granting server.User
	if form.Get("confirm") == "yes" {
		granting = a.authenticated(r, user)
	}
	a.answer(w, r, granting)
}

// answer answers an application. The user has then returned from whatever it was for:
// the same request of tomorrow is another one.
func (a *app) answer(w http.ResponseWriter, r *http.Request, granting server.User) {
	a.sessions.Remove(r.Context(), sessionReturnTo)
	a.oauth.CreateAuthorizationResponse(w, r, granting)
}

// Name is what a person knows the client by.
func (c *Client) Name() string { return server.DisplayName(c) }

// destination says in short where a redirect URI leads: a client chooses its
// name freely, but not where it can be reached.
func destination(redirectURI string) string {
	host := server.DisplayHost(redirectURI)
	u, err := url.Parse(redirectURI)
	switch {
	case err != nil || host == "":
		return ""
	case strings.HasSuffix(host, ":"):
		return "an app on this device (" + host + ")"
	case isLoopback(u.Hostname()):
		return "a program on this device (" + host + ")"
	default:
		return host
	}
}
