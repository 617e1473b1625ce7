package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

func TestSignInLeadsBack(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	for next, want := range map[string]string{
		"":                     "/",
		"/logout":              "/logout",
		"//evil.example":       "/",
		`/\evil.example`:       "/",
		"https://evil.example": "/",
	} {
		b := p.visit(t)
		login := b.get("/login?next=" + url.QueryEscape(next))
		if hidden := login.find(t, `name="next" value="([^"]*)"`); hidden != want {
			t.Errorf("next=%q: the form keeps %q", next, hidden)
		}
		b.post("/login", form("username", "alice", "password", "wonderland", "next", next)).wantRedirect(t, want)
		b.get("/login?next="+url.QueryEscape(next)).wantRedirect(t, want) // signed in already
	}
	p.visit(t).post("/logout", form("next", "//evil.example")).wantRedirect(t, "/")
}

func TestSignInFails(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	const message = "The user name or the password is wrong."
	for name, values := range map[string]url.Values{
		"wrong password":    form("username", "alice", "password", "builder"),
		"unknown user":      form("username", "mallory", "password", "wonderland"),
		"other case":        form("username", "Alice", "password", "wonderland"),
		"nothing":           form(),
		"empty password":    form("username", "alice", "password", ""),
		"very long user":    form("username", strings.Repeat("a", 50_000), "password", "x"),
		"very long":         form("username", "alice", "password", strings.Repeat("a", 50_000)),
		"trailing garbage":  form("username", "alice", "password", "wonderland"+strings.Repeat(" ", 100)),
		"a quote, a script": form("username", `'"><script>`, "password", "x"),
	} {
		b := p.visit(t)
		b.post("/login", values).want(t, http.StatusUnauthorized, message, `name="password"`)
		if b.cookie() != nil {
			t.Errorf("%s: a session began", name)
		}
	}
	for name, tt := range map[string]struct {
		body   string
		status int
	}{
		"NUL":               {"username=a%00b&password=x", http.StatusBadRequest},
		"not UTF-8":         {"username=%ff&password=x", http.StatusBadRequest},
		"not a form":        {"username=%zz", http.StatusBadRequest},
		"more than allowed": {"username=" + strings.Repeat("a", 70_000), http.StatusRequestEntityTooLarge},
	} {
		if got := p.visit(t).do(http.MethodPost, "/login", strings.NewReader(tt.body), nil); got.status != tt.status {
			t.Errorf("%s: status %d, want %d", name, got.status, tt.status)
		}
	}
}

// Whoever guesses a password soon gets nowhere, also with the right one, and does
// not shut out other people.
func TestNobodyGuessesAPassword(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	for range wrongPasswords {
		p.visit(t).post("/login", form("username", "alice", "password", "guess")).want(t, http.StatusUnauthorized)
	}
	for _, password := range []string{"guess", "wonderland"} {
		b := p.visit(t)
		answer := b.post("/login", form("username", "alice", "password", password))
		answer.want(t, http.StatusTooManyRequests, "These were many attempts")
		if answer.header.Get("Retry-After") == "" {
			t.Error("nobody is told when to try again")
		}
		if b.cookie() != nil {
			t.Error("a session began")
		}
	}
	p.visit(t).post("/login", form("username", "bob", "password", "builder")).wantRedirect(t, "/")
}

// Whoever invents users, or tries one password with all, is counted by the address,
// and shuts out nobody elsewhere.
func TestNobodyTriesEveryUser(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	flood := p.visitFrom(t, "127.0.0.2")
	guesses := 0
	for flood.post("/login", form("username", "nobody"+strconv.Itoa(guesses), "password", "guess")).status == http.StatusUnauthorized {
		if guesses++; guesses > 2*wrongPasswordsFromAddress {
			t.Fatal("nothing ends it")
		}
	}
	if guesses < wrongPasswordsFromAddress {
		t.Errorf("%d guesses, want %d", guesses, wrongPasswordsFromAddress)
	}
	for _, username := range []string{"another", "alice"} {
		flood.post("/login", form("username", username, "password", "wonderland")).want(t, http.StatusTooManyRequests)
	}
	p.visit(t).post("/login", form("username", "alice", "password", "wonderland")).wantRedirect(t, "/")
}

// Of attempts that come all at once, those that wait for their turn while others
// fail are too many as well, also with the right password.
func TestAttemptsAtOnceAreNoMore(t *testing.T) {
	t.Parallel()
	passwords, err := newPasswords(startProgram(t).database(t))
	if err != nil {
		t.Fatal(err)
	}
	passwords.byUser = &reachedMeanwhile{Limiter: passwords.byUser}
	user, err := passwords.check(t.Context(), "192.0.2.1", "alice", "wonderland")
	if refused := new(server.Error); user != nil || !errors.As(err, &refused) || refused.Status != http.StatusTooManyRequests {
		t.Errorf("%v, %v", user, err)
	}
}

