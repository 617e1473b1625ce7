package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/models"
)

// maxClients is how many clients a person can have.
const maxClients = 100

// clientsPage is what the page is called in the audit trail.
const clientsPage = "clients"

// AuthenticationInWords says how the client proves who it is.
func (c *Client) AuthenticationInWords() string {
	if c.IsPublic() {
		return "none (public client, PKCE)"
	}
	return c.GetTokenEndpointAuthMethod()
}

// IsPublic reports whether the client has no secret.
func (c *Client) IsPublic() bool { return c.GetTokenEndpointAuthMethod() == models.None }

type secretView struct {
	layout
	Client  *Client
	Secret  string // empty for a public client
	Rotated bool
}

func (a *app) clientsOf(ctx context.Context, user *User) ([]Client, error) {
	var clients []Client
	err := a.db.WithContext(ctx).Where("user_id = ? AND client_deleted_at = 0", user.ID).Order("id DESC").Find(&clients).Error
	return clients, err
}

func (a *app) createClient(w http.ResponseWriter, r *http.Request, user *User) {
	values, ok := a.readForm(w, r)
	if !ok {
		return
	}
	form := readClientForm(values)
	ctx := a.oauth.PageContext(r, clientsPage, user)
	var err error
	if form.Faults, err = form.check(ctx, a.oauth); err != nil {
		a.fail(w, r, err)
		return
	}
	var count int64
	if err := a.db.WithContext(r.Context()).Model(&Client{}).Where("user_id = ? AND client_deleted_at = 0", user.ID).Count(&count).Error; err != nil {
		a.fail(w, r, err)
		return
	}
	if count >= maxClients {
		form.Faults = append(form.Faults, "You have as many clients as one person can have. Delete one first.")
	}
	if len(form.Faults) > 0 {
		a.homePage(w, r, user, http.StatusUnprocessableEntity, form)
		return
	}
	client := &Client{UserID: &user.ID, ClientMixin: models.ClientMixin{ClientMetadata: form.metadata()}}
	secret, err := a.clients.Create(ctx, client)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	// Not a redirect: the secret would have to be stored in between.
	a.secretPage(w, user, client, secret, false)
}

func (a *app) rotateSecret(w http.ResponseWriter, r *http.Request, user *User) {
	client, ok := a.ownClient(w, r, user)
	if !ok {
		return
	}
	secret, err := a.clients.RotateSecret(a.oauth.PageContext(r, clientsPage, user), client.ClientID, gormstore.SecretRotation{})
	switch {
	case errors.Is(err, gormstore.ErrNoClient): // a public client, or one that was deleted meanwhile
		a.errorPage(w, http.StatusNotFound)
	case err != nil:
		a.fail(w, r, err)
	default:
		a.secretPage(w, user, client, secret, true)
	}
}

// secretPage shows a secret once. Only its digest is stored.
func (a *app) secretPage(w http.ResponseWriter, user *User, client *Client, secret string, rotated bool) {
	status, title := http.StatusCreated, "Client created"
	if rotated {
		status, title = http.StatusOK, "New client secret"
	}
	a.pages.render(w, status, "secret", secretView{layout{Title: title, User: user}, client, secret, rotated})
}

func (a *app) removeClient(w http.ResponseWriter, r *http.Request, user *User) {
	client, ok := a.ownClient(w, r, user)
	if !ok {
		return
	}
	if err := a.registrations.BeginDeleteClient(a.oauth.PageContext(r, clientsPage, user), client.GetClientID(), time.Now()); err != nil {
		a.fail(w, r, err)
		return
	}
	a.deletions.wake()
	a.notify(r, "The client “"+client.Name()+"” was deleted, and its tokens are void.")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// ownClient finds the client in the path. A client of another user is answered like one that
// does not exist.
func (a *app) ownClient(w http.ResponseWriter, r *http.Request, user *User) (client *Client, ok bool) {
	id := r.PathValue("id")
	if !storable(id) {
		a.errorPage(w, http.StatusNotFound)
		return nil, false
	}
	client = new(Client)
	result := a.db.WithContext(r.Context()).Where("client_id = ? AND user_id = ? AND client_deleted_at = 0", id, user.ID).Limit(1).Find(client)
	if result.Error != nil {
		a.fail(w, r, result.Error)
		return nil, false
	}
	if result.RowsAffected == 0 {
		a.errorPage(w, http.StatusNotFound)
		return nil, false
	}
	return client, true
}
