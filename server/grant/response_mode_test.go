package grant_test

import (
	"context"
	"encoding/json"
	"errors"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/storage"
)

var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
	formInput  = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// posted reads what the page of a form_post would send, and where.
func posted(t *testing.T, a oauthtest.Answer) (to string, values url.Values) {
	t.Helper()
	require.Equal(t, http.StatusOK, a.Status, a.Raw)
	assert.Empty(t, a.To, "nothing is redirected")
	assert.Equal(t, "text/html; charset=utf-8", a.Header.Get("Content-Type"))
	assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	assert.Contains(t, a.Header.Get("Content-Security-Policy"), "script-src 'sha256-")
	values = make(url.Values)
	for _, input := range formInput.FindAllStringSubmatch(a.Raw, -1) {
		values.Add(html.UnescapeString(input[1]), html.UnescapeString(input[2]))
	}
	return html.UnescapeString(formAction.FindStringSubmatch(a.Raw)[1]), values
}

func TestResponseModes(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.NewClient(func(c *oauthtest.Client) {
		c.ClientMetadata.RedirectURIs = []string{oauthtest.RedirectURI + "?a=b&c"}
	})
	implicit := p.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants("implicit")))
	const odd = `s"><script>alert(1)</script>&'`
	state := "state=" + url.QueryEscape(odd)
	ask := func(mode string) string { return oauthtest.AuthorizeQuery(client, state+"&response_mode="+mode) }

	a := p.Grant(ask("query"))
	assert.Equal(t, odd, a.Query.Get("state"))
	assert.Equal(t, "b", a.Query.Get("a"))
	a = p.Grant(ask("fragment"))
	assert.NotEmpty(t, a.Fragment.Get("code"))
	assert.Equal(t, odd, a.Fragment.Get("state"))

	to, values := posted(t, p.Grant(ask("form_post")))
	assert.Equal(t, oauthtest.RedirectURI+"?a=b&c", to)
	assert.Equal(t, odd, values.Get("state"), "as it was, and no part of the page")
	assert.Equal(t, oauthtest.Issuer, values.Get("iss"))
	assert.Equal(t, http.StatusOK, p.Redeem(client, values.Get("code")).Status)
	_, values = posted(t, p.Decide(ask("form_post"), "", nil))
	assert.Equal(t, server.AccessDenied, values.Get("error"), "an error goes the same way")
	assert.Equal(t, odd, values.Get("state"))
	assert.NotContains(t, p.Grant(ask("form_post")).Raw, "<script>alert")

	for _, mode := range []string{"magic", "magic.", "query.jwt", "jwt", "form_post.x", ".", "form_post."} {
		a = p.Grant(ask(mode))
		assert.Equal(t, server.InvalidRequest, a.Query.Get("error"), mode)
		assert.Equal(t, oauthtest.RedirectURI, a.To)
	}
	token := func(mode string) string {
		return "response_type=token&client_id=" + implicit.ClientID + "&response_mode=" + mode
	}
	assert.NotEmpty(t, p.Grant(token("fragment")).Fragment.Get("access_token"))
	_, values = posted(t, p.Grant(token("form_post")))
	assert.NotEmpty(t, values.Get("access_token"))
	a = p.Grant(token("query"))
	assert.Equal(t, server.InvalidRequest, a.Fragment.Get("error"), "a token does not go into a query")
	assert.Empty(t, a.Query)
}

