package main

import (
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"time"

	"github.com/gormoauth/gormoauth/server"
)

type loginView struct {
	layout
	Next     string
	Username string
	Failed   bool
	Demo     []demoUser
}

func (a *app) showLogin(w http.ResponseWriter, r *http.Request) {
	next := server.LocalPath(r.URL.Query().Get("next"))
	user, err := a.currentUser(r)
	switch {
	case err != nil:
		a.fail(w, r, err)
	case user != nil && !r.URL.Query().Has("again"):
		redirectLocal(w, r, next)
	default:
		username := r.URL.Query().Get("username")
		if !storable(username) {
			username = ""
		}
		a.loginPage(w, http.StatusOK, loginView{Next: next, Username: username})
	}
}

func (a *app) login(w http.ResponseWriter, r *http.Request) {
	form, ok := a.readForm(w, r)
	if !ok {
		return
	}
	next := server.LocalPath(form.Get("next"))
	user, err := a.passwords.check(r.Context(), a.oauth.RemoteAddress(r), form.Get("username"), form.Get("password"))
	var later *server.Error
	switch {
	case errors.As(err, &later):
		maps.Copy(w.Header(), later.Header)
		a.errorPage(w, later.Status)
		return
	case err != nil:
		a.fail(w, r, err)
		return
	}
	if user == nil {
		a.loginPage(w, http.StatusUnauthorized, loginView{Next: next, Username: form.Get("username"), Failed: true})
		return
	}
	// Somebody else was signed in here: their applications learn that they are no more.
	if before := a.sessions.GetString(r.Context(), sessionUserID); before != "" && before != user.GetUserID() {
		if _, err := a.endSession(r); err != nil {
			a.fail(w, r, err)
			return
		}
	}
	// A new token for the session: the old one may be known to somebody who
	// planted it.
	if err := a.sessions.RenewToken(r.Context()); err != nil {
		a.fail(w, r, err)
		return
	}
	a.sessions.Put(r.Context(), sessionUserID, user.GetUserID())
	a.sessions.Put(r.Context(), sessionSignedInAt, time.Now().Unix())
	a.sessions.Put(r.Context(), sessionReturnTo, next)
	a.sessions.Put(r.Context(), sessionReturnedAt, time.Now().Unix())
	if a.sessions.GetString(r.Context(), sessionID) == "" {
		a.sessions.Put(r.Context(), sessionID, rand.Text())
	}
	redirectLocal(w, r, next)
}

func (a *app) loginPage(w http.ResponseWriter, status int, view loginView) {
	view.Title = "Sign in"
	leadsOn(w, "")
	if a.cfg.demo {
		view.Demo = demoUsers
	}
	a.pages.render(w, status, "login", view)
}
