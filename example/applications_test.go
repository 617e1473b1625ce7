package main

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestApplicationsWithAccess(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	alice, bob := p.signedIn(t, "alice", "wonderland"), p.signedIn(t, "bob", "builder")
	alice.get("/").want(t, http.StatusOK, "No application has access to your account.")

	token := passwordToken(t, alice, "alice", "wonderland")
	home := alice.get("/")
	home.want(t, http.StatusOK, "Demo legacy app", "See your name and user name", "Remove access")
	if strings.Contains(bob.get("/").body, "Demo legacy app") {
		t.Error("bob sees what alice granted")
	}

	revoke := home.find(t, `action="(/applications/[^"]+/revoke)"`)
	bob.post(revoke, nil).want(t, http.StatusNotFound)
	for _, id := range []string{"0", "-1", "x", "99999", "9223372036854775807", "18446744073709551615", "%00"} {
		alice.post("/applications/"+id+"/revoke", nil).want(t, http.StatusNotFound)
	}
	call := func() answer {
		return alice.do(http.MethodGet, "/api/me", nil, http.Header{"Authorization": {"Bearer " + token}})
	}
	call().want(t, http.StatusOK)
	alice.post(revoke, nil).wantRedirect(t, "/")
	alice.get("/").want(t, http.StatusOK, "The application has no access any more.", "No application has access to your account.")
	call().want(t, http.StatusUnauthorized)
}

func TestApplicationsAreAliveAndRemembered(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	db := p.database(t)
	alice := p.signedIn(t, "alice", "wonderland")
	token := passwordToken(t, alice, "alice", "wonderland")
	age := func(columns map[string]any) {
		t.Helper()
		if err := db.Model(&Token{}).Where("user_id = 1").UpdateColumns(columns).Error; err != nil {
			t.Fatal(err)
		}
	}

	// Used an hour ago, used again now: the page tells the last time.
	hourAgo := time.Now().Add(-time.Hour).Unix()
	age(map[string]any{"granted_at": hourAgo, "last_used_at": hourAgo})
	alice.do(http.MethodGet, "/api/me", nil, http.Header{"Authorization": {"Bearer " + token}}).want(t, http.StatusOK)
	var row Token
	if err := db.First(&row, "user_id = 1").Error; err != nil || row.LastUsedAt < hourAgo+3000 {
		t.Errorf("last used at %d, %v", row.LastUsedAt, err)
	}

	// The access token has ended, the refresh token lives: the grant does.
	age(map[string]any{"issued_at": time.Now().Add(-2 * time.Hour).Unix()})
	alice.get("/").want(t, http.StatusOK, "Demo legacy app")
	age(map[string]any{"refresh_token_expires_at": time.Now().Add(-time.Minute).Unix()})
	alice.get("/").want(t, http.StatusOK, "No application has access to your account.")
}
