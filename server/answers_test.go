package server_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Each method that returns an error does so before Init, and what needs nothing works.
func TestBeforeInitEveryFunctionSaysSo(t *testing.T) {
	var srv server.Server
	for name, call := range map[string]func() error{
		"ParseRequest":     func() error { _, err := srv.ParseRequest(get("/"), "page"); return err },
		"ParsePageRequest": func() error { _, err := srv.ParsePageRequest(get("/"), "page"); return err },
		"CheckClient":      func() error { _, err := srv.CheckClient(t.Context(), server.ClientCheck{}); return err },
		"GetConsentGrant":  func() error { _, err := srv.GetConsentGrant(get("/"), nil); return err },
	} {
		assert.ErrorIs(t, call(), server.ErrNotInitialized, name)
	}
	fault := errors.New("of the page")
	var seen *http.Request
	r := get("/")
	assert.Same(t, fault, srv.ObservePage(r, "page", func(r *http.Request) (*server.Request, error) { seen = r; return nil, fault }))
	assert.Same(t, r, seen)
}

// What a setting may not be is refused, by its name, also by what was registered before it.
func TestMoreFaultsOfAConfiguration(t *testing.T) {
	for fault, change := range map[string]func(*server.Config){
		"Config.FormerIssuers[1]: \"http://id.example\" must be https": func(c *server.Config) { c.FormerIssuers = []string{"https://old.example", "http://id.example"} },
		"Config.StorageBudget must not be negative":                    func(c *server.Config) { c.StorageBudget = -1 },
	} {
		assert.ErrorContains(t, newServer(change), fault)
	}
	var srv server.Server
	require.NoError(t, srv.RegisterEndpoint(faulty{}))
	assert.ErrorContains(t, srv.Init(minimalConfig()), "an endpoint that is not finished")
	srv = server.Server{}
	require.NoError(t, srv.Register(faulty{}))
	assert.ErrorContains(t, srv.Init(minimalConfig()), "an endpoint that is not finished")
	srv = server.Server{}
	require.NoError(t, srv.Init(minimalConfig()))
	assert.ErrorContains(t, srv.RegisterGrant(&grant.ClientCredentials{}, lookingUpAll{}), "lookingUpAll looks up clients before the grant is known: use Server.Register")
	assert.ErrorContains(t, srv.RegisterGrant(&grant.ClientCredentials{}, observing{}), "observing observes requests before their grant is known: use Server.Register")
}

// faulty is an endpoint, and a hook, whose settings are not finished.
type faulty struct{}

func (faulty) EndpointName() string { return "faulty" }
func (faulty) EndpointPath() string { return "/faulty" }
func (faulty) CreateResponse(context.Context, *server.Request) (*server.Response, error) {
	return nil, nil
}

func (faulty) CheckConfig(*server.Config) error {
	return errors.New("an endpoint that is not finished")
}
func (faulty) PrepareMetadata(*server.Server, server.Metadata) {}

type lookingUpAll struct{}

func (lookingUpAll) LookUpClient(_ context.Context, _ *server.Server, _ string, found storage.Client) (storage.Client, error) {
	return found, nil
}

type observing struct{}

func (observing) ObserveRequest(ctx context.Context, _ string) (context.Context, func(server.Observation)) {
	return ctx, nil
}

