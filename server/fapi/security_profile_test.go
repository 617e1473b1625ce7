package fapi_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
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
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/dpop"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/fapi"
	"github.com/gormoauth/gormoauth/server/generator"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

func TestMain(m *testing.M) { testdb.Main(m) }

const (
	parEndpoint   = oauthtest.Issuer + "/oauth/par"
	tokenEndpoint = oauthtest.Issuer + "/oauth/token"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// provider is a server of the profile with one client.
type provider struct {
	*oauthtest.Provider
	client     *oauthtest.Client
	signs      *ecdsa.PrivateKey // the client's assertions
	possession *ecdsa.PrivateKey // the client's proofs
}

func newProvider(t *testing.T, db *gorm.DB, parts ...gormoauth.Part) *provider {
	t.Helper()
	p := &provider{
		Provider: &oauthtest.Provider{T: t, DB: db, User: &oauthtest.User{}, Now: time.Unix(1_800_000_000, 0)},
		signs:    oauthtest.NewKey(t), possession: oauthtest.NewKey(t),
	}
	require.NoError(t, db.Create(p.User).Error)
	clock := func() time.Time { return p.Now }
	var err error
	p.Server, err = gormoauth.New(db, server.Config{Issuer: oauthtest.Issuer, Secrets: oauthtest.ServerSecrets(), Clock: clock, PKCE: server.PKCEOptional, Logger: oauthtest.Logger(nil)}, append(parts,
		gormoauth.FAPI2SecurityProfile[oauthtest.PushedRequest, oauthtest.Replay](), gormoauth.Clients[oauthtest.Client](), gormoauth.Tokens[oauthtest.Token](),
		gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode](), gormoauth.Users[oauthtest.User]("disabled = ?", false))...)
	require.NoError(t, err)
	tokens := gormoauth.CreateBearerTokenValidator[oauthtest.Token](db)
	p.Protector = p.NewProtector(resource.Config{Profile: p.Server.Profile()}, tokens, gormoauth.CreateDPoPTokenValidator[oauthtest.Replay](db, oauthtest.Issuer, tokens))
	p.client = p.NewClient(p.withKey)
	return p
}

// withKey has a client authenticate by the key.
func (p *provider) withKey(c *oauthtest.Client) {
	c.ClientMetadata.TokenEndpointAuthMethod, c.ClientMetadata.JWKs = models.PrivateKeyJWT, oauthtest.KeySet(p.T, p.signs)
	c.ClientMetadata.GrantTypes = append(c.ClientMetadata.GrantTypes, "client_credentials")
	c.ClientMetadata.Scope += " openid"
}

// authentication are the parameters by which the client authenticates.
func (p *provider) authentication(more ...any) string {
	claims := map[string]any{
		"iss": p.client.ClientID, "sub": p.client.ClientID, "aud": oauthtest.Issuer, "exp": p.Now.Unix() + 60, "iat": p.Now.Unix(), "jti": secret.Generate("j", secret.AccessToken),
	}
	assertion := oauthtest.SignJWT(p.T, p.signs, jose.ES256, nil, oauthtest.Claims(claims, more...))
	return url.Values{"client_assertion_type": {assertionType}, "client_assertion": {assertion}}.Encode()
}

func (p *provider) post(path, body string, header ...string) oauthtest.Answer {
	return p.Post(path, nil, body, header...)
}

func (p *provider) proof(target string) []string {
	return []string{"DPoP", p.DPoP(p.possession, http.MethodPost, target)}
}

// request is an authorization request of the client.
func (p *provider) request(more string) string {
	return oauthtest.AuthorizeQuery(p.client, "redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&scope=openid+profile&"+more)
}

func (p *provider) push(request string) oauthtest.Answer {
	return p.post("/oauth/par", request+"&"+p.authentication())
}

// reference is what the browser carries.
func (p *provider) reference(requestURI string) string {
	return url.Values{"client_id": {p.client.ClientID}, "request_uri": {requestURI}}.Encode()
}

