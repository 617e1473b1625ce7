package oidc_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/secret"
)

// keyTest is a provider that answers clients in JWTs which are encrypted, and takes
// theirs.
type keyTest struct {
	*everywhere
	site    *pagesOf
	address string
	number  int
}

func newKeyTest(t *testing.T) *keyTest {
	t.Helper()
	p := &keyTest{everywhere: newEverywhere(t), site: &pagesOf{texts: make(map[string]string)}}
	p.address = serve(t, p.site.ServeHTTP)
	documents := gormoauth.CreateMetadataDocuments[oauthtest.Client](p.DB, p.oidc.Fetcher)
	documents.Scope, documents.Attempts = "openid", ratelimit.Unlimited{}
	require.NoError(t, errors.Join(
		p.Server.Register(documents, &grant.JARM{Keys: signingKeys(), Fetcher: p.oidc.Fetcher}),
		p.Server.RegisterEndpoint(&endpoint.Introspection{QueryToken: gormoauth.CreateQueryTokenFunc[oauthtest.Token](p.DB), Keys: signingKeys(), Fetcher: p.oidc.Fetcher}),
	))
	return p
}

// put serves a text, and returns its address.
func (p *keyTest) put(text string) string {
	p.number++
	path := "/" + strconv.Itoa(p.number)
	p.site.put(path, text)
	return p.address + path
}

// encrypted are members by which every answer that can be is encrypted.
func encrypted(algorithm jose.KeyAlgorithm) string {
	members := make([]string, 0, 4)
	for _, answer := range []string{"id_token", "userinfo", "authorization", "introspection"} {
		members = append(members, `"`+answer+`_encrypted_response_alg":"`+string(algorithm)+`"`)
	}
	return strings.Join(members, ",")
}

const codeClient = `"redirect_uris":["` + oauthtest.RedirectURI + `"],"scope":"openid",`

// clients returns the ids of clients with a key set, by how the server comes to know it,
// with more members of metadata.
func (p *keyTest) clients(set json.RawMessage, more string) map[string]string {
	p.T.Helper()
	inline, byURI := `"jwks":`+string(set), `"jwks_uri":"`+p.put(string(set))+`"`
	register := func(keys string) string {
		a := p.Register(`{` + codeClient + more + `,` + keys + `}`)
		require.Equal(p.T, http.StatusCreated, a.Status, a.Raw)
		return a.Body["client_id"]
	}
	document := func(keys string) string {
		address := p.put("")
		p.site.put(strings.TrimPrefix(address, p.address), `{"client_id":"`+address+`",`+codeClient+more+`,`+keys+`}`)
		return address
	}
	return map[string]string{
		"inline": register(inline), "by jwks_uri": register(byURI), "in a document": document(inline), "by a document's jwks_uri": document(byURI),
	}
}

// assertion is one of the client by the key of all.
func (p *keyTest) assertion(clientID string) string {
	return asserted(p.jwt(p.places["a client assertion"], "", "iss", clientID, "sub", clientID))
}

// request is an authorization request of a client, answered by a JWT.
func (p *keyTest) request(clientID string) string {
	return query(&oauthtest.Client{ClientMixin: models.ClientMixin{ClientID: clientID}}, "response_mode=jwt")
}

// answers has the server answer a client in every way in which it encrypts: it returns
// the answers, or the first that is none.
func (p *keyTest) answers(clientID string, code string) (answers map[string]oauthtest.Answer) {
	p.T.Helper()
	answers = make(map[string]oauthtest.Answer)
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {oauthtest.RedirectURI}}
	answers["an ID token"] = p.Token(nil, form.Encode()+"&"+p.assertion(clientID))
	token := answers["an ID token"].Body["access_token"]
	answers["UserInfo"] = p.userInfo(token)
	answers["introspection"] = p.Post("/oauth/introspect", nil, "token="+token+"&"+p.assertion(clientID), "Accept", "application/token-introspection+jwt")
	return answers
}