// What a client asks for that the server does not have is refused with what it has.
func TestAClientThatAsksForMoreThanThereIs(t *testing.T) {
	srv, err := server.New(minimalConfig())
	require.NoError(t, err)
	check := func(m models.ClientMetadata) string {
		_, err := srv.CheckClient(t.Context(), server.ClientCheck{Source: models.ClientByHand, Metadata: m})
		var invalid *clientmeta.Error
		if err != nil {
			require.ErrorAs(t, err, &invalid)
			return err.Error()
		}
		return ""
	}
	assert.Equal(t, "grant_types: \"client_credentials\" is not a grant type of this server, which supports none; register the grant with the server first",
		check(models.ClientMetadata{GrantTypes: []string{"client_credentials"}}))
	require.NoError(t, srv.RegisterGrant(&grant.ClientCredentials{}))
	assert.Empty(t, check(models.ClientMetadata{GrantTypes: []string{"client_credentials"}}))
	assert.Contains(t, check(models.ClientMetadata{GrantTypes: []string{"client_credentials", "x"}}), "grant_types: \"x\" is not a grant type of this server, which supports client_credentials; register")
	assert.Contains(t, check(models.ClientMetadata{GrantTypes: []string{"client_credentials"}, TokenEndpointAuthMethod: models.None}), "grant_types: \"client_credentials\"")
	assert.Contains(t, check(models.ClientMetadata{GrantTypes: []string{"client_credentials"}, TokenEndpointAuthMethod: "x"}),
		"token_endpoint_auth_method: \"x\" cannot be registered here; choose one of "+strings.Join(srv.AuthMethods(), ", "))
	assert.Contains(t, check(models.ClientMetadata{GrantTypes: []string{"client_credentials"}, ResponseTypes: []string{"code"}, RedirectURIs: []string{"https://a.example/"}}),
		"response_types: \"code\" is not a response type of this server, which supports none; register its grant with the server first")
	checked, err := srv.CheckClient(t.Context(), server.ClientCheck{Source: models.ClientByHand, Metadata: models.ClientMetadata{GrantTypes: []string{"client_credentials"}, JWKs: []byte("null")}})
	require.NoError(t, err)
	assert.Nil(t, checked.JWKs, "null is no key set")
	_, err = srv.CheckClient(t.Context(), server.ClientCheck{
		Source: models.ClientByHand, Metadata: models.ClientMetadata{GrantTypes: []string{"client_credentials"}},
		Check: func(_ context.Context, m *models.ClientMetadata) error {
			m.RedirectURIs = []string{"javascript:alert(1)"}
			return nil
		},
	})
	assert.ErrorContains(t, err, "redirect_uris", "what the operator's check makes of it is checked as well")
}

// How an error reads in the log, and to a user.
func TestWhatAnErrorSays(t *testing.T) {
	srv, err := server.New(minimalConfig())
	require.NoError(t, err)
	failure := server.NewError(server.InvalidScope, "The scope is %s.", "odd")
	assert.Equal(t, "invalid_scope: The scope is odd.", failure.Error())
	assert.Equal(t, "invalid_scope", (&server.Error{Code: server.InvalidScope}).Error())
	assert.Equal(t, "The scope is odd.", srv.Describe(get("/"), failure))
	assert.Equal(t, "The server could not answer the request.", srv.Describe(get("/"), errors.New("inside")))
	assert.Contains(t, server.AsError(errors.New("inside")).Error(), ": inside")
	sentOn := &server.Error{Status: http.StatusSeeOther, Header: http.Header{"Location": {"/next"}}}
	assert.Equal(t, "the browser is sent on to /next", sentOn.Error())
}

// The code that an observation is counted by, and whether the server is at fault.
func TestWhatAnObservationIsCountedAs(t *testing.T) {
	for _, row := range []struct {
		observation server.Observation
		code        string
		failed      bool
	}{
		{server.Observation{Status: 200}, "", false},
		{server.Observation{Status: 499}, "", false},
		{server.Observation{Status: 500}, server.ServerError, true},
		{server.Observation{Status: 400, Error: server.NewError(server.InvalidGrant, "x")}, server.InvalidGrant, false},
		{server.Observation{Status: 500, Error: server.AsError(errors.New("x"))}, server.ServerError, true},
		{server.Observation{Status: 500, Error: server.AsError(fmt.Errorf("x: %w", context.Canceled))}, server.Canceled, false},
		{server.Observation{Status: 503, Error: server.TooBusy(time.Minute, "x")}, server.TemporarilyUnavailable, false},
	} {
		assert.Equal(t, []any{row.code, row.failed}, []any{row.observation.ErrorCode(), row.observation.Failed()}, "%+v", row.observation)
	}
	var keys []string
	for _, attr := range (server.Observation{Endpoint: "token", Request: new(server.Request)}).LogAttrs() {
		keys = append(keys, attr.Key)
	}
	assert.Equal(t, []string{"endpoint"}, keys, "what has no value is not logged")
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	gone, cancel := context.WithCancel(t.Context())
	canceled := server.Observation{Error: server.AsError(context.Canceled), Request: new(server.Request)}
	canceled.LogError(get("/").WithContext(gone), logger)
	assert.Contains(t, log.String(), "failed", "the client still waits")
	log.Reset()
	cancel()
	canceled.LogError(get("/").WithContext(gone), logger)
	assert.Empty(t, log.String(), "nobody waits")
}