// reachedMeanwhile is a limit that others reach after it was asked once.
type reachedMeanwhile struct {
	ratelimit.Limiter
	asked bool
}

func (l *reachedMeanwhile) Wait(context.Context, string) (time.Duration, error) {
	if l.asked {
		return time.Minute, nil
	}
	l.asked = true
	return 0, nil
}

// The password grant is bounded as the page is, and together with it: by whoever
// sends the request, so that nobody is shut out by a stranger elsewhere.
func TestNobodyGuessesAPasswordByTheGrant(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	ask := func(b *visitor, password string) answer {
		return b.tokenRequest("demo-legacy", "demo-legacy-secret", form("grant_type", "password", "username", "alice", "password", password, "scope", "profile"))
	}
	flood := p.visitFrom(t, "127.0.0.2")
	for range wrongPasswords {
		ask(flood, "guess").want(t, http.StatusBadRequest, "invalid_grant")
	}
	answer := ask(flood, "wonderland")
	answer.want(t, http.StatusTooManyRequests, "temporarily_unavailable")
	if answer.header.Get("Retry-After") == "" {
		t.Error("nobody is told when to try again")
	}
	flood.post("/login", form("username", "alice", "password", "wonderland")).want(t, http.StatusTooManyRequests)
	ask(p.visit(t), "wonderland").want(t, http.StatusOK)
}

// What somebody planted in a browser must not become a signed-in session.
func TestSessionIsRenewedAtSignIn(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	b := p.signedIn(t, "alice", "wonderland")
	first := b.cookie().Value

	planted := p.visit(t)
	planted.plant(first)
	planted.post("/login", form("username", "bob", "password", "builder")).wantRedirect(t, "/")
	if planted.cookie().Value == first {
		t.Error("signing in kept the session's token")
	}
	b.get("/login").want(t, http.StatusOK) // the old token is void

	made := p.visit(t)
	made.plant("made-up")
	made.post("/login", form("username", "bob", "password", "builder")).wantRedirect(t, "/")
	if made.cookie().Value == "made-up" {
		t.Error("the server adopted a token that it did not make")
	}
}

func TestSignOut(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	b := p.signedIn(t, "alice", "wonderland")
	token := b.cookie().Value
	b.get("/logout").want(t, http.StatusOK, "Sign out?")
	b.get("/").want(t, http.StatusOK, "Hello, Alice Liddell") // a link alone signs nobody out
	b.post("/logout", nil).wantRedirect(t, "/")
	if b.cookie() != nil {
		t.Error("the cookie is still there")
	}
	b.plant(token)
	b.get("/").want(t, http.StatusOK, "One account for your applications")
}

func TestSessionCookie(t *testing.T) {
	t.Parallel()
	signIn := form("username", "alice", "password", "wonderland")
	header := startProgram(t).visit(t).post("/login", signIn).header.Get("Set-Cookie")
	for _, attribute := range []string{"session=", "; Path=/", "; HttpOnly", "; SameSite=Lax"} {
		if !strings.Contains(header, attribute) {
			t.Errorf("Set-Cookie %q lacks %q", header, attribute)
		}
	}
	header = startProgram(t, "-issuer", "https://localhost").visit(t).post("/login", signIn).header.Get("Set-Cookie")
	for _, attribute := range []string{"__Host-session=", "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
		if !strings.Contains(header, attribute) {
			t.Errorf("over https Set-Cookie %q lacks %q", header, attribute)
		}
	}
}

func TestSessionsAreStoredAsDigestsAndExpire(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	db := p.database(t)
	b := p.signedIn(t, "alice", "wonderland")
	var sessions []Session
	if err := db.Find(&sessions).Error; err != nil || len(sessions) != 1 {
		t.Fatalf("%d sessions, %v", len(sessions), err)
	}
	if sessions[0].Token == b.cookie().Value {
		t.Error("the token itself is stored")
	}
	if err := deleteExpiredSessions(t.Context(), db, time.Now()); err != nil {
		t.Fatal(err)
	}
	b.get("/").want(t, http.StatusOK, "Hello, Alice Liddell")
	if err := deleteExpiredSessions(t.Context(), db, time.Now().Add(sessionLifetime+time.Minute)); err != nil {
		t.Fatal(err)
	}
	b.get("/").want(t, http.StatusOK, "One account for your applications")
}

func TestDisabledUserIsSignedOut(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	b := p.signedIn(t, "alice", "wonderland")
	if err := p.database(t).Model(&User{}).Where("username = ?", "alice").Update("disabled", true).Error; err != nil {
		t.Fatal(err)
	}
	b.get("/").want(t, http.StatusOK, "One account for your applications")
	b.post("/login", form("username", "alice", "password", "wonderland")).want(t, http.StatusUnauthorized)
}
