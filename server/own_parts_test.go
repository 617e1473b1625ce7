package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
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
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

// bareClient is a client of the program's own, without registered metadata.
type bareClient struct{ storage.Client }

// A client model need not embed models.ClientMixin: what nobody can know of it is left out, and
// what needs it is an error.
func TestAClientWithoutMetadata(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) {
		query := gormoauth.CreateQueryClientFunc[oauthtest.Client](db)
		c.QueryClient = func(ctx context.Context, clientID string) (storage.Client, error) {
			client, err := query(ctx, clientID)
			if client == nil || err != nil {
				return nil, err
			}
			return bareClient{client}, nil
		}
	})
	details := &grant.AuthorizationDetails{Types: map[string]grant.AuthorizationDetailType{
		"payment": {Check: func(context.Context, *server.Request, grant.AuthorizationDetail) error { return nil }},
	}}
	registration := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	registration.Open = true
	require.NoError(t, errors.Join(p.Server.RegisterEndpoint(registration),
		p.Server.Register(details, &grant.RequestObjects{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db)})))
	client := p.NewClient(nil)
	assert.Equal(t, http.StatusOK, p.Redeem(client, p.Code(client, "scope=profile&authorization_details="+queryEscape(`[{"type":"payment"}]`))).Status)

	wrong := *client
	wrong.Secret = "wrong"
	a := p.Redeem(&wrong, p.Code(client, ""))
	assert.Equal(t, server.InvalidClient, a.Body["error"])
	assert.Equal(t, "the client secret is wrong", a.Refusal().Keys["reason"])
	a = p.Consent("client_id=" + client.ClientID + "&request=x")
	assert.Equal(t, server.ServerError, a.Body["error"])
	assert.Contains(t, a.Refusal().Keys["cause"], "must embed models.ClientMixin")
	registered := p.Register(`{"redirect_uris":["` + oauthtest.RedirectURI + `"]}`)
	require.Equal(t, http.StatusCreated, registered.Status, registered.Raw)
	managed := get(strings.TrimPrefix(registered.Body["registration_client_uri"], oauthtest.Issuer))
	managed.Header.Set("Authorization", "Bearer "+registered.Body["registration_access_token"])
	assert.Equal(t, server.InvalidToken, p.Serve(managed).Body["error"])
}

// ownGrant issues what the program says.
type ownGrant struct {
	issuance *server.Issuance
	err      error
	scope    string // which it sets
}

func (ownGrant) GrantType() string { return "own" }

// CheckAuthMethod wants clients that prove who they are.
func (*ownGrant) CheckAuthMethod(method string) bool { return method != models.None }

func (g *ownGrant) PrepareIssuance(_ context.Context, req *server.Request) (*server.Issuance, error) {
	req.Scope = g.scope
	return g.issuance, g.err
}

// What a grant of the program's returns is checked like what those of the library return.
func TestWhatAGrantOfTheProgramsReturns(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	own := &ownGrant{scope: "profile"}
	require.NoError(t, p.Server.RegisterGrant(own))
	client := p.NewClient(oauthtest.Grants("own"))
	config := p.BareConfig()
	bare, err := server.New(config)
	require.NoError(t, err)
	require.NoError(t, bare.RegisterGrant(own))
	signedIn := server.Authentication{Time: p.Now.Unix() - 30, ACR: "phr", AMR: []string{"pwd"}}

	for rule, row := range map[string]struct {
		issuance *server.Issuance
		of       *server.Server
		cause    string
	}{
		"a user who signed in": {&server.Issuance{User: server.SignedIn{User: p.User, Authentication: signedIn}, NoDefaultScope: true}, p.Server, ""},
		"a pointer to one":     {&server.Issuance{User: &server.SignedIn{User: p.User, Authentication: signedIn}, NoDefaultScope: true}, p.Server, ""},
		"a user without an id": {&server.Issuance{User: storage.UserID("")}, p.Server, "storage.UserID.GetUserID returned an empty id"},
		"nothing":              {nil, p.Server, `the grant "own" prepared no issuance and no error`},
		"a credential, which nothing could revoke": {&server.Issuance{Credential: new(server.Credential)}, bare, `Config.RevokeGrant is missing, grant "own" needs it`},
	} {
		t.Run(rule, func(t *testing.T) {
			own.issuance = row.issuance
			r := newRequest(client, "grant_type=own")
			a := p.Do(http.HandlerFunc(row.of.CreateTokenResponse), r)
			if row.cause != "" {
				assert.Equal(t, server.ServerError, a.Body["error"])
				assert.Contains(t, a.Refusal().Keys["cause"], row.cause)
				return
			}
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			assert.NotContains(t, a.Body, "scope", "which it says there is none of")
			var token oauthtest.Token
			require.NoError(t, db.Last(&token).Error)
			assert.Equal(t, signedIn, server.AuthenticationOf(token.GetAuthorization()))
		})
	}
}

