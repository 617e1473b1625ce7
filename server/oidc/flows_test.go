package oidc_test

import (
	"context"
	"crypto"
	_ "crypto/sha512" // SHA-384 and SHA-512
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/generator"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/secret"
)

func sha256Half(text string) string { return half(crypto.SHA256, text) }

func half(hash crypto.Hash, text string) string {
	h := hash.New()
	h.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:hash.Size()/2])
}

// The code flow, on every engine: what the ID token says, what a refreshed one says,
// and what UserInfo says (OpenID Connect Core sections 2, 3.1, 5.3, 12).
func TestTheCodeFlow(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		client := p.client()
		tokens := p.signIn(client, "scope=openid profile email")
		claims, header := verify(t, tokens["id_token"])
		assert.Equal(t, "RS256", header.Algorithm, "the default")
		sid, _ := claims["sid"].(string)
		assert.Len(t, sid, 43)
		now := float64(p.Now.Unix())
		assert.Equal(t, map[string]any{
			"iss": oauthtest.Issuer, "sub": p.User.GetUserID(), "aud": client.ClientID, "azp": client.ClientID, "iat": now, "exp": now + 3600,
			"auth_time": now - 30, "acr": "phr", "amr": []any{"pwd", "otp"}, "nonce": "the nonce", "at_hash": sha256Half(tokens["access_token"]), "sid": sid,
		}, claims, "and nothing of the user that UserInfo is for")
		assert.NotContains(t, sid, sessionID)

		info := members(t, p.userInfo(tokens["access_token"]))
		assert.Equal(t, map[string]any{
			"sub": p.User.GetUserID(), "name": "Alice", "name#ja": "アリス", "locale": "en", "staff": true, "email": "alice@example.com", "email_verified": true,
		}, info, "what is empty is left out, and what only the provider may say")

		p.Now = p.Now.Add(time.Minute)
		refreshed := p.Refresh(client, tokens["refresh_token"], "").Body
		again, _ := verify(t, refreshed["id_token"])
		for _, name := range []string{"iss", "sub", "aud", "azp", "auth_time", "acr", "amr", "sid"} {
			assert.Equal(t, claims[name], again[name], "section 12.2: %s", name)
		}
		assert.EqualValues(t, p.Now.Unix(), again["iat"])
		assert.NotContains(t, again, "nonce")
		assert.Equal(t, sha256Half(refreshed["access_token"]), again["at_hash"])
		narrow := p.Refresh(client, refreshed["refresh_token"], "&scope=email").Body
		assert.NotContains(t, narrow, "id_token", "without the scope openid there is none")
		assert.Equal(t, http.StatusForbidden, p.userInfo(narrow["access_token"]).Status, "nor is there UserInfo")
	})
}

// Without openid, or without the provider, the server is a plain OAuth server.
func TestPlainOAuthStaysPlain(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newProvider(t, db)
	client := p.client()
	tokens := p.signIn(client, "scope=profile", "claims=not even JSON")
	assert.NotContains(t, tokens, "id_token")
	a := p.userInfo(tokens["access_token"])
	assert.Equal(t, http.StatusForbidden, a.Status)
	assert.Contains(t, a.Header.Get("Www-Authenticate"), `error="insufficient_scope"`)
	assert.Zero(t, p.Rows(&oauthtest.Session{}), "and nobody notes a session")

	plain := oauthtest.New(t, db)
	a = plain.Grant(oauthtest.AuthorizeQuery(client, "scope=openid&prompt=login+none&claims=x"))
	assert.NotEmpty(t, a.Query.Get("code"))
	assert.NotContains(t, plain.Redeem(client, a.Query.Get("code")).Body, "id_token")
	assert.Equal(t, http.StatusNotFound, plain.Get("/.well-known/openid-configuration").Status)
	assert.NotContains(t, plain.Server.Metadata(), "id_token_signing_alg_values_supported")
}

