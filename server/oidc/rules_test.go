package oidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// The claims of OpenID Connect Core section 5.1, those of the provider and those of the program's
// scopes.
func TestWhichClaimsAreSupported(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	claims, _ := p.Server.Metadata()["claims_supported"].([]string)
	claims = slices.Sorted(slices.Values(claims))
	assert.Equal(t, []string{
		"address", "amr", "at_hash", "aud", "auth_time", "azp", "birthdate", "c_hash", "department", "email", "email_verified", "exp", "family_name", "floor", "gender", "given_name", "iat", "iss",
		"locale", "middle_name", "name", "nickname", "nonce", "phone_number", "phone_number_verified", "picture", "preferred_username", "profile", "s_hash", "sid", "sub", "updated_at", "website", "zoneinfo",
	}, claims)

	p = newConfiguredProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) {
		c.PKCE, c.ScopesSupported = server.PKCEOptional, []string{"openid", "email"}
	})
	claims, _ = p.Server.Metadata()["claims_supported"].([]string)
	assert.Subset(t, claims, []string{"sub", "email", "email_verified"})
	for _, claim := range []string{"name", "address", "phone_number", "department"} {
		assert.NotContains(t, claims, claim, "its scope is not supported")
	}
}

// A default that a client did not register, or that cannot be read, adds nothing to its request.
func TestDefaultsOfARequest(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	for text, want := range map[string][2][]string{ // of max_age and of acr_values
		`{}`: {},
		`{"default_max_age":60,"default_acr_values":["phr","phrh"]}`: {{"60"}, {"phr phrh"}},
		`{"default_max_age":0,"default_acr_values":[]}`:              {{"0"}, nil},
		`{"default_max_age":"60","default_acr_values":"phr"}`:        {},
		`{"default_max_age":null,"default_acr_values":null}`:         {},
	} {
		client := p.StoreClient(func(c *oauthtest.Client) {
			c.ClientMetadata.Scope = scope
			require.NoError(t, json.Unmarshal([]byte(text), &c.ClientMetadata.Extra))
		})
		consent, err := p.Server.GetConsentGrant(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/authorize?"+query(client), http.NoBody), p.alice())
		require.NoError(t, err, text)
		assert.Equal(t, want, [2][]string{consent.Request.Params["max_age"], consent.Request.Params["acr_values"]}, text)
	}
}

// bareClient is a client of the program's own, of which the server knows no metadata.
type bareClient struct{ storage.Client }

// A client need not have metadata: it gets what a client gets that registered none.
func TestAClientWithoutMetadata(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	find := gormoauth.CreateQueryClientFunc[oauthtest.Client](db)
	p := newConfiguredProvider(t, db, func(c *server.Config) {
		c.PKCE = server.PKCEOptional
		c.QueryClient = func(ctx context.Context, clientID string) (storage.Client, error) {
			client, err := find(ctx, clientID)
			if client == nil || err != nil {
				return nil, err
			}
			return bareClient{client}, nil
		}
	})
	client := p.client("default_max_age", 0, "subject_type", "pairwise", "frontchannel_logout_uri", "https://client.example/logout", "initiate_login_uri", "https://client.example/login")
	tokens := p.signIn(client, "scope=openid email")
	claims, header := verify(t, tokens["id_token"])
	assert.Equal(t, []any{p.User.GetUserID(), "RS256"}, []any{claims["sub"], header.Algorithm})
	assert.Equal(t, "alice@example.com", members(t, p.userInfo(tokens["access_token"]))["email"])
	ended, err := p.oidc.EndSession(t.Context(), sessionID)
	require.NoError(t, err)
	require.Len(t, ended.Clients, 1)
	frames, err := p.oidc.FrontChannelLogouts(t.Context(), ended)
	require.NoError(t, err)
	assert.Empty(t, frames)
	_, err = p.oidc.InitiateLoginURL(bareClient{client}, oidc.InitiateLogin{})
	assert.ErrorContains(t, err, "has no initiate_login_uri")
}

// knownKeys know their algorithms, and how long they are published.
type knownKeys struct {
	keys
	published time.Duration
}

func (knownKeys) SignatureAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.ES256}
}

