package main

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/gormoauth/gormoauth/internal/demo"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

// secrets are all that the tests have sent and received.
var secrets oauthtest.Secrets

func TestMain(m *testing.M) {
	http.DefaultTransport = secrets.Transport(http.DefaultTransport)
	testdb.Main(m)
}

// nothingSecretIn looks for the secrets in what a program has logged.
func nothingSecretIn(t *testing.T, log string) {
	t.Helper()
	for _, found := range secrets.In(log) {
		t.Errorf("the log has a secret: %s", found)
	}
}

// lockedBuffer is a buffer that is read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(text)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// startExample runs what was built, and returns its address.
func startExample(t *testing.T, binary, db string) string {
	t.Helper()
	var log lockedBuffer
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.String())
		}
		for line := range strings.Lines(log.String()) {
			// The servers for tests are quick, and not durable, of which the doctor tells.
			assert.False(t, strings.Contains(line, "level=ERROR") && !strings.Contains(line, "finding.check=durability"), line)
		}
		assert.Contains(t, log.String(), "endpoint=token status=200")
		nothingSecretIn(t, log.String())
	})
	return demo.Start(t, binary, db, &log).Address
}

const callback = "http://127.0.0.1:8081/callback"

// browser is a person with cookies who fills in forms. It does not follow a
// redirect that leaves the provider.
type browser struct {
	t      *testing.T
	client *http.Client
	page   string   // the last page
	at     *url.URL // its address, or the one that a redirect leads away to
	status int
}

func newBrowser(t *testing.T, address string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{t: t, client: &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), address) {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

func (b *browser) do(r *http.Request) {
	b.t.Helper()
	response, err := b.client.Do(r)
	require.NoError(b.t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(b.t, err)
	b.page, b.at, b.status = string(body), response.Request.URL, response.StatusCode
	if location, err := response.Location(); err == nil {
		b.at = location
	}
}

func (b *browser) open(address string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, http.NoBody)
	require.NoError(b.t, err)
	b.do(r)
}

var (
	formPattern  = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	inputPattern = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// submit sends the form that has a control of that name, with its hidden fields.
func (b *browser) submit(control string, fields url.Values) {
	b.t.Helper()
	for _, form := range formPattern.FindAllStringSubmatch(b.page, -1) {
		if !strings.Contains(form[2], `name="`+control+`"`) {
			continue
		}
		for _, input := range inputPattern.FindAllStringSubmatch(form[2], -1) {
			fields.Set(html.UnescapeString(input[1]), html.UnescapeString(input[2]))
		}
		target, err := b.at.Parse(html.UnescapeString(form[1]))
		require.NoError(b.t, err)
		r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, target.String(), strings.NewReader(fields.Encode()))
		require.NoError(b.t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", b.at.Scheme+"://"+b.at.Host)
		b.do(r)
		return
	}
	b.t.Fatalf("no form with %q on the page at %s:\n%s", control, b.at, b.page)
}

// consent allows what the page asks about, unless it was allowed before.
func (b *browser) consent() {
	b.t.Helper()
	if b.at.Path == "/oauth/authorize" {
		b.submit("confirm", url.Values{"confirm": {"yes"}})
	}
}

func (b *browser) signIn(username, password string) {
	b.t.Helper()
	b.submit("password", url.Values{"username": {username}, "password": {password}})
}

func clientConfig(address, id, secret string, style oauth2.AuthStyle) *oauth2.Config {
	return &oauth2.Config{
		ClientID: id, ClientSecret: secret, RedirectURL: callback, Scopes: []string{"profile", "email"},
		Endpoint: oauth2.Endpoint{AuthURL: address + "/oauth/authorize", TokenURL: address + "/oauth/token", AuthStyle: style},
	}
}

// me calls the protected API.
func me(t *testing.T, address, accessToken string) (status int, body map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/api/me", http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+accessToken)
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.NoError(t, json.NewDecoder(response.Body).Decode(&body))
	return response.StatusCode, body
}

func revoke(t *testing.T, address, id, secret, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/oauth/revoke", strings.NewReader(url.Values{"token": {token}}.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(id, secret)
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

func TestTheWholeWay(t *testing.T) {
	t.Parallel()
	binary := demo.Build(t)
	for engine, database := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "a % ? # name.db") },
		"memory":   func(*testing.T) string { return ":memory:" },
		"postgres": func(t *testing.T) string { return testdb.PostgresDSN(t) },
	} {
		t.Run(engine, func(t *testing.T) {
			address := startExample(t, binary, database(t))
			b := newBrowser(t, address)
			t.Run("a person signs in, denies, and grants", func(t *testing.T) { signInAndGrant(t, b, address) })
			t.Run("every demo client works", func(t *testing.T) { everyDemoClient(t, b, address) })
			t.Run("a person takes access back", func(t *testing.T) { takeAccessBack(t, b, address) })
			t.Run("a person makes a client", func(t *testing.T) { makeClient(t, b, address) })
		})
	}
}

