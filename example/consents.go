package main

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// permission is a consent as its person's page shows it.
type permission struct {
	ClientID   string
	ClientName string
	Scopes     []scope
	Since      int64
}

// permissionsOf lists a user's consents for applications that have no access at the moment,
// latest first.
func (a *app) permissionsOf(ctx context.Context, user *User, applications []application) ([]permission, error) {
	consents, err := a.consents.Of(ctx, user.GetUserID())
	if err != nil {
		return nil, err
	}
	consents = slices.DeleteFunc(consents, func(consent *Consent) bool {
		return slices.ContainsFunc(applications, func(one application) bool { return one.ClientID == consent.ClientID })
	})
	ids := make([]string, len(consents))
	for i, consent := range consents {
		ids[i] = consent.ClientID
	}
	names, err := a.clientNames(ctx, ids)
	if err != nil {
		return nil, err
	}
	permissions := make([]permission, len(consents))
	for i, consent := range consents {
		permissions[i] = permission{consent.GetClientID(), names[consent.ClientID], scopesInWords(consent.Scope), consent.GrantedAt}
	}
	return permissions, nil
}

// revokeConsent withdraws a user's consent.
func (a *app) revokeConsent(w http.ResponseWriter, r *http.Request, user *User) {
	if form, ok := a.readForm(w, r); ok {
		a.takeBack(w, r, user, form.Get("client_id"))
	}
}

// takeBack ends all of an application's access, and withdraws the consent.
func (a *app) takeBack(w http.ResponseWriter, r *http.Request, user *User, clientID string) {
	if err := a.consents.Revoke(a.oauth.PageContext(r, "applications", user), user.GetUserID(), clientID, time.Now()); err != nil {
		a.fail(w, r, err)
		return
	}
	a.notify(r, "The application has no access any more.")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
