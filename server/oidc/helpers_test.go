package oidc_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
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
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/storage"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// keys are one key pair an algorithm, made once, since RSA keys take their time.
type keys []jose.JSONWebKey

var signingKeys = sync.OnceValue(func() keys {
	rsaKey, err1 := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ec384, err3 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	ec521, err4 := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, edKey, err5 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		panic(err)
	}
	all := keys{
		{Key: ecKey, KeyID: "es", Algorithm: "ES256", Use: "sig"}, {Key: ec384, KeyID: "es384", Algorithm: "ES384", Use: "sig"},
		{Key: ec521, KeyID: "es512", Algorithm: "ES512", Use: "sig"}, {Key: edKey, KeyID: "ed", Algorithm: "EdDSA", Use: "sig"},
	}
	for _, algorithm := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		all = append(all, jose.JSONWebKey{Key: rsaKey, KeyID: algorithm, Algorithm: algorithm, Use: "sig"})
	}
	return all
})

func (k keys) SigningKey(_ context.Context, algorithm jose.SignatureAlgorithm, _ time.Time) (*jose.JSONWebKey, error) {
	i := slices.IndexFunc(k, func(key jose.JSONWebKey) bool { return key.Algorithm == string(algorithm) })
	if i < 0 {
		return nil, errors.New("no key for " + string(algorithm))
	}
	return &k[i], nil
}

func (k keys) PublicKeys(context.Context, time.Time) (*jose.JSONWebKeySet, error) {
	set := new(jose.JSONWebKeySet)
	for _, key := range k {
		set.Keys = append(set.Keys, key.Public())
	}
	return set, nil
}

const (
	sessionID = "the session of alice's browser"
	scope     = "openid profile email phone address offline_access department"
)

// provider is an OpenID Provider on a database.
type provider struct {
	*oauthtest.Provider
	oidc     *oidc.Provider
	sessions oidc.SessionStorage

	registration *endpoint.Registration

	// how the user signed in
	how server.Authentication
}

func newProvider(t testing.TB, db *gorm.DB, change ...func(*oidc.Provider)) *provider {
	t.Helper()
	return newConfiguredProvider(t, db, func(c *server.Config) { c.PKCE = server.PKCEOptional }, change...)
}

func newConfiguredProvider(t testing.TB, db *gorm.DB, configure func(*server.Config), change ...func(*oidc.Provider)) *provider {
	t.Helper()
	p := &provider{Provider: oauthtest.New(t, db, configure)}
	sessions := gormoauth.CreateSessionStorage[oauthtest.Session, oauthtest.Logout, oauthtest.Token, oauthtest.AuthorizationCode](db)
	p.oidc = &oidc.Provider{
		Keys: signingKeys(), Algorithms: jwk.SignatureAlgorithms(), Scopes: map[string][]string{"department": {"department", "floor"}},
		PairwiseSalt: []byte(strings.Repeat("salt", 8)), Fetcher: fetch.New(fetch.Options{AllowPrivateAddresses: true}),
		Sessions: sessions, Logouts: sessions,
	}
	for _, f := range change {
		f(p.oidc)
	}
	p.sessions = sessions
	p.how = server.Authentication{Time: p.Now.Unix() - 30, ACR: "phr", AMR: []string{"pwd", "otp"}, SessionID: sessionID}
	registration := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	p.registration = registration
	registration.Open, registration.Attempts = true, ratelimit.Unlimited{}
	registration.GrantTypes = []string{"authorization_code", "refresh_token", "implicit", "urn:ietf:params:oauth:grant-type:device_code"}
	code := gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](db)
	require.NoError(t, errors.Join(
		p.oidc.Register(p.Server, p.Protector),
		p.Server.RegisterGrant(code),
		p.Server.RegisterGrant(&oidc.Implicit{Provider: p.oidc}),
		p.Server.RegisterGrant(&oidc.Hybrid{Provider: p.oidc, Code: code}),
		p.Server.RegisterEndpoint(registration),
		p.Server.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db)),
		p.Server.RegisterEndpoint(&endpoint.JWKS{Keys: signingKeys()}),
		p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db)}),
	))
	return p
}