func signInAndGrant(t *testing.T, b *browser, address string) {
	conf := clientConfig(address, "demo-web", "demo-web-secret", oauth2.AuthStyleInHeader)
	verifier := oauth2.GenerateVerifier()
	authorize := conf.AuthCodeURL("a state & more", oauth2.S256ChallengeOption(verifier))

	b.open(authorize)
	require.Equal(t, "/login", b.at.Path, "who is not signed in signs in first")
	b.signIn("alice", "wrong")
	assert.Equal(t, http.StatusUnauthorized, b.status)
	b.signIn("alice", "wonderland")
	require.Equal(t, "/oauth/authorize", b.at.Path, b.page)
	assert.Contains(t, b.page, "demo-web")

	b.submit("confirm", url.Values{"confirm": {"no"}})
	assert.Equal(t, callback, b.at.Scheme+"://"+b.at.Host+b.at.Path)
	assert.Equal(t, "access_denied", b.at.Query().Get("error"))
	assert.Equal(t, "a state & more", b.at.Query().Get("state"))
	assert.Equal(t, address, b.at.Query().Get("iss"))

	b.open(authorize)
	b.submit("confirm", url.Values{"confirm": {"yes"}})
	assert.Equal(t, "a state & more", b.at.Query().Get("state"))
	assert.Equal(t, address, b.at.Query().Get("iss"))
	code := b.at.Query().Get("code")

	_, err := conf.Exchange(t.Context(), code, oauth2.VerifierOption(oauth2.GenerateVerifier()))
	assert.ErrorContains(t, err, "invalid_grant", "a code without its verifier is worth nothing")
	token, err := conf.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	require.NoError(t, err)
	status, body := me(t, address, token.AccessToken)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "alice", body["username"])

	first := *token
	token.Expiry = time.Now().Add(-time.Hour)
	second, err := conf.TokenSource(t.Context(), token).Token()
	require.NoError(t, err, "the refresh token works")
	assert.NotEqual(t, first.AccessToken, second.AccessToken)
	assert.NotEqual(t, first.RefreshToken, second.RefreshToken)
	status, _ = me(t, address, second.AccessToken)
	assert.Equal(t, http.StatusOK, status)

	assert.Equal(t, http.StatusOK, revoke(t, address, "demo-web", "demo-web-secret", second.RefreshToken))
	status, body = me(t, address, second.AccessToken)
	assert.Equal(t, http.StatusUnauthorized, status, "a revoked grant opens nothing")
	assert.Equal(t, "invalid_token", body["error"])
	second.Expiry = time.Now().Add(-time.Hour)
	_, err = conf.TokenSource(t.Context(), second).Token()
	assert.ErrorContains(t, err, "invalid_grant")
}

// grantTo has the signed-in person grant a client, and returns its token.
func grantTo(t *testing.T, b *browser, conf *oauth2.Config) *oauth2.Token {
	t.Helper()
	verifier := oauth2.GenerateVerifier()
	b.open(conf.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier)))
	b.consent()
	token, err := conf.Exchange(t.Context(), b.at.Query().Get("code"), oauth2.VerifierOption(verifier))
	require.NoError(t, err)
	return token
}

