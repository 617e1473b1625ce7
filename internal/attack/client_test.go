package attack

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
)

const redirectURI = "http://127.0.0.1:8081/callback"

// client is somebody at one address of this machine, with cookies.
type client struct {
	program *program
	http    *http.Client
}

const (
	sampledRequests = 40
	patience        = 30 * time.Second
)

// dialerAt dials from an address.
func dialerAt(address string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: patience}
}

func (p *program) clientAt(address string) *client {
	transport := &http.Transport{
		DialContext: dialerAt(address).DialContext, MaxIdleConnsPerHost: 32, MaxConnsPerHost: 32, DisableCompression: true,
	}
	return (&client{program: p, http: &http.Client{Transport: &sampled{program: p, next: transport, left: sampledRequests}}}).withoutCookies()
}

// withoutCookies is a new browser on the same connections.
func (c *client) withoutCookies() *client {
	jar, _ := cookiejar.New(nil) // never fails
	return &client{c.program, &http.Client{
		Transport: c.http.Transport, Jar: jar, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) String() string { return fmt.Sprintf("%d %.300s", a.status, a.body) }

// want returns an error when the status is another.
func (a answer) want(status int) error {
	if a.status != status {
		return fmt.Errorf("answered with %s, want %d", a, status)
	}
	return nil
}

// member returns a member of a JSON object, empty when there is none.
func (a answer) member(name string) string {
	var members map[string]any
	_ = json.Unmarshal([]byte(a.body), &members)
	text, _ := members[name].(string)
	return text
}

// param returns a parameter of where the answer leads.
func (a answer) param(name string) string {
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		return ""
	}
	return to.Query().Get(name)
}

// with changes a request.
type with func(*http.Request)

func basic(id, secret string) with { return func(r *http.Request) { r.SetBasicAuth(id, secret) } }

func header(name, value string) with { return func(r *http.Request) { r.Header.Set(name, value) } }

func (c *client) do(ctx context.Context, method, path, body string, changes ...with) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.program.Address+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, change := range changes {
		change(r)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

func (c *client) get(ctx context.Context, path string, changes ...with) (answer, error) {
	return c.do(ctx, http.MethodGet, path, "", changes...)
}

func (c *client) post(ctx context.Context, path string, form url.Values, changes ...with) (answer, error) {
	return c.do(ctx, http.MethodPost, path, form.Encode(), changes...)
}

// form makes values of names and values in turn.
func form(pairs ...string) url.Values {
	values := make(url.Values)
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values
}

func (c *client) signIn(ctx context.Context, username, password string) error {
	a, err := c.post(ctx, "/login", form("username", username, "password", password))
	if err != nil {
		return err
	}
	return a.want(http.StatusSeeOther)
}

var hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)

var consentForm = regexp.MustCompile(`<form class="actions even" method="post" action="([^"]*)"`)

// authorize has the user who signed in consent, on the page, and returns the code.
func (c *client) authorize(ctx context.Context) (code string, err error) {
	query := form("response_type", "code", "client_id", "demo-spa", "redirect_uri", redirectURI, "scope", "profile offline_access",
		"state", "s", "code_challenge", oauthtest.Challenge, "code_challenge_method", "S256")
	path := "/oauth/authorize?" + query.Encode()
	page, err := c.get(ctx, path)
	if err != nil {
		return "", err
	}
	if err := page.want(http.StatusOK); err != nil {
		return "", err
	}
	if !consentForm.MatchString(page.body) {
		return "", fmt.Errorf("no consent page: %s", page)
	}
	decision := form("confirm", "yes")
	for _, input := range hiddenInput.FindAllStringSubmatch(page.body, -1) {
		decision.Set(html.UnescapeString(input[1]), html.UnescapeString(input[2]))
	}
	a, err := c.post(ctx, path, decision)
	if err != nil {
		return "", err
	}
	if code = a.param("code"); code == "" {
		return "", fmt.Errorf("no code: %s", a)
	}
	return code, nil
}

func (c *client) redeem(ctx context.Context, code string, changes ...with) (answer, error) {
	return c.post(ctx, "/oauth/token", form("grant_type", "authorization_code", "client_id", "demo-spa", "code", code,
		"redirect_uri", redirectURI, "code_verifier", oauthtest.Verifier), changes...)
}

func (c *client) refresh(ctx context.Context, token string) (answer, error) {
	return c.post(ctx, "/oauth/token", form("grant_type", "refresh_token", "client_id", "demo-spa", "refresh_token", token))
}

func (c *client) me(ctx context.Context, token string) (answer, error) {
	return c.get(ctx, "/api/me", header("Authorization", "Bearer "+token))
}

// tokens goes through the whole flow.
func (c *client) tokens(ctx context.Context) (access, refresh string, err error) {
	code, err := c.authorize(ctx)
	if err != nil {
		return "", "", err
	}
	a, err := c.redeem(ctx, code)
	if err == nil {
		err = a.want(http.StatusOK)
	}
	return a.member("access_token"), a.member("refresh_token"), err
}