func newRequest(client *oauthtest.Client, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/oauth/token", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client.ClientID, client.Secret)
	return r
}

// otherGrant is an authorization grant that issues a token for another grant type.
type otherGrant struct{ grantType string }

func (otherGrant) ResponseTypes() []string { return []string{"own"} }
func (otherGrant) ResponseMode() string    { return "fragment" }
func (g otherGrant) Authorize(ctx context.Context, req *server.Request) (map[string][]string, error) {
	response, err := req.IssueToken(ctx, g.grantType, &server.Issuance{User: req.User, Scope: req.Scope})
	if err != nil {
		return nil, err
	}
	return response.Parameters(), nil
}

// A token is issued for a grant type that the client may use.
func TestATokenForAnotherGrantType(t *testing.T) {
	for grantType, want := range map[string]string{"implicit": "", "client_credentials": server.UnauthorizedClient} {
		p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
		require.NoError(t, p.Server.RegisterGrant(otherGrant{grantType}))
		client := p.NewClient(oauthtest.All(oauthtest.Grants("implicit"), func(c *oauthtest.Client) { c.ClientMetadata.ResponseTypes = []string{"token", "own"} }))
		a := p.Grant("response_type=own&client_id=" + client.ClientID)
		assert.Equal(t, want, a.Params()["error"], a.Raw)
		assert.Equal(t, want == "", a.Params()["access_token"] != "")
	}
}

// unwritable is a hook, and an endpoint, whose answer is not JSON.
type unwritable struct{}

func (unwritable) PrepareTokenResponse(_ context.Context, _ *server.Request, _ *models.TokenMixin, response *server.TokenResponse) error {
	response.SetExtra("own", make(chan int))
	return nil
}
func (unwritable) EndpointName() string { return "own" }
func (unwritable) EndpointPath() string { return "/own" }
func (unwritable) CreateResponse(context.Context, *server.Request) (*server.Response, error) {
	return &server.Response{Body: make(chan int)}, nil
}

// An answer that cannot be written is an error, and nothing of it is sent.
func TestAnAnswerThatCannotBeWritten(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	require.NoError(t, errors.Join(p.Server.Register(unwritable{}), p.Server.RegisterEndpoint(unwritable{})))
	client := p.NewClient(oauthtest.Grants("client_credentials"))
	for rule, a := range map[string]oauthtest.Answer{
		"of the token endpoint": p.Token(client, "grant_type=client_credentials"), "of an endpoint": p.Post("/own", client, ""),
	} {
		assert.Equal(t, http.StatusInternalServerError, a.Status, rule)
		assert.Equal(t, map[string]string{"error": server.ServerError, "error_description": "The server could not answer the request."}, a.Body, rule)
		assert.Contains(t, a.Refusal().Keys["cause"], "encode the response", rule)
	}
}

// A program that renders its errors has all that its server's writer can do.
func TestAWriterIsUnwrapped(t *testing.T) {
	flushed := errors.New("never rendered")
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) {
		c.RenderError = func(w http.ResponseWriter, _ *http.Request, page server.ErrorPage) {
			w.WriteHeader(page.Error.Status)
			flushed = http.NewResponseController(w).Flush()
		}
	})
	a := p.Send(http.MethodPost, "client_id=nobody&response_type=code", "", p.User)
	assert.Equal(t, http.StatusBadRequest, a.Status)
	assert.NoError(t, flushed)
}