func everyDemoClient(t *testing.T, b *browser, address string) {
	for id, style := range map[string]oauth2.AuthStyle{"demo-post": oauth2.AuthStyleInParams, "demo-spa": oauth2.AuthStyleInParams} {
		secret := ""
		if id == "demo-post" {
			secret = "demo-post-secret"
		}
		token := grantTo(t, b, clientConfig(address, id, secret, style))
		assert.NotEmpty(t, token.RefreshToken, id)
		status, _ := me(t, address, token.AccessToken)
		assert.Equal(t, http.StatusOK, status, id)
	}

	service := clientcredentials.Config{ClientID: "demo-service", ClientSecret: "demo-service-secret", TokenURL: address + "/oauth/token",
		Scopes: []string{"profile"}, AuthStyle: oauth2.AuthStyleInHeader}
	token, err := service.Token(t.Context())
	require.NoError(t, err)
	assert.Empty(t, token.RefreshToken)
	status, body := me(t, address, token.AccessToken)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "demo-service", body["client_id"])
	service.Scopes = []string{"email"}
	token, err = service.Token(t.Context())
	require.NoError(t, err)
	status, body = me(t, address, token.AccessToken)
	assert.Equal(t, http.StatusForbidden, status)
	assert.Equal(t, "insufficient_scope", body["error"])

	legacy := clientConfig(address, "demo-legacy", "demo-legacy-secret", oauth2.AuthStyleInHeader)
	legacy.Scopes = []string{"profile"}
	token, err = legacy.PasswordCredentialsToken(t.Context(), "bob", "builder")
	require.NoError(t, err)
	status, body = me(t, address, token.AccessToken)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "bob", body["username"])
	b.open(legacy.AuthCodeURL("s", oauth2.SetAuthURLParam("response_type", "token")))
	b.submit("confirm", url.Values{"confirm": {"yes"}})
	fragment, err := url.ParseQuery(b.at.Fragment)
	require.NoError(t, err)
	status, body = me(t, address, fragment.Get("access_token"))
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "alice", body["username"])
}

func takeAccessBack(t *testing.T, b *browser, address string) {
	token := grantTo(t, b, clientConfig(address, "demo-web", "demo-web-secret", oauth2.AuthStyleInHeader))
	b.open(address + "/")
	for range 20 {
		action := regexp.MustCompile(`action="(/applications/[^"]+/revoke)"`).FindStringSubmatch(b.page)
		if action == nil {
			break
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+action[1], http.NoBody)
		require.NoError(t, err)
		b.do(r)
		require.Equal(t, http.StatusOK, b.status, b.page)
	}
	assert.NotContains(t, b.page, "/revoke\"", "no application has access any more")
	status, _ := me(t, address, token.AccessToken)
	assert.Equal(t, http.StatusUnauthorized, status)
}

func makeClient(t *testing.T, b *browser, address string) {
	b.open(address + "/")
	b.submit("client_name", url.Values{
		"client_name": {"My <b>app</b>"}, "redirect_uris": {callback}, "type": {"web"}, "scope": {"profile", "email"},
	})
	require.Equal(t, http.StatusCreated, b.status, b.page)
	found := regexp.MustCompile(`goa_cs_[A-Z2-7]+`).FindString(b.page)
	require.NotEmpty(t, found, "the secret is shown")
	assert.NotContains(t, b.page, "<b>app</b>", "names are escaped")
	id := regexp.MustCompile(`>([A-Z2-7]{26})<`).FindStringSubmatch(b.page)
	require.NotNil(t, id, b.page)

	token := grantTo(t, b, clientConfig(address, id[1], found, oauth2.AuthStyleInHeader))
	status, _ := me(t, address, token.AccessToken)
	assert.Equal(t, http.StatusOK, status)
	b.open(address + "/")
	assert.NotContains(t, b.page, found, "and never again")
}

// A device that shows a code, driven by golang.org/x/oauth2.
func TestADeviceIsConnected(t *testing.T) {
	t.Parallel()
	address := startExample(t, demo.Build(t), filepath.Join(t.TempDir(), "device.db"))
	conf := clientConfig(address, "demo-device", "", oauth2.AuthStyleInParams)
	conf.Scopes = []string{"profile"}
	conf.Endpoint.DeviceAuthURL = address + "/oauth/device_authorization"
	start := func() *oauth2.DeviceAuthResponse {
		codes, err := conf.DeviceAuth(t.Context())
		require.NoError(t, err)
		codes.Interval = 1 // of the client, whose first call comes late enough
		return codes
	}
	b := newBrowser(t, address)
	denied := start()
	b.open(denied.VerificationURIComplete)
	require.Equal(t, "/login", b.at.Path, "who is not signed in signs in first")
	b.signIn("alice", "wonderland")
	assert.Equal(t, "/device", b.at.Path)
	assert.Contains(t, b.page, denied.UserCode, "the code came with the link")
	b.submit("user_code", url.Values{"user_code": {denied.UserCode}})
	assert.Contains(t, b.page, "Demo television")
	assert.Contains(t, b.page, denied.UserCode, "to compare with the device")
	b.submit("confirm", url.Values{"confirm": {"no"}})
	assert.Contains(t, b.page, "Nothing was shared")
	_, err := conf.DeviceAccessToken(t.Context(), denied)
	assert.ErrorContains(t, err, "access_denied")

	codes := start()
	b.open(codes.VerificationURI)
	b.submit("user_code", url.Values{"user_code": {"bbbb bbbb"}})
	assert.Equal(t, http.StatusBadRequest, b.status)
	assert.Contains(t, b.page, "The code is unknown")
	b.submit("user_code", url.Values{"user_code": {strings.ToLower(codes.UserCode)}})
	b.submit("confirm", url.Values{"confirm": {"yes"}})
	assert.Contains(t, b.page, "Your device is connected")
	token, err := conf.DeviceAccessToken(t.Context(), codes)
	require.NoError(t, err)
	status, body := me(t, address, token.AccessToken)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "alice", body["username"])
	assert.NotEmpty(t, token.RefreshToken)
	b.open(address + "/")
	assert.Contains(t, b.page, "Demo television", "and can be removed")
	_, err = conf.DeviceAccessToken(t.Context(), codes)
	assert.ErrorContains(t, err, "invalid_grant", "a code is good for one token")
}

