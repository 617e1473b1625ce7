package main

import (
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"time"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

type loginView struct {
	layout
	Next     string
	Username string
	Failed   bool
	Demo     []demoUser
}

func (a *app) showLogin(w http.ResponseWriter, r *http.Request) {
	next := display.LocalPath(r.URL.Query().Get("next"))
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
	next := display.LocalPath(form.Get("next"))
	user, err := a.signIn(r, form.Get("username"), form.Get("password"))
	if err != nil {
		failure := server.AsError(err)
		if failure.Status == http.StatusUnauthorized {
			a.loginPage(w, failure.Status, loginView{Next: next, Username: form.Get("username"), Failed: true})
			return
		}
		maps.Copy(w.Header(), failure.Header)
		a.errorPage(w, failure.Status)
		return
	}
	// Another user was signed in here: end that user's sessions at applications.
	if before := a.sessions.GetString(r.Context(), sessionUserID); before != "" && before != user.GetUserID() {
		if _, err := a.endSession(r); err != nil {
			a.fail(w, r, err)
			return
		}
	}
	// A new session token: an attacker may have planted the old one.
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

// signIn checks a password. Observers see it like a request to the library, and the log has the
// reason of a refusal under the same keys.
func (a *app) signIn(r *http.Request, username, password string) (user *User, err error) {
	err = a.oauth.ObservePage(r, "login", func(r *http.Request) (*server.Request, error) {
		var who storage.User
		var why *reason.Reason
		found, err := a.passwords.check(r.Context(), a.oauth.RemoteAddress(r), username, password)
		switch {
		case errors.As(err, &why):
			wrong := server.NewError(server.AccessDenied, "The user name or the password is wrong.").BecauseOf(why)
			wrong.Status, err = http.StatusUnauthorized, wrong
		case err == nil:
			user, who = found, found
		}
		return server.RequestFromContext(a.oauth.PageContext(r, "login", who)), err
	})
	return user, err
}

func (a *app) loginPage(w http.ResponseWriter, status int, view loginView) {
	view.Title = "Sign in"
	leadsOn(w, "")
	if a.cfg.demo {
		view.Demo = demoUsers
	}
	a.pages.render(w, status, "login", view)
}
