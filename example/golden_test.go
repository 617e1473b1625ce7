package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
)

// transcript is what a person sees of a program, in which everything that differs from run
// to run has a name.
type transcript struct {
	strings.Builder

	t     *testing.T
	names []string       // a value, and its name, in turn
	parts map[string]int // what was written before, which is not repeated
}

func newTranscript(t *testing.T, p *program) *transcript {
	t.Helper()
	s := &transcript{t: t, parts: make(map[string]int)}
	s.call(p.address, "{issuer}")
	s.call(url.QueryEscape(p.address), "{issuer}")
	return s
}

// part is a text, or where it was written before.
func (s *transcript) part(text string) string {
	text = strings.NewReplacer(s.names...).Replace(text)
	if len(text) < 150 {
		return text
	}
	if number, known := s.parts[text]; known {
		return fmt.Sprintf("[%d, as above]", number)
	}
	s.parts[text] = len(s.parts) + 1
	return fmt.Sprintf("[%d]\n%s", s.parts[text], text)
}

// call gives a value its name.
func (s *transcript) call(value, name string) { s.names = append([]string{value, name}, s.names...) }

var (
	head          = regexp.MustCompile(`(?s)^.*<title>(.*?)</title>.*?<body[^>]*>`)
	moment        = regexp.MustCompile(`<time datetime="([^"]*)">([^<]*)`)
	decisionInput = regexp.MustCompile(`(name="decision" value=")[^"]{20,}"`)
	blank         = regexp.MustCompile(`\s+`)
	looks         = regexp.MustCompile(` (?:class|id|for|role|aria-[a-z]+|autocomplete|spellcheck|maxlength|width|height)="[^"]*"`)
	block         = regexp.MustCompile(`\s*<(?:p|li|section|div|dt|dd|main|label|h[1-9]|form|input|button|textarea|a|img|header)\b`)
	silent        = regexp.MustCompile(`</?(?:p|ul|li|section|div|dl|dt|dd|main|label|header|footer|nav|aside|span|small|strong|bdi|fieldset|legend|details|summary|table|thead|tbody|tr|th|td|body|html)\b[^>]*>|</[a-z0-9]+>`)
	section       = regexp.MustCompile(`<h2|<fieldset`)
)

const betweenSections = "\x1e"

// add writes down an answer: the status, the header, and of a page what can be read and done.
func (s *transcript) add(what string, a answer) answer {
	s.t.Helper()
	fmt.Fprintf(s, "== %s\n%d\n", strings.NewReplacer(s.names...).Replace(what), a.status)
	var header []string
	for name, values := range a.header {
		if slices.Contains([]string{"Date", "Content-Length", "Last-Modified", "X-Request-Id"}, name) {
			continue
		}
		if name == "Set-Cookie" {
			for i := range values {
				_, attributes, _ := strings.Cut(values[i], ";")
				values[i] = "…;" + attributes
			}
		}
		header = append(header, name+": "+strings.Join(values, " | "))
	}
	slices.Sort(header)
	body := a.body
	switch {
	case strings.HasPrefix(a.header.Get("Content-Type"), "text/html") && strings.Contains(body, "<body"):
		body = s.page(body)
	case strings.HasPrefix(what, "GET /static/"):
		body = "…"
	}
	s.WriteString(s.part(strings.Join(header, "\n")) + "\n")
	for one := range strings.SplitSeq(body, betweenSections) {
		s.WriteString(s.part(strings.TrimSpace(one)) + "\n")
	}
	s.WriteString("\n")
	return a
}