// A key that is not understood is ignored wherever a key set comes from and whatever it is
// for (RFC 7517 section 5): the others of the set do what they are for.
func TestAKeyThatIsNotUnderstoodSpoilsNoSet(t *testing.T) {
	p := newKeyTest(t)
	private := oauthtest.NewKey(t)
	good, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "1", Use: "sig"}, {Key: private.Public(), KeyID: "enc", Use: "enc"}}})
	require.NoError(t, err)
	for rule, key := range oauthtest.KeysNotUnderstood() {
		set := oauthtest.WithKey(good, key)
		for where, clientID := range p.clients(set, `"token_endpoint_auth_method":"private_key_jwt",`+encrypted(jose.ECDH_ES)) {
			object := p.jwt(p.places["a request object"], "", "iss", clientID, "client_id", clientID, "scope", "openid", "redirect_uri", oauthtest.RedirectURI, "nonce", "n")
			a := p.Consent(url.Values{"client_id": {clientID}, "request": {object}}.Encode())
			assert.Equal(t, http.StatusOK, a.Status, "%s, %s: a request object: %s", rule, where, a.Raw)

			a = p.Decide(p.request(clientID), "confirm=yes", p.alice())
			require.NotEmpty(t, a.Query.Get("response"), "%s, %s: an authorization response: %d %s", rule, where, a.Status, a.Raw)
			plain, _ := decrypt(t, a.Query.Get("response"), private)
			claims, _ := verify(t, string(plain))
			code, _ := claims["code"].(string)
			answers := p.answers(clientID, code)
			for what, a := range answers {
				require.Equal(t, http.StatusOK, a.Status, "%s, %s: %s: %s", rule, where, what, a.Raw)
			}
			for what, text := range map[string]string{"an ID token": answers["an ID token"].Body["id_token"], "UserInfo": answers["UserInfo"].Raw, "introspection": answers["introspection"].Raw} {
				_, header := decrypt(t, text, private)
				assert.Equal(t, "enc", header.KeyID, "%s, %s: %s", rule, where, what)
			}
		}
		p.trusted = oauthtest.WithKey(oauthtest.KeySet(t, p.key), key)
		for _, name := range []string{"a trusted issuer's assertion", "a token that is exchanged", "a token of who acts", "a software statement"} {
			p.takes(name, rule, p.jwt(p.places[name], ""))
		}
	}
}

// Of a set in which no key is understood nothing can be verified, and nothing encrypted:
// that is its client's fault, or its issuer's, and never the server's.
func TestASetOfKeysThatNobodyUnderstands(t *testing.T) {
	p := newKeyTest(t)
	sets := map[string]string{"no keys": `{"keys":[]}`, "no key set": `{}`, "a key set twice": `{"keys":[],"keys":[]}`, "no JSON": `keys`}
	for rule, key := range oauthtest.KeysNotUnderstood() {
		sets[rule] = `{"keys":[` + key + `]}`
	}
	for rule, set := range sets {
		if rule != "no JSON" {
			for _, more := range []string{`"token_endpoint_auth_method":"private_key_jwt"`, encrypted(jose.ECDH_ES), `"client_name":"An app"`} {
				a := p.Register(`{` + codeClient + more + `,"jwks":` + set + `}`)
				assert.Equal(t, http.StatusBadRequest, a.Status, "%s: %s", rule, a.Raw)
				assert.Contains(t, []string{server.InvalidClientMetadata, server.InvalidRequest}, a.Body["error"], rule)
				address := p.put("")
				p.site.put(strings.TrimPrefix(address, p.address), `{"client_id":"`+address+`",`+codeClient+`"token_endpoint_auth_method":"private_key_jwt",`+more+`,"jwks":`+set+`}`)
				assert.Equal(t, server.InvalidClient, p.Token(nil, "grant_type=client_credentials&"+p.assertion(address)).Body["error"], rule)
			}
		}
		byURI := `"jwks_uri":"` + p.put(set) + `"`
		signs := p.Register(`{` + codeClient + `"token_endpoint_auth_method":"private_key_jwt",` + byURI + `}`).Body["client_id"]
		require.NotEmpty(t, signs)
		assert.Equal(t, server.InvalidClient, p.Token(nil, "grant_type=client_credentials&"+p.assertion(signs)).Body["error"], rule)
		object := p.jwt(p.places["a request object"], "", "iss", signs, "client_id", signs)
		assert.Equal(t, server.InvalidRequestObject, p.Consent(url.Values{"client_id": {signs}, "request": {object}}.Encode()).Body["error"], rule)
		p.refusesToEncrypt(rule, byURI, jose.ECDH_ES)

		if rule == "no JSON" || rule == "no key set" || rule == "a key set twice" {
			continue // of which the program's own function learns before
		}
		p.trusted = json.RawMessage(set)
		for _, name := range []string{"a trusted issuer's assertion", "a token that is exchanged", "a software statement"} {
			p.refuses(name, rule, p.jwt(p.places[name], ""))
		}
	}
}

