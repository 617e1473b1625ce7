package main

import (
	"net/http"
	"time"
)

type loginView struct {
	layout
	Next     string
	Username string
	Failed   bool
	Demo     []demoUser
}

func (a *app) showLogin(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.URL.Query().Get("next"))
	user, err := a.currentUser(r)
	switch {
	case err != nil:
		a.fail(w, r, err)
	case user != nil && !r.URL.Query().Has("again"):
		redirectLocal(w, r, next)
	default:
		a.loginPage(w, http.StatusOK, loginView{Next: next})
	}
}

func (a *app) login(w http.ResponseWriter, r *http.Request) {
	form, ok := a.readForm(w, r)
	if !ok {
		return
	}
	next := localPath(form.Get("next"))
	user, err := a.passwords.check(r.Context(), form.Get("username"), form.Get("password"))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if user == nil {
		a.loginPage(w, http.StatusUnauthorized, loginView{Next: next, Username: form.Get("username"), Failed: true})
		return
	}
	// A new token for the session: the old one may be known to somebody who
	// planted it.
	if err := a.sessions.RenewToken(r.Context()); err != nil {
		a.fail(w, r, err)
		return
	}
	a.sessions.Put(r.Context(), sessionUserID, user.GetUserID())
	a.sessions.Put(r.Context(), sessionSignedInAt, time.Now().Unix())
	redirectLocal(w, r, next)
}

func (a *app) loginPage(w http.ResponseWriter, status int, view loginView) {
	view.Title = "Sign in"
	if a.cfg.demo {
		view.Demo = demoUsers
	}
	a.pages.render(w, status, "login", view)
}
