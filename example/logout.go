package main

import "net/http"

// showLogout asks first: a mere link must not sign anybody out.
func (a *app) showLogout(w http.ResponseWriter, r *http.Request) {
	user, err := a.currentUser(r)
	switch {
	case err != nil:
		a.fail(w, r, err)
	case user == nil:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	default:
		a.pages.render(w, http.StatusOK, "logout", layout{Title: "Sign out", User: user})
	}
}

// logout ends the session. What applications were granted lives on.
func (a *app) logout(w http.ResponseWriter, r *http.Request) {
	form, ok := a.readForm(w, r)
	if !ok {
		return
	}
	if err := a.sessions.Destroy(r.Context()); err != nil {
		a.fail(w, r, err)
		return
	}
	redirectLocal(w, r, form.Get("next"))
}