func (k knownKeys) PublishedFor() time.Duration { return k.published }

// Each setting is refused from the first value on that cannot work.
func TestWhichSettingsOfAProviderAreRefused(t *testing.T) {
	sessions := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)).oidc
	for _, row := range []struct {
		provider oidc.Provider
		secrets  secret.Keyring
		fault    string
	}{
		{oidc.Provider{Keys: signingKeys()}, nil, ""},
		{oidc.Provider{Keys: knownKeys{signingKeys(), time.Hour}}, nil, ""},
		{oidc.Provider{Keys: knownKeys{signingKeys(), time.Hour - 1}}, nil, "IDTokenExpiresIn is longer than signing keys stay published: make gormstore.SigningKeyOptions.KeepFor at least 1h0m0s"},
		{oidc.Provider{Keys: knownKeys{signingKeys(), time.Minute}, IDTokenExpiresIn: time.Minute}, nil, ""},
		{oidc.Provider{Keys: knownKeys{signingKeys(), time.Minute}, IDTokenExpiresIn: time.Minute + 1}, nil, "at least 1m0.000000001s"},
		{oidc.Provider{Keys: knownKeys{signingKeys(), time.Hour}, Algorithms: []jose.SignatureAlgorithm{jose.ES256}}, nil, ""},
		{oidc.Provider{Keys: knownKeys{signingKeys(), time.Hour}, Algorithms: []jose.SignatureAlgorithm{jose.ES256, jose.PS256}}, nil, "Keys has no key for PS256"},
		{oidc.Provider{Keys: signingKeys(), PairwiseSalt: make([]byte, 32)}, nil, ""},
		{oidc.Provider{Keys: signingKeys(), PairwiseSalt: make([]byte, 31)}, nil, "PairwiseSalt must have at least 32 random bytes"},
		{oidc.Provider{Keys: signingKeys(), PairwiseSalt: make([]byte, 32), PairwiseSubjects: true}, nil, ""},
		{oidc.Provider{Keys: signingKeys(), PairwiseSubjects: true}, oauthtest.ServerSecrets(), "PairwiseSubjects needs Config.Secrets, and Keys that store the salt"},
		{oidc.Provider{Keys: signingKeys(), IDTokenExpiresIn: -1}, nil, "must not be negative"},
		{oidc.Provider{Keys: signingKeys(), SessionExpiresIn: -1}, nil, "must not be negative"},
		{oidc.Provider{Keys: signingKeys(), LogoutExpiresIn: -1}, nil, "must not be negative"},
		{oidc.Provider{Keys: signingKeys(), Sessions: sessions.Sessions}, nil, ""},
		{oidc.Provider{Keys: signingKeys(), Sessions: sessions.Sessions, Logouts: sessions.Logouts, Fetcher: sessions.Fetcher}, nil, ""},
		{oidc.Provider{Keys: signingKeys(), Sessions: sessions.Sessions, Logouts: sessions.Logouts}, nil, "Logouts needs Sessions"},
		{oidc.Provider{Keys: signingKeys(), Logouts: sessions.Logouts, Fetcher: sessions.Fetcher}, nil, "Logouts needs Sessions"},
		{oidc.Provider{}, nil, "Keys is missing"},
	} {
		err := row.provider.CheckConfig(&server.Config{Secrets: row.secrets})
		if row.fault == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, row.fault)
			assert.NotContains(t, err.Error(), "\n", "it is the only fault")
		}
	}
}