// A device's user signs in as well as a browser's.
func TestADeviceGetsAnIDToken(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	devices := gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](p.DB)
	require.NoError(t, p.Server.RegisterEndpoint(devices))
	const deviceCode = "urn:ietf:params:oauth:grant-type:device_code"
	client := p.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants(deviceCode, "refresh_token"), func(c *oauthtest.Client) { c.ClientMetadata.Scope = scope }))
	codes := p.Post("/oauth/device_authorization", client, "scope=openid+email").Body
	require.NoError(t, p.DecideDevice(devices, codes["user_code"], p.alice(), true))
	p.Now = p.Now.Add(time.Minute)
	tokens := p.Token(client, "grant_type="+url.QueryEscape(deviceCode)+"&device_code="+codes["device_code"]).Body
	claims, _ := verify(t, tokens["id_token"])
	assert.Equal(t, []any{p.User.GetUserID(), "phr", sha256Half(tokens["access_token"])}, []any{claims["sub"], claims["acr"], claims["at_hash"]})
	assert.Equal(t, "alice@example.com", members(t, p.userInfo(tokens["access_token"]))["email"])
	again, _ := verify(t, p.Refresh(client, tokens["refresh_token"], "").Body["id_token"])
	assert.Equal(t, claims["auth_time"], again["auth_time"])
}

// What nobody granted in a browser has no ID token, and what is not of OpenID Connect
// is bound to no session.
func TestOtherGrantsStayWhatTheyAre(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	legacy := p.NewClient(oauthtest.All(oauthtest.Grants("password"), func(c *oauthtest.Client) { c.ClientMetadata.Scope = scope }))
	a := p.Token(legacy, "grant_type=password&username=alice&password="+oauthtest.Password+"&scope=openid+email")
	require.Equal(t, http.StatusOK, a.Status, a.Raw)
	assert.NotContains(t, a.Body, "id_token")

	spa := p.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants("implicit")))
	plain := p.authorize(spa, "response_type=token", "scope=profile")["access_token"]
	_, err := p.oidc.EndSession(t.Context(), sessionID)
	require.NoError(t, err)
	assert.True(t, p.Valid(plain))
	var row oauthtest.Token
	require.NoError(t, p.DB.Where("access_token = ?", secret.Digest(plain)).First(&row).Error)
	assert.Nil(t, row.SessionID)
	assert.Empty(t, row.Claims)
}

// Each response type has what its name says, in the fragment, and its ID token
// vouches for the rest (OpenID Connect Core sections 3.2.2, 3.3.2, FAPI 1.0 Advanced
// section 5.2.2.1).
func TestFrontChannelFlows(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		client := p.client()
		for _, responseType := range []string{"id_token", "id_token token", "token id_token", "code id_token", "code token", "code id_token token", "token code id_token"} {
			t.Run(responseType, func(t *testing.T) {
				params := p.authorize(client, "response_type="+responseType, "scope=openid profile offline_access")
				words := strings.Fields(responseType)
				for word, name := range map[string]string{"code": "code", "token": "access_token", "id_token": "id_token"} {
					assert.Equal(t, slices.Contains(words, word), params[name] != "", name)
				}
				assert.Equal(t, "the state", params["state"])
				assert.NotContains(t, params, "refresh_token")
				if params["access_token"] != "" {
					assert.Equal(t, "Bearer", params["token_type"])
					assert.Equal(t, "Alice", members(t, p.userInfo(params["access_token"]))["name"])
				}
				if params["id_token"] != "" {
					claims, _ := verify(t, params["id_token"])
					assert.Equal(t, "the nonce", claims["nonce"])
					assert.Equal(t, sha256Half("the state"), claims["s_hash"])
					for name, text := range map[string]string{"at_hash": params["access_token"], "c_hash": params["code"]} {
						if text == "" {
							assert.NotContains(t, claims, name)
						} else {
							assert.Equal(t, sha256Half(text), claims[name], name)
						}
					}
					_, told := claims["name"]
					assert.Equal(t, responseType == "id_token", told, "the ID token tells what UserInfo cannot be asked for (section 5.4)")
				}
				if params["code"] == "" {
					return
				}
				a := p.Token(client, "grant_type=authorization_code&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code="+params["code"])
				require.Equal(t, http.StatusOK, a.Status, a.Raw)
				claims, _ := verify(t, a.Body["id_token"])
				assert.Equal(t, "the nonce", claims["nonce"], "section 3.3.3.6")
				assert.NotEmpty(t, a.Body["refresh_token"])
				if params["access_token"] != "" {
					assert.True(t, p.Valid(params["access_token"]))
					p.Token(client, "grant_type=authorization_code&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code="+params["code"])
					assert.False(t, p.Valid(params["access_token"]), "a code that is replayed ends what came beside it")
				}
			})
		}
	})
}