// forgetful is the grant of a program whose refresh tokens cannot be looked up again.
type forgetful struct{ *grant.RefreshToken }

func (g forgetful) PrepareIssuance(ctx context.Context, req *server.Request) (*server.Issuance, error) {
	issuance, err := g.RefreshToken.PrepareIssuance(ctx, req)
	if err == nil {
		issuance.Credential.QueryToken = nil
	}
	return issuance, err
}

// A refresh that is repeated, whose first answer nobody can look up, gets another access token.
func TestARepeatOfARefreshThatCannotBeLookedUp(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	tokens := p.Redeem(client, p.Code(client, "")).Body
	require.NoError(t, p.Server.RegisterGrant(forgetful{gormoauth.CreateRefreshTokenGrant[oauthtest.Token](db)}))
	first, second := p.Refresh(client, tokens["refresh_token"], ""), p.Refresh(client, tokens["refresh_token"], "")
	require.Equal(t, []int{http.StatusOK, http.StatusOK}, []int{first.Status, second.Status}, second.Raw)
	assert.Equal(t, first.Body["refresh_token"], second.Body["refresh_token"])
	assert.NotEqual(t, first.Body["access_token"], second.Body["access_token"])
}

// What a request presents is spent once, even if its grant prepares it a second time because
// another request was quicker.
func TestAProofOfARefreshThatIsPreparedTwice(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	lost := 0
	p := oauthtest.New(t, db, func(c *server.Config) {
		save := gormoauth.CreateSaveTokenFunc[oauthtest.Token](db)
		c.SaveToken = func(ctx context.Context, exchange storage.Exchange) error {
			if lost > 0 {
				lost--
				return storage.ErrSpent
			}
			return save(ctx, exchange)
		}
	})
	require.NoError(t, p.Server.Register(gormoauth.CreateDPoP[oauthtest.Replay](db), &grant.CertificateBoundTokens{EveryClient: true}))
	client := p.NewClient(oauthtest.All(oauthtest.Public))
	key := oauthtest.NewKey(t)
	certificate := p.NewCertificate(nil, nil)
	proof := func() string { return p.DPoP(key, http.MethodPost, oauthtest.Issuer+"/oauth/token") }
	tokens := p.Token(client, "grant_type=authorization_code&code_verifier="+oauthtest.Verifier+"&code="+p.Code(client, ""), "DPoP", proof())
	require.Equal(t, "DPoP", tokens.Body["token_type"], tokens.Raw)
	lost = 1
	body := "grant_type=refresh_token&client_id=" + client.ClientID + "&refresh_token=" + tokens.Body["refresh_token"]
	again := p.PostTLS("/oauth/token", body, []*oauthtest.Certificate{certificate}, "DPoP", proof())
	require.Equal(t, http.StatusOK, again.Status, again.Raw)
	assert.Zero(t, lost)
	assert.Equal(t, "DPoP", again.Body["token_type"], "and the key that was proved is the one of the token, whatever certificate comes with it")
}

// refusing is a method of the program's that cannot stand settings that are wrong.
type refusing struct{ clientauth.None }

func (refusing) CheckRegistration(s *server.Server) error {
	if s.Issuer() == "" {
		panic("no issuer")
	}
	return nil
}

// Settings that are wrong are told, whatever a hook does with them.
func TestAHookThatPanicsOnWrongSettings(t *testing.T) {
	config := minimalConfig()
	config.ClientAuthMethods = []server.ClientAuthMethod{&clientauth.ClientSecretBasic{}, refusing{}}
	_, err := server.New(config)
	require.NoError(t, err)
	config.Issuer = ""
	_, err = server.New(config)
	assert.ErrorContains(t, err, "Config.Issuer: is missing")
}

