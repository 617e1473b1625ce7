package grant_test

import (
	"crypto/ecdsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/storage"
)

type requestObjectTest struct {
	*oauthtest.Provider
	objects *grant.RequestObjects
	profile *profile
	key     *ecdsa.PrivateKey
	client  *oauthtest.Client
}

func newRequestObjects(t *testing.T, db *gorm.DB) *requestObjectTest {
	t.Helper()
	p := &requestObjectTest{Provider: oauthtest.New(t, db), profile: new(profile), key: oauthtest.NewKey(t)}
	p.objects = &grant.RequestObjects{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db), Fetcher: fetch.New(fetch.Options{AllowPrivateAddresses: true})}
	require.NoError(t, p.Server.Register(p.objects, p.profile))
	require.NoError(t, p.Server.RegisterEndpoint(gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db)))
	p.client = p.NewClient(func(c *oauthtest.Client) { c.ClientMetadata.JWKs = oauthtest.KeySet(t, p.key) })
	return p
}

func (p *requestObjectTest) claims(more ...any) map[string]any {
	return oauthtest.Claims(map[string]any{
		"iss": p.client.ClientID, "aud": oauthtest.Issuer, "exp": p.Now.Add(time.Minute).Unix(), "client_id": p.client.ClientID, "response_type": "code",
		"code_challenge": oauthtest.Challenge, "code_challenge_method": "S256", "scope": "profile", "state": "signed", "max_age": 100000,
	}, more...)
}

func (p *requestObjectTest) sign(more ...any) string {
	return oauthtest.SignJWT(p.T, p.key, jose.ES256, map[jose.HeaderKey]any{"typ": "oauth-authz-req+jwt"}, p.claims(more...))
}

// signUntyped is sign without a 'typ'.
func (p *requestObjectTest) signUntyped(more ...any) string {
	return oauthtest.SignJWT(p.T, p.key, jose.ES256, nil, p.claims(more...))
}

// onceOf decides on a request several times at once: one decision counts.
func (p *requestObjectTest) onceOf(query string) {
	p.T.Helper()
	var granted atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if a := p.Decide(query, "confirm=yes", p.user()); a.Query.Has("code") {
				granted.Add(1)
			} else {
				assert.Equal(p.T, server.InvalidRequestObject, a.Query.Get("error"), a.Raw)
			}
		})
	}
	wait.Wait()
	assert.EqualValues(p.T, 1, granted.Load())
}

// profile is one that may ask for strict request objects.
type profile struct{ strict bool }

func (p *profile) HoldsRequestObjectsStrictly() bool { return p.strict }

