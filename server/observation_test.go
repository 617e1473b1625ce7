package server_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/on"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/storage"
)

// observer keeps what it is told.
type observer struct {
	name  string
	calls *[]string
	seen  []server.Observation
}

type observedBy struct{ name string }

func (o *observer) ObserveRequest(ctx context.Context, endpoint string) (context.Context, func(server.Observation)) {
	if o.calls != nil {
		*o.calls = append(*o.calls, "begin "+o.name+" "+endpoint)
	}
	return context.WithValue(ctx, observedBy{o.name}, true), func(observation server.Observation) {
		if o.calls != nil {
			*o.calls = append(*o.calls, "end "+o.name)
		}
		o.seen = append(o.seen, observation)
	}
}

// take returns the one observation since the last call.
func (o *observer) take(t *testing.T) server.Observation {
	t.Helper()
	require.Len(t, o.seen, 1)
	defer func() { o.seen = nil }()
	return o.seen[0]
}

func TestEveryRequestIsObserved(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	var fault error
	p := oauthtest.New(t, db, func(c *server.Config) {
		query := gormoauth.CreateQueryClientFunc[oauthtest.Client](db)
		c.QueryClient = func(ctx context.Context, id string) (storage.Client, error) {
			if fault != nil {
				return nil, fault
			}
			return query(ctx, id)
		}
	})
	service := p.NewClient(oauthtest.Grants("client_credentials"))
	web := p.NewClient(nil)
	decide := func(more string, user storage.User) func() {
		query := oauthtest.AuthorizeQuery(web, more)
		decision := p.Decision(query, p.User) // before anybody observes it
		return func() { p.Send(http.MethodPost, query, "decision="+string(decision), user) }
	}
	granted, inAForm, denied := decide("scope=email", p.User), decide("response_mode=form_post", p.User), decide("", nil)
	o := new(observer)
	require.NoError(t, p.Server.Register(o))
	wrong := &oauthtest.Client{ClientMixin: service.ClientMixin, Secret: "wrong"}
	long := strings.Repeat("x", 200)
	failing := func(err error, request func()) func() {
		return func() {
			fault = err
			defer func() { fault = nil }()
			request()
		}
	}
	token := func(client *oauthtest.Client, body string, header ...string) func() {
		return func() { p.Token(client, body, header...) }
	}
	user := p.User.GetUserID()
	type seen struct {
		endpoint, client, claimed, method, grant, user, scope, code string
		status                                                      int
	}
	for rule, c := range map[string]struct {
		request func()
		want    seen
	}{
		"a token": {token(service, "grant_type=client_credentials&scope=profile"),
			seen{"token", service.ClientID, "", "client_secret_basic", "client_credentials", "", "profile", "", 200}},
		"a wrong secret": {token(wrong, "grant_type=client_credentials"),
			seen{"token", "", service.ClientID, "", "client_credentials", "", "", "invalid_client", 401}},
		"nobody": {token(nil, "grant_type=client_credentials"), seen{"token", "", "", "", "client_credentials", "", "", "invalid_client", 401}},
		"a client ID of any length": {token(nil, "grant_type=client_credentials&client_id="+long),
			seen{"token", "", long[:128] + "…", "", "client_credentials", "", "", "invalid_client", 400}},
		"a client ID of any letters": {token(nil, "grant_type=client_credentials&client_id=%0Alevel=INFO"),
			seen{"token", "", "", "", "client_credentials", "", "", "invalid_client", 400}},
		"a grant type of a stranger's": {token(service, "grant_type=whatever"), seen{"token", "", service.ClientID, "", "other", "", "", "unsupported_grant_type", 400}},
		"no grant type":                {token(service, "x=y"), seen{"token", "", service.ClientID, "", "", "", "", "invalid_request", 400}},
		"a parameter twice":            {token(nil, "client_id=a&scope=b&scope=c"), seen{"token", "", "a", "", "", "", "", "invalid_request", 400}},
		"a body that is no form":       {token(nil, "%zz"), seen{"token", "", "", "", "", "", "", "invalid_request", 400}},
		"a body that is too long":      {token(nil, strings.Repeat("x", 1<<21)), seen{"token", "", "", "", "", "", "", "invalid_request", 413}},
		"two Authorization headers": {token(nil, "a=b", "Authorization", "Bearer a", "Authorization", "Bearer b"),
			seen{"token", "", "", "", "", "", "", "invalid_request", 400}},
		"another method": {func() { p.Get("/oauth/token") }, seen{"token", "", "", "", "", "", "", "invalid_request", 405}},
		"another method elsewhere": {func() { p.Get("/oauth/revoke") },
			seen{"revocation", "", "", "", "", "", "", "invalid_request", 405}},
		"an endpoint":             {func() { p.Revoke(service, "token=x") }, seen{"revocation", service.ClientID, "", "client_secret_basic", "", "", "", "", 200}},
		"an endpoint, by nobody":  {func() { p.Revoke(wrong, "token=x") }, seen{"revocation", "", service.ClientID, "", "", "", "", "invalid_client", 401}},
		"an endpoint's own error": {func() { p.Revoke(service, "") }, seen{"revocation", service.ClientID, "", "client_secret_basic", "", "", "", "invalid_request", 400}},
		"an open endpoint":        {func() { p.Get("/.well-known/oauth-authorization-server") }, seen{"metadata", "", "", "", "", "", "", "", 200}},
		"an endpoint that there is not": {func() { p.Server.CreateEndpointResponse(newRecorder(), get("/x"), "x\ny") },
			seen{"unknown", "", "", "", "", "", "", "invalid_request", 404}},
		"a page":                        {func() { p.Consent(oauthtest.AuthorizeQuery(web, "scope=email")) }, seen{"authorization_page", web.ClientID, "", "", "", user, "email", "", 0}},
		"a page for nobody's client":    {func() { p.Consent("client_id=x") }, seen{"authorization_page", "", "x", "", "", "", "", "invalid_client", 400}},
		"a page with an error":          {func() { p.Consent(oauthtest.AuthorizeQuery(web, "scope=admin")) }, seen{"authorization_page", web.ClientID, "", "", "", "", "", "invalid_scope", 302}},
		"a page whose error is a form":  {func() { p.Consent(oauthtest.AuthorizeQuery(web, "scope=admin&response_mode=form_post")) }, seen{"authorization_page", web.ClientID, "", "", "", "", "", "invalid_scope", 200}},
		"a page that cannot be read":    {func() { p.Consent("%zz") }, seen{"authorization_page", "", "", "", "", "", "", "invalid_request", 400}},
		"a decision":                    {granted, seen{"authorization", web.ClientID, "", "", "", user, "email", "", 302}},
		"a decision, sent in a form":    {inAForm, seen{"authorization", web.ClientID, "", "", "", user, "", "", 200}},
		"a denial":                      {denied, seen{"authorization", web.ClientID, "", "", "", "", "", "access_denied", 302}},
		"a decision on nobody's client": {func() { p.Send(http.MethodPost, "client_id=x", "", p.User) }, seen{"authorization", "", "x", "", "", "", "", "invalid_client", 400}},
		"a form that is no decision": {func() { p.Send(http.MethodPost, oauthtest.AuthorizeQuery(web, ""), "confirm=yes", p.User) },
			seen{"authorization", web.ClientID, "", "", "", user, "", "", 303}},
		"a form of another site": {func() {
			p.Send(http.MethodPost, "", oauthtest.AuthorizeQuery(web, ""), p.User, "Sec-Fetch-Site", "cross-site")
		}, seen{"authorization", "", web.ClientID, "", "", "", "", "", 303}},
		"a fault inside": {failing(errors.New("no table"), token(service, "grant_type=client_credentials")),
			seen{"token", "", service.ClientID, "", "client_credentials", "", "", "server_error", 500}},
		"a database that is away": {failing(storage.ErrUnavailable, token(service, "grant_type=client_credentials")),
			seen{"token", "", service.ClientID, "", "client_credentials", "", "", "temporarily_unavailable", 503}},
		"a client that went away": {failing(context.Canceled, token(service, "grant_type=client_credentials")),
			seen{"token", "", service.ClientID, "", "client_credentials", "", "", "canceled", 500}},
		"a page that failed inside": {failing(errors.New("no table"), func() { p.Consent(oauthtest.AuthorizeQuery(web, "")) }),
			seen{"authorization_page", "", web.ClientID, "", "", "", "", "server_error", 500}},
	} {
		c.request()
		got := o.take(t)
		assert.Equal(t, c.want, seen{got.Endpoint, got.ClientID, got.ClaimedClientID, got.AuthMethod, got.GrantType, got.UserID, got.Scope, got.ErrorCode(), got.Status}, rule)
		assert.NotNil(t, got.Request.HTTP, rule)
		assert.Equal(t, got.ErrorCode() == "server_error" || got.ErrorCode() == "temporarily_unavailable", got.Failed(), rule)
	}
}