func TestJARM(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})
	require.NoError(t, p.Server.Register(&grant.JARM{Keys: keys}))
	client := p.NewClient(nil)
	implicit := p.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants("implicit")))
	ask := func(mode string) string { return oauthtest.AuthorizeQuery(client, "state=s&response_mode="+mode) }
	read := func(values url.Values) map[string]any {
		require.Len(t, values, 1, "nothing beside the response")
		signed, err := jose.ParseSignedCompact(values.Get("response"), []jose.SignatureAlgorithm{jose.ES256})
		require.NoError(t, err)
		set, err := keys.PublicKeys(t.Context(), p.Now)
		require.NoError(t, err)
		payload, err := signed.Verify(set)
		require.NoError(t, err)
		var claims map[string]any
		require.NoError(t, json.Unmarshal(payload, &claims))
		return claims
	}
	for _, mode := range []string{"jwt", "query.jwt", "fragment.jwt", "form_post.jwt"} {
		for _, granted := range []bool{true, false} {
			a := p.Decide(ask(mode), "", map[bool]storage.User{true: p.User}[granted])
			values := a.Query
			switch {
			case strings.HasPrefix(mode, "form_post"):
				_, values = posted(t, a)
			case strings.HasPrefix(mode, "fragment"):
				values = a.Fragment
			}
			claims := read(values)
			assert.Equal(t, oauthtest.Issuer, claims["iss"])
			assert.Equal(t, client.ClientID, claims["aud"])
			assert.Equal(t, "s", claims["state"])
			assert.InDelta(t, p.Now.Unix()+600, claims["exp"], 0)
			if granted {
				assert.Equal(t, http.StatusOK, p.Redeem(client, claims["code"].(string)).Status)
			} else {
				assert.Equal(t, server.AccessDenied, claims["error"])
			}
		}
	}
	a := p.Grant("response_type=token&client_id=" + implicit.ClientID + "&response_mode=jwt")
	assert.NotEmpty(t, read(a.Fragment)["access_token"], "in the usual place of the response type")
	a = p.Grant("response_type=token&client_id=" + implicit.ClientID + "&response_mode=query.jwt")
	assert.Equal(t, server.InvalidRequest, a.Fragment.Get("error"))

	metadata := p.Get("/.well-known/oauth-authorization-server").Body
	assert.JSONEq(t, `["form_post","form_post.jwt","fragment","fragment.jwt","jwt","query","query.jwt"]`, metadata["response_modes_supported"])
	assert.JSONEq(t, `["ES256"]`, metadata["authorization_signing_alg_values_supported"])

	require.ErrorContains(t, p.Server.Register(&grant.JARM{}), "JARM.Keys is missing")
	require.ErrorContains(t, p.Server.Register(&grant.JARM{Keys: keys, Algorithms: []jose.SignatureAlgorithm{jose.RS256}}), "JARM.Keys has no key for RS256")
}

// A client says by what its responses are signed and encrypted (JARM section 3).
func TestJARMAsTheClientAsksForIt(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	private := oauthtest.NewKey(t)
	set := oauthtest.KeySet(t, private)
	for _, server := range []struct {
		keys      []jose.SignatureAlgorithm
		byDefault string
	}{
		{[]jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256}, "RS256"},
		{[]jose.SignatureAlgorithm{jose.PS256, jose.ES256}, "PS256"}, // as under a profile that forbids RS256
	} {
		p := oauthtest.New(t, db)
		keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{Algorithms: server.keys})
		require.NoError(t, p.Server.Register(&grant.JARM{Keys: keys}))
		endpoint := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
		endpoint.Open, endpoint.DefaultScope = true, "profile"
		require.NoError(t, p.Server.RegisterEndpoint(endpoint))
		register := func(members string) oauthtest.Answer {
			return p.Register(`{"redirect_uris":["` + oauthtest.RedirectURI + `"],"token_endpoint_auth_method":"none"` + members + `}`)
		}
		response := func(a oauthtest.Answer) string {
			require.NotEmpty(t, a.Body["client_id"], a.Raw)
			client := &oauthtest.Client{ClientMixin: models.ClientMixin{ClientID: a.Body["client_id"]}}
			return p.Grant(oauthtest.AuthorizeQuery(client, "response_mode=jwt")).Query.Get("response")
		}
		signedBy := func(text, algorithm string) {
			signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)})
			require.NoError(t, err, algorithm)
			public, err := keys.PublicKeys(t.Context(), p.Now)
			require.NoError(t, err)
			_, err = signed.Verify(public)
			require.NoError(t, err)
		}
		signedBy(response(register("")), server.byDefault)
		signedBy(response(register(`,"authorization_signed_response_alg":"ES256"`)), "ES256")
		asked := register(`,"authorization_signed_response_alg":"PS256","authorization_encrypted_response_alg":"ECDH-ES","jwks":` + string(set))
		assert.Equal(t, "PS256", asked.Body["authorization_signed_response_alg"], "it is told so")
		encrypted, err := jose.ParseEncryptedCompact(response(asked), []jose.KeyAlgorithm{jose.ECDH_ES}, []jose.ContentEncryption{jose.A128CBC_HS256})
		require.NoError(t, err)
		plain, err := encrypted.Decrypt(private)
		require.NoError(t, err)
		signedBy(string(plain), "PS256")

		for rule, members := range map[string]string{
			"no signature":                  `,"authorization_signed_response_alg":"none"`,
			"a secret's signature":          `,"authorization_signed_response_alg":"HS256"`,
			"no text":                       `,"authorization_signed_response_alg":1`,
			"encryption without a key":      `,"authorization_encrypted_response_alg":"ECDH-ES"`,
			"encryption by what is weak":    `,"authorization_encrypted_response_alg":"RSA1_5","jwks":` + string(set),
			"an odd content encryption":     `,"authorization_encrypted_response_alg":"ECDH-ES","authorization_encrypted_response_enc":"x","jwks":` + string(set),
			"a content encryption alone":    `,"authorization_encrypted_response_enc":"A128GCM"`,
			"keys that nobody here fetches": `,"authorization_encrypted_response_alg":"ECDH-ES","jwks_uri":"https://client.example/jwks"`,
		} {
			a := register(members)
			assert.Equal(t, http.StatusBadRequest, a.Status, "%s: %s", rule, a.Raw)
			assert.Equal(t, "invalid_client_metadata", a.Body["error"], rule)
		}
		named := p.Get("/.well-known/oauth-authorization-server").Body
		assert.Equal(t, len(server.keys), strings.Count(named["authorization_signing_alg_values_supported"], ",")+1, "the metadata says what there is")
		assert.Contains(t, named["authorization_encryption_alg_values_supported"], "ECDH-ES")
	}
}

