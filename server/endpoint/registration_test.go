package endpoint_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/secret"
)

// registrar is a provider at which clients register.
type registrar struct {
	*oauthtest.Provider
	endpoint *endpoint.Registration
}

func newRegistrar(t *testing.T, db *gorm.DB, change ...func(*endpoint.Registration)) registrar {
	t.Helper()
	p := oauthtest.New(t, db, func(c *server.Config) { c.ScopesSupported = []string{"profile", "email"} })
	e := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	e.Open = true
	for _, f := range change {
		f(e)
	}
	require.NoError(t, p.Server.RegisterEndpoint(e))
	return registrar{p, e}
}

// registered is what a client was told.
type registered struct {
	ID      string `json:"client_id"`
	Secret  string `json:"client_secret"`
	Expires *int64 `json:"client_secret_expires_at"`
	Token   string `json:"registration_access_token"`
	URI     string `json:"registration_client_uri"`
	Name    string `json:"client_name"`
	Method  string `json:"token_endpoint_auth_method"`
}

func (r registrar) send(method, target, token, body string) (oauthtest.Answer, registered) {
	r.T.Helper()
	request := httptest.NewRequestWithContext(oauthtest.Brief(r.T), method, target, strings.NewReader(body))
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	a := r.Serve(request)
	var told registered
	_ = json.Unmarshal([]byte(a.Raw), &told)
	return a, told
}

func (r registrar) register(body string) (oauthtest.Answer, registered) {
	r.T.Helper()
	return r.send(http.MethodPost, "/oauth/register", "", body)
}

// client is the credentials as the token endpoint wants them.
func (c registered) client(metadata models.ClientMetadata) *oauthtest.Client {
	return &oauthtest.Client{Secret: c.Secret, ClientMixin: models.ClientMixin{ClientID: c.ID, ClientMetadata: metadata}}
}

const webClient = `"redirect_uris":["` + oauthtest.RedirectURI + `"]`

