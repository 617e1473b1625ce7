package server_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/on"
)

// recorder is a value with every hook.
type recorder struct{ calls []string }

func (r *recorder) note(name string) { r.calls = append(r.calls, name) }

func (r *recorder) take() []string { defer func() { r.calls = nil }(); return r.calls }

func (r *recorder) CheckAuthorizationRequest(context.Context, *server.Request) error {
	r.note("request")
	return nil
}

func (r *recorder) PrepareAuthorizationCode(_ context.Context, _ *server.Request, code *models.AuthorizationCodeMixin) error {
	r.note("code")
	code.Audience = "https://api.example"
	return nil
}

func (r *recorder) PrepareAuthorizationResponse(_ context.Context, _ *server.Request, response map[string][]string) error {
	r.note("response")
	response["extra"] = []string{"1"}
	return nil
}

func (r *recorder) CheckIssuance(context.Context, *server.Request, *server.Issuance) error {
	r.note("issuance")
	return nil
}

func (r *recorder) PrepareToken(_ context.Context, _ *server.Request, record *models.TokenMixin) error {
	r.note("token")
	record.Audience = "https://api.example"
	return nil
}

func (r *recorder) PrepareTokenResponse(_ context.Context, _ *server.Request, _ *models.TokenMixin, response *server.TokenResponse) error {
	r.note("token response")
	response.Extra = map[string]any{"extra": 1, "access_token": "not this"}
	return nil
}

func (r *recorder) RepeatableParameters() []string { return []string{"resource"} }

func (r *recorder) ClientAuthenticated(context.Context, *server.Request) {
	r.note("client authenticated")
}

func (r *recorder) TokenIssued(context.Context, *server.Request, *models.TokenMixin) {
	r.note("token issued")
}

func (r *recorder) TokenRevoked(_ context.Context, _ *server.Request, revocation server.Revocation) {
	name := "token revoked"
	if revocation.Reuse {
		name += " after reuse"
	}
	if revocation.AccessTokenOnly {
		name += " alone"
	}
	r.note(name)
}

func TestAValueIsUsedForEveryHookThatItHas(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	all := &recorder{}
	require.NoError(t, p.Server.Register(all))
	client := p.NewClient(nil)

	a := p.Grant(oauthtest.AuthorizeQuery(client, "resource=a&resource=b"))
	assert.Equal(t, []string{"request", "request", "code", "response"}, all.take(), "the page, and the decision")
	assert.Equal(t, "1", a.Query.Get("extra"))
	code := a.Query.Get("code")
	first := p.Redeem(client, code)
	assert.Equal(t, []string{"client authenticated", "issuance", "token", "token response", "token issued"}, all.take())
	assert.Equal(t, "1", first.Body["extra"])
	assert.True(t, p.Valid(first.Body["access_token"]), "an extra member never replaces a real one")
	var row oauthtest.Token
	require.NoError(t, db.First(&row).Error)
	assert.Equal(t, "https://api.example", row.Audience)

	p.Revoke(client, "token="+first.Body["access_token"])
	assert.Equal(t, []string{"client authenticated", "token revoked alone"}, all.take())
	p.Revoke(client, "token="+first.Body["refresh_token"])
	assert.Equal(t, []string{"client authenticated", "token revoked"}, all.take())
	p.Redeem(client, code)
	assert.Equal(t, []string{"client authenticated", "token revoked after reuse"}, all.take())
	p.Redeem(client, "unknown")
	assert.Equal(t, []string{"client authenticated"}, all.take())
	assert.Equal(t, "invalid_request", p.Consent(oauthtest.AuthorizeQuery(client, "scope=a&scope=b")).Body["error"], "other parameters come once")
}

func TestAnExtensionOfAGrantIsForItsRequestsAlone(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	extension := &recorder{}
	require.NoError(t, p.Server.RegisterGrant(gormoauth.CreateRefreshTokenGrant[oauthtest.Token](db), extension))
	client := p.NewClient(nil)
	a := p.Redeem(client, p.Code(client, ""))
	assert.Empty(t, extension.take())
	p.Refresh(client, a.Body["refresh_token"], "")
	assert.Contains(t, extension.take(), "token issued")
}

// careless is a grant that checks nothing at all.
type careless struct{ issuance func() *server.Issuance }

func (careless) GrantType() string { return "careless" }

func (g careless) PrepareIssuance(context.Context, *server.Request) (*server.Issuance, error) {
	return g.issuance(), nil
}

// record is the row of a careless credential.
type record struct{ clientID string }

func (r record) CheckClient(clientID string) bool { return r.clientID == clientID }
func (record) GetGrantID() string                 { return "g" }