// A client may ask for one of several users, or classes of sign-in (OpenID Connect Core section 5.5.1).
func TestValuesThatAClaimMayHave(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client, me := p.client(), `"`+p.User.GetUserID()+`"`
	for claims, want := range map[string]server.Interaction{
		`{"id_token":{"sub":null}}`:                                                     server.AskConsent,
		`{"id_token":{"sub":{"value":` + me + `}}}`:                                     server.AskConsent,
		`{"id_token":{"sub":{"value":"x"}}}`:                                            server.SignIn,
		`{"id_token":{"sub":{"values":["x",` + me + `]}}}`:                              server.AskConsent,
		`{"id_token":{"sub":{"values":["x","y"]}}}`:                                     server.SignIn,
		`{"id_token":{"sub":{"value":` + me + `,"values":["x"]}}}`:                      server.AskConsent,
		`{"id_token":{"sub":{"value":"x","values":[` + me + `]}}}`:                      server.AskConsent,
		`{"id_token":{"sub":{"values":[]}}}`:                                            server.AskConsent,
		`{"id_token":{"sub":{"value":` + p.User.GetUserID() + `}}}`:                     server.SignIn,
		`{"userinfo":{"sub":{"values":["x"]}},"id_token":{"sub":{"value":` + me + `}}}`: server.SignIn,
		`{"id_token":{"acr":{"essential":true,"values":["phr","x"]}}}`:                  server.AskConsent,
		`{"id_token":{"acr":{"essential":true,"values":["x"]}}}`:                        server.SignIn,
		`{"id_token":{"acr":{"essential":true,"value":"x"}}}`:                           server.SignIn,
		`{"id_token":{"acr":{"essential":true}}}`:                                       server.AskConsent,
		`{"id_token":{"acr":{"values":["x"]}}}`:                                         server.AskConsent,
		`{"id_token":{"acr":null}}`:                                                     server.AskConsent,
	} {
		got, failure := p.ask(p.alice(), query(client, "claims="+claims))
		assert.Equal(t, want, got, "%s: %s", claims, failure)
	}
}

// The program learns whom claims are for, and where they go.
func TestWhatTheProgramLearnsOfAnAccessToken(t *testing.T) {
	var got oidc.ClaimsInput
	provider := &oidc.Provider{Keys: signingKeys(), Claims: func(_ context.Context, input *oidc.ClaimsInput) error {
		got = *input
		input.Claims["tenant"] = "tea"
		return nil
	}}
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	require.NoError(t, provider.Register(p.Server, p.Protector))
	client := p.NewClient(nil)
	claims, err := provider.AccessTokenClaims(t.Context(), server.TokenInput{Client: client, User: p.User, Scope: "openid email"})
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"tenant": "tea"}, claims)
	assert.Equal(t, oidc.ClaimsInput{Client: client, User: p.User, Scope: "openid email", Target: oidc.InAccessToken, Claims: got.Claims}, got)
}

// A session is one of its client however long the client's id is, and that client is told of its end.
func TestTheSessionOfAClientWithADocument(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	documents := gormoauth.CreateMetadataDocuments[oauthtest.Client](p.DB, p.oidc.Fetcher)
	documents.Scope = "openid"
	require.NoError(t, p.Server.Register(documents))
	var told atomic.Int64
	site := &pagesOf{texts: make(map[string]string)}
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			told.Add(1)
			return
		}
		site.ServeHTTP(w, r)
	})
	id := address + "/" + strings.Repeat("client", 40)
	site.put(strings.TrimPrefix(id, address), `{"client_id":"`+id+`","redirect_uris":["`+oauthtest.RedirectURI+`"],"token_endpoint_auth_method":"none","scope":"openid","backchannel_logout_uri":"`+address+`/logout"}`)
	ask := "response_type=code&scope=openid&code_challenge_method=S256&code_challenge=" + oauthtest.Challenge + "&redirect_uri=" + url.QueryEscape(oauthtest.RedirectURI) + "&client_id=" + url.QueryEscape(id)
	code := p.Decide(ask, "confirm=yes", p.alice()).Query.Get("code")
	a := p.Token(nil, "grant_type=authorization_code&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code_verifier="+oauthtest.Verifier+"&client_id="+url.QueryEscape(id)+"&code="+code)
	require.Equal(t, http.StatusOK, a.Status, a.Raw)
	ended, err := p.oidc.EndSession(t.Context(), sessionID)
	require.NoError(t, err)
	require.Len(t, ended.Clients, 1)
	assert.Equal(t, id, ended.Clients[0].GetClientID())
	_, err = p.oidc.DeliverDueLogouts(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 1, told.Load())
}