func TestObserversAreNested(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	var calls []string
	first, second := &observer{name: "1", calls: &calls}, &observer{name: "2", calls: &calls}
	told := on.TokenIssued(func(ctx context.Context, req *server.Request, _ *models.TokenMixin) {
		calls = append(calls, "issued")
		assert.Equal(t, true, ctx.Value(observedBy{"1"}), "everything runs with their context")
		assert.Equal(t, true, req.HTTP.Context().Value(observedBy{"2"}))
		p.Now = p.Now.Add(time.Second)
	})
	require.NoError(t, p.Server.Register(first, told, second))
	require.NoError(t, db.Callback().Query().Before("gorm:query").Register("observed", func(db *gorm.DB) {
		assert.Equal(t, true, db.Statement.Context.Value(observedBy{"2"}), "also queries")
	}))
	p.Token(p.NewClient(oauthtest.Grants("client_credentials")), "grant_type=client_credentials")
	assert.Equal(t, []string{"begin 1 token", "begin 2 token", "issued", "end 2", "end 1"}, calls)
	assert.Equal(t, time.Second, first.take(t).Duration)

	err := p.Server.RegisterGrant(&careless{}, first)
	require.ErrorContains(t, err, "use Server.Register", "the grant is known too late")
}

func TestAPanicEndsTheObservation(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.NewClient(oauthtest.Grants("client_credentials"))
	o := new(observer)
	var value any
	require.NoError(t, p.Server.Register(o, on.TokenIssued(func(context.Context, *server.Request, *models.TokenMixin) { panic(value) })))
	for _, value = range []any{"oh no", http.ErrAbortHandler} {
		assert.PanicsWithValue(t, value, func() { p.Token(client, "grant_type=client_credentials") })
		got := o.take(t)
		assert.Equal(t, http.StatusInternalServerError, got.Status)
		assert.Equal(t, server.ServerError, got.ErrorCode())
		assert.True(t, got.Failed())
	}
	protector, err := resource.NewProtector(resource.Config{Observers: server.Observers{o}}, &resource.BearerTokenValidator{
		QueryToken: func(context.Context, storage.TokenQuery) (*storage.StoredToken, error) { panic(value) },
	})
	require.NoError(t, err)
	p.Protector = protector
	assert.Panics(t, func() { p.Call("x") })
	assert.True(t, o.take(t).Failed())
}

