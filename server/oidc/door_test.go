package oidc_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
)

// pagesOf serves texts by their paths, as JSON.
type pagesOf struct {
	mu    sync.Mutex
	texts map[string]string
}

func (p *pagesOf) put(path, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.texts[path] = text
}

func (p *pagesOf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, ok := p.texts[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "max-age=86400")
	_, _ = w.Write([]byte(text))
}

// However a client comes about, the hooks look at what it says: by a document, by
// registration, by an update, and by hand.
func TestEveryWayInGoesThroughOneDoor(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		site := &pagesOf{texts: make(map[string]string)}
		address := serve(t, site.ServeHTTP)
		documents := gormoauth.CreateMetadataDocuments[oauthtest.Client](db, fetch.New(fetch.Options{AllowPrivateAddresses: true}))
		documents.Scope = "openid profile"
		require.NoError(t, p.Server.Register(documents))
		factory := gormoauth.CreateClientFactory[oauthtest.Client](db, p.Server)
		site.put("/sector", `["https://victim.example/cb"]`)

		const redirect = `"redirect_uris":["` + oauthtest.RedirectURI + `"],"token_endpoint_auth_method":"none"`
		update := func() (path, token, id string) {
			a := p.Register(`{` + redirect + `}`)
			return strings.TrimPrefix(a.Body["registration_client_uri"], oauthtest.Issuer), a.Body["registration_access_token"], a.Body["client_id"]
		}
		for rule, members := range map[string]string{
			"a script in a policy":                  `"frontchannel_logout_uri":"https://[::1%25%20;script-src%20'unsafe-inline'%20;x]/"`,
			"a script after sign-out":               `"post_logout_redirect_uris":["javascript:alert(1)"]`,
			"a script behind a link":                `"policy_uri#ja":"javascript:alert(1)"`,
			"a name that nobody can read":           `"client_name#ja":"a\u202eb"`,
			"a name without an end":                 `"client_name":"` + strings.Repeat("a", 5000) + `"`,
			"another client's sector":               `"subject_type":"pairwise","sector_identifier_uri":"` + address + `/sector"`,
			"a sector that is not there":            `"sector_identifier_uri":"` + address + `/nothing"`,
			"an algorithm that there is not":        `"id_token_signed_response_alg":"none"`,
			"encryption for nobody":                 `"userinfo_encrypted_response_alg":"ECDH-ES"`,
			"a front channel at somebody else's":    `"frontchannel_logout_uri":"https://victim.example/logout"`,
			"a scheme that starts a program":        `"initiate_login_uri":"ms-word:ofe|u|x"`,
			"a back channel that is no web address": `"backchannel_logout_uri":"file:///etc/passwd"`,
		} {
			text := `{` + redirect + `,` + members + `}`
			var metadata models.ClientMetadata
			require.NoError(t, json.Unmarshal([]byte(text), &metadata), rule)

			path := "/" + strings.ReplaceAll(strings.ReplaceAll(rule, " ", "-"), "'", "")
			site.put(path, `{"client_id":"`+address+path+`",`+text[1:])
			found, err := p.Server.QueryClient(t.Context(), address+path)
			require.NoError(t, err, rule)
			assert.Nil(t, found, "%s: by a document", rule)

			a := p.Register(text)
			assert.Equal(t, http.StatusBadRequest, a.Status, "%s: by registration: %s", rule, a.Raw)

			at, token, id := update()
			a = p.put(at, token, `{"client_id":"`+id+`",`+text[1:])
			assert.Equal(t, http.StatusBadRequest, a.Status, "%s: by an update: %s", rule, a.Raw)

			_, err = factory.Create(t.Context(), &oauthtest.Client{ClientMixin: models.ClientMixin{ClientMetadata: metadata}})
			require.Error(t, err, "%s: by hand", rule)
			_, err = factory.Update(t.Context(), id, metadata)
			require.Error(t, err, "%s: by hand, later", rule)
		}
	})
}

