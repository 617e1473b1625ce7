package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"html"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
)

// Most of these tests start a program, and each start would hash for seconds
// under the race detector. The end-to-end test runs the program as it is.
func init() { passwordCost = bcrypt.MinCost }

// program is the example as it runs, with a database of its own.
type program struct {
	address string
	file    string // the database
	log     *lockedBuffer
	stop    context.CancelFunc
	ended   chan struct{}
	err     error // what run returned, once ended is closed
}

// end stops the program and returns what it ends with.
func (p *program) end() error {
	p.stop()
	<-p.ended
	return p.err
}

// startProgram runs the example until the test ends.
func startProgram(t *testing.T, args ...string) *program {
	t.Helper()
	database := filepath.Join(t.TempDir(), "example.db")
	p := startProgramOn(t, append([]string{"-db", database}, args...)...)
	p.file = database
	return p
}

// database opens the program's database beside it.
func (p *program) database(t *testing.T) *gorm.DB {
	t.Helper()
	db, closeDB, err := openDatabase(t.Context(), p.file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeDB)
	return db
}

// startProgramOn is startProgram with the database among the arguments.
func startProgramOn(t *testing.T, args ...string) *program {
	t.Helper()
	return startProgramIn(t.Context(), t, args...)
}

// startProgramIn is startProgramOn in a context of the test's.
func startProgramIn(ctx context.Context, t *testing.T, args ...string) *program {
	t.Helper()
	ctx, stop := context.WithCancel(oauthtest.FewRSAKeys(ctx))
	printed, stdout := io.Pipe()
	log := new(lockedBuffer)
	p := &program{stop: stop, ended: make(chan struct{}), log: log}
	go func() {
		defer close(p.ended)
		p.err = run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), noEnvironment, stdout, io.MultiWriter(log, t.Output()))
		_ = stdout.Close()
	}()
	line, err := bufio.NewReader(printed).ReadString('\n')
	if err != nil {
		t.Fatalf("the program did not start: %v", p.end())
	}
	p.address = regexp.MustCompile(`https?://\S+`).FindString(line)
	go func() { _, _ = io.Copy(io.Discard, printed) }()
	t.Cleanup(func() {
		_ = p.end()
		nothingSecretIn(t, log.String())
	})
	return p
}

func noEnvironment(string) string { return "" }

// visitor keeps cookies, and shows redirects instead of following them.
type visitor struct {
	t       *testing.T
	program *program
	http    *http.Client
}

// answer is a response with its body.
type answer struct {
	status int
	header http.Header
	body   string
}

func (p *program) visit(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{
		Jar:           jar,
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &visitor{t, p, client}
}

// visitFrom is a visitor at another address of this machine.
func (p *program) visitFrom(t *testing.T, address string) *visitor {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("this system has one loopback address")
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	b := p.visit(t)
	b.http.Transport = secrets.Transport(&http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true})
	return b
}

// signedIn is a visitor who has signed in.
func (p *program) signedIn(t *testing.T, username, password string) *visitor {
	t.Helper()
	b := p.visit(t)
	if answer := b.post("/login", form("username", username, "password", password)); answer.status != http.StatusSeeOther {
		t.Fatalf("sign-in answered %d", answer.status)
	}
	return b
}

func (b *visitor) get(path string) answer {
	b.t.Helper()
	return b.do(http.MethodGet, path, nil, nil)
}

func (b *visitor) post(path string, values url.Values) answer {
	b.t.Helper()
	return b.do(http.MethodPost, path, strings.NewReader(values.Encode()), nil)
}

func (b *visitor) do(method, path string, body io.Reader, header http.Header) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.program.address+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	maps.Copy(r.Header, header)
	id := rand.Text()
	r.Header.Set("X-Request-Id", id)
	response, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	a := answer{response.StatusCode, response.Header, string(text)}
	b.checkLog(r, a, id)
	return a
}

// checkLog holds every answer to the rule of the log: what the library refuses, and a
// sign-in that is refused, has one line, which has the request's id.
func (b *visitor) checkLog(r *http.Request, a answer, id string) {
	b.t.Helper()
	var refusals []string
	for _, line := range b.program.logged(id) {
		if strings.Contains(line, `msg="an OAuth request was refused"`) || strings.Contains(line, `msg="an OAuth request failed"`) {
			refusals = append(refusals, line)
		}
	}
	unserved := strings.HasPrefix(a.header.Get("Content-Type"), "text/html") && (a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed)
	signIn := r.URL.Path == "/login" && (a.status == http.StatusUnauthorized || a.status == http.StatusTooManyRequests)
	ofLibrary := strings.HasPrefix(r.URL.Path, "/oauth/") || strings.HasPrefix(r.URL.Path, "/api/")
	if a.status >= http.StatusBadRequest && !unserved && (signIn || ofLibrary) && len(refusals) != 1 {
		b.t.Errorf("%s %s is answered with %d, and the log has %d lines of it: %q", r.Method, r.URL.Path, a.status, len(refusals), refusals)
	}
	for _, line := range refusals {
		for _, key := range []string{"endpoint=", "status=", "error=", "remote_address="} {
			if !strings.Contains(line, " "+key) {
				b.t.Errorf("%s %s: a line has no %s: %s", r.Method, r.URL.Path, key, line)
			}
		}
	}
}

