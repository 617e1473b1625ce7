package server_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/secret"
)

// scriptedHost is a host that ends a directive of a Content-Security-Policy, and begins
// one of its own.
const scriptedHost = "https://[::1%25%20;script-src%20'unsafe-inline'%20;x]/"

// Redirect URIs that a client may have by where it comes from.
func TestRedirectURIsByTheirSource(t *testing.T) {
	srv, err := server.New(minimalConfig())
	require.NoError(t, err)
	const everybody, operator, nobody = "everybody", "the operator's", "nobody"
	for uri, may := range map[string]string{
		"https://app.example/cb": everybody, "https://xn--pple-43d.com/cb": everybody, "http://127.0.0.1/cb": everybody, "http://localhost:1/cb": everybody,
		"http://[::1]:1/cb": everybody, "com.example.app:/cb": everybody, "com.example.app://login_callback": everybody,
		"cursor://anysphere.cursor-mcp/oauth/callback": everybody, "vscode://x/cb": everybody, "vscode-insiders://x/cb": everybody,
		"raycast://oauth?package_name=mcp_(x)": everybody, "CURSOR://x/cb": everybody,
		"myapp:/cb": operator, "fb1234://authorize": operator, "web+app:/cb": operator, "urn:ietf:wg:oauth:2.0:oob": operator,
		"javascript:alert(1)": nobody, "JaVaScRiPt:alert(1)": nobody, "data:text/html,x": nobody, "blob:https://app.example/x": nobody, "file:///etc/passwd": nobody,
		"about:blank": nobody, "vbscript:x": nobody, "view-source:https://app.example/": nobody, "chrome://settings": nobody, "mailto:a@app.example": nobody,
		"search-ms:query=x": nobody, "ms-msdt:/id": nobody, "ms-settings:": nobody, "filesystem:https://app.example/x": nobody, "intent://x#Intent": nobody,
		"ws://app.example/": nobody, "tel:1": nobody, "x-apple.systempreferences:x": nobody, "microsoft-edge:https://app.example/": nobody,
		"http://app.example/cb": nobody, "https://app.example/*": nobody, "http://localhost:*/cb": nobody, "https://app.example/cb#": nobody,
		"https://u@app.example/": nobody, "https://аpple.com/cb": nobody, scriptedHost: nobody, "https://a;b/": nobody, "https://a'b/": nobody,
		"https://app.example/\u202e": nobody, "https://app.example/a b": nobody, "/cb": nobody, "": nobody,
	} {
		m := &models.ClientMetadata{RedirectURIs: []string{uri}, ResponseTypes: []string{"code"}, GrantTypes: []string{"authorization_code"}}
		bye, err := json.Marshal([]string{uri})
		require.NoError(t, err)
		after := &models.ClientMetadata{Extra: map[string]json.RawMessage{"post_logout_redirect_uris": bye}}
		for name, m := range map[string]*models.ClientMetadata{"redirect_uris": m, "post_logout_redirect_uris": after} {
			for source, want := range map[string]bool{
				models.ClientByHand: may != nobody, models.ClientByRegistration: may == everybody, models.ClientByDocument: may == everybody, "": may != nobody,
			} {
				err := srv.ValidateClientMetadata(m, source)
				assert.Equal(t, want, err == nil, "%s %q of %q: %v", name, uri, source, err)
			}
			assert.Equal(t, may != nobody, clientmeta.Validate(m) == nil, "%s %q", name, uri)
		}
		for source, want := range map[string]bool{models.ClientByHand: may != nobody, models.ClientByRegistration: may == everybody, models.ClientByDocument: may == everybody} {
			client := &oauthtest.Client{ClientMixin: models.ClientMixin{ClientSource: source}}
			assert.Equal(t, want, srv.MayRedirect(client, uri) == nil, "%q of %q", uri, source)
		}
	}
	older := &oauthtest.Client{ClientMixin: models.ClientMixin{RegistrationAccessToken: secret.Digest("x")}}
	assert.Error(t, srv.MayRedirect(older, "myapp:/cb"), "one that registered itself before that was noted")
}

// The operator says which schemes without a dot there are.
func TestPrivateUseSchemesAreConfigured(t *testing.T) {
	may := func(schemes []string, uri string) bool {
		config := minimalConfig()
		config.PrivateUseSchemes = schemes
		srv, err := server.New(config)
		require.NoError(t, err)
		m := &models.ClientMetadata{RedirectURIs: []string{uri}}
		return srv.ValidateClientMetadata(m, models.ClientByRegistration) == nil
	}
	assert.True(t, may([]string{"myapp"}, "myapp:/cb"))
	assert.False(t, may([]string{"myapp"}, "cursor://x/cb"))
	assert.True(t, may([]string{"myapp"}, "com.example.app:/cb"))
	assert.False(t, may([]string{}, "cursor://x/cb"), "an empty list has none")
	assert.True(t, may(append(clientmeta.DefaultPrivateUseSchemes(), "myapp"), "cursor://x/cb"))
	for _, scheme := range []string{"javascript", "https", "Cursor", "cursor:", "ms-word", ""} {
		config := minimalConfig()
		config.PrivateUseSchemes = []string{scheme}
		_, err := server.New(config)
		assert.ErrorContains(t, err, "Config.PrivateUseSchemes", scheme)
	}
}