// offline_access means nothing where there is no code (OpenID Connect Core section 11).
func TestOfflineAccessNeedsACode(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.client()
	assert.Equal(t, "openid", p.authorize(client, "response_type=id_token token", "scope=openid offline_access")["scope"])
	assert.Equal(t, "openid offline_access", p.signIn(client, "scope=openid offline_access")["scope"])
}

func TestFormPost(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.client()
	for _, responseType := range []string{"code", "id_token", "code id_token", "code id_token token"} {
		a := p.Decide(query(client, "response_type="+responseType, "response_mode=form_post"), "confirm=yes", p.alice())
		assert.Equal(t, http.StatusOK, a.Status)
		for _, word := range strings.Fields(responseType) {
			name := strings.Replace(word, "token", "access_token", 1)
			if word == "id_token" {
				name = word
			}
			assert.Contains(t, a.Raw, `name="`+name+`" value="`, responseType)
		}
		a = p.Decide(query(client, "response_type="+responseType, "response_mode=form_post"), "", nil)
		assert.Contains(t, a.Raw, `value="access_denied"`, "an error comes the same way")
	}
	_, failure := p.ask(p.alice(), query(client, "response_type=code id_token", "response_mode=query"))
	assert.Equal(t, server.InvalidRequest, failure, "a token does not go into a query")
}

// Each client chooses what its ID tokens are signed by, and whether they are encrypted.
func TestSignaturesAndEncryption(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	for _, algorithm := range jwk.SignatureAlgorithms() {
		tokens := p.signIn(p.client("id_token_signed_response_alg", algorithm))
		claims, header := verify(t, tokens["id_token"])
		assert.Equal(t, string(algorithm), header.Algorithm)
		hash := crypto.SHA256
		switch algorithm {
		case jose.ES384, jose.RS384, jose.PS384:
			hash = crypto.SHA384
		case jose.ES512, jose.RS512, jose.PS512, jose.EdDSA:
			hash = crypto.SHA512
		}
		assert.Equal(t, half(hash, tokens["access_token"]), claims["at_hash"], algorithm)
	}
	for _, algorithm := range []jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A128KW, jose.ECDH_ES_A256KW, jose.RSA_OAEP_256, jose.RSA_OAEP} {
		private, set := encryptionKeys(t, algorithm)
		for _, encryption := range []jose.ContentEncryption{"", jose.A256CBC_HS512, jose.A256GCM} {
			more := []any{"jwks", set, "id_token_encrypted_response_alg", algorithm}
			if encryption != "" {
				more = append(more, "id_token_encrypted_response_enc", encryption)
			}
			plain, header := decrypt(t, p.signIn(p.client(more...))["id_token"], private)
			assert.Equal(t, "JWT", header.ExtraHeaders[jose.HeaderContentType], "signed, then encrypted (section 10.2)")
			assert.Equal(t, "enc", header.KeyID)
			claims, _ := verify(t, string(plain))
			assert.Equal(t, "the nonce", claims["nonce"])
		}
	}
	_, set := encryptionKeys(t, jose.ECDH_ES)
	client := p.client("jwks", set, "id_token_encrypted_response_alg", jose.ECDH_ES)
	client.ClientMetadata.Extra["id_token_encrypted_response_alg"] = json.RawMessage(`"RSA-OAEP-256"`)
	require.NoError(t, p.DB.Model(client).Update("client_metadata", client.ClientMetadata).Error)
	code := p.authorize(client)["code"]
	a := p.Token(client, "grant_type=authorization_code&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code="+code)
	assert.Equal(t, server.InvalidRequest, a.Body["error"], "a client whose key is gone is told so: %s", a.Raw)
}