// logged are the lines of a request.
func (p *program) logged(id string) (lines []string) {
	for line := range strings.Lines(p.log.String()) {
		if strings.Contains(line, "request_id="+id) {
			lines = append(lines, line)
		}
	}
	return lines
}

// decide looks at the page of an authorization request, and posts its form with all of
// its hidden fields.
func (b *visitor) decide(path string, decision url.Values) answer {
	b.t.Helper()
	page := b.get(path)
	action, hidden := page.consentForm(b.t)
	for name, values := range decision {
		hidden[name] = values
	}
	return b.post(action, hidden)
}

// consentForm is the form of a page that asks for consent: where it goes, and with what.
func (p answer) consentForm(t *testing.T) (action string, hidden url.Values) {
	t.Helper()
	hidden = make(url.Values)
	for _, form := range formPattern.FindAllStringSubmatch(p.body, -1) {
		if !strings.Contains(form[2], `name="confirm"`) {
			continue
		}
		for _, input := range inputPattern.FindAllStringSubmatch(form[2], -1) {
			hidden.Set(html.UnescapeString(input[1]), html.UnescapeString(input[2]))
		}
		return html.UnescapeString(form[1]), hidden
	}
	t.Fatalf("the page (%d) asks for no consent:\n%s", p.status, p.body)
	return "", nil
}

// plant sets the session's cookie.
func (b *visitor) plant(token string) {
	b.http.Jar.SetCookies(b.address(), []*http.Cookie{{Name: "session", Value: token, Path: "/"}})
}

func (b *visitor) address() *url.URL {
	u, err := url.Parse(b.program.address)
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

// cookie returns the session's cookie, nil without one.
func (b *visitor) cookie() *http.Cookie {
	for _, cookie := range b.http.Jar.Cookies(b.address()) {
		if cookie.Name == "session" {
			return cookie
		}
	}
	return nil
}

// find returns what the first group of the expression matches in the page.
func (p answer) find(t *testing.T, expression string) string {
	t.Helper()
	match := regexp.MustCompile(expression).FindStringSubmatch(p.body)
	if match == nil {
		t.Fatalf("the page (%d) has no %s:\n%s", p.status, expression, p.body)
	}
	return match[1]
}

func (p answer) want(t *testing.T, status int, contains ...string) {
	t.Helper()
	if p.status != status {
		t.Fatalf("status %d, want %d:\n%s", p.status, status, p.body)
	}
	for _, text := range contains {
		if !strings.Contains(p.body, text) {
			t.Errorf("the page lacks %q:\n%s", text, p.body)
		}
	}
}

func (p answer) wantRedirect(t *testing.T, location string) {
	t.Helper()
	if got := p.header.Get("Location"); p.status != http.StatusSeeOther || got != location {
		t.Errorf("status %d to %q, want 303 to %q", p.status, got, location)
	}
}

// tokenRequest asks the token endpoint as a client with a secret.
func (b *visitor) tokenRequest(clientID, secret string, values url.Values) answer {
	b.t.Helper()
	basic := base64.StdEncoding.EncodeToString([]byte(clientID + ":" + secret))
	return b.do(http.MethodPost, "/oauth/token", strings.NewReader(values.Encode()), http.Header{"Authorization": {"Basic " + basic}})
}

// token returns the access token that a client gets.
func (b *visitor) token(t *testing.T, clientID, secret string, values url.Values) string {
	t.Helper()
	return b.tokenRequest(clientID, secret, values).find(t, `"access_token":"([^"]+)"`)
}

// passwordToken is the shortest way to a token of a person.
func passwordToken(t *testing.T, b *visitor, username, password string) string {
	t.Helper()
	return b.token(t, "demo-legacy", "demo-legacy-secret", form("grant_type", "password", "username", username, "password", password, "scope", "profile"))
}

// form makes values of names and values in turn.
func form(pairs ...string) url.Values {
	values := make(url.Values)
	for i := 0; i < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return values
}
