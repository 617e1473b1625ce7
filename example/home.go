package main

import "net/http"

type homeView struct {
	layout
	Notice       string
	Clients      []Client
	Applications []application
	Permissions  []permission
	Form         clientForm
	Scopes       []scope
}

type landingView struct {
	layout
	Demo []demoUser
}

func (a *app) showHome(w http.ResponseWriter, r *http.Request) {
	user, err := a.currentUser(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if user != nil {
		a.homePage(w, r, user, http.StatusOK, newClientForm())
		return
	}
	view := landingView{layout: layout{Title: "Welcome"}}
	if a.cfg.demo {
		view.Demo = demoUsers
	}
	a.pages.render(w, http.StatusOK, "landing", view)
}

func (a *app) homePage(w http.ResponseWriter, r *http.Request, user *User, status int, form clientForm) {
	clients, err := a.clientsOf(r.Context(), user)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	applications, err := a.applicationsOf(r.Context(), user)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	permissions, err := a.permissionsOf(r.Context(), user, applications)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.pages.render(w, status, "home", homeView{
		layout:       layout{Title: "Your account", User: user},
		Notice:       a.sessions.PopString(r.Context(), sessionNotice),
		Clients:      clients,
		Applications: applications,
		Permissions:  permissions,
		Form:         form,
		Scopes:       scopes,
	})
}