// A client's keys may be at an address.
func TestKeysAtAnAddress(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	private, set := encryptionKeys(t, jose.ECDH_ES)
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) })
	client := p.client("id_token_encrypted_response_alg", "ECDH-ES", "jwks_uri", address)
	plain, _ := decrypt(t, p.signIn(client)["id_token"], private)
	verify(t, string(plain))
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

// UserInfo by GET and POST, with the token in header or body, as JSON or as a JWT
// (OpenID Connect Core section 5.3).
func TestUserInfo(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		client := p.client()
		token := p.signIn(client, "scope=openid email")["access_token"]
		ask := func(method, body string, header ...string) oauthtest.Answer {
			r := httptest.NewRequestWithContext(t.Context(), method, "/oauth/userinfo", strings.NewReader(body))
			for i := 0; i+1 < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			return p.Serve(r)
		}
		const form = "application/x-www-form-urlencoded"
		for name, a := range map[string]oauthtest.Answer{
			"GET":                 ask(http.MethodGet, "", "Authorization", "Bearer "+token),
			"POST with a header":  ask(http.MethodPost, "", "Authorization", "Bearer "+token),
			"POST with a form":    ask(http.MethodPost, "x=y", "Authorization", "Bearer "+token, "Content-Type", form),
			"POST with the token": ask(http.MethodPost, "access_token="+token, "Content-Type", form),
		} {
			assert.Equal(t, http.StatusOK, a.Status, name)
			assert.Equal(t, "application/json", a.Header.Get("Content-Type"), name)
			assert.Equal(t, "no-store", a.Header.Get("Cache-Control"), name)
			assert.Equal(t, "alice@example.com", a.Body["email"], name)
		}
		for name, row := range map[string]struct {
			answer oauthtest.Answer
			status int
			error  string
		}{
			"no token":               {ask(http.MethodGet, ""), 401, ""},
			"another token":          {ask(http.MethodGet, "", "Authorization", "Bearer x"), 401, "invalid_token"},
			"a token in the query":   {p.Get("/oauth/userinfo?access_token=" + token), 401, ""},
			"two tokens":             {ask(http.MethodPost, "access_token="+token, "Content-Type", form, "Authorization", "Bearer "+token), 400, "invalid_request"},
			"twice in the body":      {ask(http.MethodPost, "access_token="+token+"&access_token=x", "Content-Type", form), 400, "invalid_request"},
			"a long body":            {ask(http.MethodPost, strings.Repeat("x", 100<<10), "Content-Type", form), 413, "invalid_request"},
			"a body that is no form": {ask(http.MethodPost, "a=%zz", "Content-Type", form), 400, "invalid_request"},
			"PUT":                    {ask(http.MethodPut, "", "Authorization", "Bearer "+token), 405, "invalid_request"},
		} {
			assert.Equal(t, row.status, row.answer.Status, name)
			assert.Equal(t, row.error, row.answer.Body["error"], name)
			if row.error == "" {
				assert.Equal(t, "{}", row.answer.Raw, "%s: RFC 6750 section 3.1", name)
			}
			if row.status == http.StatusUnauthorized {
				assert.Contains(t, row.answer.Header.Get("Www-Authenticate"), "Bearer realm=", name)
			}
		}

		signed := p.client("userinfo_signed_response_alg", "ES256")
		a := p.userInfo(p.signIn(signed, "scope=openid email")["access_token"])
		assert.Equal(t, "application/jwt", a.Header.Get("Content-Type"))
		claims, header := verify(t, a.Raw)
		assert.Equal(t, "ES256", header.Algorithm)
		assert.InDelta(t, p.Now.Unix(), claims["iat"], 0)
		assert.Equal(t, []any{oauthtest.Issuer, signed.ClientID, "alice@example.com", p.User.GetUserID()}, []any{claims["iss"], claims["aud"], claims["email"], claims["sub"]})

		private, set := encryptionKeys(t, jose.ECDH_ES)
		encrypted := p.client("userinfo_encrypted_response_alg", "ECDH-ES", "userinfo_encrypted_response_enc", "A128GCM", "jwks", set)
		plain, _ := decrypt(t, p.userInfo(p.signIn(encrypted, "scope=openid email")["access_token"]).Raw, private)
		require.NoError(t, json.Unmarshal(plain, &claims))
		assert.Equal(t, "alice@example.com", claims["email"], "encrypted and not signed")
		both := p.client("userinfo_signed_response_alg", "PS256", "userinfo_encrypted_response_alg", "ECDH-ES", "jwks", set)
		plain, header = decrypt(t, p.userInfo(p.signIn(both)["access_token"]).Raw, private)
		assert.Equal(t, "JWT", header.ExtraHeaders[jose.HeaderContentType])
		verify(t, string(plain))

		require.NoError(t, db.Model(p.User).Update("disabled", true).Error)
		a = p.userInfo(token)
		assert.Equal(t, http.StatusUnauthorized, a.Status, "a disabled user has no claims any more")
		assert.Contains(t, a.Header.Get("Www-Authenticate"), `error="invalid_token"`)
		require.NoError(t, db.Model(p.User).Update("disabled", false).Error)
		require.NoError(t, db.Delete(client).Error)
		assert.Equal(t, http.StatusUnauthorized, p.userInfo(token).Status, "nor has a client that is gone")
	})
}

