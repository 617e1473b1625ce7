package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gormoauth/gormoauth/models"
)

func TestActivity(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	alice, bob := p.signedIn(t, "alice", "wonderland"), p.signedIn(t, "bob", "builder")
	alice.get("/").want(t, http.StatusOK, `href="/activity"`)
	alice.get("/activity").want(t, http.StatusOK, "Nothing has happened yet.")
	p.visit(t).get("/activity").wantRedirect(t, "/login")

	// Each of these is told, on the page of who did it, and from where.
	redirected(t, alice.decide(authorizePath("demo-web"), form("confirm", "yes")))
	passwordToken(t, alice, "alice", "wonderland")
	alice.post("/consents/revoke", form("client_id", "demo-legacy")).wantRedirect(t, "/")
	created := alice.post("/clients", form("client_name", "Mine", "type", "service", "scope", "profile"))
	created.want(t, http.StatusCreated)
	home := alice.get("/")
	alice.post(home.find(t, `action="(/clients/[^"]+/secret)"`), nil).want(t, http.StatusOK)
	alice.post(home.find(t, `action="(/clients/[^"]+/delete)"`), nil).wantRedirect(t, "/")
	page := alice.get("/activity")
	page.want(t, http.StatusOK, "You let <bdi>Demo web app</bdi> in", "<bdi>Demo legacy app</bdi> got access", "You removed the access of <bdi>Demo legacy app</bdi>",
		"You created the client", "You made a new secret for", "You deleted the client", "from 127.0.0.1")
	if deleted, granted := strings.Index(page.body, "You deleted"), strings.Index(page.body, "You let"); deleted > granted {
		t.Error("the latest entry is not the first")
	}
	if body := bob.get("/activity").body; !strings.Contains(body, "Nothing has happened yet.") {
		t.Errorf("bob sees what alice did: %s", body)
	}
}

func TestActivityIsRead(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	db := p.database(t)
	alice := p.signedIn(t, "alice", "wonderland")
	one := uint(1)
	for i := range 2*activityLength + 1 {
		entry := Audit{UserID: &one}
		entry.AuditKey, entry.OccurredAt, entry.Event = fmt.Sprintf("%09d%s", i, strings.Repeat("A", 26)), int64(i), models.AuditTokenRefreshed
		if err := db.Create(&entry).Error; err != nil {
			t.Fatal(err)
		}
	}
	seen, address := 0, "/activity"
	for range 3 {
		page := alice.get(address)
		page.want(t, http.StatusOK)
		seen += strings.Count(page.body, "renewed its access")
		if !strings.Contains(page.body, "Older") {
			break
		}
		address = page.find(t, `href="(/activity\?before=[^"]+)"`)
	}
	if seen != 2*activityLength+1 {
		t.Errorf("%d entries on all pages", seen)
	}
	for _, before := range []string{"x", "%00", "1.2", strings.Repeat("9", 100)} {
		alice.get("/activity?before="+before).want(t, http.StatusNotFound)
	}
}

// Whatever the trail tells of has a sentence.
func TestEveryEventHasASentence(t *testing.T) {
	t.Parallel()
	for entry, want := range map[Audit]string{
		{AuditMixin: models.AuditMixin{Event: models.AuditTokenIssued}}:                                 "X got access",
		{AuditMixin: models.AuditMixin{Event: models.AuditGrantRevoked}}:                                "X gave its access back",
		{AuditMixin: models.AuditMixin{Event: models.AuditGrantRevoked, Reason: models.AuditByReuse}}:   "The access of X ended: somebody used a key of it a second time",
		{AuditMixin: models.AuditMixin{Event: models.AuditGrantRevoked, Reason: models.AuditBySession}}: "The access of X ended when you signed out",
		{AuditMixin: models.AuditMixin{Event: "of_a_later_release"}}:                                    "X: of_a_later_release",
	} {
		if words := sentenceOf(&entry); words.Before+"X"+words.After != want {
			t.Errorf("%s %s is %q", entry.Event, entry.Reason, words)
		}
	}
}