func TestRegistration(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		r := newRegistrar(t, db)

		t.Run("the least that a client says", func(t *testing.T) {
			a, told := r.register(`{` + webClient + `}`)
			assert.Equal(t, http.StatusCreated, a.Status, a.Raw)
			assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))
			assert.JSONEq(t, fmtJSON(map[string]any{
				"client_id": told.ID, "client_secret": told.Secret, "client_id_issued_at": r.Now.Unix(), "client_secret_expires_at": 0,
				"registration_access_token": told.Token, "registration_client_uri": oauthtest.Issuer + "/oauth/register?client_id=" + told.ID,
				"redirect_uris": []string{oauthtest.RedirectURI}, "token_endpoint_auth_method": "client_secret_basic",
				"grant_types": []string{"authorization_code"}, "response_types": []string{"code"},
			}), a.Raw)
			var row oauthtest.Client
			require.NoError(t, db.Where("client_id = ?", told.ID).First(&row).Error)
			assert.Equal(t, models.HashClientSecret(told.Secret), row.ClientSecret, "nothing is kept in plaintext")
			assert.Equal(t, secret.Digest(told.Token), row.RegistrationAccessToken)
			assert.Equal(t, models.ClientByRegistration, row.ClientSource)
			client := told.client(row.ClientMetadata)
			assert.True(t, r.Valid(r.Redeem(client, r.Code(client, "")).Body["access_token"]), "and it works")
		})
		t.Run("all that a client can say", func(t *testing.T) {
			const body = `{` + webClient + `,"token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"],"response_types":["code"],
				"client_name":"App","client_name#ja":"アプリ","client_uri":"https://app.example","logo_uri":"https://app.example/logo.png","scope":"profile email",
				"contacts":["a@app.example"],"tos_uri":"https://app.example/tos","policy_uri":"https://app.example/policy","software_id":"4",
				"jwks":{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`
			a, told := r.register(body + `,"unknown":true,"unknown#ja":"x","client_uri#ja":{}, "software_version": null}`)
			require.Equal(t, http.StatusCreated, a.Status, a.Raw)
			var said, got map[string]any
			require.NoError(t, json.Unmarshal([]byte(body+"}"), &said))
			require.NoError(t, json.Unmarshal([]byte(a.Raw), &got))
			for _, name := range []string{"client_id", "client_id_issued_at", "registration_access_token", "registration_client_uri"} {
				assert.NotEmpty(t, got[name], name)
				delete(got, name)
			}
			assert.Equal(t, said, got, "with what means nothing here left out, and no secret for a public client")
			assert.Empty(t, told.Secret)
		})
		t.Run("a refusal names the value and the remedy", func(t *testing.T) {
			for body, want := range map[string]string{
				`{"redirect_uris":["javascript:alert(1)"]}`:              "redirect_uris 'javascript:alert(1)' has a scheme that starts programs or scripts; use https.",
				`{"redirect_uris":["myapp:/cb"]}`:                        "redirect_uris 'myapp:/cb' has a private-use scheme without a dot; use a reversed domain name such as com.example.app",
				`{"redirect_uris":["https://\u0430pple.com/cb"]}`:        "redirect_uris 'https://%D0%B0pple.com/cb' has a character that is not ASCII; write the host in its punycode form",
				`{` + webClient + `,"client_name":"a\"\u202eb"}`:         "client_name 'a%22%E2%80%AEb' has the character U+202E, which is invisible or changes the direction of text; leave it out.",
				`{` + webClient + `,"policy_uri#ja":"http://x.example"}`: "policy_uri#ja 'http://x.example' must be https; http is allowed only for loopback addresses.",
			} {
				a, _ := r.register(body)
				assert.Contains(t, a.Body["error_description"], want)
				assert.NotRegexp(t, `[^ !#-\[\]-~]`, a.Body["error_description"], "RFC 6749 section 5.2")
			}
		})
		t.Run("an editor, with a scheme of its own and a host in punycode", func(t *testing.T) {
			uris := []string{"cursor://anysphere.cursor-mcp/oauth/callback", "vscode://x/cb", "com.example.app:/cb", "https://xn--pple-43d.com/cb", "http://localhost:8787/callback"}
			a, told := r.register(`{"redirect_uris":` + fmtJSON(uris) + `,"client_name":"Éditeur","client_name#ja":"エディタ","policy_uri#ja":"https://app.example/ja"}`)
			require.Equal(t, http.StatusCreated, a.Status, a.Raw)
			var row oauthtest.Client
			require.NoError(t, db.Where("client_id = ?", told.ID).First(&row).Error)
			for _, uri := range uris {
				client := told.client(row.ClientMetadata)
				answer := r.Grant(oauthtest.AuthorizeQuery(client, "redirect_uri="+url.QueryEscape(uri)))
				assert.True(t, strings.HasPrefix(answer.Header.Get("Location"), uri+"?"), answer.Header.Get("Location"))
			}
			assert.Equal(t, "エディタ", display.Name(&row, "ja"))
		})
		t.Run("what no client can say", func(t *testing.T) {
			for _, row := range []struct{ body, code string }{
				{``, server.InvalidRequest}, {`[]`, server.InvalidRequest}, {`null`, server.InvalidRequest}, {`{`, server.InvalidRequest}, {`"x"`, server.InvalidRequest},
				{`{}`, server.InvalidRedirectURI},
				{`{"redirect_uris":[]}`, server.InvalidRedirectURI},
				{`{"redirect_uris":["http://client.example/cb"]}`, server.InvalidRedirectURI},
				{`{"redirect_uris":["https://client.example/cb#f"]}`, server.InvalidRedirectURI},
				{`{"redirect_uris":["https://user@client.example/cb"]}`, server.InvalidRedirectURI},
				{`{"redirect_uris":["https://*.example/cb"]}`, server.InvalidRedirectURI},
				{`{"redirect_uris":["javascript:alert(1)"]}`, server.InvalidRedirectURI},
				{`{"redirect_uris":["/cb"]}`, server.InvalidRedirectURI},
				{`{"redirect_uris":"https://client.example/cb"}`, server.InvalidRedirectURI},
				{`{"redirect_uris":["https://client.example/` + strings.Repeat("a", 3000) + `"]}`, server.InvalidRedirectURI},
				{`{"redirect_uris":["https://\u0430pple.com/cb"]}`, server.InvalidRedirectURI},
				{`{"redirect_uris":["https://[::1%25%20;script-src%20'unsafe-inline'%20;x]/"]}`, server.InvalidRedirectURI},
				{`{"redirect_uris":["myapp:/cb"]}`, server.InvalidRedirectURI},
				{`{"redirect_uris":["ms-settings:x"]}`, server.InvalidRedirectURI},
				{`{` + webClient + `,"policy_uri#ja":"javascript:alert(1)"}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"client_uri":"https://a'b.example/"}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"client_name":"` + strings.Repeat("a", 101) + `"}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"client_name#ja":"a\u202eb"}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"client_name":" "}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"contacts":["\u200b"]}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"contacts":["a@app.example",null]}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"response_types":[null]}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"grant_types":["password"]}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"grant_types":["client_credentials"],"response_types":[]}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"grant_types":[]}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"grant_types":["refresh_token"]}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"grant_types":["implicit"],"response_types":["token"]}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"token_endpoint_auth_method":"magic"}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"token_endpoint_auth_method":7}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"scope":"pro\"file"}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"client_name":"a\u0000b"}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"client_uri":"javascript:alert(1)"}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"logo_uri":"http://app.example/logo.png"}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"jwks_uri":"https://app.example/keys","jwks":{"keys":[]}}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"jwks":{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"jwks":"no"}`, server.InvalidClientMetadata},
				{`{` + webClient + `,"software_statement":"a.b.c"}`, server.UnapprovedSoftwareStatement},
				{`{` + webClient + `,"software_statement":7}`, server.InvalidSoftwareStatement},
			} {
				a, _ := r.register(row.body)
				assert.Equal(t, http.StatusBadRequest, a.Status, row.body)
				assert.Equal(t, row.code, a.Body["error"], "%.80s: %s", row.body, a.Body["error_description"])
				assert.NotEmpty(t, a.Body["error_description"])
			}
			a, _ := r.register(`{"client_name":"` + strings.Repeat("a", 100<<10) + `"}`)
			assert.Equal(t, http.StatusRequestEntityTooLarge, a.Status)
			assert.Equal(t, http.StatusBadRequest, r.Post("/oauth/register", nil, "redirect_uris=x").Status, "a form is no registration")
		})
		t.Run("one that is never used is forgotten", func(t *testing.T) {
			used, unused := `{`+webClient+`,"client_name":"used"}`, `{`+webClient+`,"client_name":"unused"}`
			_, first := r.register(used)
			_, second := r.register(unused)
			client := first.client(models.ClientMetadata{TokenEndpointAuthMethod: models.ClientSecretBasic})
			r.Redeem(client, r.Code(client, ""))
			byHand := r.NewClient(nil)
			require.NoError(t, db.Model(&oauthtest.Client{}).Where("unused_expires_at > 0").UpdateColumn("unused_expires_at", 1).Error)
			prune := gormoauth.CreatePruneFunc[oauthtest.Token, oauthtest.AuthorizationCode](db, gormoauth.CreateClientRegistrationStorage[oauthtest.Client, oauthtest.Token](db))
			require.NoError(t, prune(t.Context(), gormstore.PruneOptions{}))
			assert.Equal(t, "unknown", known(t, db, second.ID))
			assert.Equal(t, "known", known(t, db, first.ID))
			assert.Equal(t, "known", known(t, db, byHand.ClientID))
		})
	})
}

