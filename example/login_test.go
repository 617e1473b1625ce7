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

// The log says why a sign-in failed, of whom where that is known, and nothing of what was
// typed: people type their password where the user name belongs.
func TestTheLogSaysWhyASignInFailed(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	db := p.database(t)
	var bob User
	if err := db.Where("username = ?", "bob").First(&bob).Error; err != nil {
		t.Fatal(err)
	}
	user := " values.user=" + bob.GetUserID()
	why := func(b *visitor, username, password string) string {
		t.Helper()
		before := len(p.log.String())
		b.post("/login", form("username", username, "password", password))
		for line := range strings.Lines(p.log.String()[before:]) {
			if strings.Contains(line, "was refused") {
				return line
			}
		}
		return ""
	}
	const same = `msg="an OAuth request was refused" endpoint=login status=401 path=/login error=access_denied error_description="The user name or the password is wrong." reason=`
	want := func(line string, parts ...string) {
		t.Helper()
		for _, part := range append(parts, " request_id=") {
			if !strings.Contains(line, part) {
				t.Errorf("%q is not in %s", part, line)
			}
		}
		for _, typed := range []string{"correcthorse", "builder", "Bob"} {
			if strings.Contains(line, typed) {
				t.Errorf("what was typed is in %s", line)
			}
		}
	}
	b := p.visitFrom(t, "127.0.0.9")
	want(why(b, "bob", "Bob-correcthorse"), same+`"the password is wrong"`, user, " remote_address=127.0.0.9 ")
	want(why(b, "correcthorse", "builder"), same+`"there is no such user"`, " remote_address=127.0.0.9 ")
	if line := why(b, "correcthorse", "builder"); strings.Contains(line, "user=") {
		t.Errorf("a name that nobody has is in %s", line)
	}
	grant := b.tokenRequest("demo-legacy", "demo-legacy-secret", form("grant_type", "password", "username", "bob", "password", "correcthorse"))
	grant.want(t, http.StatusBadRequest, "invalid_grant")
	for line := range strings.Lines(p.log.String()) {
		if strings.Contains(line, "grant_type=password") && strings.Contains(line, "was refused") {
			want(line, ` client_id=demo-legacy `, `error=invalid_grant`, `reason="the password is wrong"`, user)
			grant.status = 0
		}
	}
	if grant.status != 0 {
		t.Error("the log does not say why the grant was refused")
	}
	for range wrongPasswords {
		b.post("/login", form("username", "bob", "password", "correcthorse"))
	}
	want(why(b, "bob", "builder"), "level=WARN", "status=429", " values.wait=", `reason="there were too many wrong passwords of this user from this address"`)
	elsewhere := p.visitFrom(t, "127.0.0.8")
	line := ""
	for i := 0; !strings.Contains(line, "status=429") && i < 2*wrongPasswordsFromAddress; i++ { // of a slow machine some are forgotten in the meantime
		line = why(elsewhere, "nobody"+strconv.Itoa(i), "correcthorse")
	}
	want(line, "level=WARN", "status=429", `reason="there were too many wrong passwords from this address"`)
	if err := db.Model(&bob).Update("disabled", true).Error; err != nil {
		t.Fatal(err)
	}
	want(why(p.visit(t), "bob", "builder"), same+`"the user is disabled"`, user)
}

// Behind a proxy that is named, limits and log have the address that it says, and a
// stranger who writes the header has gained nothing.
func TestBehindAProxy(t *testing.T) {
	t.Parallel()
	p := startProgram(t, "-trusted-proxy", "127.0.0.2", "-trusted-proxy", "10.1.0.0/16")
	proxy, stranger := p.visitFrom(t, "127.0.0.2"), p.visitFrom(t, "127.0.0.3")
	signIn := func(b *visitor, forwarded, password string) int {
		return b.do(http.MethodPost, "/login", strings.NewReader(form("username", "alice", "password", password).Encode()), http.Header{"X-Forwarded-For": {forwarded}}).status
	}
	flood := func(b *visitor, forwarded func(i int) string) {
		t.Helper()
		for i := range wrongPasswords {
			if got := signIn(b, forwarded(i), "guess"); got != http.StatusUnauthorized {
				t.Fatalf("guess %d is answered %d", i, got)
			}
		}
		if got := signIn(b, forwarded(99), "wonderland"); got != http.StatusTooManyRequests {
			t.Errorf("one guess too many is answered %d", got)
		}
	}
	flood(proxy, func(i int) string { return "198.51.100." + strconv.Itoa(i) + ", 203.0.113.9, 10.1.2.3" })
	flood(stranger, func(i int) string { return "198.51.100." + strconv.Itoa(i) })
	if got := signIn(proxy, "203.0.113.10", "wonderland"); got != http.StatusSeeOther {
		t.Errorf("somebody else behind the proxy is answered %d", got)
	}
	proxy.do(http.MethodGet, "/api/me", nil, http.Header{"X-Forwarded-For": {"203.0.113.11"}}).want(t, http.StatusUnauthorized)
	log := p.log.String()
	for _, address := range []string{"203.0.113.9", "127.0.0.3", "203.0.113.10", "203.0.113.11"} {
		if !strings.Contains(log, "remote_address="+address+" ") {
			t.Errorf("the log does not have %s", address)
		}
	}
	for _, address := range []string{"198.51.100.", "127.0.0.2", "10.1.2.3"} {
		if strings.Contains(log, "remote_address="+address) {
			t.Errorf("the log has %s", address)
		}
	}
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
