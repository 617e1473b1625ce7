package main

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/display"
)

// deviceView is the verification page of RFC 8628: it asks for the code that a device shows,
// then for consent, and then shows the outcome.
type deviceView struct {
	layout
	UserCode string
	Failure  string // why the code was refused
	Consent  *deviceConsent
	Outcome  string // what the user decided: "allowed", "denied"
	Again    bool   // the user has already decided, on a page that showed something else
}

type deviceConsent struct {
	ClientName string
	ClientID   string
	Links      display.Links
	Scopes     []scope
	Payments   []payment
	APIs       []string
	Decision   server.Decision
}

// showDevice asks for the code. A code from the link is filled in, but the user has to confirm
// it: somebody else may have sent the link.
func (a *app) showDevice(w http.ResponseWriter, r *http.Request) {
	a.devicePage(w, r, func(user *User) (int, deviceView) {
		return http.StatusOK, deviceView{UserCode: printable(r.URL.Query().Get("user_code"))}
	})
}

// device accepts the code, and then the decision.
func (a *app) device(w http.ResponseWriter, r *http.Request) {
	form, ok := a.readForm(w, r)
	if !ok {
		return
	}
	a.devicePage(w, r, func(user *User) (int, deviceView) {
		view := deviceView{UserCode: printable(form.Get("user_code"))}
		if decision := form.Get("confirm"); decision != "" {
			err := a.devices.Decide(a.oauth, r, a.authenticated(r, user), decision == "yes")
			if view.Again = errors.Is(err, server.ErrNoDecision); !view.Again {
				view.Outcome = map[bool]string{true: "allowed", false: "denied"}[decision == "yes"]
				return a.deviceResult(w, r, view, err)
			}
		}
		consent, err := a.devices.GetConsentGrant(a.oauth, r, a.authenticated(r, user))
		if err == nil {
			view.Consent, err = a.newDeviceConsent(consent)
		}
		return a.deviceResult(w, r, view, err)
	})
}

func (a *app) newDeviceConsent(consent *server.ConsentGrant) (*deviceConsent, error) {
	client := consent.Client.(*Client)
	payments, err := paymentsOf(consent.Request.AuthorizationDetails)
	return &deviceConsent{client.Name(), client.GetClientID(), consent.Links(), scopesInWords(consent.Scope), payments, a.otherAPIs(consent), consent.Decision}, err
}

// deviceResult is what the page shows, or an error.
func (a *app) deviceResult(w http.ResponseWriter, r *http.Request, view deviceView, err error) (int, deviceView) {
	if err == nil {
		return http.StatusOK, view
	}
	failure := server.AsError(err)
	failure.SetHeader(w) // such as Retry-After
	return failure.Status, deviceView{UserCode: view.UserCode, Failure: a.oauth.Describe(r, err)}
}

// devicePage shows the page to a signed-in user.
func (a *app) devicePage(w http.ResponseWriter, r *http.Request, view func(user *User) (int, deviceView)) {
	user, err := a.currentUser(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if user == nil {
		next := "/device?" + url.Values{"user_code": {printable(r.FormValue("user_code"))}}.Encode()
		http.Redirect(w, r, "/login?next="+url.QueryEscape(next), http.StatusSeeOther)
		return
	}
	status, page := view(user)
	if status == http.StatusInternalServerError {
		a.errorPage(w, status)
		return
	}
	page.layout = layout{Title: "Connect a device", User: user}
	logo := ""
	if page.Consent != nil {
		logo = page.Consent.Links.Logo
	}
	leadsOn(w, logo)
	a.pages.render(w, status, "device", page)
}

// printable shortens what was typed, to show it again.
func printable(code string) string {
	const longest = 20
	if !storable(code) || len(code) > longest {
		return ""
	}
	return code
}