// noKeys are keys that cannot be read.
type noKeys struct{}

var errNoKeys = errors.New("the keys cannot be read")

func (noKeys) SigningKey(context.Context, jose.SignatureAlgorithm, time.Time) (*jose.JSONWebKey, error) {
	return nil, errNoKeys
}

func (noKeys) PublicKeys(context.Context, time.Time) (*jose.JSONWebKeySet, error) {
	return nil, errNoKeys
}

// If a response cannot be signed or encrypted, the user sees the page of errors: the client is told nothing, and the
// log has the client.
func TestAResponseThatCannotBeMadeIsShownToTheUser(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for _, jarm := range []*grant.JARM{
		{Keys: noKeys{}},
		{Keys: gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})},
	} {
		p := oauthtest.New(t, db, func(c *server.Config) {
			c.RenderError = func(w http.ResponseWriter, _ *http.Request, page server.ErrorPage) {
				w.WriteHeader(page.Error.Status)
				_, _ = w.Write([]byte("<p>" + page.Description + page.WayBack))
			}
		})
		require.NoError(t, p.Server.Register(jarm))
		client := p.StoreClient(func(c *oauthtest.Client) {
			c.ClientMetadata.Extra = map[string]json.RawMessage{"authorization_encrypted_response_alg": json.RawMessage(`"ECDH-ES"`)}
		})
		status, page, cause := http.StatusBadRequest, "<p>The client registered for encrypted responses, but has no key for them.", "the client has no key set"
		if jarm.Keys == (noKeys{}) {
			status, page, cause = http.StatusInternalServerError, "<p>The server could not answer the request.", errNoKeys.Error()
		}
		for _, mode := range []string{"jwt", "form_post.jwt"} {
			ask := oauthtest.AuthorizeQuery(client, "state=s&response_mode="+mode)
			for rule, a := range map[string]oauthtest.Answer{
				"a code": p.Grant(ask), "a denial": p.Decide(ask, "", nil), "an error": p.Send(http.MethodGet, ask+"&scope=admin", "", p.User),
			} {
				assert.Equal(t, status, a.Status, "%s: %s", rule, a.Raw)
				assert.Equal(t, page, a.Raw, rule)
				assert.Empty(t, a.To, rule)
				assert.Equal(t, "no-store", a.Header.Get("Cache-Control"), rule)
				line := a.Refusal()
				assert.Contains(t, line.Keys["reason"]+line.Keys["cause"]+line.Keys["fault"], cause, "%s: %v", rule, line)
				assert.Equal(t, client.ClientID, line.Keys["client_id"], rule)
			}
		}
	}
}
