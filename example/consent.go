package main

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/indicator"
	"github.com/gormoauth/gormoauth/server/oidc"
)

type consentView struct {
	layout
	ClientName  string
	ClientID    string
	Links       display.Links
	Destination string
	APIs        []string
	Scopes      []scope
	Claims      []string
	Payments    []payment
	// Action is the address of this page, including its query. The form only adds the
	// decision.
	Action   string
	Decision server.Decision
	// Again is true if the person has already decided, on a page that showed something else.
	Again bool
}

// authorize is the authorization endpoint. The library says what a request asks of the person,
// and whether they have decided.
func (a *app) authorize() http.HandlerFunc {
	return a.oauth.AuthorizationHandler(server.AuthorizationPages{
		User:   a.signedInUser,
		SignIn: a.signInFor,
		SelectAccount: func(w http.ResponseWriter, r *http.Request, consent *server.ConsentGrant) {
			redirectWith(w, r, "/accounts", url.Values{"next": {consent.ReturnTo}})
		},
		Consent:   a.askConsent,
		Answering: a.forgetReturning,
	})
}

// signInFor sends a person to the sign-in page, and back to the request afterwards.
func (a *app) signInFor(w http.ResponseWriter, r *http.Request, consent *server.ConsentGrant) {
	query := url.Values{"next": {consent.ReturnTo}}
	if consent.User != nil {
		query.Set("again", "")
	}
	if hint := consent.Request.Params.Get("login_hint"); hint != "" {
		query.Set("username", hint)
	}
	redirectWith(w, r, "/login", query)
}

// redirectWith redirects to a page of this site, with a query.
func redirectWith(w http.ResponseWriter, r *http.Request, path string, query url.Values) {
	redirectLocal(w, r, path+"?"+query.Encode())
}

func (a *app) askConsent(w http.ResponseWriter, r *http.Request, consent *server.ConsentGrant) {
	payments, err := paymentsOf(consent.Request.AuthorizationDetails)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	requested, err := oidc.ParseClaims(consent.Request.Authorization.Claims)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	client, user := consent.Client.(*Client), consent.User.(*User)
	links := consent.Links()
	leadsOn(w, links.Logo)
	a.pages.render(w, http.StatusOK, "consent", consentView{
		layout:      layout{Title: "Allow access", User: user},
		ClientName:  client.Name(),
		ClientID:    client.GetClientID(),
		Links:       links,
		Destination: destination(consent.RedirectURI),
		APIs:        a.otherAPIs(consent),
		Scopes:      scopesInWords(consent.Scope),
		Claims:      requested.Names(),
		Payments:    payments,
		Action:      consent.ReturnTo,
		Decision:    consent.Decision,
		Again:       r.Method == http.MethodPost,
	})
}

// otherAPIs are the APIs, besides this program's own, that the access is for.
func (a *app) otherAPIs(consent *server.ConsentGrant) []string {
	return slices.DeleteFunc(strings.Fields(consent.Request.Audience), func(resource string) bool { return indicator.Same(resource, a.cfg.issuer) })
}

// Name returns the client's name for people.
func (c *Client) Name() string { return display.Name(c) }

// destination says briefly where a redirect URI leads: a client chooses its name freely, but
// not where it can be reached.
func destination(redirectURI string) string {
	host := display.Host(redirectURI)
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
