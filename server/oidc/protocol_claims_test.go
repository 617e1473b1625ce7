package oidc_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/on"
)

// What the protocol says in a claim, neither users nor the program's own function say, however
// the name is written.
func TestNobodyElseSetsAClaimOfTheProtocol(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	set := make(map[string]any)
	p.oidc.Claims = func(_ context.Context, input *oidc.ClaimsInput) error {
		for name, value := range set {
			input.Claims[name] = value
		}
		return nil
	}
	client := p.client()
	for _, name := range []string{
		"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "c_hash", "s_hash", "sid", "events", "cnf", "act", "client_id", "scope",
	} {
		for _, spelled := range []string{name, strings.ToUpper(name)} {
			clear(set)
			set[spelled], set["favorite"] = "of the program", "tea"
			tokens := p.signIn(client, "scope=openid profile")
			claims, _ := verify(t, tokens["id_token"])
			info := p.userInfo(tokens["access_token"])
			assert.NotEqual(t, "of the program", claims[spelled], spelled)
			assert.NotEqual(t, "of the program", info.Body[spelled], spelled)
			assert.Equal(t, "tea", info.Body["favorite"], "%s: what is the program's own stays", spelled)
		}
	}
}

// The page of a sign-out allows its own script and style, and no others.
func TestThePolicyOfTheSignOutPage(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.client("frontchannel_logout_uri", "https://client.example/out")
	p.signIn(client, "scope=openid")
	ended, err := p.oidc.EndSession(t.Context(), sessionID)
	require.NoError(t, err)
	w := httptest.NewRecorder()
	require.True(t, p.oidc.CreateLogoutResponse(w, httptest.NewRequest(http.MethodPost, "/logout", http.NoBody), new(oidc.LogoutRequest), ended))
	page, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	for _, element := range []string{"script", "style"} {
		found := regexp.MustCompile(`(?s)<` + element + `>(.*)</` + element + `>`).FindStringSubmatch(page)
		require.NotNil(t, found, page)
		sum := sha256.Sum256([]byte(found[1]))
		assert.Contains(t, policy, element+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	assert.Contains(t, policy, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; frame-src https://client.example;")
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	assert.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	assert.Contains(t, page, `<iframe src="https://client.example/out?`)
}

// Storage that revokes by itself tells the hooks of the server whose part uses it.
func TestEveryPartNamesItsServerToItsStorage(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	consents := &telling{}
	require.NoError(t, p.Server.Register(&grant.RememberedConsent{Storage: consents}))
	assert.Same(t, p.Server, consents.told)

	other := oauthtest.New(t, p.DB)
	clients := &tellingClients{ClientRegistrationStorage: p.registration.Storage}
	require.NoError(t, other.Server.RegisterEndpoint(&endpoint.Registration{Storage: clients, Open: true}))
	assert.Same(t, other.Server, clients.told)
}

// telling is storage that revokes by itself.
type telling struct {
	grant.ConsentStorage
	told *server.Server
}

func (s *telling) TellRevocationsTo(srv *server.Server) { s.told = srv }

type tellingClients struct {
	endpoint.ClientRegistrationStorage
	told *server.Server
}

func (s *tellingClients) TellRevocationsTo(srv *server.Server) { s.told = srv }

// Before it is registered, and without what it needs, a provider says so.
func TestAProviderThatIsNotRegistered(t *testing.T) {
	p := new(oidc.Provider)
	for name, call := range map[string]func() error{
		"DeliverDueLogouts": func() error { _, err := p.DeliverDueLogouts(t.Context()); return err },
		"EndSession":        func() error { _, err := p.EndSession(t.Context(), "x"); return err },
		"EndSessionsOf":     func() error { _, err := p.EndSessionsOf(t.Context(), "x"); return err },
		"GetLogoutRequest": func() error {
			_, err := p.GetLogoutRequest(httptest.NewRequest(http.MethodGet, "/", http.NoBody), nil)
			return err
		},
	} {
		assert.ErrorIs(t, call(), oidc.ErrNotRegistered, name)
	}
	bare := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(p *oidc.Provider) { p.Sessions, p.Logouts = nil, nil })
	_, err := bare.oidc.DeliverDueLogouts(t.Context())
	assert.ErrorContains(t, err, "oidc: Provider.Logouts is missing")
	ended, err := bare.oidc.EndSession(t.Context(), sessionID)
	assert.NoError(t, err)
	assert.Equal(t, new(oidc.EndedSession), ended)
}

// sessionsOf is storage that says what ended in one of two ways.
type sessionsOf struct {
	oidc.SessionStorage
	ended oidc.EndedSession
}

func (s sessionsOf) EndSession(context.Context, oidc.SessionEnd) (*oidc.EndedSession, error) {
	return &s.ended, nil
}

// The hooks are told of every grant that a sign-out ends, whatever the storage knows of it.
func TestTheHooksAreToldOfWhatASignOutEnds(t *testing.T) {
	for name, row := range map[string]struct {
		ended oidc.EndedSession
		want  []server.Revocation
	}{
		"ids alone": {oidc.EndedSession{GrantIDs: []string{"a", "b"}}, []server.Revocation{{GrantID: "a", Reason: server.RevokedBySession}, {GrantID: "b", Reason: server.RevokedBySession}}},
		"grants": {
			oidc.EndedSession{GrantIDs: []string{"a"}, Grants: []oidc.EndedGrant{{GrantID: "a", ClientID: "c", UserID: "u"}}},
			[]server.Revocation{{GrantID: "a", ClientID: "c", UserID: "u", Reason: server.RevokedBySession}},
		},
		"nothing": {oidc.EndedSession{}, nil},
	} {
		p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(p *oidc.Provider) { p.Sessions = sessionsOf{p.Sessions, row.ended} })
		var told []server.Revocation
		var requests []server.Request
		require.NoError(t, p.Server.Register(on.TokenRevoked(func(_ context.Context, req *server.Request, revocation server.Revocation) {
			told, requests = append(told, revocation), append(requests, server.Request{Server: req.Server, Endpoint: req.Endpoint, Time: req.Time})
		})))
		_, err := p.oidc.EndSession(t.Context(), sessionID)
		require.NoError(t, err)
		assert.Equal(t, row.want, told, name)
		for _, request := range requests {
			assert.Equal(t, server.Request{Server: p.Server, Endpoint: "end_session", Time: p.Now.Truncate(time.Nanosecond)}, request, name)
		}
	}
}

// The implicit flow says by itself what its ID tokens have.
func TestTheMetadataOfTheImplicitFlow(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	provider := &oidc.Provider{Keys: signingKeys()}
	require.NoError(t, provider.Register(p.Server, p.Protector))
	assert.NotContains(t, p.Server.Metadata()["claims_supported"], "s_hash")
	require.NoError(t, p.Server.RegisterGrant(&oidc.Implicit{Provider: provider}))
	assert.Contains(t, p.Server.Metadata()["claims_supported"], "s_hash")
	assert.Contains(t, p.Server.Metadata()["grant_types_supported"], "implicit")
}