// page is a page without what only says how it looks.
func (s *transcript) page(body string) string {
	s.t.Helper()
	body = moment.ReplaceAllStringFunc(body, func(shown string) string {
		parts := moment.FindStringSubmatch(shown)
		at, err := time.Parse(time.RFC3339, parts[1])
		assert.NoError(s.t, err)
		assert.Equal(s.t, at.Format("2 January 2006, 15:04 UTC"), parts[2])
		assert.WithinDuration(s.t, time.Now(), at, time.Minute, "a time of this test")
		return "<time>now"
	})
	body = blank.ReplaceAllString(head.ReplaceAllString(body, "<title>$1\n"), " ")
	body = decisionInput.ReplaceAllString(looks.ReplaceAllString(body, ""), `$1…"`)
	body = block.ReplaceAllStringFunc(body, func(tag string) string { return "\n" + strings.TrimSpace(tag) })
	body = section.ReplaceAllString(body, betweenSections+"$0")
	body = silent.ReplaceAllString(body, " ")
	var lines []string
	for line := range strings.Lines(body) {
		if line = strings.TrimSpace(blank.ReplaceAllString(line, " ")); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// Every page says, in each state that it has, what testdata/pages.txt says.
func TestWhatThePagesSay(t *testing.T) {
	t.Parallel()
	p := startProgram(t, "-resource", "https://orders.example")
	s := newTranscript(t, p)
	elsewhere := http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}}

	stranger := p.visit(t)
	get := func(b *visitor, path string) answer { t.Helper(); return s.add("GET "+path, b.get(path)) }
	post := func(b *visitor, path string, pairs ...string) answer {
		t.Helper()
		return s.add("POST "+path+" "+strings.Join(pairs, " "), b.post(path, form(pairs...)))
	}
	for _, path := range []string{
		"/", "/login", "/login?next=/activity&username=bob", "/login?username=%00", "/logout", "/accounts", "/activity", "/device?user_code=BCDF-GHJK",
		"/nothing", "/static/style.css", "/static/logo.svg", "/healthz", "/api/me", "/oauth/end_session", "/oauth/end_session?client_id=demo-web&post_logout_redirect_uri=http://127.0.0.1:8081/",
		"/oauth/authorize", "/oauth/authorize?client_id=nobody", "/oauth/authorize?client_id=demo-web&redirect_uri=https://evil.example/",
		"/oauth/authorize?client_id=demo-web&response_type=nonsense", "/clients",
	} {
		get(stranger, path)
	}
	s.add("DELETE /", stranger.do(http.MethodDelete, "/", nil, nil))
	s.add("POST /login from elsewhere", stranger.do(http.MethodPost, "/login", strings.NewReader(""), elsewhere))
	s.add("POST /login that is no form", stranger.do(http.MethodPost, "/login", strings.NewReader("a=%zz"), nil))
	s.add("POST /login that is too large", stranger.do(http.MethodPost, "/login", strings.NewReader("a="+strings.Repeat("a", maxFormBytes)), nil))
	s.add("POST /login that is as large as it can be", stranger.do(http.MethodPost, "/login", strings.NewReader("password="+strings.Repeat("a", maxFormBytes-len("password="))), nil))
	post(stranger, "/login", "username", "alice", "password", "wrong", "next", "/activity")
	post(stranger, "/login", "username", "a\x00b")
	post(stranger, "/clients")

	alice := p.visit(t)
	post(alice, "/login", "username", "alice", "password", "wonderland", "next", "/activity")
	for _, path := range []string{
		"/", "/login", "/login?next=/activity", "/login?again&next=/activity&username=bob", "/activity", "/activity?before=x", "/accounts?next=/device",
		"/accounts?next=//evil.example", "/logout", "/device", "/device?user_code=BCDF-GHJK", "/device?user_code=" + strings.Repeat("B", 21), "/oauth/end_session",
		"/oauth/end_session?client_id=demo-web&state=s&post_logout_redirect_uri=http://127.0.0.1:8081/",
	} {
		get(alice, path)
	}
	post(alice, "/accounts", "next", "/device")
	post(alice, "/device", "user_code", "BCDF-GHJK")
	post(alice, "/device", "user_code", strings.Repeat("B", 20))

	// What applications ask for.
	bare := strings.Replace(authorizePath("demo-spa"), "scope=openid+profile", "scope=", 1)
	get(alice, bare)
	path := authorizePath("demo-web") + "&nonce=n&resource=https://orders.example&resource=" + p.address +
		"&claims=%7B%22userinfo%22%3A%7B%22email%22%3Anull%7D%7D&authorization_details=%5B%7B%22type%22%3A%22payment%22%2C%22amount%22%3A%2212.50%22%2C%22currency%22%3A%22EUR%22%2C%22creditor%22%3A%22Hatter%22%7D%5D"
	page := get(alice, path)
	action, hidden := page.consentForm(t)
	s.add("the same without the page's decision", alice.post(action, form("confirm", "yes")))
	hidden.Set("confirm", "yes")
	granted := alice.post(action, hidden)
	code := redirected(t, granted).Get("code")
	s.call(code, "{code}")
	s.add("the page's decision", granted)
	token := alice.tokenRequest("demo-web", "demo-web-secret", form("grant_type", "authorization_code", "code", code, "code_verifier", verifierOfPath, "redirect_uri", demoRedirectURI))
	token.want(t, http.StatusOK)
	get(alice, "/")
	alice.do(http.MethodPost, "/oauth/revoke", strings.NewReader(form("token", token.find(t, `"refresh_token":"([^"]+)"`)).Encode()),
		http.Header{"Authorization": {basicHeader("demo-web", "demo-web-secret")}}).want(t, http.StatusOK)
	get(alice, "/")
	post(alice, "/consents/revoke", "client_id", "demo-web")
	get(alice, "/")
	passwordToken(t, alice, "alice", "wonderland")
	revoke := alice.get("/").find(t, `action="(/applications/\d+/revoke)"`)
	post(p.signedIn(t, "bob", "builder"), revoke)
	post(alice, revoke)
	get(alice, "/")
	post(alice, revoke+"x")
	post(alice, "/applications/99/revoke")
	get(alice, authorizePath("demo-spa")+"&prompt=login")
	get(alice, authorizePath("demo-spa")+"&prompt=select_account")
	get(alice, authorizePath("demo-spa")+"&prompt=none")

	// Clients.
	for _, kind := range []string{"web", "public", "service"} {
		values := []string{"client_name", " My " + kind + " ", "type", kind, "scope", "profile", "scope", "email"}
		if kind != "service" {
			values = append(values, "redirect_uris", "https://app.example/cb\nhttps://app.example/other")
		}
		created := alice.post("/clients", form(values...))
		s.call(created.find(t, `id="client-id">([^<]+)<`), "{"+kind+"}")
		if kind != "public" {
			s.call(created.find(t, `id="client-secret"[^>]*>([^<]+)<`), "{secret}")
		}
		s.add("POST /clients "+strings.Join(values, " "), created)
	}
	home := get(alice, "/")
	rotated := alice.post(home.find(t, `action="(/clients/[^"]+/secret)"`), nil)
	s.call(rotated.find(t, `id="client-secret"[^>]*>([^<]+)<`), "{new secret}")
	s.add("a new secret", rotated)
	s.add("a new secret of a client of somebody else", alice.post("/clients/demo-web/secret", nil))
	s.add("the end of a client of somebody else", alice.post("/clients/demo-web/delete", nil))
	s.add("the end of a client", alice.post(home.find(t, `action="(/clients/[^"]+/delete)"`), nil))
	get(alice, "/")
	post(alice, "/clients", "client_name", "Mine", "type", "service", "redirect_uris", "https://app.example/", "scope", "email", "scope", "everything", "scope", "all")
	post(alice, "/clients", "type", "other")
	for _, uris := range []string{
		"", strings.Repeat("https://app.example/cb\n", maxRedirectURIs), strings.Repeat("https://app.example/cb\n", maxRedirectURIs+1), "https://app.example/" + strings.Repeat("a", maxRedirectURI-len("https://app.example/")+1),
		"http://app.example/ /cb",
	} {
		a := alice.post("/clients", form("client_name", "Mine", "type", "public", "redirect_uris", uris))
		if created := regexp.MustCompile(`id="client-id">([^<]+)<`).FindStringSubmatch(a.body); created != nil {
			s.call(created[1], "{mine}")
		}
		s.add(fmt.Sprintf("POST /clients with redirect URIs of %d bytes", len(uris)), a)
	}

	// Devices.
	for _, decision := range []string{"yes", "no"} {
		var codes struct {
			UserCode string `json:"user_code"`
		}
		started := alice.post("/oauth/device_authorization", form("client_id", "demo-device", "scope", "openid profile"))
		require.NoError(t, json.Unmarshal([]byte(started.body), &codes))
		s.call(codes.UserCode, "{user code}")
		post(alice, "/device", "user_code", codes.UserCode, "confirm", "yes")
		action, hidden := post(alice, "/device", "user_code", codes.UserCode).consentForm(t)
		hidden.Set("confirm", decision)
		s.add("the page's decision, "+decision, alice.post(action, hidden))
		s.add("the same again", alice.post(action, hidden))
	}
	get(alice, "/activity")

	post(alice, "/logout", "next", "/device")
	post(alice, "/login", "username", "alice", "password", "wonderland")
	post(alice, "/logout")
	post(alice, "/login", "username", "alice", "password", "wonderland")
	action, hidden = signOutForm(t, get(alice, "/oauth/end_session"))
	s.add("the page's decision", alice.post(action, hidden))
	oauthtest.Known(t, "pages.txt", s.String())
}