func TestNoGrantCanForgetACheck(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	require.NoError(t, p.Server.RegisterGrant(careless{func() *server.Issuance { return nil }}))
	client := p.NewClient(oauthtest.Grants("careless"))
	disabled := &oauthtest.User{Disabled: true}
	require.NoError(t, db.Create(disabled).Error)
	elsewhere := "https://elsewhere.example"
	credential := func(change func(*server.Credential)) *server.Issuance {
		c := &server.Credential{Granted: models.Granted{Scope: "profile"}, Record: record{client.ClientID}, UserID: p.User.GetUserID()}
		change(c)
		return &server.Issuance{Credential: c, Scope: c.Scope}
	}
	for rule, c := range map[string]struct {
		issuance *server.Issuance
		code     string
	}{
		"another client's credential":     {credential(func(c *server.Credential) { c.Record = record{"other"} }), "invalid_grant"},
		"a spent credential":              {credential(func(c *server.Credential) { c.Spent = true }), "invalid_grant"},
		"an expired credential":           {credential(func(c *server.Credential) { c.Expired = true }), "invalid_grant"},
		"another redirect URI":            {credential(func(c *server.Credential) { c.RedirectURI = &elsewhere }), "invalid_grant"},
		"a user who is disabled":          {credential(func(c *server.Credential) { c.UserID = disabled.GetUserID() }), "invalid_grant"},
		"a user who is gone":              {credential(func(c *server.Credential) { c.UserID = "4711" }), "invalid_grant"},
		"more scope than was granted":     {&server.Issuance{Credential: credential(func(*server.Credential) {}).Credential, Scope: "profile email"}, "invalid_scope"},
		"a scope that the client has not": {&server.Issuance{Scope: "admin"}, "invalid_scope"},
		"a disabled user of its own":      {&server.Issuance{User: disabled}, "invalid_grant"},
		"a credential that nobody spends": {credential(func(*server.Credential) {}), "server_error"},
	} {
		require.NoError(t, p.Server.RegisterGrant(careless{func() *server.Issuance { return c.issuance }}))
		a := p.Token(client, "grant_type=careless")
		assert.Equal(t, c.code, a.Body["error"], rule)
		assert.Empty(t, a.Body["access_token"], rule)
	}
	a := p.Token(p.NewClient(nil), "grant_type=careless")
	assert.Equal(t, "unauthorized_client", a.Body["error"], "a client that is not registered for the grant")
	assert.Equal(t, http.StatusUnauthorized, p.Token(nil, "grant_type=careless").Status, "or nobody")
	var tokens int64
	require.NoError(t, db.Model(&oauthtest.Token{}).Count(&tokens).Error)
	assert.Zero(t, tokens)
}

func TestEventsMayBeFunctions(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	var told []string
	require.NoError(t, p.Server.Register(
		on.ClientAuthenticated(func(context.Context, *server.Request) { told = append(told, "client") }),
		on.TokenIssued(func(context.Context, *server.Request, *models.TokenMixin) { told = append(told, "issued") }),
		on.TokenRevoked(func(context.Context, *server.Request, server.Revocation) { told = append(told, "revoked") }),
	))
	client := p.NewClient(nil)
	a := p.Redeem(client, p.Code(client, ""))
	p.Revoke(client, "token="+a.Body["access_token"])
	assert.True(t, slices.Equal([]string{"client", "issued", "client", "revoked"}, told), told)
}

// told counts what it is told of, and refuses registrations on demand.
type told struct {
	refuse bool
	times  int
}

func (h *told) CheckRegistration(*server.Server) error {
	if h.refuse {
		return errors.New("refused")
	}
	return nil
}

func (h *told) Registered(*server.Server) { h.times++ }

func TestAHookIsToldOfRegistrationsThatSucceeded(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	hook := &told{refuse: true}
	require.ErrorContains(t, p.Server.Register(hook), "refused")
	assert.Zero(t, hook.times)
	hook.refuse = false
	require.NoError(t, p.Server.Register(hook))
	assert.Equal(t, 1, hook.times)
	require.NoError(t, p.Server.Register(on.TokenIssued(func(context.Context, *server.Request, *models.TokenMixin) {})))
	assert.Equal(t, 2, hook.times)

	early := new(server.Server)
	hook = new(told)
	require.NoError(t, early.Register(hook))
	require.Error(t, early.Init(server.Config{}))
	assert.Zero(t, hook.times, "the settings are faulty")
	require.NoError(t, early.Init(p.BareConfig()))
	assert.Equal(t, 1, hook.times)
}