// A client's own token has no user.
func TestUserInfoNeedsAUser(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	service := p.NewClient(oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) { c.ClientMetadata.Scope = scope }))
	a := p.Token(service, "grant_type=client_credentials&scope=openid")
	require.Equal(t, http.StatusOK, a.Status, a.Raw)
	assert.NotContains(t, a.Body, "id_token")
	assert.Equal(t, http.StatusUnauthorized, p.userInfo(a.Body["access_token"]).Status)
}

// What a scope covers, and what is asked for claim by claim (OpenID Connect Core
// sections 5.4 and 5.5).
func TestClaims(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		client := p.client()
		for name, row := range map[string]struct {
			scope, claims     string
			userInfo, idToken []string
		}{
			"openid alone":             {"openid", "", nil, nil},
			"profile":                  {"openid profile", "", []string{"name", "name#ja", "locale", "staff"}, nil},
			"email":                    {"openid email", "", []string{"email", "email_verified"}, nil},
			"phone":                    {"openid phone", "", []string{"phone_number"}, nil},
			"address":                  {"openid address", "", []string{"address"}, nil},
			"all":                      {"openid profile email address phone", "", []string{"name", "name#ja", "locale", "staff", "email", "email_verified", "address", "phone_number"}, nil},
			"a scope of the program's": {"openid department", "", []string{"department", "floor"}, nil},
			"one claim":                {"openid", `{"userinfo":{"email":null}}`, []string{"email"}, nil},
			"essential":                {"openid", `{"userinfo":{"phone_number":{"essential":true}},"id_token":{"email":{"essential":true}}}`, []string{"phone_number"}, []string{"email"}},
			"in another language":      {"openid", `{"userinfo":{"name":null}}`, []string{"name", "name#ja"}, nil},
			"of a program's scope":     {"openid", `{"id_token":{"floor":null}}`, nil, []string{"floor"}},
			"beside a scope":           {"openid email", `{"id_token":{"email":null,"name":null}}`, []string{"email", "email_verified"}, []string{"email", "name", "name#ja"}},
			"several of one scope":     {"openid", `{"id_token":{"department":null,"floor":null}}`, nil, []string{"department", "floor"}},
			"unknown":                  {"openid", `{"userinfo":{"shoe_size":null,"iss":null},"id_token":{"staff":null},"extra":1}`, nil, nil},
		} {
			t.Run(name, func(t *testing.T) {
				tokens := p.signIn(client, "scope="+row.scope, "claims="+row.claims)
				check := func(tokens map[string]string) {
					assertKeys(t, members(t, p.userInfo(tokens["access_token"])), append(row.userInfo, "sub")...)
					claims, _ := verify(t, tokens["id_token"])
					delete(claims, "nonce")
					assertKeys(t, claims, append(row.idToken, "iss", "sub", "aud", "azp", "iat", "exp", "auth_time", "acr", "amr", "at_hash", "sid")...)
				}
				check(tokens)
				check(p.Refresh(client, tokens["refresh_token"], "").Body)
			})
		}
		claims, _ := verify(t, p.authorize(client, "response_type=id_token", "scope=openid", `claims={"id_token":{"email":null}}`)["id_token"])
		assert.Equal(t, "alice@example.com", claims["email"])
		front := p.authorize(client, "response_type=id_token token", `claims={"userinfo":{"email":null}}`)
		assert.Equal(t, "alice@example.com", members(t, p.userInfo(front["access_token"]))["email"], "the claims stay with a token of the front channel")
	})
}