func known(t *testing.T, db *gorm.DB, clientID string) string {
	t.Helper()
	var rows int64
	require.NoError(t, db.Model(&oauthtest.Client{}).Where("client_id = ?", clientID).Count(&rows).Error)
	return map[int64]string{0: "unknown", 1: "known"}[rows]
}

func TestRegistrationManagement(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		r := newRegistrar(t, db)
		path := func(c registered) string { return strings.TrimPrefix(c.URI, oauthtest.Issuer) }
		fresh := func() registered {
			_, told := r.register(`{` + webClient + `,"client_name":"App","grant_types":["authorization_code","refresh_token"],"response_types":["code"]}`)
			return told
		}
		web := models.ClientMetadata{TokenEndpointAuthMethod: models.ClientSecretBasic}

		t.Run("read", func(t *testing.T) {
			c := fresh()
			a, told := r.send(http.MethodGet, path(c), c.Token, "")
			assert.Equal(t, http.StatusOK, a.Status)
			assert.Equal(t, c.ID, told.ID)
			assert.Equal(t, c.Token, told.Token, "to look changes nothing")
			assert.Equal(t, "App", told.Name)
			assert.Empty(t, told.Secret, "nobody knows it any more")
			assert.NotNil(t, told.Expires)
		})
		t.Run("update", func(t *testing.T) {
			c := fresh()
			body := `{"client_id":"` + c.ID + `",` + webClient + `,"client_name":"New"}`
			a, told := r.send(http.MethodPut, path(c), c.Token, body)
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			assert.Equal(t, "New", told.Name)
			assert.JSONEq(t, `["authorization_code"]`, a.Body["grant_types"], "what is left out is gone")
			assert.Equal(t, c.Token, told.Token, "the token stays: the client may never see this answer")
			assert.Empty(t, told.Secret, "and so does the secret")
			client := c.client(web)
			assert.True(t, r.Valid(r.Redeem(client, r.Code(client, "")).Body["access_token"]))
			a, again := r.send(http.MethodPut, path(c), c.Token, body)
			assert.Equal(t, http.StatusOK, a.Status, "the same once more")
			assert.Equal(t, told, again)

			a, told = r.send(http.MethodPut, path(c), told.Token, strings.Replace(body, `"New"`, `"New","client_secret":"`+c.Secret+`"`, 1))
			assert.Equal(t, http.StatusOK, a.Status, "it may repeat its secret")
			a, public := r.send(http.MethodPut, path(c), told.Token, strings.Replace(body, `"New"`, `"New","token_endpoint_auth_method":"none"`, 1))
			assert.Equal(t, http.StatusOK, a.Status)
			assert.Nil(t, public.Expires, "who needs no secret has none")
			assert.Equal(t, server.InvalidClient, r.Token(client, "grant_type=authorization_code&code=x").Body["error"])
			_, again = r.send(http.MethodPut, path(c), public.Token, body)
			assert.NotEmpty(t, again.Secret, "who needs one gets it")
			assert.NotEqual(t, c.Secret, again.Secret)
		})
		t.Run("what an update cannot say", func(t *testing.T) {
			c := fresh()
			for body, code := range map[string]string{
				`{` + webClient + `}`:                                                                          server.InvalidRequest,
				`{"client_id":"other",` + webClient + `}`:                                                      server.InvalidRequest,
				`{"client_id":7,` + webClient + `}`:                                                            server.InvalidRequest,
				`{"client_id":"` + c.ID + `",` + webClient + `,"client_secret":"mine"}`:                        server.InvalidRequest,
				`{"client_id":"` + c.ID + `",` + webClient + `,"registration_access_token":"mine"}`:            server.InvalidRequest,
				`{"client_id":"` + c.ID + `",` + webClient + `,"registration_client_uri":"https://x.example"}`: server.InvalidRequest,
				`{"client_id":"` + c.ID + `",` + webClient + `,"client_secret_expires_at":0}`:                  server.InvalidRequest,
				`{"client_id":"` + c.ID + `",` + webClient + `,"client_id_issued_at":0}`:                       server.InvalidRequest,
				`{"client_id":"` + c.ID + `"}`:                                                                 server.InvalidRedirectURI,
				`{"client_id":"` + c.ID + `",` + webClient + `,"token_endpoint_auth_method":"magic"}`:          server.InvalidClientMetadata,
				`no`: server.InvalidRequest,
			} {
				a, _ := r.send(http.MethodPut, path(c), c.Token, body)
				assert.Equal(t, http.StatusBadRequest, a.Status, body)
				assert.Equal(t, code, a.Body["error"], body)
			}
			a, _ := r.send(http.MethodGet, path(c), c.Token, "")
			assert.Equal(t, http.StatusOK, a.Status, "an update that failed changed nothing")
		})
		t.Run("delete", func(t *testing.T) {
			c, other := fresh(), fresh()
			client := c.client(web)
			tokens := r.Redeem(client, r.Code(client, "")).Body
			a, _ := r.send(http.MethodDelete, path(c), c.Token, "")
			assert.Equal(t, http.StatusNoContent, a.Status)
			assert.Empty(t, a.Raw)
			assert.False(t, r.Valid(tokens["access_token"]), "its tokens end with it")
			assert.Equal(t, server.InvalidClient, r.Refresh(client, tokens["refresh_token"], "").Body["error"])
			a, _ = r.send(http.MethodGet, path(c), c.Token, "")
			assert.Equal(t, http.StatusUnauthorized, a.Status)
			assert.Equal(t, "known", known(t, db, other.ID))
		})
		t.Run("delete, without waiting for the answer", func(t *testing.T) {
			c := fresh()
			ctx, hangUp := context.WithCancel(underway.Shorten(t.Context(), 300*time.Millisecond))
			request := httptest.NewRequestWithContext(ctx, http.MethodDelete, path(c), http.NoBody)
			request.Header.Set("Authorization", "Bearer "+c.Token)
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				r.Serve(request)
			}()
			require.Eventually(t, func() bool {
				var marked int64
				db.Model(&oauthtest.Client{}).Where("client_id = ? AND client_deleted_at > 0", c.ID).Count(&marked)
				return marked == 1
			}, 5*time.Second, time.Millisecond)
			hangUp()
			<-answered
			var rows int64
			require.NoError(t, db.Unscoped().Model(&oauthtest.Client{}).Where("client_id = ?", c.ID).Count(&rows).Error)
			assert.Zero(t, rows)
		})
		t.Run("who may not", func(t *testing.T) {
			c, other := fresh(), fresh()
			byHand := r.NewClient(nil)
			for rule, row := range map[string][2]string{
				"no token": {path(c), ""}, "a wrong one": {path(c), "wrong"}, "another client's": {path(c), other.Token}, "a client's own secret": {path(c), c.Secret},
				"an unknown client": {"/oauth/register?client_id=unknown", c.Token}, "no client": {"/oauth/register", c.Token},
				"one that did not register": {"/oauth/register?client_id=" + byHand.ClientID, c.Token}, "no client id": {"/oauth/register?client_id=%00", c.Token},
				"the digest": {path(c), secret.Digest(c.Token)}, "two": {path(c) + "&client_id=" + other.ID, other.Token},
			} {
				for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
					a, _ := r.send(method, row[0], row[1], "")
					assert.Equal(t, http.StatusUnauthorized, a.Status, "%s %s", rule, method)
					if row[1] == "" {
						assert.Equal(t, "{}", a.Raw, "RFC 6750 section 3.1")
					} else {
						assert.Equal(t, server.InvalidToken, a.Body["error"])
					}
					assert.Contains(t, a.Header.Get("WWW-Authenticate"), "Bearer realm=")
					assert.Equal(t, row[1] != "", strings.Contains(a.Header.Get("WWW-Authenticate"), "error="), "RFC 6750 section 3.1")
				}
			}
			a, _ := r.send(http.MethodPatch, path(c), c.Token, "{}")
			assert.Equal(t, http.StatusMethodNotAllowed, a.Status)
			assert.Equal(t, "POST, GET, PUT, DELETE", a.Header.Get("Allow"))
		})
		t.Run("of updates at once, one comes after the other", func(t *testing.T) {
			for range 5 {
				_, c := r.register(`{` + webClient + `,"token_endpoint_auth_method":"none"}`)
				var done sync.WaitGroup
				answers := make([]registered, 4)
				for i := range answers {
					done.Go(func() {
						a, told := r.send(http.MethodPut, path(c), c.Token, fmt.Sprintf(`{"client_id":%q,%s,"client_name":"%d"}`, c.ID, webClient, i))
						assert.Equal(t, http.StatusOK, a.Status, a.Raw)
						answers[i] = told
					})
				}
				done.Wait()
				_, now := r.send(http.MethodGet, path(c), c.Token, "")
				secret := ""
				for i, told := range answers {
					assert.Equal(t, fmt.Sprint(i), told.Name)
					if told.Secret != "" {
						assert.Empty(t, secret, "it is told one secret")
						secret = told.Secret
					}
				}
				assert.Contains(t, []string{"0", "1", "2", "3"}, now.Name)
				client := (registered{ID: c.ID, Secret: secret}).client(web)
				assert.Equal(t, server.InvalidGrant, r.Token(client, "grant_type=authorization_code&code=x").Body["error"], "which is the one that is stored")
			}
		})
		t.Run("an update between two others is not undone", func(t *testing.T) {
			c := fresh()
			r.endpoint.Storage = &slow{r.endpoint.Storage, func() {
				_, err := gormoauth.CreateClientFactory[oauthtest.Client](db, r.Server).RotateSecret(t.Context(), c.ID, gormstore.SecretRotation{})
				require.NoError(t, err)
			}}
			a, _ := r.send(http.MethodPut, path(c), c.Token, `{"client_id":"`+c.ID+`",`+webClient+`,"client_name":"New"}`)
			assert.Equal(t, http.StatusOK, a.Status, a.Raw)
			r.endpoint.Storage = r.endpoint.Storage.(*slow).ClientRegistrationStorage
			assert.Equal(t, server.InvalidClient, r.Token(c.client(web), "grant_type=authorization_code&code=x").Body["error"], "the secret that was rotated away stays void")
			_, now := r.send(http.MethodGet, path(c), c.Token, "")
			assert.Equal(t, "New", now.Name)
		})
		t.Run("a client whose token was rotated meanwhile updates nothing", func(t *testing.T) {
			c, token := fresh(), ""
			r.endpoint.Storage = &slow{r.endpoint.Storage, func() {
				var err error
				token, err = gormoauth.CreateClientFactory[oauthtest.Client](db, r.Server).RotateRegistrationToken(t.Context(), c.ID)
				require.NoError(t, err)
			}}
			a, _ := r.send(http.MethodPut, path(c), c.Token, `{"client_id":"`+c.ID+`",`+webClient+`,"client_name":"New"}`)
			r.endpoint.Storage = r.endpoint.Storage.(*slow).ClientRegistrationStorage
			assert.Equal(t, server.InvalidToken, a.Body["error"], a.Raw)
			_, now := r.send(http.MethodGet, path(c), token, "")
			assert.Equal(t, "App", now.Name)
		})
	})
}