func (p *provider) code() string {
	pushed := p.push(p.request(""))
	require.Equal(p.T, http.StatusCreated, pushed.Status, pushed.Raw)
	granted := p.Grant(p.reference(pushed.Body["request_uri"]))
	require.NotEmpty(p.T, granted.Query.Get("code"), granted.Raw)
	require.Equal(p.T, oauthtest.Issuer, granted.Query.Get("iss"))
	return granted.Query.Get("code")
}

func (p *provider) redeem(code string, header ...string) oauthtest.Answer {
	return p.post("/oauth/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {oauthtest.Verifier}, "redirect_uri": {oauthtest.RedirectURI},
	}.Encode()+"&"+p.authentication(), header...)
}

func (p *provider) refresh(token string) oauthtest.Answer {
	return p.post("/oauth/token", "grant_type=refresh_token&refresh_token="+token+"&"+p.authentication(), p.proof(tokenEndpoint)...)
}

// opens reports whether an access token opens the API with a proof.
func (p *provider) opens(token string) bool {
	hash := sha256.Sum256([]byte(token))
	r := httptest.NewRequestWithContext(p.T.Context(), http.MethodGet, "/api", http.NoBody)
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set("DPoP", p.DPoP(p.possession, http.MethodGet, oauthtest.Issuer+"/api", "ath", base64.RawURLEncoding.EncodeToString(hash[:])))
	w := p.Record(p.Protector.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), r)
	return w.Code == http.StatusOK
}