// The program has a say in what each client is told, wherever it is told.
func TestClaimsOfTheProgramsOwn(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(o *oidc.Provider) {
		o.Claims = func(_ context.Context, input *oidc.ClaimsInput) error {
			input.Claims["in"] = string(input.Target)
			input.Claims["sub"], input.Claims["aud"], input.Claims["exp"] = "mallory", "anybody", 1
			if input.Client.(*oauthtest.Client).ClientMetadata.ClientName == "partner" {
				delete(input.Claims, "email")
			}
			return nil
		}
	})
	client := p.client()
	for _, partner := range []bool{false, true} {
		if partner {
			metadata := client.ClientMetadata
			metadata.ClientName = "partner"
			require.NoError(t, p.DB.Model(client).Update("client_metadata", metadata).Error)
		}
		tokens := p.signIn(client, "scope=openid email")
		claims, _ := verify(t, tokens["id_token"])
		assert.Equal(t, []any{"id_token", p.User.GetUserID(), client.ClientID}, []any{claims["in"], claims["sub"], claims["aud"]}, "what the protocol says stays")
		assert.Greater(t, claims["exp"], float64(p.Now.Unix()))
		info := members(t, p.userInfo(tokens["access_token"]))
		assert.Equal(t, []any{"userinfo", p.User.GetUserID()}, []any{info["in"], info["sub"]})
		assert.Equal(t, !partner, info["email"] != nil, "a policy keeps a claim from one client")
	}
	p.Server.RegisterTokenGenerator("authorization_code", (&generator.JWTAccessToken{Keys: signingKeys(), Audience: "https://api.example", Claims: p.oidc.AccessTokenClaims}).Generate)
	claims, _ := verify(t, p.signIn(client)["access_token"])
	assert.Equal(t, []any{"access_token", p.User.GetUserID()}, []any{claims["in"], claims["sub"]})
}