// verifierOfPath is the code_verifier of authorizePath, from RFC 7636 appendix B.
const verifierOfPath = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

// signOutForm is what the button of the page that asks whether to sign out sends.
func signOutForm(t *testing.T, page answer) (action string, body map[string][]string) {
	t.Helper()
	body = map[string][]string{"confirm": {"yes"}}
	for _, found := range formPattern.FindAllStringSubmatch(page.body, -1) {
		if strings.HasPrefix(found[1], "/oauth/end_session") {
			for _, input := range inputPattern.FindAllStringSubmatch(found[2], -1) {
				body[input[1]] = []string{input[2]}
			}
			return html.UnescapeString(found[1]), body
		}
	}
	t.Fatalf("the page (%d) does not ask:\n%s", page.status, page.body)
	return "", nil
}

// What the program says of itself, and the demo's accounts, are what testdata/demo.txt,
// production.txt and fapi.txt say.
func TestWhatTheProgramIs(t *testing.T) {
	t.Parallel()
	certificates, _ := writePEM(t, t.TempDir(), "authority", func(*x509.Certificate) {})
	for name, args := range map[string][]string{
		"demo.txt": nil,
		"production.txt": {
			"-issuer", "https://id.example.com", "-demo=false", "-pkce", "required", "-resource", "https://orders.example", "-client-ca", certificates,
			"-trusted-issuer", "https://other.example", "-trusted-keys", "https://other.example/keys", "-trusted-proxy", "127.0.0.1",
		},
		"fapi.txt": {"-fapi"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProgram(t, args...)
			s := newTranscript(t, p)
			for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource"} {
				s.json(path, json.RawMessage(p.visit(t).get(path).body))
			}
			db := p.database(t)
			var users []User
			require.NoError(t, db.Order("username").Find(&users).Error)
			for _, user := range users {
				assert.NoError(t, bcrypt.CompareHashAndPassword([]byte(user.PasswordHash), []byte(map[string]string{"alice": "wonderland", "bob": "builder"}[user.Username])))
				user.PasswordHash = ""
				s.json("user", user)
			}
			var clients []Client
			require.NoError(t, db.Order("client_id").Find(&clients).Error)
			for _, client := range clients {
				assert.WithinDuration(t, time.Now(), time.Unix(client.ClientIDIssuedAt, 0), time.Minute)
				client.ID, client.ClientIDIssuedAt = 0, 0
				client.ClientSecret = strings.Repeat("…", min(len(client.ClientSecret), 1))
				s.json("client, for the APIs "+client.APIResources, client)
			}
			oauthtest.Known(t, name, s.String())
		})
	}
}

// json writes down an object, a member in each line.
func (s *transcript) json(what string, value any) {
	s.t.Helper()
	text, err := json.Marshal(value)
	require.NoError(s.t, err)
	var members map[string]json.RawMessage
	require.NoError(s.t, json.Unmarshal(text, &members))
	lines := []string{"== " + what}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		lines = append(lines, name+": "+string(members[name]))
	}
	s.WriteString(strings.NewReplacer(s.names...).Replace(strings.Join(lines, "\n")) + "\n\n")
}