// slow is a storage of registrations in which somebody else is quicker.
type slow struct {
	endpoint.ClientRegistrationStorage
	first func()
}

func (s *slow) UpdateClient(ctx context.Context, old, record *models.ClientMixin) (bool, error) {
	if s.first != nil {
		s.first()
		s.first = nil
	}
	return s.ClientRegistrationStorage.UpdateClient(ctx, old, record)
}

// A client that others change all the time is told to come again.
func TestAnUpdateThatNeverComesFirst(t *testing.T) {
	r := newRegistrar(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	_, c := r.register(`{` + webClient + `}`)
	r.endpoint.Storage = never{r.endpoint.Storage}
	a, _ := r.send(http.MethodPut, "/oauth/register?client_id="+c.ID, c.Token, `{"client_id":"`+c.ID+`",`+webClient+`}`)
	assert.Equal(t, server.TemporarilyUnavailable, a.Body["error"], a.Raw)
}

type never struct {
	endpoint.ClientRegistrationStorage
}

func (never) UpdateClient(context.Context, *models.ClientMixin, *models.ClientMixin) (bool, error) {
	return false, nil
}

// A client that keeps its registration up to date never is without a secret.
func TestSecretsOfRegisteredClientsAreRenewed(t *testing.T) {
	r := newRegistrar(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(e *endpoint.Registration) { e.SecretExpiresIn = 24 * time.Hour })
	_, c := r.register(`{` + webClient + `}`)
	assert.Equal(t, r.Now.Add(24*time.Hour).Unix(), *c.Expires)
	update := func(c registered) registered {
		a, told := r.send(http.MethodPut, "/oauth/register?client_id="+c.ID, c.Token, `{"client_id":"`+c.ID+`",`+webClient+`}`)
		require.Equal(t, http.StatusOK, a.Status, a.Raw)
		return told
	}
	works := func(secret string) bool {
		client := (registered{ID: c.ID, Secret: secret}).client(models.ClientMetadata{TokenEndpointAuthMethod: models.ClientSecretBasic})
		return r.Token(client, "grant_type=authorization_code&code=x").Body["error"] == server.InvalidGrant
	}
	r.Now = r.Now.Add(11 * time.Hour)
	next := update(c)
	assert.Empty(t, next.Secret, "there is time")
	r.Now = r.Now.Add(2 * time.Hour)
	next = update(next)
	require.NotEmpty(t, next.Secret)
	assert.Equal(t, r.Now.Add(24*time.Hour).Unix(), *next.Expires)
	assert.True(t, works(c.Secret) && works(next.Secret), "both work")
	r.Now = r.Now.Add(11 * time.Hour)
	assert.False(t, works(c.Secret), "until the first one ends")
	assert.True(t, works(next.Secret))

	// The answer with the next one is lost: the client knows the one before, and says so.
	r.Now = r.Now.Add(2 * time.Hour)
	known, lost := next.Secret, update(next).Secret
	require.NotEmpty(t, lost)
	again := func(secret string) registered {
		a, told := r.send(http.MethodPut, "/oauth/register?client_id="+c.ID, c.Token, `{"client_id":"`+c.ID+`","client_secret":"`+secret+`",`+webClient+`}`)
		require.Equal(t, http.StatusOK, a.Status, a.Raw)
		return told
	}
	told := again(known)
	require.NotEmpty(t, told.Secret)
	assert.True(t, works(known) && works(told.Secret), "both work")
	assert.False(t, works(lost), "which nobody has")
	assert.Empty(t, again(told.Secret).Secret, "it has arrived")
}

func TestRegistrationByInitialAccessToken(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	r := newRegistrar(t, db, func(e *endpoint.Registration) {
		e.Open, e.CheckInitialAccessToken = false, endpoint.RequireScope(gormoauth.CreateQueryTokenFunc[oauthtest.Token](db), "email")
	})
	operator := r.NewClient(oauthtest.Grants("client_credentials"))
	token := func(scope string) string {
		return r.Token(operator, "grant_type=client_credentials&scope="+scope).Body["access_token"]
	}
	try := func(token string) (int, string) {
		a, _ := r.send(http.MethodPost, "/oauth/register", token, `{`+webClient+`}`)
		if token == "" {
			assert.Equal(t, "{}", a.Raw, "no token is not an error yet (RFC 6750 section 3.1)")
		}
		return a.Status, a.Header.Get("WWW-Authenticate")
	}
	good, revoked := token("email"), token("email")
	r.Revoke(operator, "token="+revoked)
	status, _ := try(good)
	assert.Equal(t, http.StatusCreated, status)
	for rule, token := range map[string]string{"none": "", "unknown": "unknown", "mistyped": good + "A", "of another scope": token("profile"), "revoked": revoked} {
		status, challenge := try(token)
		assert.Equal(t, http.StatusUnauthorized, status, rule)
		assert.Contains(t, challenge, "Bearer", rule)
	}
	r.Now = r.Now.Add(time.Hour)
	status, _ = try(good)
	assert.Equal(t, http.StatusUnauthorized, status, "expired")
}

func TestSoftwareStatements(t *testing.T) {
	trusted, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	r := newRegistrar(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(e *endpoint.Registration) {
		e.SoftwareStatements = &endpoint.SoftwareStatements{Required: true, Keys: func(_ context.Context, issuer string) (*jose.JSONWebKeySet, error) {
			if issuer != "https://publisher.example" {
				return nil, nil
			}
			return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: trusted.Public(), KeyID: "1"}}}, nil
		}}
	})
	sign := func(key any, algorithm jose.SignatureAlgorithm, claims map[string]any) string {
		return oauthtest.SignJWT(t, key, algorithm, map[jose.HeaderKey]any{"kid": "1"}, claims)
	}
	claims := func(more ...any) map[string]any {
		all := map[string]any{"iss": "https://publisher.example", "software_id": "signed", "client_name": "Signed", "redirect_uris": []string{"https://signed.example/cb"}}
		for i := 0; i < len(more); i += 2 {
			all[more[i].(string)] = more[i+1]
		}
		return all
	}
	try := func(statement string) (oauthtest.Answer, registered) {
		return r.register(fmt.Sprintf(`{%s,"client_name":"Said","software_statement":%q}`, webClient, statement))
	}
	good := sign(trusted, jose.ES256, claims())
	a, told := try(good)
	require.Equal(t, http.StatusCreated, a.Status, a.Raw)
	assert.Equal(t, "Signed", told.Name, "a statement takes the place of what the client says")
	assert.JSONEq(t, `["https://signed.example/cb"]`, a.Body["redirect_uris"])
	assert.Equal(t, "signed", a.Body["software_id"])
	assert.Equal(t, good, a.Body["software_statement"], "it comes back as it was (RFC 7591 section 3.2.1)")
	assert.NotContains(t, a.Body, "iss")

	unsigned := "eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + "."
	for rule, row := range map[string][2]string{
		"a stranger's signature":     {sign(stranger, jose.ES256, claims()), server.InvalidSoftwareStatement},
		"no signature":               {unsigned, server.InvalidSoftwareStatement},
		"another curve's algorithm":  {oauthtest.SignByWrongCurve(t, trusted, map[jose.HeaderKey]any{"kid": "1"}, claims()), server.InvalidSoftwareStatement},
		"a secret's signature":       {sign([]byte(strings.Repeat("s", 32)), jose.HS256, claims()), server.InvalidSoftwareStatement},
		"another issuer":             {sign(trusted, jose.ES256, claims("iss", "https://other.example")), server.UnapprovedSoftwareStatement},
		"no issuer":                  {sign(trusted, jose.ES256, claims("iss", "")), server.InvalidSoftwareStatement},
		"an end":                     {sign(trusted, jose.ES256, claims("exp", r.Now.Add(-time.Hour).Unix())), server.InvalidSoftwareStatement},
		"no beginning yet":           {sign(trusted, jose.ES256, claims("nbf", r.Now.Add(time.Hour).Unix())), server.InvalidSoftwareStatement},
		"what is no JWT":             {"statement", server.InvalidSoftwareStatement},
		"a redirect URI that is bad": {sign(trusted, jose.ES256, claims("redirect_uris", []string{"http://x.example"})), server.InvalidRedirectURI},
		"none":                       {"", server.InvalidSoftwareStatement},
	} {
		a, _ := try(row[0])
		assert.Equal(t, http.StatusBadRequest, a.Status, rule)
		assert.Equal(t, row[1], a.Body["error"], rule)
	}
}

