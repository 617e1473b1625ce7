package server_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
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
}

func (ownGrant) GrantType() string { return "own" }
func (g *ownGrant) PrepareIssuance(context.Context, *server.Request) (*server.Issuance, error) {
	return g.issuance, g.err
}

// What a grant of the program's returns is checked like what those of the library return.
func TestWhatAGrantOfTheProgramsReturns(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	own := new(ownGrant)
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
		"a user who signed in": {&server.Issuance{User: server.SignedIn{User: p.User, Authentication: signedIn}}, p.Server, ""},
		"a pointer to one":     {&server.Issuance{User: &server.SignedIn{User: p.User, Authentication: signedIn}}, p.Server, ""},
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
	config.ClientAuthMethods = append(clientauth.Defaults()[:1:1], refusing{})
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

func TestAReuseIsAnError(t *testing.T) {
	at := time.Unix(1, 0)
	err := error(&server.ReuseError{GrantID: "g", Time: at})
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