// A page reads the form after the engine did, and the body is gone by then.
func TestAnObservedPageCanStillReadItsForm(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	o := new(observer)
	require.NoError(t, p.Server.Register(o))
	client, fails := p.NewClient(nil), error(nil)
	var decision server.Decision
	handler := p.Server.AuthorizationHandler(server.AuthorizationPages{
		User:   func(*http.Request) (storage.User, error) { return p.User, fails },
		SignIn: func(http.ResponseWriter, *http.Request, *server.ConsentGrant) {},
		Consent: func(_ http.ResponseWriter, _ *http.Request, consent *server.ConsentGrant) {
			decision = consent.Decision
		},
		Answering: func(r *http.Request) {
			assert.Equal(t, "yes", r.PostFormValue("confirm"))
		},
	})
	address := "/oauth/authorize?" + oauthtest.AuthorizeQuery(client, "")
	handler(newRecorder(), get(address))
	assert.Equal(t, "authorization_page", o.take(t).Endpoint)
	post := func() int {
		r, w := get(address), newRecorder()
		r.Method, r.Body, r.ContentLength = http.MethodPost, readCloser{strings.NewReader("confirm=yes&decision=" + string(decision))}, -1
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		handler(w, r)
		return w.Code
	}
	assert.Equal(t, http.StatusFound, post())
	require.Len(t, o.seen, 2, "the page and the decision")
	o.seen, fails = nil, errors.New("no session")
	assert.Equal(t, http.StatusInternalServerError, post())
	assert.Equal(t, "server_error", o.take(t).ErrorCode(), "the program's own failure")
}