// refusesToEncrypt asserts that a client whose key set cannot be encrypted for is told so,
// whatever it asks for.
func (p *keyTest) refusesToEncrypt(rule, keys string, algorithm jose.KeyAlgorithm) {
	p.T.Helper()
	a := p.Register(`{` + codeClient + encrypted(algorithm) + `,` + keys + `}`)
	require.Equal(p.T, http.StatusCreated, a.Status, a.Raw)
	client := &oauthtest.Client{Secret: a.Body["client_secret"], ClientMixin: models.ClientMixin{ClientID: a.Body["client_id"], ClientMetadata: models.ClientMetadata{TokenEndpointAuthMethod: models.ClientSecretBasic}}}
	token := func() string { // of before it had to be encrypted for
		text := secret.Generate("goa", secret.AccessToken)
		require.NoError(p.T, p.DB.Create(&oauthtest.Token{UserID: &p.User.ID, TokenMixin: models.TokenMixin{
			Authorization: models.Authorization{ClientID: client.ClientID},
			AccessToken:   secret.Digest(text), TokenType: "Bearer", Scope: "openid", IssuedAt: p.Now.Unix(), ExpiresIn: 3600,
		}}).Error)
		return text
	}()
	plain := query(client)
	for what, a := range map[string]oauthtest.Answer{
		"an authorization response": p.Decide(p.request(client.ClientID), "confirm=yes", p.alice()),
		"an ID token":               p.Token(client, "grant_type=authorization_code&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code="+p.Decide(plain, "confirm=yes", p.alice()).Query.Get("code")),
		"UserInfo":                  p.userInfo(token),
		"introspection":             p.Introspect(client, "token="+token, "Accept", "application/token-introspection+jwt"),
	} {
		assert.Equal(p.T, http.StatusBadRequest, a.Status, "%s: %s: %s", rule, what, a.Raw)
		assert.Equal(p.T, server.InvalidRequest, a.Params()["error"], "%s: %s: %s", rule, what, a.Raw)
	}
}

// A key by which nothing can be encrypted, or not safely, is none to encrypt for (RFC 7518
// sections 4.3 and 4.6): at registration it is refused, and where it is fetched, its
// client is told.
func TestAKeyThatNothingCanBeEncryptedFor(t *testing.T) {
	p := newKeyTest(t)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	ec := oauthtest.NewKey(t)
	key := func(key jose.JSONWebKey) string {
		text, err := json.Marshal(key)
		require.NoError(t, err)
		return string(text)
	}
	for rule, row := range map[string]struct {
		algorithm jose.KeyAlgorithm
		key       string
	}{
		"an RSA key of 1024 bits":         {jose.RSA_OAEP_256, key(jose.JSONWebKey{Key: short.Public()})},
		"an RSA key of 8 bits":            {jose.RSA_OAEP, `{"kty":"RSA","n":"8w","e":"AQAB"}`},
		"an RSA key with an exponent 1":   {jose.RSA_OAEP, `{"kty":"RSA","n":"` + strings.Repeat("8", 342) + `","e":"AQ"}`},
		"an RSA key, even":                {jose.RSA_OAEP, `{"kty":"RSA","n":"` + strings.Repeat("8", 341) + `A","e":"AQAB"}`},
		"an elliptic key for RSA":         {jose.RSA_OAEP_256, key(jose.JSONWebKey{Key: ec.Public()})},
		"an RSA key for ECDH":             {jose.ECDH_ES, key(jose.JSONWebKey{Key: oauthtest.NewKeyFor(t, jose.RS256).Public()})},
		"an Edwards key":                  {jose.ECDH_ES, key(jose.JSONWebKey{Key: oauthtest.NewKeyFor(t, jose.EdDSA).Public()})},
		"a key for signatures":            {jose.ECDH_ES, key(jose.JSONWebKey{Key: ec.Public(), Use: "sig"})},
		"a key for another algorithm":     {jose.ECDH_ES, key(jose.JSONWebKey{Key: ec.Public(), Algorithm: "ECDH-ES+A256KW"})},
		"a key of which the other is out": {jose.ECDH_ES, `{"kty":"oct","k":"` + strings.Repeat("A", 43) + `"}`},
	} {
		a := p.Register(`{` + codeClient + encrypted(row.algorithm) + `,"jwks":{"keys":[` + row.key + `]}}`)
		assert.Equal(t, http.StatusBadRequest, a.Status, "%s: %s", rule, a.Raw)
		assert.Contains(t, a.Body["error_description"], "jwks", rule)
		p.refusesToEncrypt(rule, `"jwks_uri":"`+p.put(`{"keys":[`+row.key+`]}`)+`"`, row.algorithm)
	}
}