// An answer that goes to a redirect URI has the members that are text.
func TestParametersOfAnAnswer(t *testing.T) {
	response := &server.TokenResponse{AccessToken: "a", TokenType: "Bearer", ExpiresIn: 60, Extra: map[string]any{"state": "s", "number": 7}}
	assert.Equal(t, map[string][]string{"access_token": {"a"}, "token_type": {"Bearer"}, "expires_in": {"60"}, "state": {"s"}}, response.Parameters())
	response.Scope = "profile"
	assert.Equal(t, []string{"profile"}, response.Parameters()["scope"])
	assert.Equal(t, []string{"b", "a"}, (&server.ConsentGrant{Scope: " b  a "}).Scopes())
}

// How long a grant can last.
func TestTheLifeOfAGrant(t *testing.T) {
	for name, row := range map[string]struct {
		configure func(*server.Config)
		want      time.Duration
	}{
		"by default":           {func(*server.Config) {}, 30 * 24 * time.Hour},
		"short refresh tokens": {func(c *server.Config) { c.RefreshTokenExpiresIn = time.Minute }, time.Hour},
		"long access tokens": {func(c *server.Config) {
			c.RefreshTokenExpiresIn, c.TokenExpiresIn = time.Minute, map[string]time.Duration{"a": 2 * time.Hour}
		}, 2 * time.Hour},
		"no refresh tokens":        {func(c *server.Config) { c.NoRefreshTokens = true }, time.Hour},
		"without end":              {func(c *server.Config) { c.RefreshTokenExpiresIn = -1 }, -1},
		"no tokens without an end": {func(c *server.Config) { c.RefreshTokenExpiresIn, c.NoRefreshTokens = -1, true }, time.Hour},
	} {
		config := minimalConfig()
		row.configure(&config)
		srv, err := server.New(config)
		require.NoError(t, err)
		assert.Equal(t, row.want, srv.GrantLife(), name)
	}
}

// Without Config.QueryUser everybody may be served.
func TestUsersWithoutAFunctionThatFindsThem(t *testing.T) {
	srv, err := server.New(minimalConfig())
	require.NoError(t, err)
	user, err := srv.QueryUser(t.Context(), "alice")
	assert.Equal(t, storage.UserID("alice"), user)
	assert.NoError(t, err)
}