// What a statement says counts, and nothing that stands in it, or beside it, by the
// lookalike of a name; of what has two readings nothing counts.
func TestAStatementHasOneReading(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		trusted := oauthtest.NewKey(t)
		r := newRegistrar(t, db, func(e *endpoint.Registration) {
			e.SoftwareStatements = statementsOf(trusted)
			e.SoftwareStatements.Required = true
		})
		const signed = "https://signed.example/cb"
		const said = `"iss":"` + publisher + `","software_id":"signed","redirect_uris":["` + signed + `"],"grant_types":["authorization_code"],"scope":"profile"`
		statement := func(claims string) string {
			return oauthtest.SignRaw(t, trusted, `{"alg":"ES256","kid":"1"}`, `{`+claims+`}`)
		}
		good := `"software_statement":"` + statement(said) + `"`
		lookalikes := oauthtest.FoldedMetadata()
		maps.Copy(lookalikes, oauthtest.StrangeMetadata())
		for rule, members := range lookalikes {
			for where, body := range map[string]string{
				"in the statement":        webClient + `,"software_statement":"` + statement(said+","+members) + `"`,
				"first in the statement":  webClient + `,"software_statement":"` + statement(members+","+said) + `"`,
				"beside the statement":    webClient + `,` + good + `,` + members,
				"before the statement":    members + `,` + webClient + `,` + good,
				"of the statement itself": good + `,` + webClient + `,"\u017foftware_statement":"` + statement(said+`,"scope":"`+oauthtest.EvilScope+`"`) + `"`,
			} {
				a, told := r.register("{" + body + "}")
				require.Equal(t, http.StatusCreated, a.Status, "%s, %s: %s", rule, where, a.Raw)
				assert.NotContains(t, a.Raw, "evil", "%s, %s", rule, where)
				var row oauthtest.Client
				require.NoError(t, db.Where("client_id = ?", told.ID).First(&row).Error)
				assert.Equal(t, models.ClientMetadata{
					RedirectURIs: []string{signed}, GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code"}, Scope: "profile", SoftwareID: "signed",
					TokenEndpointAuthMethod: models.ClientSecretBasic,
				}, row.ClientMetadata, "%s, %s", rule, where)
				client := told.client(row.ClientMetadata)
				assert.Equal(t, server.UnauthorizedClient, r.Token(client, "grant_type=client_credentials").Body["error"], "%s, %s", rule, where)
				assert.Empty(t, r.Consent(oauthtest.AuthorizeQuery(client, "redirect_uri="+url.QueryEscape(oauthtest.EvilRedirectURI))).To)
			}
		}
		rows := r.Rows(&oauthtest.Client{})
		for rule, members := range oauthtest.DoubleMetadata() {
			for _, claims := range []string{said + "," + members, members + "," + said} {
				a, _ := r.register(`{` + webClient + `,"software_statement":"` + statement(claims) + `"}`)
				assert.Equal(t, server.InvalidSoftwareStatement, a.Body["error"], "in the statement: %s: %s", rule, a.Raw)
			}
			a, _ := r.register(`{` + webClient + `,` + good + `,"grant_types":["authorization_code"],` + members + `,"redirect_uris":["` + signed + `"]}`)
			assert.Equal(t, server.InvalidRequest, a.Body["error"], "beside the statement: %s: %s", rule, a.Raw)
		}
		for rule, body := range map[string]string{
			"two statements":                       webClient + `,` + good + `,` + good,
			"another one by its name in escapes":   webClient + `,` + good + `,"software\u005fstatement":"` + statement(said) + `"`,
			"a claim of the protocol twice":        webClient + `,"software_statement":"` + statement(said+`,"iss":"https://other.example"`) + `"`,
			"a claim with another type":            webClient + `,"software_statement":"` + statement(`"iss":["`+publisher+`"]`) + `"`,
			"an issuer by the lookalike of a name": webClient + `,"software_statement":"` + statement(`"i\u017fs":"`+publisher+`"`) + `"`,
			"a statement by the lookalike":         webClient + `,"\u017foftware_statement":"` + statement(said) + `"`,
		} {
			a, _ := r.register("{" + body + "}")
			assert.Equal(t, http.StatusBadRequest, a.Status, rule)
			assert.Contains(t, []string{server.InvalidSoftwareStatement, server.InvalidRequest}, a.Body["error"], "%s: %s", rule, a.Raw)
		}
		assert.Equal(t, rows, r.Rows(&oauthtest.Client{}))

		a, _ := r.register(`{` + webClient + `,"client_name":"Said","software_statement":"` + statement(said+`,"client_name":null,"jwks":null`) + `"}`)
		require.Equal(t, http.StatusCreated, a.Status, a.Raw)
		assert.Equal(t, "Said", a.Body["client_name"], "what is null is left out, and takes the place of nothing")
	})
}

