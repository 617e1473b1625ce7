package oidc_test

import (
	"fmt"
	"log"
	"net/http"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/oidc"
)

// The page does what the consent grant says: prompt, max_age, acr_values and
// id_token_hint cannot be forgotten.
func Example() {
	var srv server.Server                                           // see gormoauth.New
	currentUser := func(*http.Request) server.User { return nil }   // the program's session
	redirect := func(http.ResponseWriter, *http.Request, string) {} // to a page of the program's
	ask := func(http.ResponseWriter, *server.ConsentGrant) {}       // the consent page
	authorize := func(w http.ResponseWriter, r *http.Request) {
		user := currentUser(r)
		consent, err := srv.GetConsentGrant(r, user)
		if err != nil {
			srv.WriteError(w, r, err)
			return
		}
		switch consent.Interaction {
		case server.SignIn: // and then back to consent.ReturnTo
			redirect(w, r, "/login?next="+consent.ReturnTo)
		case server.SelectAccount:
			redirect(w, r, "/accounts?next="+consent.ReturnTo)
		case server.NoInteraction: // agreed before
			srv.CreateAuthorizationResponse(w, r, user)
		default:
			ask(w, consent)
		}
	}
	http.HandleFunc("GET /oauth/authorize", authorize)
	// Output:
}

// The page that ends a session asks the user, unless it knows that the request comes
// from a client of this very session.
func ExampleProvider_GetLogoutRequest() {
	var srv server.Server
	var provider oidc.Provider
	currentUser := func(*http.Request) (user server.User, sessionID string) { return nil, "" }
	confirmed := func(http.ResponseWriter, *http.Request, *oidc.LogoutRequest) bool { return true } // or shows the page that asks
	http.HandleFunc("/oauth/end_session", func(w http.ResponseWriter, r *http.Request) {
		user, sessionID := currentUser(r)
		logout, err := provider.GetLogoutRequest(r, user)
		if err != nil {
			srv.WriteError(w, r, err)
			return
		}
		if !logout.Confirmed && !confirmed(w, r, logout) {
			return
		}
		ended, err := provider.EndSession(r.Context(), sessionID) // and the program's own session
		if err != nil {
			srv.WriteError(w, r, err)
			return
		}
		if !provider.CreateLogoutResponse(w, r, logout, ended) {
			_, _ = fmt.Fprintln(w, "You have signed out.")
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