// What a grant wraps is checked as well, also if nobody registers it by itself.
func TestAWrappedGrantIsChecked(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	assert.ErrorContains(t, p.Server.RegisterGrant(&wrapping{&grant.AuthorizationCode{}}), "AuthorizationCode.SaveAuthorizationCode")
	var early server.Server
	require.NoError(t, early.RegisterGrant(&wrapping{&grant.AuthorizationCode{}}))
	assert.ErrorContains(t, early.Init(p.BareConfig()), "AuthorizationCode.SaveAuthorizationCode")
}

// Each setting up to its limit, and beyond.
func TestTheLimitsOfSettings(t *testing.T) {
	set := func(change func(c *server.Config)) error {
		config := minimalConfig()
		change(&config)
		_, err := server.New(config)
		return err
	}
	own := func(context.Context, server.TokenInput) (string, error) { return "", nil }
	for fault, row := range map[string]struct{ good, bad func(c *server.Config) }{
		`TokenExpiresIn["own"] must be at least a second`: {
			func(c *server.Config) { c.TokenExpiresIn = map[string]time.Duration{"own": time.Second} },
			func(c *server.Config) { c.TokenExpiresIn = map[string]time.Duration{"own": time.Second - 1} },
		},
		"TokenPrefix must be at most 16 lowercase letters and digits": {
			func(c *server.Config) { c.TokenPrefix = "abcdefghijklmn09" }, func(c *server.Config) { c.TokenPrefix = "abcdefghijklmn090" },
		},
		"RefreshTokenKey must have at least 32 random bytes": {
			func(c *server.Config) { c.RefreshTokenKey = make([]byte, 32) }, func(c *server.Config) { c.RefreshTokenKey = make([]byte, 31) },
		},
		"StorageBudget must not be negative":   {func(c *server.Config) { c.StorageBudget = 0 }, func(c *server.Config) { c.StorageBudget = -1 }},
		"MaxRequestBytes must not be negative": {func(c *server.Config) { c.MaxRequestBytes = 0 }, func(c *server.Config) { c.MaxRequestBytes = -1 }},
		"RefreshTokenGrace needs the built-in generator of refresh tokens": {
			func(c *server.Config) { c.RefreshTokenGenerator = own },
			func(c *server.Config) { c.RefreshTokenGenerator, c.RefreshTokenGrace = own, 1 },
		},
	} {
		assert.NoError(t, set(row.good), fault)
		assert.ErrorContains(t, set(row.bad), fault)
	}
}

// A query may be as long as the setting says.
func TestTheLengthOfAQuery(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) { c.MaxRequestBytes = 300 })
	query := oauthtest.AuthorizeQuery(p.NewClient(nil), "state=")
	query += strings.Repeat("s", 300-len(query))
	assert.Equal(t, http.StatusOK, p.Consent(query).Status)
	assert.Equal(t, "The query is too long.", p.Consent(query + "s").Body["error_description"])
}

// What a client says in several languages is kept, and of other members no translation.
func TestMetadataInOtherLanguages(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	given := make(map[string]json.RawMessage)
	for _, member := range []string{"client_name", "client_uri", "logo_uri", "tos_uri", "policy_uri", "redirect_uris", "unknown"} {
		given[member+"#de"] = json.RawMessage(`"https://client.example/de"`)
	}
	given["client_name#fr"] = json.RawMessage("7")
	checked, err := p.Server.CheckClient(t.Context(), server.ClientCheck{Source: models.ClientByRegistration, Metadata: models.ClientMetadata{
		RedirectURIs: []string{"https://client.example/cb"}, Extra: given,
	}, GrantTypes: []string{"authorization_code"}})
	require.NoError(t, err)
	assert.Equal(t, []string{"client_name#de", "client_uri#de", "logo_uri#de", "policy_uri#de", "tos_uri#de"}, slices.Sorted(maps.Keys(checked.Extra)))
}

func TestAReuseIsAnError(t *testing.T) {
	err := error(&server.ReuseError{GrantID: "g", Time: time.Unix(1, 0)})
	assert.EqualError(t, err, "a credential was presented again; its grant is revoked")
}