func TestSecurityProfile(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db, gormoauth.OpenID[oauthtest.User, oauthtest.SigningKey]())

		t.Run("a request is pushed, granted, redeemed and used", func(t *testing.T) {
			tokens := p.redeem(p.code(), p.proof(tokenEndpoint)...)
			require.Equal(t, http.StatusOK, tokens.Status, tokens.Raw)
			assert.Equal(t, "DPoP", tokens.Body["token_type"])
			assert.True(t, p.opens(tokens.Body["access_token"]))
			_, err := jose.ParseSignedCompact(tokens.Body["id_token"], fapi.Algorithms())
			require.NoError(t, err)
		})
		t.Run("a refresh token stays, and so do the access tokens that it got", func(t *testing.T) {
			first := p.redeem(p.code(), p.proof(tokenEndpoint)...)
			token := first.Body["refresh_token"]
			second, third := p.refresh(token), p.refresh(token)
			for _, a := range []oauthtest.Answer{first, second, third} {
				require.Equal(t, http.StatusOK, a.Status, a.Raw)
				assert.True(t, p.opens(a.Body["access_token"]))
			}
			assert.Empty(t, second.Body["refresh_token"], "the client keeps what it has")
			assert.NotEqual(t, second.Body["access_token"], third.Body["access_token"])

			p.Now = p.Now.Add(20 * 24 * time.Hour)
			require.Equal(t, http.StatusOK, p.refresh(token).Status)
			p.Now = p.Now.Add(20 * 24 * time.Hour)
			last := p.refresh(token)
			require.Equal(t, http.StatusOK, last.Status, "it lasts as long as it is used")

			revoked := p.post("/oauth/revoke", "token="+token+"&"+p.authentication())
			require.Equal(t, http.StatusOK, revoked.Status)
			assert.False(t, p.opens(last.Body["access_token"]), "what it got ends with it")
			assert.Equal(t, "invalid_grant", p.refresh(token).Body["error"])
		})
		t.Run("of several refreshes at once each gets a token that lives", func(t *testing.T) {
			token := p.redeem(p.code(), p.proof(tokenEndpoint)...).Body["refresh_token"]
			requests := make([]func() oauthtest.Answer, 8)
			for i := range requests {
				body, header := "grant_type=refresh_token&refresh_token="+token+"&"+p.authentication(), p.proof(tokenEndpoint)
				requests[i] = func() oauthtest.Answer { return p.post("/oauth/token", body, header...) }
			}
			answers := make([]oauthtest.Answer, len(requests))
			var group sync.WaitGroup
			for i, request := range requests {
				group.Go(func() { answers[i] = request() })
			}
			group.Wait()
			for _, a := range answers {
				require.Equal(t, http.StatusOK, a.Status, a.Raw)
				assert.True(t, p.opens(a.Body["access_token"]))
			}
		})
		t.Run("a code used twice ends what came of it", func(t *testing.T) {
			code := p.code()
			tokens := p.redeem(code, p.proof(tokenEndpoint)...)
			second := p.refresh(tokens.Body["refresh_token"])
			assert.Equal(t, "invalid_grant", p.redeem(code, p.proof(tokenEndpoint)...).Body["error"])
			assert.False(t, p.opens(tokens.Body["access_token"]))
			assert.False(t, p.opens(second.Body["access_token"]))
		})
		t.Run("a code ends after a minute, and a pushed request within ten", func(t *testing.T) {
			code := p.code()
			p.Now = p.Now.Add(59 * time.Second)
			assert.Equal(t, http.StatusOK, p.redeem(code, p.proof(tokenEndpoint)...).Status)
			code = p.code()
			p.Now = p.Now.Add(61 * time.Second)
			assert.Equal(t, "invalid_grant", p.redeem(code, p.proof(tokenEndpoint)...).Body["error"])
			seconds, err := strconv.Atoi(p.push(p.request("")).Body["expires_in"])
			require.NoError(t, err)
			assert.Less(t, seconds, 600)
			assert.Positive(t, seconds)
		})
		t.Run("what no authorization request may be", func(t *testing.T) {
			redirect := "&redirect_uri=" + url.QueryEscape(oauthtest.RedirectURI)
			for rule, c := range map[string]struct{ request, code, description string }{
				"without a redirect URI":                        {oauthtest.AuthorizeQuery(p.client, "scope=profile"), server.InvalidRequest, "The request has no 'redirect_uri'."},
				"of OpenID Connect without a redirect URI":      {oauthtest.AuthorizeQuery(p.client, "scope=openid"), server.InvalidRequest, "'redirect_uri'"},
				"without a code challenge":                      {"response_type=code&client_id=" + p.client.ClientID + redirect, server.InvalidRequest, "'code_challenge'"},
				"with a nonce in the place of a code challenge": {"scope=openid&nonce=n&response_type=code&client_id=" + p.client.ClientID + redirect, server.InvalidRequest, "'code_challenge'"},
				"with a plain code challenge":                   {strings.Replace(p.request(""), "S256", "plain", 1), server.InvalidRequest, "'code_challenge_method'"},
				"for a token":                                   {strings.Replace(p.request("nonce=n"), "response_type=code", "response_type=token", 1), server.UnsupportedResponseType, ""},
				"for an ID token":                               {strings.Replace(p.request("nonce=n"), "response_type=code", "response_type=id_token", 1), server.UnsupportedResponseType, ""},
			} {
				a := p.push(c.request)
				assert.Equal(t, http.StatusBadRequest, a.Status, rule)
				assert.Equal(t, c.code, a.Body["error"], rule)
				assert.Contains(t, a.Body["error_description"], c.description, rule)
				assert.NotContains(t, a.Body, "request_uri", rule)
			}
			assert.Equal(t, "invalid_request", p.Grant(p.request("")).Query.Get("error"), "not pushed")
			assert.Equal(t, http.StatusUnauthorized, p.post("/oauth/par", strings.Replace(p.request(""), "client_id="+p.client.ClientID+"&", "", 1)).Status, "pushed by nobody")
			assert.Equal(t, "invalid_client", p.post("/oauth/par", p.request("")).Body["error"], "pushed without authentication")
		})
		assert.True(t, p.Server.HoldsRequestObjectsStrictly(), "FAPI 2.0 Message Signing section 5.3.1")
		t.Run("no response is sent where it can be read on its way", func(t *testing.T) {
			for uri, want := range map[string]int{
				"https://client.example/cb": http.StatusCreated, "http://127.0.0.1/cb": http.StatusCreated, "http://[::1]:4711/cb": http.StatusCreated,
				"http://client.example/cb": http.StatusBadRequest, "com.example.app:/cb": http.StatusBadRequest, "cursor://anysphere/cb": http.StatusBadRequest,
			} {
				p.client = p.NewClient(func(c *oauthtest.Client) { p.withKey(c) })
				require.NoError(t, db.Model(&oauthtest.Client{}).Where("client_id = ?", p.client.ClientID).
					Update("client_metadata", strings.Replace(metadataOf(t, p.client), oauthtest.RedirectURI, uri, 1)).Error)
				a := p.push(oauthtest.AuthorizeQuery(p.client, "redirect_uri="+url.QueryEscape(uri)))
				assert.Equal(t, want, a.Status, "%s: %s", uri, a.Raw)
				_, err := p.Server.CheckClient(t.Context(), server.ClientCheck{Source: models.ClientByRegistration, Metadata: models.ClientMetadata{
					RedirectURIs: []string{uri}, TokenEndpointAuthMethod: models.PrivateKeyJWT, JWKs: p.client.ClientMetadata.JWKs,
				}})
				assert.Equal(t, want == http.StatusCreated, err == nil, "what no request could have does not register: %s: %v", uri, err)
			}
			p.client = p.NewClient(p.withKey)
		})
		t.Run("what does not authenticate a client", func(t *testing.T) {
			good := "grant_type=client_credentials&"
			assert.Equal(t, http.StatusOK, p.post("/oauth/token", good+p.authentication(), p.proof(tokenEndpoint)...).Status)
			for rule, authentication := range map[string]string{
				"the token endpoint as the audience": p.authentication("aud", tokenEndpoint),
				"a list of audiences":                p.authentication("aud", []string{oauthtest.Issuer}),
				"no audience":                        p.authentication("aud", nil),
				"an assertion of the future":         p.authentication("iat", p.Now.Add(61*time.Second).Unix()),
				"a secret":                           "client_id=" + p.client.ClientID + "&client_secret=x",
				"nothing":                            "client_id=" + p.client.ClientID,
			} {
				assert.Equal(t, "invalid_client", p.post("/oauth/token", good+authentication, p.proof(tokenEndpoint)...).Body["error"], rule)
			}
			assert.Equal(t, http.StatusOK, p.post("/oauth/token", good+p.authentication("iat", p.Now.Add(10*time.Second).Unix()), p.proof(tokenEndpoint)...).Status, "a clock that is ten seconds ahead")
		})
		t.Run("no token without a key", func(t *testing.T) {
			assert.Equal(t, "invalid_request", p.redeem(p.code()).Body["error"])
			assert.Equal(t, "invalid_request", p.post("/oauth/token", "grant_type=client_credentials&"+p.authentication()).Body["error"])
			late := p.DPoP(p.possession, http.MethodPost, tokenEndpoint, "iat", p.Now.Add(61*time.Second).Unix())
			assert.Equal(t, "invalid_dpop_proof", p.redeem(p.code(), "DPoP", late).Body["error"])
		})
		t.Run("an API takes bound tokens alone", func(t *testing.T) {
			unbound := &models.TokenMixin{Authorization: models.Authorization{ClientID: p.client.ClientID}, AccessToken: secret.Digest("goa_at_x"), TokenType: "Bearer", IssuedAt: p.Now.Unix(), ExpiresIn: 3600}
			require.NoError(t, db.Create(&oauthtest.Token{TokenMixin: *unbound}).Error)
			assert.Equal(t, "invalid_token", p.Call("goa_at_x").Body["error"])
			bound := p.redeem(p.code(), p.proof(tokenEndpoint)...).Body["access_token"]
			assert.Equal(t, "invalid_token", p.Call(bound).Body["error"], "without its proof")
		})
	})
}