// A token of a client itself has no user whose claims UserInfo could tell, even if every user is served.
func TestUserInfoOfNobody(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	config := p.BareConfig()
	config.Clock = func() time.Time { return p.Now }
	srv, err := server.New(config)
	require.NoError(t, err)
	p.Server = srv
	provider := &oidc.Provider{Keys: signingKeys()}
	require.NoError(t, errors.Join(srv.RegisterGrant(&grant.ClientCredentials{}), provider.Register(srv, p.Protector)))
	client := p.NewClient(func(c *oauthtest.Client) {
		c.ClientMetadata.GrantTypes, c.ClientMetadata.ResponseTypes, c.ClientMetadata.RedirectURIs, c.ClientMetadata.Scope = []string{"client_credentials"}, nil, nil, "openid"
	})
	token := p.Token(client, "grant_type=client_credentials&scope=openid")
	require.Equal(t, "openid", token.Body["scope"], token.Raw)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/userinfo", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+token.Body["access_token"])
	a := p.Serve(r)
	assert.Equal(t, http.StatusUnauthorized, a.Status, a.Raw)
	assert.Equal(t, "The user or the client of the access token is gone or disabled.", a.Body["error_description"])
}

// A code of the hybrid flow needs the grant that takes it, which the doctor looks for.
func TestAHybridCodeThatNoGrantTakesIsDiagnosed(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	code := gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](db)
	for name, want := range map[string]bool{"alone": true, "with the grant": false} {
		config := p.BareConfig()
		config.RevokeGrant = gormoauth.CreateRevokeGrantFunc[oauthtest.Token](db)
		srv, err := server.New(config)
		require.NoError(t, err)
		provider := &oidc.Provider{Keys: signingKeys()}
		require.NoError(t, errors.Join(provider.Register(srv, p.Protector), srv.RegisterGrant(&oidc.Hybrid{Provider: provider, Code: code})))
		if !want {
			require.NoError(t, srv.RegisterGrant(code))
		}
		findings := srv.Diagnose(t.Context())
		assert.Equal(t, want, slices.ContainsFunc(findings, func(f finding.Finding) bool {
			return f.Check == "redeemed_by" && strings.Contains(f.Problem, `"authorization_code"`)
		}), "%s: %s", name, findings)
	}
}

// Where nothing can be delivered, nothing was.
func TestNothingIsDeliveredWithoutAnOutbox(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(o *oidc.Provider) { o.Logouts = nil })
	for want, provider := range map[string]*oidc.Provider{oidc.ErrNotRegistered.Error(): {}, "oidc: Provider.Logouts is missing, so there is nothing to deliver": p.oidc} {
		looked, err := provider.DeliverDueLogouts(t.Context())
		require.EqualError(t, err, want)
		assert.Zero(t, looked)
		provider.DeliverLogouts(t.Context()) // returns at once
	}
}

// A hook of the program's own may change redirect URIs while a client registers: one that is none is refused.
func TestARedirectURIThatAHookChanged(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	err := p.oidc.CheckClientMetadata(t.Context(), &server.Request{Server: p.Server}, &models.ClientMetadata{RedirectURIs: []string{"https://client.example/cb", "https://client .example/cb"}})
	var invalid *clientmeta.Error
	require.ErrorAs(t, err, &invalid)
	require.Len(t, invalid.Faults, 1)
	assert.Equal(t, []string{"redirect_uris", "https://client .example/cb"}, []string{invalid.Faults[0].Member, invalid.Faults[0].Value})
}

