package oidc_test

import (
	"fmt"
	"log"
	"net/http"
	"net/url"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/storage"
)

// The handler does what prompt, max_age, acr_values and id_token_hint ask for: none of
// them can be forgotten.
func Example() {
	var srv server.Server // see gormoauth.New
	redirect := func(path string) func(http.ResponseWriter, *http.Request, *server.ConsentGrant) {
		return func(w http.ResponseWriter, r *http.Request, consent *server.ConsentGrant) {
			http.Redirect(w, r, path+"?next="+url.QueryEscape(consent.ReturnTo), http.StatusSeeOther)
		}
	}
	http.Handle("/oauth/authorize", srv.AuthorizationHandler(server.AuthorizationPages{
		User:          func(*http.Request) (storage.User, error) { return nil, nil }, // the program's session
		SignIn:        redirect("/login"),
		SelectAccount: redirect("/accounts"),
		Consent:       func(http.ResponseWriter, *http.Request, *server.ConsentGrant) {}, // the consent page
	}))
	// Output:
}

// The page that ends a session asks the user, unless it knows that the request comes
// from a client of this very session.
func ExampleProvider_GetLogoutRequest() {
	var srv server.Server
	var provider oidc.Provider
	currentUser := func(*http.Request) (user storage.User, sessionID string) { return nil, "" }
	ask := func(http.ResponseWriter, *oidc.LogoutRequest) {} // a form that is posted to ReturnTo, with Decision.Input and a button confirm=yes
	http.HandleFunc("/oauth/end_session", func(w http.ResponseWriter, r *http.Request) {
		user, sessionID := currentUser(r)
		logout, err := provider.GetLogoutRequest(r, user)
		if err != nil {
			srv.WriteError(w, r, err)
			return
		}
		if user != nil && !logout.Confirmed {
			ask(w, logout)
			return
		}
		ended, err := provider.EndSession(r.Context(), sessionID) // and the program's own session
		if err != nil {
			srv.WriteError(w, r, err)
			return
		}
		if !provider.CreateLogoutResponse(w, r, logout, ended) {
			_, _ = fmt.Fprintln(w, "You are signed out.")
		}
	})
	// Output:
}

// What a user has allowed to be told, claim by claim.
func ExampleParseClaims() {
	requested, err := oidc.ParseClaims(`{"userinfo": {"email": {"essential": true}, "name": null}, "id_token": {"auth_time": null}}`)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(requested.Names(), requested.UserInfo["email"].Essential)
	// Output: [email name] true
}