// Every member with an address, in every language.
func TestAddressesOfAClient(t *testing.T) {
	for _, member := range []string{
		"client_uri", "logo_uri", "tos_uri", "policy_uri", "jwks_uri", "initiate_login_uri", "sector_identifier_uri", "backchannel_logout_uri",
		"frontchannel_logout_uri", "request_uris", "policy_uri#ja", "tos_uri#de-AT", "client_uri#fr", "logo_uri#x",
	} {
		for uri, good := range map[string]bool{
			"https://app.example/x": true, "http://127.0.0.1:1/x": true, "http://app.example/x": false, "javascript:alert(1)": false, "cursor://x/": false,
			"https://аpple.com/": false, scriptedHost: false, "https://u@app.example/": false, "/x": false, "https://a'b/": false, "file:///etc/passwd": false,
		} {
			text, err := json.Marshal(uri)
			require.NoError(t, err)
			if member == "request_uris" {
				text = []byte(`["https://app.example/r#x",` + string(text) + `]`)
			}
			m := new(models.ClientMetadata)
			require.NoError(t, json.Unmarshal([]byte(`{"`+member+`":`+string(text)+`}`), m))
			err = clientmeta.Validate(m)
			if good {
				assert.NoError(t, err, "%s %s", member, uri)
			} else {
				assert.ErrorContains(t, err, member+": ", uri)
			}
		}
	}
	for text, good := range map[string]bool{
		`{"frontchannel_logout_uri":"https://app.example/x#y"}`: false, `{"backchannel_logout_uri":"https://app.example/x#"}`: false, `{"policy_uri":"https://app.example/x#y"}`: true,
		`{"frontchannel_logout_uri":1}`: false, `{"post_logout_redirect_uris":"https://app.example/"}`: false, `{"post_logout_redirect_uris":[1]}`: false,
		`{"policy_uri#ja":["x"]}`: false, `{"policy_uri#ja":""}`: true, `{"request_uris":"https://client.example/r"}`: false, `{"request_uris":[]}`: true,
		`{"client_uri":""}`: true, `{"x_uri":"javascript:x"}`: true,
	} {
		m := new(models.ClientMetadata)
		require.NoError(t, json.Unmarshal([]byte(text), m))
		assert.Equal(t, good, clientmeta.Validate(m) == nil, text)
	}
}

// Whatever stands in a row, no answer goes where no client may be: not to a script, not
// to a host that looks like another, not to one that a header could not have. The client
// goes on with what is good.
func TestABadRedirectURIOfARowIsNotUsed(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		for _, row := range []struct {
			uri, source string
			good        bool
		}{
			{"javascript:alert(1)", "", false},
			{"JAVASCRIPT:alert(1)", "", false},
			{"data:text/html,x", "", false},
			{"ms-settings:", "", false},
			{"mailto:a@app.example", "", false},
			{"https://client.example/cb#f", "", false},
			{"/cb", "", false},
			{"//client.example/cb", "", false},
			{"https://u@client.example/", "", false},
			{"https://аpple.com/cb", "", false},
			{"https://client.example/\u202e", "", false},
			{scriptedHost, "", false},
			{"https://a'b/", "", false},
			{"https://a;b/", "", false},
			{"http://client.example/cb", "", false},
			{"myapp:/cb", models.ClientByRegistration, false},
			{"myapp:/cb", models.ClientByDocument, false},
			{"myapp:/cb", models.ClientByHand, true},
			{"cursor://x/cb", models.ClientByRegistration, true},
		} {
			stored := func(uris ...string) *oauthtest.Client {
				client := p.NewClient(nil)
				client.ClientSource, client.ClientMetadata.RedirectURIs = row.source, uris
				require.NoError(t, db.Save(client).Error)
				return client
			}
			client, only := stored(row.uri, oauthtest.RedirectURI), stored(row.uri)
			redirect := func(uri string) string { return "redirect_uri=" + url.QueryEscape(uri) }
			for _, params := range []string{"", "&scope=nothing", "&response_mode=form_post", "&response_mode=fragment"} {
				for _, a := range []oauthtest.Answer{
					p.Consent(oauthtest.AuthorizeQuery(client, redirect(row.uri)+params)), p.Grant(oauthtest.AuthorizeQuery(client, redirect(row.uri)+params)),
					p.Decide(oauthtest.AuthorizeQuery(client, redirect(row.uri)+params), "", nil),
				} {
					// A client that made itself learns of no error before a person has decided.
					refused := a.Status == http.StatusBadRequest && a.Body["error"] != server.InvalidScope
					assert.Equal(t, row.good, !refused, "%q %s: %s", row.uri, params, a.Raw)
					if !row.good {
						assert.Empty(t, a.Header.Get("Location"), row.uri)
						assert.Contains(t, a.Body["error_description"], "The client cannot use its 'redirect_uri'", row.uri)
						assert.Contains(t, a.Body["error_description"], display.Excerpt(row.uri))
						assert.NotRegexp(t, `[^ -~]`, a.Body["error_description"])
					}
				}
			}
			assert.NotEmpty(t, p.Code(client, redirect(oauthtest.RedirectURI)), "it goes on with the other")
			assert.Equal(t, row.good, p.Consent(oauthtest.AuthorizeQuery(only, "")).Status == http.StatusOK, "%q as the only one", row.uri)
		}
	})
}
