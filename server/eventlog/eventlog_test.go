package eventlog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/eventlog"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/storage"
)

// lines reads what a JSON handler wrote, and forgets it.
func lines(t *testing.T, log *bytes.Buffer) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		var members map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &members), line)
		delete(members, "time")
		all = append(all, members)
	}
	log.Reset()
	return all
}

func TestOneLineForEveryRequest(t *testing.T) {
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
	log := new(bytes.Buffer)
	events := &eventlog.Log{Logger: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	require.NoError(t, p.Server.Register(events))
	client := p.NewClient(nil)
	var address any = "192.0.2.1"
	one := func() map[string]any {
		all := lines(t, log)
		require.Len(t, all, 1)
		assert.Equal(t, "an OAuth request was answered", all[0]["msg"])
		assert.Regexp(t, "^[A-Z2-7]{26}$", all[0]["request_id"])
		assert.Equal(t, address, all[0]["remote_address"])
		for _, key := range []string{"msg", "request_id", "remote_address"} {
			delete(all[0], key)
		}
		return all[0]
	}
	user := p.User.GetUserID()
	query := oauthtest.AuthorizeQuery(client, "scope=profile")
	decision := p.Decision(query, p.User)
	assert.Equal(t, "authorization_page", one()["endpoint"])
	code := p.Send(http.MethodPost, query, "decision="+string(decision), p.User).Query.Get("code")
	assert.Equal(t, map[string]any{"level": "INFO", "endpoint": "authorization", "status": 302., "duration": 0., "client_id": client.ClientID, "user": user, "scope": "profile"}, one())

	issued := p.Redeem(client, code)
	var row oauthtest.Token
	require.NoError(t, db.First(&row).Error)
	want := map[string]any{
		"level": "INFO", "endpoint": "token", "status": 200., "duration": 0., "client_id": client.ClientID, "user": user, "scope": "profile",
		"auth_method": "client_secret_basic", "grant_type": "authorization_code", "grant": row.GrantID[:16],
	}
	assert.Equal(t, want, one())

	p.Redeem(client, code)
	reused := one()
	assert.Equal(t, "WARN", reused["level"])
	assert.Equal(t, true, reused["reuse"])
	assert.Equal(t, row.GrantID[:16], reused["grant"], "it can be followed")
	assert.Equal(t, "invalid_grant", reused["error"])
	assert.Equal(t, "The credential was already used.", reused["error_description"])

	p.Token(nil, "grant_type=refresh_token&client_id="+client.ClientID+"&client_secret=wrong")
	failed := one()
	assert.Equal(t, "WARN", failed["level"], "somebody tries secrets")
	assert.Equal(t, client.ClientID, failed["claimed_client_id"])
	assert.NotContains(t, failed, "client_id")

	p.Refresh(client, issued.Body["refresh_token"], "")
	assert.Equal(t, "INFO", one()["level"], "a client's usual fault")
	p.Revoke(client, "token="+issued.Body["refresh_token"])
	assert.Equal(t, row.GrantID[:16], one()["grant"])

	fault = errors.New("Get https://attacker.example/?secret")
	p.Redeem(client, code)
	inside := one()
	assert.Equal(t, "ERROR", inside["level"])
	assert.Equal(t, "server_error", inside["error"])
	assert.Equal(t, "The server could not answer the request.", inside["error_description"], "what failed is for Config.Logger")
	fault = context.Canceled
	p.Redeem(client, code)
	assert.Equal(t, "INFO", one()["level"], "nobody waits for the answer")
	fault = nil

	events.WithoutUsers, events.WithoutAddresses, address = true, true, nil
	p.Consent(query)
	assert.NotContains(t, one(), "user")
}

func TestAnEventLogNeedsALogger(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	require.ErrorContains(t, p.Server.Register(&eventlog.Log{}), "Log.Logger")
}

// Nothing that opens anything stands in a log, whatever a request is answered with:
// neither in the lines of the events nor in those that the server writes of itself.
func TestNoSecretIsLogged(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	log := new(bytes.Buffer)
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))
	var broken error
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.Logger = logger
		query := gormoauth.CreateQueryClientFunc[oauthtest.Client](db)
		c.QueryClient = func(ctx context.Context, id string) (storage.Client, error) {
			if broken != nil {
				return nil, broken
			}
			return query(ctx, id)
		}
	})
	secrets := new(oauthtest.Secrets)
	events := &eventlog.Log{Logger: logger}
	require.NoError(t, p.Server.Register(events, secretsOf{secrets}))
	p.Protector = p.NewProtector(resource.Config{Logger: logger, Observers: server.Observers{events, secretsOf{secrets}}}, gormoauth.CreateBearerTokenValidator[oauthtest.Token](db))

	confidential := p.NewClient(oauthtest.Grants("authorization_code", "refresh_token", "client_credentials", "password", "implicit"))
	public := p.NewClient(oauthtest.All(oauthtest.Grants("authorization_code", "refresh_token", "implicit", "password"), oauthtest.Public))
	post := p.NewClient(oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) { c.ClientMetadata.TokenEndpointAuthMethod = "client_secret_post" }))
	see := func(a oauthtest.Answer) oauthtest.Answer {
		secrets.Response(a.Header, []byte(a.Raw))
		return a
	}
	everything := func() {
		for _, client := range []*oauthtest.Client{confidential, public, post} {
			const state = "state=a-state-that-is-long"
			a := see(p.Grant(oauthtest.AuthorizeQuery(client, state)))
			see(p.Grant("response_type=token&client_id=" + client.ClientID + "&" + state))
			see(p.Decide(oauthtest.AuthorizeQuery(client, state), "", nil))
			see(p.Consent(oauthtest.AuthorizeQuery(client, state+"&scope=admin&request=a-request-object")))
			code := a.Query.Get("code")
			see(p.Token(client, "grant_type=authorization_code&code_verifier=not-the-verifier-of-this-code-but-another&code="+code))
			tokens := see(p.Redeem(client, code)).Body
			see(p.Introspect(client, "token="+tokens["access_token"]))
			see(p.Call(tokens["access_token"], "profile"))
			see(p.Call(tokens["access_token"], "admin"))
			see(p.Call("an-access-token-of-nobody"))
			refreshed := see(p.Refresh(client, tokens["refresh_token"], "")).Body
			see(p.Refresh(client, tokens["refresh_token"], "")) // once too often
			see(p.Refresh(client, refreshed["refresh_token"], "&refresh_token=a-second-refresh-token"))
			see(p.Redeem(client, code))
			see(p.Token(client, "grant_type=client_credentials"))
			see(p.Token(client, "grant_type=password&username=alice&password=a-password-that-is-wrong"))
			see(p.Token(client, "grant_type=refresh_token&refresh_token=a-refresh-token-of-nobody", "DPoP", "a.dpop.proof"))
			see(p.Token(nil, "grant_type=client_credentials&client_id="+client.ClientID+"&client_secret=a-secret-of-nobody"))
			see(p.Token(nil, "grant_type=refresh_token&client_assertion=an.assertion.jwt&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer"))
			see(p.Revoke(client, "token="+refreshed["refresh_token"]))
		}
	}
	everything()
	broken = errors.New("connection refused")
	everything()
	assert.Equal(t, []string{
		"Authorization", "DPoP", "access_token", "client_assertion", "client_secret", "code", "code_verifier", "password", "refresh_token", "request", "state", "token",
	}, secrets.Kinds(), "the requests had them")
	assert.Empty(t, secrets.In(log.String()))
	for _, level := range []string{"INFO", "WARN", "ERROR"} {
		assert.Contains(t, log.String(), "level="+level)
	}
}

