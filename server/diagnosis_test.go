package server_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/grant"
)

// checks are the names of the rules that were broken, with where.
func checks(t *testing.T, findings finding.List) (all []string) {
	t.Helper()
	oauthtest.KnowFindings(t, findings)
	for _, finding := range findings {
		all = append(all, finding.Check+" "+finding.Where)
	}
	return all
}

func TestTheConfigurationIsDiagnosed(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for rule, c := range map[string]struct {
		configure func(*server.Config)
		want      []string
	}{
		"a sound one has nothing wrong": {func(*server.Config) {}, nil},
		"an issuer with a path is sound": {
			func(c *server.Config) { c.Issuer = "https://id.example/auth" }, nil},
		"an issuer on a port of its own is sound": {
			func(c *server.Config) { c.Issuer = "http://127.0.0.1:8080" }, nil},
		"an issuer ends in no slash": {
			func(c *server.Config) { c.Issuer = "https://id.example/" }, []string{"issuer_spelling Config.Issuer"}},
		"an issuer leaves the usual port out": {
			func(c *server.Config) { c.Issuer = "https://id.example:443" }, []string{"issuer_spelling Config.Issuer"}},
		"an issuer has no capitals in its host": {
			func(c *server.Config) { c.Issuer = "https://ID.example" }, []string{"issuer_spelling Config.Issuer"}},
		"a path is below the issuer's": {
			func(c *server.Config) {
				c.Issuer, c.EndpointPaths = "https://id.example/auth", map[string]string{"token": "/auth/token"}
			}, []string{`endpoint_path Config.EndpointPaths["token"]`}},
		"a path of another name is not": {
			func(c *server.Config) {
				c.Issuer, c.EndpointPaths = "https://id.example/auth", map[string]string{"token": "/authorized/token"}
			}, nil},
		"two endpoints are not at one path": {
			func(c *server.Config) { c.EndpointPaths = map[string]string{"revocation": "/oauth/token"} },
			[]string{`endpoint_path the endpoints "revocation" and "token"`}},
		"a grace is short": {
			func(c *server.Config) {
				c.RefreshTokenGrace, c.RefreshTokenKey = time.Hour, make([]byte, 32)
			}, []string{"refresh_token_grace Config.RefreshTokenGrace"}},
		"a body is small": {
			func(c *server.Config) { c.MaxRequestBytes = 1 << 30 }, []string{"max_request_bytes Config.MaxRequestBytes"}},
	} {
		p := oauthtest.New(t, db, c.configure)
		assert.Equal(t, c.want, checks(t, p.Server.Diagnose(t.Context())), rule)
	}
}

func TestAServerThatIsNotFinishedIsDiagnosed(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	var srv server.Server
	assert.Error(t, srv.Diagnose(t.Context()).Err(), "Init was not called")
	require.NoError(t, srv.Init(server.Config{
		Issuer:            oauthtest.Issuer,
		Secrets:           oauthtest.ServerSecrets(),
		QueryClient:       gormoauth.CreateQueryClientFunc[oauthtest.Client](db),
		SaveToken:         gormoauth.CreateSaveTokenFunc[oauthtest.Token](db),
		RevokeGrant:       gormoauth.CreateRevokeGrantFunc[oauthtest.Token](db),
		ClientAuthMethods: clientauth.Defaults(),
	}))
	assert.Equal(t, []string{"grants the server"}, checks(t, srv.Diagnose(t.Context())))
	require.NoError(t, srv.RegisterGrant(&grant.ClientCredentials{}))
	assert.Empty(t, srv.Diagnose(t.Context()), "who has no users need not ask for them")
	require.NoError(t, srv.RegisterGrant(gormoauth.CreateRefreshTokenGrant[oauthtest.Token](db)))
	assert.Equal(t, []string{"query_user Config.QueryUser"}, checks(t, srv.Diagnose(t.Context())))
}

// codes issues what only the authorization code grant takes.
type codes struct{ ailing }

func (*codes) Diagnose(context.Context, *server.Server) finding.List { return nil }

func (*codes) RedeemedBy() string { return "authorization_code" }