func (p *requestObjectTest) query(more ...string) string {
	q := url.Values{"client_id": {p.client.ClientID}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return q.Encode()
}

func (p *requestObjectTest) user() storage.User {
	return server.SignedIn{User: p.User, Authentication: server.Authentication{Time: p.Now.Unix()}}
}

func TestRequestObjects(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newRequestObjects(t, db)

		t.Run("what is signed is what counts", func(t *testing.T) {
			query := p.query("request", p.sign(), "scope", "email", "state", "forged", "response_type", "token", "redirect_uri", "https://evil.example")
			assert.Equal(t, http.StatusOK, p.Consent(query).Status)
			a := p.Decide(query, "confirm=yes", p.user())
			assert.Equal(t, oauthtest.RedirectURI, a.To, a.Raw)
			assert.Equal(t, "signed", a.Query.Get("state"))
			assert.Equal(t, "profile", p.Redeem(p.client, a.Query.Get("code")).Body["scope"])
			assert.Equal(t, server.UnmetAuthenticationRequirements, p.Decide(p.query("request", p.sign("max_age", 0)), "confirm=yes", server.SignedIn{User: p.User}).Query.Get("error"), "a number is a parameter, too")
		})
		t.Run("what no request object may be", func(t *testing.T) {
			stranger := oauthtest.NewKey(t)
			header := map[jose.HeaderKey]any{"typ": "oauth-authz-req+jwt"}
			parts := strings.Split(p.sign(), ".")
			for rule, object := range map[string]string{
				"no JWT":                      "x",
				"very long":                   p.sign("x", strings.Repeat("x", 20<<10)),
				"by another key":              oauthtest.SignJWT(t, stranger, jose.ES256, header, p.claims()),
				"by a shared secret":          oauthtest.SignJWT(t, []byte(strings.Repeat("s", 32)), jose.HS256, header, p.claims()),
				"not signed":                  parts[0] + "." + parts[1] + ".",
				"by an algorithm named none":  "eyJhbGciOiJub25lIn0." + parts[1] + ".",
				"of another type":             oauthtest.SignJWT(t, p.key, jose.ES256, map[jose.HeaderKey]any{"typ": "dpop+jwt"}, p.claims()),
				"of another client":           p.sign("client_id", "x"),
				"by another issuer":           p.sign("iss", "x"),
				"by nobody":                   p.sign("iss", nil),
				"for another server":          p.sign("aud", "https://x.example"),
				"for nobody":                  p.sign("aud", nil),
				"expired":                     p.sign("exp", p.Now.Add(-time.Minute).Unix()),
				"that ends at null":           p.sign("exp", json.RawMessage("null")),
				"not yet":                     p.sign("nbf", p.Now.Add(2*time.Minute).Unix()),
				"of the future":               p.sign("iat", p.Now.Add(2*time.Minute).Unix()),
				"with a very long id":         p.sign("jti", strings.Repeat("x", 600)),
				"a client assertion":          p.signUntyped("sub", p.client.ClientID, "jti", "x"),
				"one that says it is a JWT":   oauthtest.SignJWT(t, p.key, jose.ES256, map[jose.HeaderKey]any{"typ": "JWT"}, p.claims("sub", p.client.ClientID)),
				"with another in it":          p.sign("request", "x"),
				"with a reference in it":      p.sign("request_uri", "https://x.example"),
				"encrypted, which nobody can": "a.b.c.d.e",
			} {
				a := p.Consent(p.query("request", object))
				assert.Equal(t, http.StatusBadRequest, a.Status, rule)
				assert.Equal(t, server.InvalidRequestObject, a.Body["error"], "%s: %s", rule, a.Raw)
				assert.Empty(t, a.To, "the error is for the person: nothing is known of the client's address")
			}
			assert.Equal(t, server.InvalidClient, p.Consent("client_id=nobody&request=" + p.sign()).Body["error"])
			assert.Equal(t, server.InvalidClient, p.Consent("request=" + p.sign()).Body["error"])
			assert.Equal(t, server.InvalidRequest, p.Consent(p.query("request", p.sign(), "request_uri", "https://x.example")).Body["error"])
			assert.Equal(t, server.InvalidScope, p.Consent(p.query("request", p.sign("scope", "admin"))).Query.Get("error"), "what it asks for is checked as ever")
			assert.Equal(t, server.InvalidRequest, p.Consent(p.query("request", p.sign("scope", []string{"a", "b"}))).Body["error"], "and what stands twice")
			assert.Equal(t, http.StatusOK, p.Consent(p.query("request", p.sign("aud", []string{"https://x.example", oauthtest.Issuer}))).Status)
		})
		t.Run("it needs neither 'exp' nor 'iat' nor 'typ'", func(t *testing.T) { // RFC 9101 section 4
			for rule, object := range map[string]string{
				"without end":                           p.sign("exp", nil),
				"for long":                              p.sign("exp", p.Now.Add(1000*time.Hour).Unix()),
				"made long ago":                         p.sign("exp", nil, "iat", p.Now.Add(-1000*time.Hour).Unix()),
				"without a type":                        p.signUntyped("exp", nil),
				"of another user, which means nothing":  p.signUntyped("sub", "alice"),
				"of the client, by its type no other's": p.sign("sub", p.client.ClientID),
			} {
				query := p.query("request", object)
				assert.Equal(t, http.StatusOK, p.Consent(query).Status, rule)
				for range 2 {
					a := p.Decide(query, "confirm=yes", p.user())
					assert.NotEmpty(t, a.Query.Get("code"), "%s: it has no 'jti', and is used again: %s", rule, a.Raw)
				}
			}
		})
		t.Run("with a 'jti' it is good for one decision", func(t *testing.T) {
			for _, object := range []string{p.sign("jti", "1"), p.sign("jti", "2", "exp", nil)} {
				p.onceOf(p.query("request", object))
			}
			later := p.Now.Add(300 * 24 * time.Hour)
			var remembered int64
			require.NoError(t, db.Model(&oauthtest.Replay{}).Where("expires_at > ?", later.Unix()).Count(&remembered).Error)
			assert.EqualValues(t, 1, remembered, "what does not end is remembered for long")
			denied := p.query("request", p.sign("jti", "4"))
			assert.Equal(t, server.AccessDenied, p.Decide(denied, "confirm=no", nil).Query.Get("error"))
			assert.Equal(t, server.InvalidRequestObject, p.Decide(denied, "confirm=yes", p.user()).Query.Get("error"), "a denial is a decision")
		})
		t.Run("strict, by the option or by a profile", func(t *testing.T) { // FAPI 2.0 Message Signing section 5.3.1
			for by, strict := range map[string]func(bool){
				"the option": func(on bool) { p.objects.Strict = on }, "a profile": func(on bool) { p.profile.strict = on },
			} {
				strict(true)
				now := p.Now.Unix()
				for rule, object := range map[string]string{
					"without end":       p.sign("exp", nil, "iat", now),
					"for long":          p.sign("exp", p.Now.Add(2*time.Hour).Unix(), "iat", now),
					"since long":        p.sign("nbf", now-3571, "iat", now, "exp", now+60),
					"without its time":  p.sign(),
					"at no time at all": p.sign("iat", json.RawMessage("null"), "nbf", json.RawMessage(" null ")),
					"of another type":   oauthtest.SignJWT(t, p.key, jose.ES256, map[jose.HeaderKey]any{"typ": "at+jwt"}, p.claims("iat", now)),
				} {
					assert.Equal(t, server.InvalidRequestObject, p.Consent(p.query("request", object)).Body["error"], "%s: %s", by, rule)
				}
				for rule, object := range map[string]string{
					"without a type":    p.signUntyped("iat", now),
					"of a general type": oauthtest.SignJWT(t, p.key, jose.ES256, map[jose.HeaderKey]any{"typ": "JWT"}, p.claims("iat", now)),
				} {
					answer := p.Consent(p.query("request", object))
					if by == "the option" {
						assert.Equal(t, server.InvalidRequestObject, answer.Body["error"], rule)
					} else { // clients should name it, and need not
						assert.Equal(t, http.StatusOK, answer.Status, "%s: %s", rule, answer.Raw)
					}
				}
				random := oauthtest.SignJWT(t, p.key, jose.ES256, map[jose.HeaderKey]any{"typ": "APPLICATION/oAuth-Authz-REQ+jwt"}, p.claims("iat", now))
				assert.Equal(t, http.StatusOK, p.Consent(p.query("request", random)).Status, "a media type has no case")
				assertion := p.signUntyped("iat", now, "sub", p.client.ClientID)
				assert.Equal(t, server.InvalidRequestObject, p.Consent(p.query("request", assertion)).Body["error"], "a client assertion: %s", by)
				assert.Equal(t, http.StatusOK, p.Consent(p.query("request", p.sign("nbf", now))).Status, by)
				p.onceOf(p.query("request", p.sign("iat", now, "nonce", by)))
				strict(false)
			}
		})
		t.Run("at an address of the client's", func(t *testing.T) {
			var objects sync.Map
			var asked atomic.Int32
			files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				object, ok := objects.Load(r.URL.RequestURI())
				if !ok {
					http.NotFound(w, r)
					return
				}
				_, _ = w.Write([]byte(object.(string)))
			}))
			t.Cleanup(files.Close)
			objects.Store("/object", p.sign("exp", nil)+"\n")
			objects.Store("/once", p.sign("jti", "kept"))
			uris, err := json.Marshal([]string{files.URL + "/object", files.URL + "/once", files.URL + "/gone", files.URL + "/fragment#of-yesterday"})
			require.NoError(t, err)
			p.client.ClientMetadata.Extra = map[string]json.RawMessage{"request_uris": uris}
			require.NoError(t, db.Save(p.client).Error)
			for range 2 {
				a := p.Decide(p.query("request_uri", files.URL+"/object"), "confirm=yes", p.user())
				assert.Equal(t, "profile", p.Redeem(p.client, a.Query.Get("code")).Body["scope"], "what is kept at an address is used again: %s", a.Raw)
			}
			p.onceOf(p.query("request_uri", files.URL+"/once"))
			for rule, uri := range map[string]string{
				"gone": files.URL + "/gone#x", "not registered": files.URL + "/object?x", "nor is a part of it": files.URL + "/obj", "no address": "x",
			} {
				assert.Equal(t, server.InvalidRequestURI, p.Consent(p.query("request_uri", uri)).Body["error"], rule)
			}

			// OpenID Connect Core section 6.2: the fragment says that what is remembered is
			// old, and nothing else.
			scope := func(fragment string) string {
				a := p.Decide(p.query("request_uri", files.URL+"/object"+fragment), "confirm=yes", p.user())
				return p.Redeem(p.client, a.Query.Get("code")).Body["scope"]
			}
			objects.Store("/object", p.sign("exp", nil, "scope", "email"))
			before := asked.Load()
			assert.Equal(t, "profile", scope(""), "it is remembered for a while")
			assert.Equal(t, before, asked.Load())
			assert.Equal(t, "email", scope("#no-digest-of-it"), "another fragment fetches it anew")
			assert.Equal(t, "email", scope("#no-digest-of-it"))
			assert.Equal(t, before+1, asked.Load(), "once")
			objects.Store("/fragment", p.sign("exp", nil))
			assert.Equal(t, http.StatusOK, p.Consent(p.query("request_uri", files.URL+"/fragment#of-today")).Status, "the registered one is of yesterday, too")
			assert.Equal(t, http.StatusOK, p.Consent(p.query("request_uri", files.URL+"/fragment")).Status)

			// What the user looked at is what is granted: a request that has changed since is
			// shown again.
			for change, more := range map[string][]any{
				"another scope": {"scope", "profile email"}, "another state": {"state", "other"}, "another challenge": {"code_challenge", strings.Repeat("c", 43)},
				"a claim more": {"nonce", "n"}, "what asks for the same": {"jti", "another"},
			} {
				query := p.query("request_uri", files.URL+"/object#"+url.QueryEscape(change))
				objects.Store("/object", p.sign("exp", nil))
				shown := p.Decision(query, p.user())
				require.NotEmpty(t, shown)
				objects.Store("/object", p.sign(append(more, "exp", nil)...))
				p.objects.Fetcher = fetch.New(fetch.Options{AllowPrivateAddresses: true}) // which remembers nothing
				a := p.Send(http.MethodPost, query, "confirm=yes&"+server.DecisionField+"="+string(shown), p.user())
				assert.Equal(t, change == "what asks for the same", a.Query.Has("code"), "%s: %d %s", change, a.Status, a.To)
			}

			p.client.ClientMetadata.Extra["require_pushed_authorization_requests"] = json.RawMessage("true")
			require.NoError(t, db.Save(p.client).Error)
			assert.Equal(t, server.InvalidRequest, p.Consent(p.query("request_uri", files.URL+"/object")).Query.Get("error"), "by reference is not pushed")
			delete(p.client.ClientMetadata.Extra, "require_pushed_authorization_requests")
			require.NoError(t, db.Save(p.client).Error)
		})
		t.Run("pushed", func(t *testing.T) {
			push := func(object string) oauthtest.Answer {
				return p.Post("/oauth/par", p.client, "scope=email&request="+object)
			}
			assert.Equal(t, server.InvalidRequestObject, push(p.sign("aud", "x")).Body["error"])
			pushed := push(p.sign())
			require.Equal(t, http.StatusCreated, pushed.Status, pushed.Raw)
			a := p.Decide(p.query("request_uri", pushed.Body["request_uri"]), "confirm=yes", p.user())
			assert.Equal(t, "profile", p.Redeem(p.client, a.Query.Get("code")).Body["scope"])
			once := p.sign("jti", "pushed")
			require.Equal(t, http.StatusCreated, push(once).Status)
			assert.Equal(t, server.InvalidRequestObject, push(once).Body["error"], "and is not pushed for a second decision")
			assert.Equal(t, server.InvalidRequestObject, p.Decide(p.query("request", once), "confirm=yes", p.user()).Query.Get("error"))
		})
		t.Run("posted by another site, and too long for an address", func(t *testing.T) {
			object := p.sign("jti", "long", "ui_hint", strings.Repeat("x", header.MaxAddress))
			a := p.Send(http.MethodPost, "", p.query("request", object), p.user(), "Sec-Fetch-Site", "cross-site")
			require.Equal(t, http.StatusSeeOther, a.Status, a.Raw)
			a = p.Decide(a.Query.Encode(), "confirm=yes", p.user())
			assert.NotEmpty(t, a.Query.Get("code"), "it is kept, and good for its one decision: %s", a.Raw)
			assert.Equal(t, server.InvalidRequestObject, p.Decide(p.query("request", object), "confirm=yes", p.user()).Params()["error"])
		})
		t.Run("required, by the client or by the server", func(t *testing.T) {
			plain := p.NewClient(nil)
			asks := p.NewClient(func(c *oauthtest.Client) {
				c.ClientMetadata.Extra = map[string]json.RawMessage{"require_signed_request_object": json.RawMessage("true")}
				c.ClientMetadata.JWKs = oauthtest.KeySet(t, p.key)
			})
			assert.Equal(t, http.StatusOK, p.Consent(oauthtest.AuthorizeQuery(plain, "")).Status)
			assert.Equal(t, server.InvalidRequest, p.Consent(oauthtest.AuthorizeQuery(asks, "")).Query.Get("error"))
			p.objects.Required = true
			assert.Equal(t, server.InvalidRequest, p.Consent(oauthtest.AuthorizeQuery(plain, "")).Query.Get("error"))
			assert.Equal(t, server.InvalidRequest, p.Post("/oauth/par", plain, strings.Replace(oauthtest.AuthorizeQuery(plain, ""), "&client_id="+plain.ClientID, "", 1)).Body["error"])
			assert.Equal(t, http.StatusOK, p.Consent(p.query("request", p.sign())).Status)
			pushed := p.Post("/oauth/par", p.client, "request="+p.sign())
			assert.Equal(t, http.StatusOK, p.Consent(p.query("request_uri", pushed.Body["request_uri"])).Status)
			p.objects.Required = false
		})
	})
}