// plainUser is a user of whom the model tells no claims.
type plainUser struct{ id string }

func (u plainUser) GetUserID() string { return u.id }

// askedUser remembers the scopes of which the claims were asked.
type askedUser struct {
	*oauthtest.User
	scopes *[]string
}

func (u askedUser) GetClaims(ctx context.Context, scopes []string) (map[string]any, error) {
	*u.scopes = append(*u.scopes, strings.Join(scopes, " "))
	return u.User.GetClaims(ctx, scopes)
}

// A user is asked for the claims of the scopes that were granted, and of those that claims were requested of by name; a
// claim of no scope belongs to none.
func TestOfWhichScopesAUserIsAsked(t *testing.T) {
	var asked []string
	var user askedUser
	p := newConfiguredProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) {
		c.PKCE = server.PKCEOptional
		c.QueryUser = func(context.Context, string) (storage.User, error) { return user, nil }
	})
	user = askedUser{p.User, &asked}
	client := p.client()
	for claims, want := range map[string][]string{
		``: {"openid profile"}, `{"userinfo":{"email":null}}`: {"openid profile", "email"}, `{"userinfo":{"email":null,"email#de":null,"email_verified":null}}`: {"openid profile", "email"},
		`{"userinfo":{"shoe_size":null}}`: {"openid profile"}, `{"userinfo":{"shoe_size":null,"floor":null}}`: {"openid profile", "department"},
	} {
		more := []string{"scope=openid profile"}
		if claims != "" {
			more = append(more, "claims="+claims)
		}
		token := p.signIn(client, more...)["access_token"]
		asked = nil
		require.Equal(t, http.StatusOK, p.userInfo(token).Status)
		assert.Equal(t, want, asked, claims)
	}
}

// A user model need not know claims, and the program's function may take all of them away.
func TestAUserWithoutClaims(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for rule, row := range map[string]struct {
		plain  bool
		claims func(context.Context, *oidc.ClaimsInput) error
		want   []string
	}{
		"a model that tells none":             {true, nil, []string{"sub"}},
		"which the program adds to":           {true, func(_ context.Context, input *oidc.ClaimsInput) error { input.Claims["name"] = "Alice"; return nil }, []string{"name", "sub"}},
		"a program that takes all of it away": {false, func(_ context.Context, input *oidc.ClaimsInput) error { input.Claims = nil; return nil }, []string{"sub"}},
	} {
		p := newConfiguredProvider(t, db, func(c *server.Config) {
			c.PKCE = server.PKCEOptional
			if row.plain {
				c.QueryUser = func(_ context.Context, id string) (storage.User, error) { return plainUser{id}, nil }
			}
		}, func(o *oidc.Provider) { o.Claims = row.claims })
		a := p.userInfo(p.signIn(p.client(), "scope=openid profile")["access_token"])
		assertKeys(t, members(t, a), row.want...)
		assert.Equal(t, p.User.GetUserID(), a.Body["sub"], rule)
	}
}

// A client whose row has a response type, and not the grant type that goes with it, gets neither a
// code nor a token.
func TestAResponseTypeWithoutItsGrantType(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	all := []string{"id_token", "id_token token", "code id_token", "code token", "code id_token token"}
	for grantType, works := range map[string][]string{"authorization_code": nil, "implicit": {"id_token", "id_token token"}} {
		client := p.StoreClient(func(c *oauthtest.Client) {
			c.ClientMetadata.GrantTypes, c.ClientMetadata.ResponseTypes, c.ClientMetadata.Scope = []string{grantType}, all, scope
		})
		for _, responseType := range all {
			a := p.Decide(query(client, "response_type="+responseType), "confirm=yes", p.alice())
			want := server.UnauthorizedClient
			if slices.Contains(works, responseType) {
				want = ""
			}
			assert.Equal(t, want, a.Params()["error"], "%s: %s: %s", grantType, responseType, a.Raw)
			if want != "" {
				assert.Empty(t, a.Params()["code"]+a.Params()["id_token"]+a.Params()["access_token"])
				assert.Equal(t, "The client may not use this 'response_type'.", a.Params()["error_description"])
			}
		}
	}
}