// A pairwise subject is another at each sector, the same at each sign-in, and all that
// the client itself ever sees (OpenID Connect Core section 8).
func TestPairwiseSubjects(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		p.Server.RegisterTokenGenerator("refresh_token", (&generator.JWTAccessToken{Keys: signingKeys(), Audience: "https://api.example"}).Generate)
		subject := func(more ...any) string {
			client := p.client(append(more, "subject_type", "pairwise")...)
			tokens := p.signIn(client)
			claims, _ := verify(t, tokens["id_token"])
			sub, _ := claims["sub"].(string)
			assert.Equal(t, sub, members(t, p.userInfo(tokens["access_token"]))["sub"], "section 5.3.2: the same in UserInfo")
			assert.Equal(t, sub, p.Introspect(client, "token="+tokens["access_token"]).Body["sub"], "and in introspection by the client")
			refreshed, _ := verify(t, p.Refresh(client, tokens["refresh_token"], "").Body["access_token"])
			assert.Equal(t, sub, refreshed["sub"], "and in its JWTs")
			return sub
		}
		one := subject()
		assert.NotEqual(t, p.User.GetUserID(), one)
		assert.Len(t, one, 43)
		assert.Equal(t, one, subject(), "another client of the same sector")
		sector := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`["` + oauthtest.RedirectURI + `"]`))
		})
		assert.NotEqual(t, one, subject("sector_identifier_uri", sector+"/uris.json"))
		assert.Equal(t, subject("sector_identifier_uri", sector+"/a"), subject("sector_identifier_uri", sector+"/b"), "whose host is the sector")
		device := p.client("subject_type", "pairwise")
		metadata := device.ClientMetadata
		metadata.GrantTypes = append(metadata.GrantTypes, "urn:ietf:params:oauth:grant-type:device_code")
		require.NoError(t, db.Model(device).Update("client_metadata", metadata).Error)
		claimsOfDevice, _ := verify(t, p.signIn(device)["id_token"])
		assert.NotEqual(t, one, claimsOfDevice["sub"], "a client that needs no redirect URI to get tokens is of no sector by naming it")
		first := p.User
		p.User = &oauthtest.User{}
		require.NoError(t, db.Create(p.User).Error)
		assert.NotEqual(t, one, subject(), "another user")
		p.User = first
		claims, _ := verify(t, p.signIn(p.client())["id_token"])
		assert.Equal(t, p.User.GetUserID(), claims["sub"], "public unless registered otherwise")
	})
}