// client stores a client of every flow. more are members of its metadata: "name",
// value, ….
func (p *provider) client(more ...any) *oauthtest.Client {
	p.T.Helper()
	return p.NewClient(func(c *oauthtest.Client) {
		m := &c.ClientMetadata
		m.GrantTypes = []string{"authorization_code", "refresh_token", "implicit"}
		m.ResponseTypes = []string{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"}
		m.Scope = scope
		m.Extra = make(map[string]json.RawMessage)
		for i := 0; i+1 < len(more); i += 2 {
			switch more[i] {
			case "jwks":
				m.JWKs = more[i+1].(json.RawMessage)
				continue
			case "jwks_uri":
				m.JWKsURI = more[i+1].(string)
				continue
			case "redirect_uris":
				m.RedirectURIs = more[i+1].([]string)
				continue
			}
			text, err := json.Marshal(more[i+1])
			require.NoError(p.T, err)
			m.Extra[more[i].(string)] = text
		}
	})
}

// query is an authorization request of the client, with some parameters changed:
// "name=value", or "name=" to leave it out.
func query(client *oauthtest.Client, more ...string) string {
	params := url.Values{
		"client_id": {client.ClientID}, "response_type": {"code"}, "scope": {"openid"}, "redirect_uri": {oauthtest.RedirectURI}, "state": {"the state"}, "nonce": {"the nonce"},
	}
	for _, pair := range more {
		name, value, _ := strings.Cut(pair, "=")
		params.Set(name, value)
	}
	return params.Encode()
}

// alice is the user, with how she signed in.
func (p *provider) alice() server.SignedIn {
	return server.SignedIn{User: p.User, Authentication: p.how}
}

// authorize has alice agree.
func (p *provider) authorize(client *oauthtest.Client, more ...string) map[string]string {
	p.T.Helper()
	a := p.Decide(query(client, more...), "confirm=yes", p.alice())
	require.Equal(p.T, oauthtest.RedirectURI, a.To, a.Raw)
	return a.Params()
}

// signIn is the code flow to its end.
func (p *provider) signIn(client *oauthtest.Client, more ...string) map[string]string {
	p.T.Helper()
	params := p.authorize(client, more...)
	a := p.Token(client, "grant_type=authorization_code&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code="+params["code"])
	require.Equal(p.T, http.StatusOK, a.Status, "%v %v", params, a.Raw)
	return a.Body
}

// ask asks what the page has to do, as alice or, with nil, as nobody.
func (p *provider) ask(user storage.User, query string) (interaction server.Interaction, failure string) {
	p.T.Helper()
	var consent *server.ConsentGrant
	w := p.Record(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if consent, err = p.Server.GetConsentGrant(r, user); err != nil {
			p.Server.WriteError(w, r, err)
		}
	}), httptest.NewRequestWithContext(p.T.Context(), http.MethodGet, "/oauth/authorize?"+query, http.NoBody))
	if consent != nil {
		return consent.Interaction, ""
	}
	location, err := url.Parse(w.Header().Get("Location"))
	require.NoError(p.T, err)
	values := location.Query()
	if location.Fragment != "" {
		values, err = url.ParseQuery(location.EscapedFragment())
		require.NoError(p.T, err)
	}
	return -1, values.Get("error") + w.Body.String()
}

// verify returns the claims of a JWT that the provider signed, and its header.
func verify(t *testing.T, text string) (claims map[string]any, header jose.Header) {
	t.Helper()
	signed, err := jose.ParseSignedCompact(text, jwk.SignatureAlgorithms())
	require.NoError(t, err, text)
	set, err := signingKeys().PublicKeys(t.Context(), time.Time{})
	require.NoError(t, err)
	header = signed.Signatures[0].Header
	require.NotEmpty(t, set.Key(header.KeyID), "the key is published")
	payload, err := signed.Verify(set.Key(header.KeyID)[0])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(payload, &claims))
	return claims, header
}

// waiting counts the logouts that clients are still to be told of.
func (p *provider) waiting() (rows int64) {
	require.NoError(p.T, p.DB.Model(&oauthtest.Logout{}).Where("client_id <> ''").Count(&rows).Error)
	return rows
}

// userInfo asks UserInfo with an access token.
func (p *provider) userInfo(accessToken string) oauthtest.Answer {
	p.T.Helper()
	r := httptest.NewRequestWithContext(p.T.Context(), http.MethodGet, "/oauth/userinfo", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+accessToken)
	return p.Serve(r)
}

// members is the JSON object of an answer.
func members(t *testing.T, a oauthtest.Answer) (all map[string]any) {
	t.Helper()
	require.Equal(t, http.StatusOK, a.Status, a.Raw)
	require.NoError(t, json.Unmarshal([]byte(a.Raw), &all))
	return all
}

// encryptionKeys returns a key pair of a client for the algorithm, and its set.
func encryptionKeys(t *testing.T, algorithm jose.KeyAlgorithm) (private any, set json.RawMessage) {
	t.Helper()
	var public crypto.PublicKey
	if strings.HasPrefix(string(algorithm), "RSA") {
		key := oauthtest.NewKeyFor(t, jose.RS256)
		private, public = key, key.Public()
	} else {
		key := oauthtest.NewKey(t)
		private, public = key, key.Public()
	}
	signing := oauthtest.NewKey(t)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: signing.Public(), KeyID: "sig", Use: "sig"}, {Key: public, KeyID: "enc", Use: "enc", Algorithm: string(algorithm)},
	}})
	require.NoError(t, err)
	return private, set
}

func decrypt(t *testing.T, text string, private any) (plain []byte, header jose.Header) {
	t.Helper()
	encrypted, err := jose.ParseEncryptedCompact(text, []jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A128KW, jose.ECDH_ES_A256KW, jose.RSA_OAEP_256, jose.RSA_OAEP},
		[]jose.ContentEncryption{jose.A128CBC_HS256, jose.A256CBC_HS512, jose.A128GCM, jose.A256GCM})
	require.NoError(t, err, text)
	plain, err = encrypted.Decrypt(private)
	require.NoError(t, err)
	return plain, encrypted.Header
}

func assertKeys(t *testing.T, claims map[string]any, names ...string) {
	t.Helper()
	got := make([]string, 0, len(claims))
	for name := range claims {
		got = append(got, name)
	}
	assert.ElementsMatch(t, names, got)
}

func keyOptions(algorithm jose.SignatureAlgorithm, keepFor time.Duration) gormstore.SigningKeyOptions {
	return gormstore.SigningKeyOptions{Algorithms: []jose.SignatureAlgorithm{algorithm}, KeepFor: keepFor}
}