// secretsOf finds the secrets of every request.
type secretsOf struct{ *oauthtest.Secrets }

func (s secretsOf) ObserveRequest(ctx context.Context, _ string) (context.Context, func(server.Observation)) {
	return ctx, func(o server.Observation) {
		s.Request(o.Request.HTTP, []byte(o.Request.HTTP.PostForm.Encode()))
	}
}

// A stranger's text is printed, and neither forges a line nor fills up a disk.
func TestALineIsOneLine(t *testing.T) {
	log := new(bytes.Buffer)
	logger := slog.New(slog.NewTextHandler(log, nil))
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) { c.Logger = logger })
	require.NoError(t, p.Server.Register(&eventlog.Log{Logger: logger}))
	for _, id := range []string{"x%0Alevel%3DINFO", "%1B%5B31m", strings.Repeat("y", 10_000), "%C3%A9", "a%20b%22c"} {
		p.Token(nil, "grant_type="+id+"&client_id="+id)
		p.Token(nil, "grant_type=client_credentials&scope="+id+"&client_id="+id)
		p.Consent("client_id=" + id + "&response_type=" + id)
	}
	printed := log.String()
	assert.Equal(t, 5*3*2, strings.Count(printed, "\n"), "one of the events and one of Config.Logger for each")
	assert.Equal(t, 5*3*2, strings.Count(printed, "time="))
	assert.NotContains(t, printed, "\x1b")
	for line := range strings.Lines(printed) {
		assert.Less(t, len(line), 800)
	}
}