func TestACodeThatNoGrantTakesIsDiagnosed(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for name, row := range map[string]struct {
		register func(s *server.Server) error
		want     []string
	}{
		"a hook": {func(s *server.Server) error { return s.Register(&codes{}) }, nil},
		"device codes without the grant": {func(s *server.Server) error {
			return s.RegisterEndpoint(&endpoint.DeviceAuthorization{Storage: gormoauth.CreateDeviceCodeStorage[oauthtest.DeviceCode](db)})
		}, []string{"redeemed_by *endpoint.DeviceAuthorization"}},
		"device codes with it": {func(s *server.Server) error {
			devices := gormoauth.CreateDeviceCodeStorage[oauthtest.DeviceCode](db)
			return errors.Join(s.RegisterEndpoint(&endpoint.DeviceAuthorization{Storage: devices}), s.RegisterGrant(&grant.DeviceCode{Storage: devices}))
		}, nil},
	} {
		p := oauthtest.New(t, db)
		require.NoError(t, row.register(p.Server), name)
		assert.Equal(t, row.want, checks(t, p.Server.Diagnose(t.Context())), name)
	}
	var srv server.Server
	require.NoError(t, srv.Init(server.Config{
		Issuer: oauthtest.Issuer, Secrets: oauthtest.ServerSecrets(), QueryClient: gormoauth.CreateQueryClientFunc[oauthtest.Client](db), ClientAuthMethods: clientauth.Defaults(),
		SaveToken: gormoauth.CreateSaveTokenFunc[oauthtest.Token](db), RevokeGrant: gormoauth.CreateRevokeGrantFunc[oauthtest.Token](db),
	}))
	require.NoError(t, srv.RegisterGrant(&codes{}))
	assert.Equal(t, []string{"redeemed_by *server_test.codes"}, checks(t, srv.Diagnose(t.Context())))
}

// ailing is a part of the program's that is not well, of every kind.
type ailing struct{ grant.ClientCredentials }

func (*ailing) Diagnose(_ context.Context, s *server.Server) finding.List {
	return finding.List{{Check: "own", Severity: finding.Grave, Where: s.Issuer()}}
}

func TestWhateverIsRegisteredSaysWhatIsWrongWithItself(t *testing.T) {
	own := []string{"own " + oauthtest.Issuer}
	for place, register := range map[string]func(*server.Server) error{
		"a grant":            func(s *server.Server) error { return s.RegisterGrant(&ailing{}) },
		"an extension":       func(s *server.Server) error { return s.RegisterGrant(&grant.ClientCredentials{}, &ailing{}) },
		"a hook":             func(s *server.Server) error { return s.Register(&ailing{}) },
		"more than one hook": func(s *server.Server) error { return s.Register(&ailing{}, &ailing{}) },
	} {
		p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
		require.NoError(t, register(p.Server))
		assert.Equal(t, own, checks(t, p.Server.Diagnose(t.Context())), place)
	}
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	assert.Equal(t, own, checks(t, p.Server.Diagnose(t.Context(), &ailing{})), "what is no part of the server")
	require.NoError(t, p.Server.RegisterGrant(&grant.AuthorizationCode{
		SaveAuthorizationCode:  gormoauth.CreateSaveAuthorizationCodeFunc[oauthtest.AuthorizationCode](p.DB),
		QueryAuthorizationCode: gormoauth.CreateQueryAuthorizationCodeFunc[oauthtest.AuthorizationCode](p.DB),
	}, grant.CodeChallenge{AllowPlain: true}))
	assert.Equal(t, []string{"code_challenge grant.CodeChallenge.AllowPlain"}, checks(t, p.Server.Diagnose(t.Context())))
	p = oauthtest.New(t, p.DB, func(c *server.Config) { c.PKCE = server.PKCEOptional })
	assert.Equal(t, []string{"pkce server.Config.PKCE"}, checks(t, p.Server.Diagnose(t.Context())))
}

func TestFindings(t *testing.T) {
	findings := finding.List{
		{Check: "a", Severity: finding.Hint, Where: "A", Problem: "is odd"},
		{Check: "b", Severity: finding.Grave, Where: "B", Problem: "is open", Consequence: "anybody comes in", Remedy: "close it"},
		{Check: "c", Severity: finding.Warning, Where: "C", Problem: "is slow", Remedy: "add an index"},
	}
	assert.EqualError(t, findings.Err(), "grave: B is open, so anybody comes in; remedy: close it")
	assert.NoError(t, findings.Without("b").Err())
	assert.NoError(t, finding.List(nil).Err())
	assert.Equal(t, "grave: B is open, so anybody comes in; remedy: close it\nwarning: C is slow; remedy: add an index\nhint: A is odd\n", findings.String())
	assert.Equal(t, "a", findings[0].Check, "they keep their order")

	var log bytes.Buffer
	findings.Log(t.Context(), slog.New(slog.NewTextHandler(&log, nil)))
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	require.Len(t, lines, 3, "one line each")
	for i, want := range []string{"level=ERROR", "level=WARN", "level=INFO"} {
		assert.Contains(t, lines[i], want, "the worst first")
	}
	assert.Contains(t, lines[0], `finding.check=b finding.severity=grave finding.where=B finding.problem="is open" finding.consequence="anybody comes in" finding.remedy="close it"`)
	log.Reset()
	finding.List(nil).Log(t.Context(), slog.New(slog.NewTextHandler(&log, nil)))
	assert.Empty(t, log.String())
}