// The subject of a pairwise client is that of its sector: other clients of a host share it, unless
// it gets tokens elsewhere too, or its row names no host.
func TestTheSectorOfAClient(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	subject := func(sector string, redirectURIs []string, grantTypes ...string) string {
		return p.Server.Subject(p.StoreClient(func(c *oauthtest.Client) {
			c.ClientMetadata.RedirectURIs, c.ClientMetadata.GrantTypes = redirectURIs, grantTypes
			c.ClientMetadata.Extra = map[string]json.RawMessage{"subject_type": json.RawMessage(`"pairwise"`)}
			if sector != "" {
				c.ClientMetadata.Extra["sector_identifier_uri"] = json.RawMessage(`"` + sector + `"`)
			}
		}), "alice")
	}
	one := []string{"https://one.example/cb"}
	shared := subject("", one, "authorization_code")
	for rule, other := range map[string]string{
		"another page of the host":             subject("", []string{"https://one.example/other", "https://one.example/cb"}, "authorization_code"),
		"every grant type that needs no other": subject("", one, "authorization_code", "refresh_token", "implicit", "client_credentials"),
		"a list of the host's":                 subject("https://one.example/list", []string{"https://two.example/cb"}, "authorization_code"),
	} {
		assert.Equal(t, shared, other, rule)
	}
	seen := map[string]string{shared: "the host", "alice": "the user's id"}
	for _, row := range []struct {
		rule, sector string
		redirectURIs []string
		grantType    string
	}{
		{"a grant type without a redirect URI", "", one, "urn:ietf:params:oauth:grant-type:device_code"}, {"a password", "", one, "password"},
		{"two hosts", "", []string{"https://one.example/cb", "https://two.example/cb"}, "authorization_code"}, {"two hosts of another", "", []string{"https://one.example/cb", "https://two.example/cb"}, "authorization_code"},
		{"no host", "", []string{"com.example:/cb"}, "authorization_code"}, {"no host of another", "", []string{"com.example:/cb"}, "authorization_code"},
		{"no URI", "", []string{"https://%zz"}, "authorization_code"}, {"no URI of another", "", []string{"https://%zz"}, "authorization_code"},
		{"a list at no URI", "https://%zz", one, "authorization_code"}, {"that of another", "https://%zz", one, "authorization_code"}, {"a list at no host", "com.example:/list", one, "authorization_code"},
		{"another host", "", []string{"https://two.example/cb"}, "authorization_code"},
	} {
		is := subject(row.sector, row.redirectURIs, row.grantType)
		assert.Empty(t, seen[is], "%s has the subject of %s", row.rule, seen[is])
		seen[is] = row.rule
	}
}

// keeping counts how often a session is kept for longer.
type keeping struct {
	*memory
	until []time.Time
}

// memory is the storage of sessions of a provider.
type memory struct{ oidc.SessionStorage }

func (k *keeping) KeepSession(_ context.Context, _ string, until time.Time) error {
	k.until = append(k.until, until)
	return nil
}