func TestTheOperatorsOwnSay(t *testing.T) {
	r := newRegistrar(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(e *endpoint.Registration) {
		e.DefaultScope, e.GrantTypes = "profile", []string{"client_credentials"}
		e.Check = func(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
			if metadata.ClientName == "Bank" {
				return server.NewError(server.InvalidClientMetadata, "The name is taken.")
			}
			metadata.ClientName = strings.ToUpper(metadata.ClientName)
			return nil
		}
	})
	require.NoError(t, r.Server.Register(&ownMetadata{}))
	const service = `"grant_types":["client_credentials"]`
	a, told := r.register(`{` + service + `,"client_name":"service","colour":"red"}`)
	require.Equal(t, http.StatusCreated, a.Status, a.Raw)
	assert.Equal(t, "SERVICE", told.Name)
	assert.Equal(t, "red", a.Body["colour"], "what a hook understands is kept")
	assert.Equal(t, "profile", a.Body["scope"])
	assert.Equal(t, http.StatusOK, r.Token(told.client(models.ClientMetadata{}), url.Values{"grant_type": {"client_credentials"}}.Encode()).Status)
	a, _ = r.register(`{` + service + `,"client_name":"Bank"}`)
	assert.Equal(t, "The name is taken.", a.Body["error_description"])
	a, _ = r.register(`{` + service + `,"colour":"blue"}`)
	assert.Equal(t, server.InvalidClientMetadata, a.Body["error"])

	for fault, e := range map[string]*endpoint.Registration{
		"Storage is missing": {Open: true}, "set either CheckInitialAccessToken": {Storage: r.endpoint.Storage},
		"or Open to let anyone":       {Storage: r.endpoint.Storage, Open: true, CheckInitialAccessToken: endpoint.RequireScope(nil, "x")},
		"must not be negative":        {Storage: r.endpoint.Storage, Open: true, SecretExpiresIn: -1},
		"the keys of trusted issuers": {Storage: r.endpoint.Storage, Open: true, SoftwareStatements: &endpoint.SoftwareStatements{}},
	} {
		assert.ErrorContains(t, r.Server.RegisterEndpoint(e), fault)
	}
}