func TestEncryptedRequestObjects(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newRequestObjects(t, db)
		algorithms := []jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A256KW, jose.RSA_OAEP_256}
		keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{EncryptionAlgorithms: algorithms})
		p.objects.Decryption = keys
		require.NoError(t, p.Server.RegisterEndpoint(&endpoint.JWKS{Keys: keys}))
		var published jose.JSONWebKeySet
		require.NoError(t, json.Unmarshal([]byte(p.Get("/oauth/jwks").Raw), &published))
		encrypt := func(key any, algorithm jose.KeyAlgorithm, kid, text string) string {
			encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: algorithm, Key: key, KeyID: kid}, (&jose.EncrypterOptions{}).WithContentType("JWT"))
			require.NoError(t, err)
			object, err := encrypter.Encrypt([]byte(text))
			require.NoError(t, err)
			compact, err := object.CompactSerialize()
			require.NoError(t, err)
			return compact
		}
		used := 0
		for _, key := range published.Keys {
			if key.Use != "enc" {
				continue
			}
			used++
			a := p.Decide(p.query("request", encrypt(key.Key, jose.KeyAlgorithm(key.Algorithm), key.KeyID, p.sign("nonce", key.KeyID))), "confirm=yes", p.user())
			assert.NotEmpty(t, a.Query.Get("code"), "%s: %s", key.Algorithm, a.Raw)
			unnamed := p.query("request", encrypt(key.Key, jose.KeyAlgorithm(key.Algorithm), "", p.sign()))
			assert.Equal(t, http.StatusOK, p.Consent(unnamed).Status, "%s: an object need not name its key", key.Algorithm)
			for rule, object := range map[string]string{
				"what is encrypted is signed":  encrypt(key.Key, jose.KeyAlgorithm(key.Algorithm), key.KeyID, `{"client_id":"`+p.client.ClientID+`"}`),
				"by a key of somebody else":    encrypt(oauthtest.NewKey(t).Public(), jose.ECDH_ES, "", p.sign()),
				"for a key that nobody has":    encrypt(key.Key, jose.KeyAlgorithm(key.Algorithm), "x", p.sign()),
				"by an algorithm of passwords": encrypt([]byte("password"), jose.PBES2_HS256_A128KW, "", p.sign()),
			} {
				assert.Equal(t, server.InvalidRequestObject, p.Consent(p.query("request", object)).Body["error"], rule)
			}
		}
		assert.Equal(t, len(algorithms), used)
		document := p.Get("/.well-known/oauth-authorization-server").Body
		assert.JSONEq(t, `["ECDH-ES","ECDH-ES+A256KW","RSA-OAEP-256"]`, document["request_object_encryption_alg_values_supported"])
		assert.Contains(t, document["request_object_encryption_enc_values_supported"], "A256GCM")
		assert.Contains(t, document["request_object_signing_alg_values_supported"], "ES256")
		assert.Equal(t, "true", document["request_parameter_supported"])
		assert.Equal(t, "true", document["request_uri_parameter_supported"])
		assert.NotContains(t, document, "require_signed_request_object")
	})
}