func metadataOf(t *testing.T, client *oauthtest.Client) string {
	t.Helper()
	text, err := json.Marshal(client.ClientMetadata)
	require.NoError(t, err)
	return string(text)
}

// ownMetadata is a hook of the program's own.
type ownMetadata struct{}

func (ownMetadata) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata.Add("house_signing_alg_values_supported", "RS256")
}

// What breaks the profile is refused, with what to write instead, and leaves the
// server as it was.
func TestWhatBreaksTheProfile(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newProvider(t, db)
	keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{Algorithms: []jose.SignatureAlgorithm{jose.RS256, jose.ES256}})
	replays := gormoauth.CreateReplayStorage[oauthtest.Replay](db)
	requests := gormoauth.CreatePushedRequestStorage[oauthtest.PushedRequest](db)
	codes := gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](db)
	weak := []jose.SignatureAlgorithm{jose.ES256, jose.RS256}
	nobody := func(context.Context, *server.Request, string, string) (storage.User, error) { return nil, nil }
	for fault, register := range map[string]func() error{
		"5.3.2.1: the password grant is registered": func() error {
			return p.Server.RegisterGrant(&grant.Password{AuthenticateUser: nobody})
		},
		"5.3.2.2: the only response type must be code": func() error { return p.Server.RegisterGrant(&grant.Implicit{}) },
		"5.3.2.1: clients may authenticate by a secret": func() error {
			return p.Server.RegisterClientAuthMethod(clientauth.Defaults()...)
		},
		"5.3.2.2: authorization requests need not be pushed": func() error {
			return p.Server.RegisterEndpoint(&endpoint.PushedAuthorizationRequest{Storage: requests})
		},
		"5.3.2.2: the code challenge method must be S256": func() error {
			return p.Server.RegisterGrant(codes, grant.CodeChallenge{AllowPlain: true})
		},
		"5.4.1: house_signing_alg_values_supported": func() error { return p.Server.Register(ownMetadata{}) },
		`clientauth: PrivateKeyJWT.Algorithms: "RS256" is not one of [PS256 ES256 EdDSA]`: func() error {
			return p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: replays, Algorithms: weak})
		},
		`grant: DPoP.Proofs.Algorithms: "RS256"`: func() error {
			return p.Server.Register(&grant.DPoP{Proofs: dpop.Proofs{Replays: replays, Algorithms: weak}})
		},
		`grant: RequestObjects.Algorithms: "RS256"`: func() error {
			return p.Server.Register(&grant.RequestObjects{Replays: replays, Algorithms: weak})
		},
		`grant: JWTBearer.Algorithms: "RS256"`: func() error { return p.Server.RegisterGrant(&grant.JWTBearer{Algorithms: weak}) },
		`grant: TokenExchange.Algorithms: "RS256"`: func() error {
			return p.Server.RegisterGrant(&grant.TokenExchange{Algorithms: weak})
		},
		`endpoint: Registration.SoftwareStatements.Algorithms: "RS256"`: func() error {
			return p.Server.RegisterEndpoint(&endpoint.Registration{SoftwareStatements: &endpoint.SoftwareStatements{Algorithms: weak}})
		},
		`grant: JARM.Algorithms: "RS256"`: func() error { return p.Server.Register(&grant.JARM{Keys: keys, Algorithms: weak}) },
		`endpoint: Introspection.Algorithms: "RS256"`: func() error {
			return p.Server.RegisterEndpoint(&endpoint.Introspection{Keys: keys, Algorithms: weak})
		},
		"grant: JARM.Keys has no key for an algorithm that Config.Profile allows": func() error {
			return p.Server.Register(&grant.JARM{Keys: gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{Algorithms: weak[1:]})})
		},
		`endpoint: Metadata.Algorithm: "RS256"`: func() error {
			return p.Server.RegisterEndpoint(&endpoint.Metadata{Keys: keys, Algorithm: jose.RS256})
		},
		`oidc: Provider.Algorithms: "RS256"`: func() error {
			return (&oidc.Provider{Keys: keys}).Register(p.Server, p.Protector)
		},
		"oidc: the Protector of UserInfo does not have the server's Config.Profile": func() error {
			plain, err := resource.NewProtector(resource.Config{}, gormoauth.CreateBearerTokenValidator[oauthtest.Token](db))
			require.NoError(t, err)
			return (&oidc.Provider{Keys: keys, Algorithms: []jose.SignatureAlgorithm{jose.ES256}}).Register(p.Server, plain)
		},
		`resource: JWTAccessTokenValidator.Algorithms: "RS256"`: func() error {
			return p.Protector.RegisterTokenValidator(&resource.JWTAccessTokenValidator{Issuer: oauthtest.Issuer, Keys: keys, Algorithms: weak})
		},
		`resource: DPoPTokenValidator.Proofs.Algorithms: "RS256"`: func() error {
			validator := gormoauth.CreateDPoPTokenValidator[oauthtest.Replay](db, oauthtest.Issuer, gormoauth.CreateBearerTokenValidator[oauthtest.Token](db))
			validator.Proofs.Algorithms = weak
			return p.Protector.RegisterTokenValidator(validator)
		},
	} {
		t.Run(fault, func(t *testing.T) {
			before, err := json.Marshal(p.Server.Metadata())
			require.NoError(t, err)
			require.ErrorContains(t, register(), fault)
			after, err := json.Marshal(p.Server.Metadata())
			require.NoError(t, err)
			if !strings.HasPrefix(fault, "oidc") { // of whose parts the others are registered
				assert.JSONEq(t, string(before), string(after))
			}
		})
	}
	tokens := p.redeem(p.code(), p.proof(tokenEndpoint)...)
	assert.Equal(t, http.StatusOK, tokens.Status, "the server goes on as it was: %s", tokens.Raw)

	t.Run("and so is a server that was there before", func(t *testing.T) {
		err := oauthtest.New(t, db).Server.Register(fapi.SecurityProfile{})
		for _, fault := range []string{
			"set Config.Profile to fapi.SecurityProfile{}", "password grant", "by a secret", "tokens cannot be bound", "response type must be code", "need not be pushed",
		} {
			require.ErrorContains(t, err, fault)
		}
	})
	t.Run("and one that is configured afterwards", func(t *testing.T) {
		srv := new(server.Server)
		require.NoError(t, srv.Register(fapi.SecurityProfile{}))
		config := oauthtest.New(t, db).BareConfig()
		require.ErrorContains(t, srv.Init(config), "cannot find a metadata document")
		require.ErrorContains(t, srv.Init(config), "cannot find a metadata document", "and it is not taken for configured")
	})
	t.Run("mutual TLS will do as well", func(t *testing.T) {
		config := server.Config{Issuer: oauthtest.Issuer, Profile: fapi.SecurityProfile{}, ClientAuthMethods: []server.ClientAuthMethod{&clientauth.SelfSignedTLSClientAuth{}}}
		srv, err := gormoauth.New(db, config, gormoauth.Clients[oauthtest.Client](), gormoauth.Tokens[oauthtest.Token](),
			gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode](), gormoauth.Users[oauthtest.User]())
		require.NoError(t, err)
		require.NoError(t, errors.Join(
			srv.RegisterEndpoint(&endpoint.PushedAuthorizationRequest{Storage: requests, Required: true}),
			srv.Register(&grant.CertificateBoundTokens{EveryClient: true}, fapi.SecurityProfile{}),
		))
	})
}

// A JWT access token by another algorithm is not handed out. Nothing that the server
// says of itself shows that a generator would make one.
func TestAccessTokensByOtherAlgorithms(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newProvider(t, db)
	keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{Algorithms: []jose.SignatureAlgorithm{jose.RS256, jose.ES256}})
	for algorithm, want := range map[jose.SignatureAlgorithm]int{jose.ES256: http.StatusOK, jose.RS256: http.StatusInternalServerError} {
		p.Server.RegisterTokenGenerator("client_credentials", (&generator.JWTAccessToken{Keys: keys, Algorithm: algorithm, Audience: "https://api.example"}).Generate)
		a := p.post("/oauth/token", "grant_type=client_credentials&"+p.authentication(), p.proof(tokenEndpoint)...)
		assert.Equal(t, want, a.Status, a.Raw)
	}
}