// The parameters of a request object are as few as those of a request.
func TestARequestObjectWithTooManyParameters(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	require.NoError(t, errors.Join(p.Server.Register(&grant.RequestObjects{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db)}), p.Server.RegisterEndpoint(&endpoint.Metadata{})))
	key := oauthtest.NewKey(t)
	client := p.NewClient(func(c *oauthtest.Client) { c.ClientMetadata.JWKs = oauthtest.KeySet(t, key) })
	ask := func(parameters int) oauthtest.Answer {
		claims := map[string]any{"iss": client.ClientID, "aud": oauthtest.Issuer, "client_id": client.ClientID, "response_type": "code", "code_challenge": oauthtest.Challenge, "code_challenge_method": "S256"}
		for i := 4; i < parameters; i++ {
			claims["own"+strings.Repeat("x", i)] = "x"
		}
		return p.Consent("client_id=" + client.ClientID + "&request=" + oauthtest.SignJWT(t, key, jose.ES256, nil, claims))
	}
	assert.Equal(t, http.StatusOK, ask(128).Status)
	a := ask(129)
	assert.Equal(t, server.InvalidRequest, a.Body["error"])
	assert.Equal(t, "The request has too many parameters.", a.Body["error_description"])
}

// counting counts how often client metadata is checked.
type counting struct{ checks int }

func (*counting) ClientMetadataMembers() []string { return nil }
func (c *counting) CheckClientMetadata(context.Context, *server.Request, *models.ClientMetadata) error {
	c.checks++
	return nil
}

// listed is a hook that cannot be compared.
type listed struct {
	*counting
	names []string
}

// A check of a client changes nothing of what it is given, and asks each hook once.
func TestACheckOfAClient(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	shared, own := new(counting), listed{counting: new(counting), names: []string{"x"}}
	require.NoError(t, errors.Join(p.Server.RegisterGrant(new(ownGrant), shared), p.Server.RegisterGrant(otherGrant{"implicit"}, shared), p.Server.Register(own)))
	given := func() models.ClientMetadata {
		return models.ClientMetadata{
			RedirectURIs: []string{"http://127.0.0.1:*/cb", "https://client.example/cb"}, GrantTypes: []string{"magic", "authorization_code", "implicit"},
			ResponseTypes: []string{"magic", "code", "token"}, TokenEndpointAuthMethod: models.None, JWKs: json.RawMessage("null"),
			Extra: map[string]json.RawMessage{"unknown": json.RawMessage("true"), "require_pushed_authorization_requests": json.RawMessage("null")},
		}
	}
	for _, source := range []string{models.ClientByHand, models.ClientByRegistration, models.ClientByDocument} {
		shared.checks, own.checks = 0, 0
		metadata := given()
		checked, err := p.Server.CheckClient(t.Context(), server.ClientCheck{Source: source, Metadata: metadata, GrantTypes: []string{"authorization_code", "implicit"}})
		assert.Equal(t, given(), metadata, source)
		if source == models.ClientByHand {
			assert.ErrorContains(t, err, `"magic" is not a grant type of this server`)
			continue
		}
		require.NoError(t, err, source)
		assert.Equal(t, []string{"http://127.0.0.1/cb", "https://client.example/cb"}, checked.RedirectURIs)
		assert.Equal(t, []int{1, 1}, []int{shared.checks, own.checks}, source)
	}
	_, err := p.Server.CheckClient(t.Context(), server.ClientCheck{Source: models.ClientByHand, Metadata: models.ClientMetadata{GrantTypes: []string{"own"}, TokenEndpointAuthMethod: models.None}})
	assert.ErrorContains(t, err, `grant_types: "own"`, "nor is a grant type left that its method may not use")
}

// What a request does not have is not in its answer either.
func TestAnAnswerHasNoMoreThanItsRequest(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.NewClient(nil)
	for state, want := range map[string][]string{"": {"code", "iss"}, "&state=": {"code", "iss"}, "&state=s": {"code", "iss", "state"}} {
		for _, user := range []storage.User{p.User, nil} {
			a := p.Decide(oauthtest.AuthorizeQuery(client, state), "confirm=yes", user)
			names := slices.Sorted(maps.Keys(a.Query))
			if user == nil {
				want = append(slices.DeleteFunc(slices.Clone(want), func(name string) bool { return name == "code" }), "error", "error_description")
				slices.Sort(want)
			}
			assert.Equal(t, want, names, state)
		}
	}
}

