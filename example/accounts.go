package main

import (
	"net/http"
	"time"

	"github.com/gormoauth/gormoauth/server/display"
)

type accountsView struct {
	layout
	Next string
}

// showAccounts lets a person choose which account to continue with, when an application asks
// for that (prompt=select_account).
func (a *app) showAccounts(w http.ResponseWriter, r *http.Request, user *User) {
	next := display.LocalPath(r.URL.Query().Get("next"))
	leadsOn(w, "")
	a.pages.render(w, http.StatusOK, "accounts", accountsView{layout{Title: "Choose an account", User: user}, next})
}

// chooseAccount continues with the account that is signed in.
func (a *app) chooseAccount(w http.ResponseWriter, r *http.Request, _ *User) {
	form, ok := a.readForm(w, r)
	if !ok {
		return
	}
	next := display.LocalPath(form.Get("next"))
	a.sessions.Put(r.Context(), sessionChosenFor, next) // choosing does not count as a sign-in
	a.sessions.Put(r.Context(), sessionChosenAt, time.Now().Unix())
	redirectLocal(w, r, next)
}
