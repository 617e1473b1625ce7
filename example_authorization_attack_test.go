package gormoauth_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// The pages of docs/authorization-endpoint.md, as they stand there, under attack.
func TestThePagesOfTheDocumentation(t *testing.T) {
	db := open()
	alice, bob := &User{}, &User{}
	require.NoError(t, db.Create(alice).Error)
	require.NoError(t, db.Create(bob).Error)
	srv, err := gormoauth.New(db, server.Config{Issuer: oauthtest.Issuer}, gormoauth.Clients[Client](), gormoauth.Tokens[Token](),
		gormoauth.AuthorizationCodes[AuthorizationCode](), gormoauth.Users[User]())
	require.NoError(t, err)
	client := &Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{
		ClientName: "App", RedirectURIs: []string{oauthtest.RedirectURI}, TokenEndpointAuthMethod: models.None,
		GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code"}, Scope: "profile",
	}}}
	_, err = gormoauth.CreateClientFactory[Client](db, srv).Create(t.Context(), client)
	require.NoError(t, err)
	mux := http.NewServeMux()
	(&pages{srv: srv, checkPassword: func(name, _ string) *User { return map[string]*User{"alice": alice, "bob": bob}[name] }}).register(mux)
	send := func(method, target, body, cookie string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Cookie", cookie)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
	signIn := func(name, next string) (cookie, to string) {
		w := send(http.MethodPost, "/login", url.Values{"name": {name}, "password": {"x"}, "next": {next}}.Encode(), "")
		require.Equal(t, http.StatusSeeOther, w.Code)
		return strings.Split(w.Header().Get("Set-Cookie"), ";")[0], w.Header().Get("Location")
	}
	address := "/oauth/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {client.ClientID}, "state": {"s"}, "code_challenge": {oauthtest.Challenge}, "code_challenge_method": {"S256"},
	}.Encode()

	first := send(http.MethodGet, address, "", "")
	require.Equal(t, "/login?next="+url.QueryEscape(address), first.Header().Get("Location"))
	cookie, to := signIn("alice", address)
	require.Equal(t, address, to)
	others, _ := signIn("bob", "/")
	_, astray := signIn("alice", "//evil.example/")
	assert.Equal(t, "/", astray, "a sign-in leads nowhere else")
	assert.Equal(t, http.StatusForbidden, send(http.MethodPost, "/login", "name=alice", "", "Sec-Fetch-Site", "cross-site").Code)

	shown := send(http.MethodGet, address, "", cookie)
	require.Equal(t, http.StatusOK, shown.Code)
	assert.Equal(t, "frame-ancestors 'none'", shown.Header().Get("Content-Security-Policy"))
	found := regexp.MustCompile(`action="([^"]+)"><input type="hidden" name="decision" value="([^"]+)">`).FindStringSubmatch(shown.Body.String())
	require.NotNil(t, found, shown.Body.String())
	action, yes := html.UnescapeString(found[1]), "confirm=yes&decision="+found[2]
	for rule, w := range map[string]*httptest.ResponseRecorder{
		"HEAD":                send(http.MethodHead, action+"&"+yes, "", cookie, "Sec-Fetch-Site", "cross-site"),
		"OPTIONS":             send(http.MethodOptions, action+"&"+yes, "", cookie, "Sec-Fetch-Site", "cross-site"),
		"GET":                 send(http.MethodGet, action+"&"+yes, "", cookie),
		"PUT":                 send(http.MethodPut, action, yes, cookie),
		"another site":        send(http.MethodPost, action, yes, cookie, "Sec-Fetch-Site", "cross-site"),
		"no field":            send(http.MethodPost, action, "confirm=yes", cookie),
		"no field and a no":   send(http.MethodPost, action, "confirm=no", cookie),
		"all in the address":  send(http.MethodPost, action+"&"+yes, "", cookie),
		"bob":                 send(http.MethodPost, action, yes, others),
		"nobody":              send(http.MethodPost, action, yes, ""),
		"another request":     send(http.MethodPost, strings.Replace(action, "state=s", "state=x", 1), yes, cookie),
		"a client's own form": send(http.MethodPost, "/oauth/authorize", strings.TrimPrefix(address, "/oauth/authorize?"), "", "Sec-Fetch-Site", "cross-site"),
	} {
		assert.NotContains(t, w.Header().Get("Location"), oauthtest.RedirectURI+"?", rule)
	}
	silent := send(http.MethodGet, address+"&prompt=none", "", cookie)
	assert.Contains(t, silent.Header().Get("Location"), oauthtest.RedirectURI+"?error="+server.ConsentRequired, "prompt=none shows nothing")
	denied := send(http.MethodPost, action, "confirm=no&decision="+found[2], cookie)
	assert.Contains(t, denied.Header().Get("Location"), oauthtest.RedirectURI+"?error=access_denied")
	granted := send(http.MethodPost, action, yes, cookie)
	assert.Contains(t, granted.Header().Get("Location"), oauthtest.RedirectURI+"?code=")
}