// A refresh keeps its session for longer once in each half of a grant's life, and never where
// grants have no end.
func TestHowOftenASessionIsKept(t *testing.T) {
	for life, want := range map[time.Duration][]int{30 * 24 * time.Hour: {15, 30, 45}, 10 * 24 * time.Hour: {5, 10, 15, 20, 25, 30, 35, 40, 45, 50}, -1: nil} {
		k := new(keeping)
		p := newConfiguredProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) { c.PKCE, c.RefreshTokenExpiresIn = server.PKCEOptional, life },
			func(o *oidc.Provider) { k.memory = &memory{o.Sessions}; o.Sessions = k })
		half := int64(15 * 24 * 60 * 60)
		if life == 10*24*time.Hour {
			half = 5 * 24 * 60 * 60
		}
		p.Now = time.Unix(p.Now.Unix()/half*half, 0) // the beginning of a half
		p.how.Time = p.Now.Unix()
		began := p.Now
		client := p.client()
		token := p.signIn(client, "scope=openid offline_access")["refresh_token"]
		var row oauthtest.Session
		require.NoError(t, p.DB.Last(&row).Error)
		if life < 0 {
			assert.Equal(t, p.Now.AddDate(100, 0, 0).Unix(), row.ExpiresAt)
		} else {
			assert.Equal(t, p.Now.Add(max(30*24*time.Hour, life+life/2)).Unix(), row.ExpiresAt)
		}
		var kept []int
		for day := 1; day <= 50; day++ {
			p.Now = p.Now.Add(24 * time.Hour)
			before := len(k.until)
			a := p.Refresh(client, token, "")
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			if token = a.Body["refresh_token"]; len(k.until) > before {
				kept = append(kept, int(p.Now.Sub(began).Hours()/24))
				assert.Equal(t, p.Now.Add(max(30*24*time.Hour, life+life/2)), k.until[before])
			}
		}
		assert.Equal(t, want, kept, life)
	}
}

// A login begins at an address that a browser can be sent to.
func TestALoginThatCannotBegin(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.StoreClient(func(c *oauthtest.Client) {
		c.ClientMetadata.Extra = map[string]json.RawMessage{"initiate_login_uri": json.RawMessage(`"javascript:alert(1)"`)}
	})
	address, err := p.oidc.InitiateLoginURL(client, oidc.InitiateLogin{})
	assert.ErrorContains(t, err, fmt.Sprintf("oidc: the initiate_login_uri of the client %q ", client.ClientID))
	assert.Empty(t, address)
	_, err = new(oidc.Provider).InitiateLoginURL(client, oidc.InitiateLogin{})
	assert.ErrorIs(t, err, oidc.ErrNotRegistered)
}

// What an endpoint lacks is named with the endpoint.
func TestWhatIsMissingIsNamedWithItsPlace(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	code := gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](p.DB)
	for want, err := range map[string]error{
		"oidc: UserInfo.Provider is missing": p.Server.RegisterEndpoint(&oidc.UserInfo{Protector: p.Protector}),
		"oidc: Implicit.Provider is missing": p.Server.RegisterGrant(&oidc.Implicit{}),
		"oidc: Hybrid.Provider is missing":   p.Server.RegisterGrant(&oidc.Hybrid{Code: code}),
	} {
		assert.ErrorContains(t, err, want)
	}
}

// A delivery that its caller calls off is an error, and the client is not at fault.
func TestADeliveryThatIsCalledOff(t *testing.T) {
	q := new(queue)
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(o *oidc.Provider) { o.Logouts = q })
	ctx, cancel := context.WithCancel(t.Context())
	q.enqueue(p.client("backchannel_logout_uri", serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		if ctx.Err() == nil {
			cancel()
			<-r.Context().Done()
		}
		w.WriteHeader(http.StatusOK)
	})).ClientID, 1)
	_, err := p.oidc.DeliverDueLogouts(ctx)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, q.deleted)
	_, err = p.oidc.DeliverDueLogouts(t.Context())
	assert.NoError(t, err)
	assert.Equal(t, []string{"0"}, q.deleted, "it is told at once")
}

// What the log says of an outbox that fails.
func TestWhatIsLoggedOfAnOutbox(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := new(lines)
	p := newConfiguredProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) { c.PKCE, c.Logger = server.PKCEOptional, slog.New(log) },
		func(o *oidc.Provider) { o.Logouts = new(failingQueue) })
	log.all, log.then = nil, cancel
	p.oidc.DeliverLogouts(ctx)
	require.Len(t, log.all, 1)
	assert.Equal(t, []any{slog.LevelError, "logouts could not be delivered"}, []any{log.all[0].Level, log.all[0].Message})
	values := make(map[string]string)
	log.all[0].Attrs(func(a slog.Attr) bool { values[a.Key] = a.Value.String(); return true })
	assert.Equal(t, map[string]string{"cause": "away", "pause": "1s"}, values)
}