type ownMetadata struct{}

func (*ownMetadata) ClientMetadataMembers() []string { return []string{"colour"} }

func (*ownMetadata) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	if string(metadata.Extra["colour"]) == `"blue"` {
		return server.NewError(server.InvalidClientMetadata, "Not blue.")
	}
	return nil
}

// Whoever registers without end fills nobody's database.
func TestAFloodOfRegistrations(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	r := newRegistrar(t, db, func(e *endpoint.Registration) { e.Attempts = ratelimit.New(3, time.Hour) })
	const metadata = `{"redirect_uris":["https://app.example/cb"]}`
	from := func(address string) oauthtest.Answer {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth/register", strings.NewReader(metadata))
		request.Header.Set("Content-Type", "application/json")
		request.RemoteAddr = address
		return r.Serve(request)
	}
	for range 3 {
		require.Equal(t, http.StatusCreated, from("192.0.2.1:1").Status)
	}
	for range 2 {
		a := from("192.0.2.1:2")
		assert.Equal(t, http.StatusTooManyRequests, a.Status, a.Raw)
		assert.Equal(t, server.TemporarilyUnavailable, a.Body["error"])
		assert.NotEmpty(t, a.Header.Get("Retry-After"))
	}
	assert.EqualValues(t, 3, r.Rows(&oauthtest.Client{}))
	assert.Equal(t, http.StatusCreated, from("192.0.2.2:1").Status, "others may")

	r.Now = time.Now().AddDate(-1, 0, 0)
	require.Equal(t, http.StatusCreated, from("192.0.2.3:1").Status)
	prune := gormoauth.CreatePruneFunc[oauthtest.Token, oauthtest.AuthorizationCode](db, gormoauth.CreateClientRegistrationStorage[oauthtest.Client, oauthtest.Token](db))
	require.NoError(t, prune(t.Context(), gormstore.PruneOptions{}))
	assert.EqualValues(t, 4, r.Rows(&oauthtest.Client{}), "what a flood leaves behind, and nobody uses, is gone a while later")
}

