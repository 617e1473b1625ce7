package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Whatever asks the database knows for which request: at every endpoint and on every
// page the engine's context carries it.
func TestStorageKnowsItsRequest(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	registration := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	registration.Open = true
	devices := gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)
	require.NoError(t, p.Server.RegisterEndpoint(registration))
	require.NoError(t, p.Server.RegisterEndpoint(devices))
	web := p.NewClient(nil)

	var endpoints []string
	note := func(tx *gorm.DB) {
		req := server.RequestFromContext(tx.Statement.Context)
		if req == nil {
			endpoints = append(endpoints, "none")
			return
		}
		assert.Same(t, req, server.RequestFromContext(req.Context()))
		endpoints = append(endpoints, req.Endpoint)
	}
	require.NoError(t, db.Callback().Query().Register("note", note))
	require.NoError(t, db.Callback().Create().Register("note", note))
	require.NoError(t, db.Callback().Update().Register("note", note))

	post := func(target, media, body string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
		r.Header.Set("Content-Type", media)
		return r
	}
	form := "application/x-www-form-urlencoded"
	for rule, c := range map[string]struct {
		request func()
		want    string
	}{
		"the token endpoint": {func() { p.Redeem(web, "x") }, "token"},
		"an endpoint":        {func() { p.Revoke(web, "token=x") }, "revocation"},
		"an open endpoint": {func() {
			p.Server.CreateEndpointResponse(newRecorder(), post("/oauth/register", "application/json", `{"redirect_uris":["https://a.example/"]}`), "registration")
		}, "registration"},
		"the authorization endpoint": {func() { p.Grant(oauthtest.AuthorizeQuery(web, "")) }, "authorization"},
		"the page before it":         {func() { p.Consent(oauthtest.AuthorizeQuery(web, "")) }, "authorization"},
		"a page of the program's own": {func() {
			_, _ = devices.GetConsentGrant(p.Server, post("/device", form, "user_code=BBBB-BBBB"), p.User)
		}, "device"},
		"another one": {func() {
			ctx := p.Server.PageContext(post("/", form, ""), "settings", p.User)
			db.WithContext(ctx).Find(new([]oauthtest.Token))
		}, "settings"},
		"the program itself": {func() { db.Find(new([]oauthtest.Token)) }, "none"},
	} {
		endpoints = nil
		c.request()
		require.NotEmpty(t, endpoints, rule)
		for _, endpoint := range endpoints {
			assert.Equal(t, c.want, endpoint, rule)
		}
	}
}

// What observers put into the context is below the request, too.
func TestTheContextOfARequestIsThatOfItsObservers(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	type key struct{}
	require.NoError(t, p.Server.Register(contextObserver(func(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, "observed") })))
	probe := &contextProbe{key: key{}}
	require.NoError(t, p.Server.RegisterEndpoint(probe))
	p.Server.CreateEndpointResponse(newRecorder(), get("/probe"), "probe")
	assert.Equal(t, "observed", probe.seen)
}

type contextObserver func(context.Context) context.Context

func (f contextObserver) ObserveRequest(ctx context.Context, _ string) (context.Context, func(server.Observation)) {
	return f(ctx), nil
}

type contextProbe struct{ key, seen any }

func (*contextProbe) EndpointName() string { return "probe" }
func (*contextProbe) EndpointPath() string { return "/probe" }
func (*contextProbe) Methods() []string    { return []string{http.MethodGet} }

func (p *contextProbe) CreateResponse(ctx context.Context, req *server.Request) (*server.Response, error) {
	if server.RequestFromContext(ctx) == req {
		p.seen = ctx.Value(p.key)
	}
	return &server.Response{}, nil
}

// What has no request says so, and never panics.
func TestThereIsAContextWithoutARequest(t *testing.T) {
	assert.Nil(t, server.RequestFromContext(t.Context()))
	assert.NotNil(t, new(server.Request).Context())
	r := get("/")
	assert.Equal(t, r.Context(), (&server.Request{HTTP: r}).Context())
	assert.Equal(t, r.Context(), new(server.Server).PageContext(r, "page", nil), "a server that is not initialized")

	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	for _, nobody := range []storage.User{nil, (*oauthtest.User)(nil)} {
		assert.Nil(t, server.RequestFromContext(p.Server.PageContext(r, "page", nobody)).User)
	}
}

var _ server.OpenEndpoint = (*contextProbe)(nil)
