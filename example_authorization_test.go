package gormoauth_test

import (
	"crypto/rand"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/storage"
)

// pages are what people see: a page to sign in, and one that asks for consent.
type pages struct {
	srv           *server.Server
	checkPassword func(name, password string) *User // nil when it is wrong
	sessions      sync.Map                          // a server.SignedIn by cookie; keep yours in the database
}

func (p *pages) register(mux *http.ServeMux) {
	mux.Handle("/oauth/authorize", p.srv.AuthorizationHandler(server.AuthorizationPages{
		User: p.user,
		SignIn: func(w http.ResponseWriter, r *http.Request, consent *server.ConsentGrant) {
			http.Redirect(w, r, "/login?next="+url.QueryEscape(consent.ReturnTo), http.StatusSeeOther)
		},
		Consent: func(w http.ResponseWriter, r *http.Request, consent *server.ConsentGrant) {
			_ = consentPage.Execute(w, consent)
		},
		Answering: p.forget,
	}))
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		_ = loginPage.Execute(w, r.URL.Query().Get("next"))
	})
	mux.HandleFunc("POST /login", p.login)
}

func (p *pages) login(w http.ResponseWriter, r *http.Request) {
	user := p.checkPassword(r.PostFormValue("name"), r.PostFormValue("password")) // limit the attempts of yours
	if user == nil || !p.srv.FromOwnPage(r) {
		http.Error(w, "The name or the password is wrong.", http.StatusForbidden)
		return
	}
	next, now, cookie := display.LocalPath(r.PostFormValue("next")), time.Now().Unix(), rand.Text()
	p.sessions.Store(cookie, server.SignedIn{User: user, Authentication: server.Authentication{
		Time: now, ReturnTo: next, ReturnedAt: now, SessionID: rand.Text(),
	}})
	http.SetCookie(w, &http.Cookie{
		Name: "session", Value: cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(p.srv.Issuer(), "https:"),
	})
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// user is who has signed in, when, and for which request.
func (p *pages) user(r *http.Request) (storage.User, error) {
	if cookie, err := r.Cookie("session"); err == nil {
		if user, ok := p.sessions.Load(cookie.Value); ok {
			return user.(server.SignedIn), nil
		}
	}
	return nil, nil
}

// forget has the same request sign in anew the next time that it asks for a sign-in.
func (p *pages) forget(r *http.Request) {
	cookie, err := r.Cookie("session")
	if user, _ := p.user(r); err == nil && user != nil {
		user := user.(server.SignedIn)
		user.Authentication.ReturnTo = ""
		p.sessions.Store(cookie.Value, user)
	}
}

var loginPage = template.Must(template.New("login").Parse(`<!doctype html><title>Sign in</title><h1>Sign in</h1>
<form method="post" action="/login"><input type="hidden" name="next" value="{{.}}">
<input name="name" placeholder="Name"> <input name="password" type="password" placeholder="Password"> <button>Sign in</button></form>`))

var consentPage = template.Must(template.New("consent").Parse(`<!doctype html><title>Allow access?</title><h1>Allow access?</h1>
<p><bdi>{{.ClientName}}</bdi> asks for: {{.Scope}}. You return to {{.Destination}}.</p>
<form method="post" action="{{.ReturnTo}}">{{.Decision.Input}}
<button name="confirm" value="no">Deny</button> <button name="confirm" value="yes">Allow</button></form>`))