// Discovery says what is registered, at the place that follows the issuer.
func TestDiscovery(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(o *oidc.Provider) { o.ACRValues = []string{"phr"} })
	a := p.Get("/.well-known/openid-configuration")
	require.Equal(t, http.StatusOK, a.Status)
	assert.Contains(t, a.Header.Get("Cache-Control"), "max-age=300")
	var document map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.Raw), &document))
	for member, want := range map[string]any{
		"issuer": oauthtest.Issuer, "authorization_endpoint": oauthtest.Issuer + "/oauth/authorize", "token_endpoint": oauthtest.Issuer + "/oauth/token",
		"userinfo_endpoint": oauthtest.Issuer + "/oauth/userinfo", "jwks_uri": oauthtest.Issuer + "/oauth/jwks", "registration_endpoint": oauthtest.Issuer + "/oauth/register",
		"end_session_endpoint":     oauthtest.Issuer + "/oauth/end_session",
		"response_types_supported": []any{"code", "code id_token", "code id_token token", "code token", "id_token", "id_token token", "token"},
		"response_modes_supported": []any{"form_post", "fragment", "query"},
		"subject_types_supported":  []any{"pairwise", "public"}, "id_token_signing_alg_values_supported": []any{"ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"},
		"claims_parameter_supported": true, "prompt_values_supported": []any{"consent", "login", "none", "select_account"}, "acr_values_supported": []any{"phr"},
		"display_values_supported": []any{"page", "popup", "touch", "wap"}, "claim_types_supported": []any{"normal"},
		"backchannel_logout_supported": true, "backchannel_logout_session_supported": true, "frontchannel_logout_supported": true, "frontchannel_logout_session_supported": true,
	} {
		assert.Equal(t, want, document[member], member)
	}
	for _, claim := range []any{"sub", "sid", "auth_time", "email", "phone_number", "address", "department", "name"} {
		assert.Contains(t, document["claims_supported"], claim)
	}
	assert.Contains(t, document["grant_types_supported"], "implicit")
	assert.Contains(t, document["id_token_encryption_alg_values_supported"], "RSA-OAEP-256")
	assert.Equal(t, http.StatusMethodNotAllowed, p.Serve(httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/.well-known/openid-configuration", http.NoBody)).Status)

	nested := oauthtest.New(t, p.DB, func(c *server.Config) { c.Issuer = "https://id.example/tenant" })
	require.NoError(t, nested.Server.RegisterEndpoint(oidc.Discovery{}))
	assert.Equal(t, http.StatusOK, nested.Get("/tenant/.well-known/openid-configuration").Status, "section 4: after the issuer's path")
	assert.Equal(t, http.StatusOK, nested.Get("/.well-known/oauth-authorization-server/tenant").Status, "and not before it, as RFC 8414 has it")
}

// A mistake of the operator's is refused at once, with its remedy.
func TestMistakes(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	rotating := gormoauth.CreateSigningKeys[oauthtest.SigningKey]
	for name, row := range map[string]struct {
		provider oidc.Provider
		want     string
	}{
		"no keys":                 {oidc.Provider{}, "Provider.Keys is missing: write gormoauth.CreateSigningKeys"},
		"another algorithm":       {oidc.Provider{Keys: rotating(db, keyOptions(jose.ES256, 0))}, "Keys has no key for RS256: add it to"},
		"an odd algorithm":        {oidc.Provider{Keys: signingKeys(), Algorithms: []jose.SignatureAlgorithm{"none"}}, `Algorithms: "none" is not one of`},
		"tokens outlive keys":     {oidc.Provider{Keys: rotating(db, keyOptions(jose.RS256, time.Hour)), IDTokenExpiresIn: 2 * time.Hour}, "KeepFor at least 2h0m0s"},
		"a short salt":            {oidc.Provider{Keys: signingKeys(), PairwiseSalt: []byte("salt")}, "PairwiseSalt must have at least 32"},
		"a negative lifetime":     {oidc.Provider{Keys: signingKeys(), IDTokenExpiresIn: -1}, "must not be negative"},
		"an outbox for nobody":    {oidc.Provider{Keys: signingKeys(), Logouts: newProvider(t, db).oidc.Logouts, Fetcher: fetch.New(fetch.Options{})}, "Logouts needs Sessions"},
		"an outbox without a way": {oidc.Provider{Keys: signingKeys(), Logouts: newProvider(t, db).oidc.Logouts, Sessions: newProvider(t, db).oidc.Sessions}, "and Fetcher"},
	} {
		p := oauthtest.New(t, db)
		assert.ErrorContains(t, row.provider.Register(p.Server, p.Protector), row.want, name)
	}
	p := oauthtest.New(t, db)
	assert.ErrorContains(t, (&oidc.Provider{Keys: signingKeys()}).Register(p.Server, nil), "Protector of UserInfo is missing: write resource.NewProtector")
	assert.ErrorContains(t, p.Server.RegisterGrant(&oidc.Implicit{}), "Implicit.Provider is missing")
	assert.ErrorContains(t, p.Server.RegisterGrant(&oidc.Hybrid{}), "Hybrid.Code is missing")
	var unregistered oidc.Provider
	_, err := unregistered.EndSession(t.Context(), "x")
	assert.ErrorIs(t, err, oidc.ErrNotRegistered)
	_, err = unregistered.GetLogoutRequest(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody), nil)
	assert.ErrorIs(t, err, oidc.ErrNotRegistered)
}