func TestTheMetadataOfAClientThatSigns(t *testing.T) {
	objects := &grant.RequestObjects{Decryption: oneDecryptionAlgorithm{}, Algorithms: []jose.SignatureAlgorithm{jose.ES256}}
	req := &server.Request{Server: new(server.Server)}
	const enc = `{"request_object_encryption_alg":"ECDH-ES","request_object_encryption_enc":"A128GCM"}`
	for text, ok := range map[string]bool{
		enc: true, `{"request_object_encryption_alg":"RSA1_5"}`: false, `{"request_object_encryption_enc":"x"}`: false, `{"request_object_encryption_alg":1}`: false,
		`{"require_signed_request_object":true,"request_object_signing_alg":"ES256","request_uris":["https://client.example/r"]}`: true,
		`{"require_signed_request_object":"yes"}`: false, `{"request_object_signing_alg":"none"}`: false, `{"request_object_signing_alg":"HS256"}`: false,
	} {
		metadata := new(models.ClientMetadata)
		require.NoError(t, json.Unmarshal([]byte(text), metadata))
		assert.Equal(t, ok, objects.CheckClientMetadata(t.Context(), req, metadata) == nil, text)
	}
	p384 := oauthtest.KeySetOf(t, oauthtest.NewKeyFor(t, jose.ES384))
	for rule, c := range map[string]struct {
		text string
		keys json.RawMessage
		ok   bool
	}{
		"who has to sign has a key":             {`{"response_types":["code"],"require_signed_request_object":true}`, nil, false},
		"who never asks does not":               {`{"require_signed_request_object":true}`, nil, true},
		"one that the server takes":             {`{"response_types":["code"],"require_signed_request_object":true}`, p384, false},
		"and that is good for what it says":     {`{"request_object_signing_alg":"ES256"}`, oauthtest.KeySet(t, oauthtest.NewKey(t)), true},
		"a key of another curve is not":         {`{"request_object_signing_alg":"ES256"}`, p384, false},
		"a key that is not for requests is any": {`{}`, p384, true},
	} {
		metadata := new(models.ClientMetadata)
		require.NoError(t, json.Unmarshal([]byte(c.text), metadata))
		metadata.JWKs = c.keys
		objects.Algorithms = []jose.SignatureAlgorithm{jose.ES256}
		assert.Equal(t, c.ok, objects.CheckClientMetadata(t.Context(), req, metadata) == nil, rule)
	}
	objects.Algorithms = nil
	objects.Decryption = nil
	metadata := new(models.ClientMetadata)
	require.NoError(t, json.Unmarshal([]byte(enc), metadata))
	require.Error(t, objects.CheckClientMetadata(t.Context(), req, metadata), "nobody could read it")
	srv, err := server.New(minimalConfig())
	require.NoError(t, err)
	require.ErrorContains(t, srv.Register(objects), "Replays")
}

// oneDecryptionAlgorithm has keys for one algorithm, and shows none.
type oneDecryptionAlgorithm struct{ decryptionKeys }

type decryptionKeys = jwk.DecryptionKeys

func (oneDecryptionAlgorithm) EncryptionAlgorithms() []jose.KeyAlgorithm {
	return []jose.KeyAlgorithm{jose.ECDH_ES}
}