// JSON in JSON in JSON costs whoever reads it: what is deeper than anything that
// means something is refused, and so is what is compressed.
func TestADeeplyNestedRegistration(t *testing.T) {
	r := newRegistrar(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	for rule, metadata := range map[string]string{
		"arrays":               `{"redirect_uris":["https://app.example/cb"],"jwks":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + `}`,
		"objects":              `{"redirect_uris":["https://app.example/cb"],"jwks":` + strings.Repeat(`{"a":`, 9_000) + "1" + strings.Repeat("}", 9_000) + `}`,
		"in the redirect URIs": `{"redirect_uris":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}`,
		"without an end":       `{"redirect_uris":` + strings.Repeat("[", 60_000),
	} {
		a, _ := r.register(metadata)
		assert.Equal(t, http.StatusBadRequest, a.Status, "%s: %.200s", rule, a.Raw)
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth/register", strings.NewReader(`{"redirect_uris":["https://app.example/cb"]}`))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Content-Encoding", "gzip")
	assert.Equal(t, http.StatusUnsupportedMediaType, r.Serve(request).Status)
}

// A client that sends its id and its secret among the metadata has them in no column of
// metadata.
func TestASecretAmongTheMetadataIsNotStored(t *testing.T) {
	r := newRegistrar(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	const said = "a-secret-that-the-client-has-chosen"
	a, told := r.register(`{` + webClient + `,"client_id":"an-id-that-it-has-chosen","client_secret":"` + said + `"}`)
	require.Equal(t, http.StatusCreated, a.Status, a.Raw)
	assert.NotContains(t, a.Raw, "chosen")
	var row oauthtest.Client
	require.NoError(t, r.DB.Where("client_id = ?", told.ID).First(&row).Error)
	text, err := json.Marshal(row.ClientMetadata)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "chosen")
}