func TestAProtectedAPIIsObserved(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	o := new(observer)
	protector := p.NewProtector(resource.Config{Observers: server.Observers{o}}, gormoauth.CreateBearerTokenValidator[oauthtest.Token](db))
	p.Protector = protector
	client := p.NewClient(nil)
	token := p.Redeem(client, p.Code(client, "scope=email")).Body["access_token"]

	p.Call(token)
	got := o.take(t)
	assert.Equal(t, []string{"resource", client.ClientID, p.User.GetUserID(), "email", ""}, []string{got.Endpoint, got.ClientID, got.UserID, got.Scope, got.ErrorCode()})
	p.Call(token, "profile")
	got = o.take(t)
	assert.Equal(t, []string{client.ClientID, "insufficient_scope"}, []string{got.ClientID, got.ErrorCode()})
	stronger := protector.RequireAuthentication(resource.StepUp{ACRValues: []string{"strong"}})
	r := get("/api")
	r.Header.Set("Authorization", "Bearer "+token)
	protector.Require()(stronger(http.NotFoundHandler())).ServeHTTP(newRecorder(), r)
	require.Len(t, o.seen, 2, "the token is fine, and not enough")
	assert.Equal(t, []string{"", "insufficient_user_authentication"}, []string{o.seen[0].ErrorCode(), o.seen[1].ErrorCode()})
	o.seen = nil
	p.Call("unknown")
	got = o.take(t)
	assert.Equal(t, "invalid_token", got.ErrorCode())
	assert.Equal(t, http.StatusUnauthorized, got.Status)
	assert.NotNil(t, got.Request.HTTP)
	protector.Require()(http.NotFoundHandler()).ServeHTTP(newRecorder(), get("/"))
	assert.Equal(t, "missing_authorization", o.take(t).ErrorCode())
	protector.Optional()(http.NotFoundHandler()).ServeHTTP(newRecorder(), get("/"))
	assert.Empty(t, o.seen, "where no token is needed, none is missing")
}

// Whoever guesses user codes has signed in, and is seen.
func TestThePageOfDevicesIsObserved(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	devices := gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)
	o := new(observer)
	require.NoError(t, p.Server.RegisterEndpoint(devices))
	require.NoError(t, p.Server.Register(o))
	var got server.Observation
	for i := range 100 {
		_, err := devices.GetConsentGrant(p.Server, get("/device?user_code=BCDF-GHJK"), p.User)
		require.Error(t, err)
		got = o.take(t)
		assert.Equal(t, []string{"device", p.User.GetUserID()}, []string{got.Endpoint, got.UserID})
		if i == 0 {
			assert.Equal(t, "invalid_grant", got.ErrorCode())
		}
	}
	assert.Equal(t, http.StatusTooManyRequests, got.Status)
	require.Error(t, devices.Decide(p.Server, get("/device?user_code=BCDF-GHJK"), p.User, true))
	got = o.take(t)
	assert.Equal(t, http.StatusTooManyRequests, got.Status)
	assert.False(t, got.Failed())
}

// Whoever floods the server is told so by a 503, and cannot have it look broken.
func TestAFloodIsNoFailure(t *testing.T) {
	for rule, row := range map[string]struct {
		err    error
		failed bool
	}{
		"a flood":                 {server.TooBusy(time.Second, "Later."), false},
		"a database that is away": {storage.ErrUnavailable, true},
	} {
		o := new(observer)
		p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) {
			c.QueryClient = func(context.Context, string) (storage.Client, error) { return nil, row.err }
		})
		require.NoError(t, p.Server.Register(o))
		a := p.Token(nil, "grant_type=client_credentials&client_id=x")
		assert.Equal(t, http.StatusServiceUnavailable, a.Status, rule)
		assert.NotEmpty(t, a.Header.Get("Retry-After"), rule)
		assert.Equal(t, row.failed, o.take(t).Failed(), rule)
	}
}