// A refresh is the same whatever the order in which it asks, and however often.
func TestARepeatAsksForTheSameInAnyOrder(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{"https://a.example", "https://b.example"}}))
	client := p.NewClient(nil)
	const both = "&resource=https://a.example&resource=https://b.example"
	tokens := p.Redeem(client, p.Code(client, "scope=profile%20email"+both)).Body
	first := p.Refresh(client, tokens["refresh_token"], "&scope=profile%20email"+both)
	require.Equal(t, http.StatusOK, first.Status, first.Raw)
	for more, same := range map[string]bool{
		"&scope=email%20profile%20email&resource=https://b.example&resource=https://a.example": true,
		"&scope=email%20profile" + both:                     true,
		"&scope=email" + both:                               false,
		"&scope=email%20profile&resource=https://a.example": false,
	} {
		again := p.Refresh(client, tokens["refresh_token"], more)
		assert.Equal(t, http.StatusOK, again.Status, again.Raw)
		assert.Equal(t, same, first.Body["access_token"] == again.Body["access_token"], more)
	}
}

// The address of a page is the one that the browser knows, of which a router may have taken a
// prefix that the issuer does not have.
func TestAPageBelowAPrefix(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.NewClient(nil)
	var returnTo string
	page := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		consent, err := p.Server.GetConsentGrant(r, p.User)
		if assert.NoError(t, err) {
			returnTo = consent.ReturnTo
		}
	})
	query := oauthtest.AuthorizeQuery(client, "")
	for _, row := range []struct{ line, want string }{
		{"/apps/oauth/authorize?" + query, "/apps/oauth/authorize"}, {"/elsewhere?" + query, "/oauth/authorize"}, {"%zz", "/oauth/authorize"},
	} {
		r := get("/oauth/authorize?" + query)
		r.RequestURI = row.line
		p.Do(page, r)
		assert.Equal(t, row.want+"?"+query, returnTo, row.line)
	}
}

// What the program's own look-up of clients returns as an error is one, also if it is the reason of
// a refusal, which only a hook may give.
func TestAReasonIsNoAnswerOfTheOwnLookUp(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	config := p.BareConfig()
	config.QueryClient = func(context.Context, string) (storage.Client, error) { return nil, reason.New("not this one") }
	srv, err := server.New(config)
	require.NoError(t, err)
	client, err := srv.QueryClient(t.Context(), "client")
	assert.Nil(t, client)
	assert.EqualError(t, err, "not this one")
}

// Storage that says twice that a credential was spent by another request, of which there is no trace, is
// not asked for ever: the request counts as a reuse.
func TestASpentCredentialWithoutATrace(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	calls, spent := 0, false
	p := oauthtest.New(t, db, func(c *server.Config) {
		save := gormoauth.CreateSaveTokenFunc[oauthtest.Token](db)
		c.SaveToken = func(ctx context.Context, exchange storage.Exchange) error {
			if !spent {
				return save(ctx, exchange)
			}
			if calls++; calls > 4 {
				return errors.New("asked for ever")
			}
			return storage.ErrSpent
		}
	})
	client := p.NewClient(nil)
	for _, row := range []struct {
		rule  string
		ask   func() oauthtest.Answer
		calls int
	}{
		{"a code", func() func() oauthtest.Answer {
			code := p.Code(client, "")
			return func() oauthtest.Answer { return p.Redeem(client, code) }
		}(), 1},
		{"a refresh token", func() func() oauthtest.Answer {
			token := p.Redeem(client, p.Code(client, "")).Body["refresh_token"]
			return func() oauthtest.Answer { return p.Refresh(client, token, "") }
		}(), 2},
	} {
		calls, spent = 0, true
		a := row.ask()
		spent = false
		assert.Equal(t, server.InvalidGrant, a.Body["error"], row.rule)
		assert.Equal(t, row.calls, calls, row.rule)
	}
}
