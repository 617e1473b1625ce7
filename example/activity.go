package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/models"
)

// activityLength is how many entries a page shows.
const activityLength = 25

type activityView struct {
	layout
	Entries []activity
	Older   string // the address of the next page, empty on the last
	Later   bool   // whether there are pages before
}

// activity is an entry of the audit trail as its person's page shows it.
type activity struct {
	sentence
	ClientName string
	Scopes     []scope
	At         int64
	From       string
}

// sentence says what happened to a client: its name stands between the two.
type sentence struct{ Before, After string }

var sentences = map[string]sentence{
	models.AuditAuthorizationGranted: {"You let ", " in"},
	models.AuditTokenIssued:          {"", " got access"},
	models.AuditTokenRefreshed:       {"", " renewed its access"},
	models.AuditTokenExchanged:       {"", " got access for another service"},
	models.AuditTokenRevoked:         {"", " gave an access token back"},
	models.AuditGrantRevoked:         {"", " gave its access back"},
	models.AuditAllRevoked:           {"All access of ", " ended"},
	models.AuditConsentRevoked:       {"You removed the access of ", ""},
	models.AuditSessionEnded:         {"You signed out of ", ""},
	models.AuditClientRegistered:     {"You created the client ", ""},
	models.AuditClientUpdated:        {"The client ", " was changed"},
	models.AuditClientDeleted:        {"You deleted the client ", ""},
	models.AuditClientSecretRotated:  {"You made a new secret for ", ""},
}

// endings says why access ended without anybody asking for it.
var endings = map[string]sentence{
	models.AuditByReuse:   {"The access of ", " ended: somebody used a key of it a second time"},
	models.AuditBySession: {"The access of ", " ended when you signed out"},
}

func sentenceOf(entry *Audit) sentence {
	if ending, known := endings[entry.Reason]; known {
		return ending
	}
	if known, ok := sentences[entry.Event]; ok {
		return known
	}
	return sentence{After: ": " + entry.Event} // an event without a sentence is shown by its name rather than hidden
}

// showActivity lists what was granted, refreshed and revoked for a person, latest first.
func (a *app) showActivity(w http.ResponseWriter, r *http.Request, user *User) {
	before := r.URL.Query().Get("before")
	entries, err := a.audits.Query(r.Context(), gormstore.AuditQuery{UserID: user.GetUserID(), Before: before, Limit: activityLength})
	if errors.Is(err, gormstore.ErrCursor) {
		a.errorPage(w, http.StatusNotFound)
		return
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	view := activityView{layout: layout{Title: "Activity", User: user}, Later: before != ""}
	if view.Entries, err = a.inWords(r.Context(), entries); err != nil {
		a.fail(w, r, err)
		return
	}
	if len(entries) == activityLength {
		view.Older = "/activity?before=" + url.QueryEscape(entries[len(entries)-1].GetCursor())
	}
	a.pages.render(w, http.StatusOK, "activity", view)
}

func (a *app) inWords(ctx context.Context, entries []*Audit) ([]activity, error) {
	ids := make([]string, len(entries))
	for i, entry := range entries {
		ids[i] = entry.ClientID
	}
	names, err := a.clientNames(ctx, ids)
	if err != nil {
		return nil, err
	}
	all := make([]activity, len(entries))
	for i, entry := range entries {
		all[i] = activity{
			sentence: sentenceOf(entry), ClientName: cmp.Or(names[entry.ClientID], "An application"),
			Scopes: scopesInWords(entry.Scope), At: entry.OccurredAt, From: entry.RemoteAddress,
		}
	}
	return all, nil
}