// failingQueue fails.
type failingQueue struct{ queue }

func (*failingQueue) DueLogoutsExcept(context.Context, time.Time, int, []string) ([]models.LogoutMixin, error) {
	return nil, errors.New("away")
}

// A refresh keeps no session where there is none, or where the storage keeps none for longer.
func TestARefreshThatKeepsNoSession(t *testing.T) {
	for rule, row := range map[string]struct {
		sessionID string
		keeps     bool
	}{
		"no session": {"", true}, "a storage that keeps none": {sessionID, false}, "neither": {"", false},
	} {
		k := new(keeping)
		p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(o *oidc.Provider) {
			k.memory = &memory{o.Sessions}
			if o.Sessions = k.memory; row.keeps {
				o.Sessions = k
			}
		})
		p.how.SessionID = row.sessionID
		client := p.client()
		token := p.signIn(client, "scope=openid offline_access")["refresh_token"]
		p.Now = p.Now.Add(20 * 24 * time.Hour)
		a := p.Refresh(client, token, "")
		assert.Equal(t, http.StatusOK, a.Status, "%s: %s", rule, a.Raw)
		assert.Empty(t, k.until, rule)
	}
}

// What a request leaves out is as its client registered it.
func TestTheDefaultsOfAClient(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.client("default_max_age", 100, "default_acr_values", []string{"phr", "pwd"})
	for more, want := range map[string][2]string{"": {"100", "phr pwd"}, "max_age=50": {"50", "phr pwd"}, "acr_values=x": {"100", "x"}} {
		var request []string
		if more != "" {
			request = append(request, more)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/authorize?"+query(client, request...), http.NoBody)
		consent, err := p.Server.GetConsentGrant(r, p.alice())
		require.NoError(t, err)
		assert.Equal(t, want, [2]string{consent.Request.Params.Get("max_age"), consent.Request.Params.Get("acr_values")}, more)
	}
}

// An ID token names the session of its client, whichever way it comes.
func TestEveryIDTokenNamesItsSession(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.client()
	tokens := p.signIn(client, "scope=openid offline_access")
	claims, _ := verify(t, tokens["id_token"])
	sid := claims["sid"]
	require.NotEmpty(t, sid)
	all := map[string]string{"a refresh": p.Refresh(client, tokens["refresh_token"], "").Body["id_token"]}
	for _, responseType := range []string{"id_token", "id_token token", "code id_token", "code id_token token"} {
		all[responseType] = p.authorize(client, "response_type="+responseType)["id_token"]
	}
	for rule, text := range all {
		claims, _ := verify(t, text)
		assert.Equal(t, sid, claims["sid"], rule)
	}
}

// UserInfo takes an access token from the body of a form alone (RFC 6750 section 2.2).
func TestWhereUserInfoFindsAToken(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.client()
	token := p.signIn(client, "scope=openid")["access_token"]
	for _, row := range []struct {
		method, contentType string
		status              int
	}{
		{http.MethodPost, "application/x-www-form-urlencoded", http.StatusOK},
		{http.MethodPost, "application/x-www-form-urlencoded; charset=UTF-8", http.StatusOK},
		{http.MethodPost, "text/plain", http.StatusUnauthorized},
		{http.MethodPost, "", http.StatusUnauthorized},
		{http.MethodGet, "application/x-www-form-urlencoded", http.StatusUnauthorized},
	} {
		r := httptest.NewRequest(row.method, "/oauth/userinfo", strings.NewReader("access_token="+token))
		if row.contentType != "" {
			r.Header.Set("Content-Type", row.contentType)
		}
		assert.Equal(t, row.status, p.Serve(r).Status, "%s %s", row.method, row.contentType)
	}
}