// The URL of a page, and the paths of an issuer with a path.
func TestTheURLOfAPage(t *testing.T) {
	config := minimalConfig()
	config.Issuer, config.EndpointPaths = "https://id.example/base/", map[string]string{"device_page": "/activate"}
	srv, err := server.New(config)
	require.NoError(t, err)
	assert.Equal(t, "https://id.example/base/activate", srv.PageURL("device_page", "/device"))
	assert.Equal(t, "https://id.example/base/login", srv.PageURL("login", "/login"))
	assert.Empty(t, srv.PageURL("login", ""))
	require.NoError(t, srv.RegisterGrant(&grant.ClientCredentials{}))
	require.NoError(t, srv.RegisterEndpoint(unserved{}))
	var paths []string
	for path := range srv.Routes() {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	assert.Equal(t, []string{"/base/oauth/token", "/base/unfinished", "/oauth/token", "/unfinished"}, paths)
	for range srv.Routes() { // and whoever looks at the first alone is not given another
		break
	}
}

type unserved struct{}

func (unserved) EndpointName() string { return "unfinished" }
func (unserved) EndpointPath() string { return "/unfinished" }
func (unserved) Methods() []string    { return []string{http.MethodPost} }
func (unserved) CreateResponse(context.Context, *server.Request) (*server.Response, error) {
	return &server.Response{Status: http.StatusOK, Body: func() {}}, nil
}

// What cannot be written as JSON is an internal error.
func TestABodyThatIsNoJSON(t *testing.T) {
	config := minimalConfig()
	config.Logger = oauthtest.Logger(nil)
	srv, err := server.New(config)
	require.NoError(t, err)
	require.NoError(t, srv.RegisterEndpoint(unserved{}))
	r := httptest.NewRequest(http.MethodPost, "/unfinished", http.NoBody)
	w := newRecorder()
	srv.EndpointHandler("unfinished")(w, r)
	assert.Equal(t, http.StatusInternalServerError, w.Code)
	assert.JSONEq(t, `{"error":"server_error","error_description":"The server could not answer the request."}`, w.Body.String())
}

// Under prompt=none what the page would have to do is what the client is told.
func TestWhatIsNotAskedIsSaid(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	asks := &asking{}
	require.NoError(t, p.Server.Register(asks))
	client := p.NewClient(nil)
	for code, ask := range map[string]func(*server.ConsentGrant){
		server.LoginRequired:            (*server.ConsentGrant).RequireSignIn,
		server.AccountSelectionRequired: (*server.ConsentGrant).RequireAccountChoice,
		server.ConsentRequired:          func(*server.ConsentGrant) {},
	} {
		asks.ask = ask
		a := p.Consent(oauthtest.AuthorizeQuery(client, "state=s"))
		assert.Equal(t, []string{oauthtest.RedirectURI, code, "s"}, []string{a.To, a.Params()["error"], a.Params()["state"]}, "%v", a)
	}
}

// asking forbids interaction, and needs one.
type asking struct{ ask func(*server.ConsentGrant) }

func (a *asking) PrepareInteraction(_ context.Context, _ *server.Request, consent *server.ConsentGrant) error {
	a.ask(consent)
	consent.ForbidInteraction()
	return nil
}

// The decision depends on everything that the page shows, and the user, and nothing else.
func TestTheDecisionIsOfEverythingThatIsShown(t *testing.T) {
	srv, err := server.New(minimalConfig())
	require.NoError(t, err)
	request := func() *server.Request {
		r := &server.Request{Server: srv, Endpoint: "page", RedirectURI: "r", RequestURI: "u", Granted: models.Granted{Scope: "s", Audience: "a", AuthorizationDetails: "d"}, User: storage.UserID("1")}
		r.Authorization.Claims, r.Authentication.SessionID = "c", "session"
		client := new(oauthtest.Client)
		client.ClientID, client.ClientMetadata.ClientName = "client", "Name"
		r.Client = client
		return r
	}
	seen := map[server.Decision]string{request().Decision("shown"): "as it is"}
	assert.NotEmpty(t, seen[request().Decision("shown")])
	for what, change := range map[string]func(*server.Request){
		"Endpoint": func(r *server.Request) { r.Endpoint = "x" }, "RedirectURI": func(r *server.Request) { r.RedirectURI = "x" }, "RequestURI": func(r *server.Request) { r.RequestURI = "x" },
		"Scope": func(r *server.Request) { r.Scope = "x" }, "Audience": func(r *server.Request) { r.Audience = "x" }, "AuthorizationDetails": func(r *server.Request) { r.AuthorizationDetails = "x" },
		"Claims": func(r *server.Request) { r.Authorization.Claims = "x" }, "SessionID": func(r *server.Request) { r.Authentication.SessionID = "x" },
		"User": func(r *server.Request) { r.User = storage.UserID("2") }, "no user": func(r *server.Request) { r.User = nil }, "no client": func(r *server.Request) { r.Client = nil },
		"ClientID":       func(r *server.Request) { r.Client.(*oauthtest.Client).ClientID = "x" },
		"ClientName":     func(r *server.Request) { r.Client.(*oauthtest.Client).ClientMetadata.ClientName = "x" },
		"no RedirectURI": func(r *server.Request) { r.RedirectURI = "" },
	} {
		r := request()
		change(r)
		decision := r.Decision("shown")
		assert.Empty(t, seen[decision], "%s is the same question", what)
		seen[decision] = what
	}
	for what, shown := range map[string]any{"another": "x", "nothing": nil, "no JSON": math(1), "other that is no JSON": math(2)} {
		decision := request().Decision(shown)
		assert.Empty(t, seen[decision], "%s is the same question", what)
		seen[decision] = what
	}
}

// math is a value that JSON has no words for.
type math complex128

// Generators by resource replace each other, however the resource is spelled.
func TestOneGeneratorForEachResource(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	require.NoError(t, p.Server.RegisterGrant(&grant.ClientCredentials{}))
	require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{"https://a.example", "https://b.example"}}))
	made := func(text string) server.TokenGenerator {
		return func(context.Context, server.TokenInput) (string, error) { return text, nil }
	}
	p.Server.RegisterResourceTokenGenerator("https://a.example", made("first"))
	p.Server.RegisterResourceTokenGenerator("https://b.example", made("other"))
	p.Server.RegisterResourceTokenGenerator("https://a.example/", made("second"))
	client := p.NewClient(oauthtest.Grants("client_credentials"))
	for query, want := range map[string]string{"a": "second", "b": "other"} {
		a := p.Token(client, "grant_type=client_credentials&resource="+url.QueryEscape("https://"+query+".example"))
		assert.Equal(t, want, a.Body["access_token"])
	}
}