// A client that wants a recent sign-in has the person sign in again.
func TestARecentSignInIsAskedFor(t *testing.T) {
	t.Parallel()
	address := startExample(t, demo.Build(t), filepath.Join(t.TempDir(), "recent.db"))
	conf, verifier := clientConfig(address, "demo-web", "demo-web-secret", oauth2.AuthStyleInHeader), oauth2.GenerateVerifier()
	b := newBrowser(t, address)
	b.open(address + "/login")
	b.signIn("alice", "wonderland")
	b.open(conf.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("max_age", "3600")))
	require.Equal(t, "/oauth/authorize", b.at.Path, "an hour has not gone by")
	b.open(address + "/login?again&next=%2F")
	assert.Equal(t, "/login", b.at.Path)
	b.signIn("alice", "wonderland")
	b.open(conf.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("max_age", "0"), oauth2.SetAuthURLParam("acr_values", "phr")))
	require.Equal(t, "/login", b.at.Path, "but a second has")
	b.signIn("alice", "wonderland")
	b.consent()
	token, err := conf.Exchange(t.Context(), b.at.Query().Get("code"), oauth2.VerifierOption(verifier))
	require.NoError(t, err, b.at)
	status, _ := me(t, address, token.AccessToken)
	assert.Equal(t, http.StatusOK, status)
	b.open(conf.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("max_age", "x")))
	assert.Equal(t, "invalid_request", b.at.Query().Get("error"))
}

// A client that nobody knew registers, signs a person in, and leaves.
func TestAClientRegistersItself(t *testing.T) {
	t.Parallel()
	address := startExample(t, demo.Build(t), filepath.Join(t.TempDir(), "registration.db"))
	send := func(method, target, token, body string) (int, map[string]any) {
		r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		var answer map[string]any
		if response.StatusCode != http.StatusNoContent {
			require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
		}
		return response.StatusCode, answer
	}
	_, metadata := send(http.MethodGet, address+"/.well-known/oauth-authorization-server", "", "")
	status, client := send(http.MethodPost, metadata["registration_endpoint"].(string), "",
		`{"client_name":"Newcomer","redirect_uris":["`+callback+`"],"grant_types":["authorization_code","refresh_token"]}`)
	require.Equal(t, http.StatusCreated, status, client)

	conf := clientConfig(address, client["client_id"].(string), client["client_secret"].(string), oauth2.AuthStyleInHeader)
	conf.Endpoint.AuthURL, conf.Endpoint.TokenURL = metadata["authorization_endpoint"].(string), metadata["token_endpoint"].(string)
	b, verifier := newBrowser(t, address), oauth2.GenerateVerifier()
	b.open(conf.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)))
	b.signIn("alice", "wonderland")
	assert.Contains(t, b.page, "Newcomer")
	b.submit("confirm", url.Values{"confirm": {"yes"}})
	token, err := conf.Exchange(t.Context(), b.at.Query().Get("code"), oauth2.VerifierOption(verifier))
	require.NoError(t, err, b.at)
	status, _ = me(t, address, token.AccessToken)
	assert.Equal(t, http.StatusOK, status)

	status, _ = send(http.MethodDelete, client["registration_client_uri"].(string), client["registration_access_token"].(string), "")
	assert.Equal(t, http.StatusNoContent, status)
	status, _ = me(t, address, token.AccessToken)
	assert.Equal(t, http.StatusUnauthorized, status)
}
