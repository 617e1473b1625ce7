package main

import "net/http"

type accountsView struct {
	layout
	Next string
}

// showAccounts lets a person choose with which account to go on, for an application
// that asks for it (prompt=select_account).
func (a *app) showAccounts(w http.ResponseWriter, r *http.Request, user *User) {
	next := localPath(r.URL.Query().Get("next"))
	w.Header().Set("Content-Security-Policy", contentSecurityPolicy(a.formTargetOf(r, next)))
	a.pages.render(w, http.StatusOK, "accounts", accountsView{layout{Title: "Choose an account", User: user}, next})
}

// chooseAccount goes on with the account that is signed in.
func (a *app) chooseAccount(w http.ResponseWriter, r *http.Request, _ *User) {
	form, ok := a.readForm(w, r)
	if !ok {
		return
	}
	next := localPath(form.Get("next"))
	a.returning(r, next)
	redirectLocal(w, r, next)
}