// maintainedKeys are keys that are looked after.
type maintainedKeys struct {
	jwk.SigningKeys
	ran chan string
}

func (k maintainedKeys) MaintainOnce(context.Context, time.Time) error { return nil }
func (k maintainedKeys) Maintain(ctx context.Context, _ *slog.Logger) {
	k.ran <- "begun"
	<-ctx.Done()
	k.ran <- "ended"
}
func (k maintainedKeys) PublishedKeys() jwk.SigningKeys { return k }

// MaintainKeys looks after the keys until it is told to stop, and then waits for them.
func TestKeysAreLookedAfterUntilTheEnd(t *testing.T) {
	srv, err := server.New(minimalConfig())
	require.NoError(t, err)
	keys := maintainedKeys{ran: make(chan string, 2)}
	require.NoError(t, srv.Register(keys))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { srv.MaintainKeys(ctx); close(ended) }()
	assert.Equal(t, "begun", <-keys.ran)
	cancel()
	<-ended
	assert.Equal(t, "ended", <-keys.ran)
}

// A person whose session cannot be read sees the program's page of errors, and not JSON.
func TestAUserWhoCannotBeFoundIsShownAPage(t *testing.T) {
	var shown []server.ErrorPage
	config := minimalConfig()
	config.Logger = oauthtest.Logger(nil)
	config.RenderError = func(w http.ResponseWriter, _ *http.Request, page server.ErrorPage) {
		shown = append(shown, page)
		w.WriteHeader(page.Error.Status)
	}
	srv, err := server.New(config)
	require.NoError(t, err)
	away := errors.New("away")
	never := func(http.ResponseWriter, *http.Request, *server.ConsentGrant) { t.Error("nothing is asked") }
	w := newRecorder()
	srv.AuthorizationHandler(server.AuthorizationPages{
		User: func(*http.Request) (storage.User, error) { return nil, away }, SignIn: never, Consent: never,
	})(w, get("/oauth/authorize?client_id=x"))
	assert.Equal(t, http.StatusInternalServerError, w.Code)
	if assert.Len(t, shown, 1) {
		assert.ErrorIs(t, shown[0].Error, away)
		assert.Equal(t, []string{server.ServerError, "The server could not answer the request.", ""}, []string{shown[0].Error.Code, shown[0].Description, shown[0].WayBack})
	}
}

// A client that has a response type, and not the grant type that issues its token, gets none.
func TestAResponseTypeWithoutItsGrantType(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.StoreClient(oauthtest.All(oauthtest.Public, func(c *oauthtest.Client) {
		c.ClientMetadata.GrantTypes, c.ClientMetadata.ResponseTypes = []string{"authorization_code"}, []string{"token"}
	}))
	a := p.Grant("response_type=token&client_id=" + client.ClientID)
	assert.Equal(t, server.UnauthorizedClient, a.Params()["error"], "%v", a)
	assert.Empty(t, a.Params()["access_token"])
}