// put sends an update of a registration (RFC 7592 section 2.2).
func (p *provider) put(path, token, body string) oauthtest.Answer {
	p.T.Helper()
	r, err := http.NewRequestWithContext(p.T.Context(), http.MethodPut, path, strings.NewReader(body))
	require.NoError(p.T, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	r.RemoteAddr = "192.0.2.1:1"
	return p.Serve(r)
}

// A sector is asked about its redirect URIs at the moment that decides: what was taken out
// of its document a moment ago no longer registers (OpenID Connect Dynamic Client
// Registration section 5).
func TestASectorIsAskedNow(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newProvider(t, db)
	site := &pagesOf{texts: make(map[string]string)}
	address := serve(t, site.ServeHTTP)
	documents := gormoauth.CreateMetadataDocuments[oauthtest.Client](db, p.oidc.Fetcher)
	documents.Scope = "openid"
	require.NoError(t, p.Server.Register(documents))

	const listed = `["` + oauthtest.RedirectURI + `","https://sold.example/cb"]`
	members := `"redirect_uris":["` + oauthtest.RedirectURI + `","https://sold.example/cb"],"token_endpoint_auth_method":"none","subject_type":"pairwise","sector_identifier_uri":"` + address + `/sector"`
	document := func(path string) { site.put(path, `{"client_id":"`+address+path+`",`+members+`}`) }
	document("/first")
	document("/second")
	site.put("/sector", listed)
	a := p.Register(`{` + members + `}`)
	require.Equal(t, http.StatusCreated, a.Status, a.Raw)
	update := func() oauthtest.Answer {
		return p.put(strings.TrimPrefix(a.Body["registration_client_uri"], oauthtest.Issuer), a.Body["registration_access_token"], `{"client_id":"`+a.Body["client_id"]+`",`+members+`}`)
	}
	first := &oauthtest.Client{ClientMixin: models.ClientMixin{ClientID: address + "/first", ClientMetadata: models.ClientMetadata{TokenEndpointAuthMethod: models.None}}}
	callback := "redirect_uri=" + url.QueryEscape(oauthtest.RedirectURI)
	code := p.Code(first, "scope=openid&nonce=n&"+callback)
	require.Equal(t, http.StatusOK, p.Token(first, "grant_type=authorization_code&code_verifier="+oauthtest.Verifier+"&code="+code+"&"+callback).Status)
	known := func(path string) bool {
		found, err := p.Server.QueryClient(t.Context(), address+path)
		require.NoError(t, err)
		return found != nil
	}
	assert.True(t, known("/second"))

	site.put("/sector", `["`+oauthtest.RedirectURI+`"]`)
	assert.Contains(t, p.Register(`{` + members + `}`).Body["error_description"], "sector_identifier_uri", "a registration")
	assert.Contains(t, update().Body["error_description"], "sector_identifier_uri", "an update")
	assert.False(t, known("/second"), "a first sign-in by a document")
	assert.True(t, known("/first"), "what was decided counts for as long as the document does")
	p.Now = p.Now.Add(25 * time.Hour)
	assert.False(t, known("/first"), "and then no longer")
	site.put("/sector", listed)
	require.Equal(t, http.StatusOK, update().Status, "it is asked each time")
}

// A document of an older program that named another client's sector never went through
// the door: it is not told that sector's subject of anybody.
func TestAnUncheckedSectorIsNotHonoured(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newProvider(t, db)
	site := &pagesOf{texts: make(map[string]string)}
	address := serve(t, site.ServeHTTP)
	documents := gormoauth.CreateMetadataDocuments[oauthtest.Client](db, p.oidc.Fetcher)
	documents.Scope = "openid"
	require.NoError(t, p.Server.Register(documents))
	site.put("/sector", `["https://victim.example/cb"]`)
	site.put("/thief", `{"client_id":"`+address+`/thief","redirect_uris":["`+oauthtest.RedirectURI+`"],"subject_type":"pairwise","sector_identifier_uri":"`+address+`/sector"}`)
	key, long := models.SplitClientID(address + "/thief")
	stored := &oauthtest.Client{ClientMixin: models.ClientMixin{
		ClientID: key, LongClientID: long, ClientSource: models.ClientByDocument, DocumentFetchedAt: p.Now.Unix(),
		ClientMetadata: models.ClientMetadata{
			TokenEndpointAuthMethod: models.None, RedirectURIs: []string{oauthtest.RedirectURI}, GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code"}, Scope: "openid",
			Extra: map[string]json.RawMessage{"subject_type": json.RawMessage(`"pairwise"`), "sector_identifier_uri": json.RawMessage(`"` + address + `/sector"`)},
		},
	}}
	require.NoError(t, db.Create(stored).Error)
	found, err := p.Server.QueryClient(t.Context(), address+"/thief")
	require.NoError(t, err)
	assert.Nil(t, found)
	assert.Equal(t, server.InvalidClient, p.Consent(oauthtest.AuthorizeQuery(&oauthtest.Client{ClientMixin: models.ClientMixin{ClientID: address + "/thief"}}, "scope=openid")).Body["error"])

	// The rows of older programs that registered, or were made by hand, keep their subject.
	for _, source := range []string{"", models.ClientByHand, models.ClientByRegistration} {
		kept := *stored
		kept.ClientSource = source
		subject := p.Server.Subject(&kept, p.User.GetUserID())
		honest := p.client("subject_type", "pairwise")
		assert.NotEqual(t, p.Server.Subject(honest, p.User.GetUserID()), subject, "that of the sector")
		assert.NotEqual(t, p.User.GetUserID(), subject)
	}
}
