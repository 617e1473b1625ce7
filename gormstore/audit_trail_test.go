package gormstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

type Audit = oauthtest.Audit

// audited is a whole server on a handle with a trail.
type audited struct {
	provider
	plain  *gorm.DB // without one
	audits *gormstore.Audits[Audit]
	seen   uint // the last entry that was looked at
}

func newAudited(t *testing.T, db *gorm.DB) *audited {
	t.Helper()
	with, err := gormoauth.WithAudit[Audit](db)
	require.NoError(t, err)
	a := &audited{provider: newProvider(t, with), plain: db, audits: gormoauth.CreateAuditStorage[Audit](db, gormstore.AuditOptions{})}
	allowed := func(context.Context, *server.Request, *grant.Exchange) error { return nil }
	exchange := gormoauth.CreateTokenExchangeGrant[Token](with)
	exchange.Policy = allowed
	registration := gormoauth.CreateRegistrationEndpoint[Client, Token](with)
	registration.Open = true
	require.NoError(t, errors.Join(
		a.Server.RegisterGrant(exchange),
		a.Server.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](with)),
		a.Server.Register(grant.ResourceIndicators{Resources: []string{"https://a.example", "https://b.example"}, Default: "https://a.example"}),
		a.Server.RegisterEndpoint(registration),
		a.Server.RegisterEndpoint(gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](with)),
	))
	a.client = a.NewClient(oauthtest.Grants("authorization_code", "refresh_token", deviceGrant, exchangeGrant))
	a.take()
	return a
}

const (
	deviceGrant   = "urn:ietf:params:oauth:grant-type:device_code"
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	address       = "192.0.2.1" // that of httptest
)

// take returns the entries since the last call, without what differs each time.
func (a *audited) take() []Audit {
	a.T.Helper()
	var entries []Audit
	require.NoError(a.T, a.plain.Where("id > ?", a.seen).Order("id").Find(&entries).Error)
	for i := range entries {
		a.seen = max(a.seen, entries[i].ID)
		assert.Len(a.T, entries[i].AuditKey, 35)
		entries[i].ID, entries[i].AuditKey = 0, ""
	}
	return entries
}

func (a *audited) entry(event, clientID, grantID string, more func(*Audit)) Audit {
	e := Audit{UserID: &a.User.ID}
	e.Event, e.ClientID, e.GrantID, e.OccurredAt, e.RemoteAddress = event, clientID, grantID, a.Now.Unix(), address
	if more != nil {
		more(&e)
	}
	return e
}

// grantOf is the grant of a token.
func (a *audited) grantOf(accessToken string) string {
	a.T.Helper()
	var token Token
	require.NoError(a.T, a.plain.Where("access_token = ?", secret.Digest(accessToken)).First(&token).Error)
	return token.GrantID
}

func at(endpoint string) func(*Audit) { return func(e *Audit) { e.Endpoint = endpoint } }

func issued(grantType, scope, audience string) func(*Audit) {
	return func(e *Audit) { e.Endpoint, e.GrantType, e.Scope, e.Audience = "token", grantType, scope, audience }
}

// Each request leaves exactly this.
func TestWhoDidWhat(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		a := newAudited(t, db)
		id, ctx := a.client.ClientID, t.Context()
		const audience = "https://a.example"
		granted := func(e *Audit) { e.Endpoint, e.Scope, e.Audience = "authorization", "profile", audience }

		code := a.code("profile")
		entries := a.take()
		require.Len(t, entries, 1)
		grantID := entries[0].GrantID
		assert.Equal(t, []Audit{a.entry(models.AuditAuthorizationGranted, id, grantID, granted)}, entries, "a user lets a client in")

		first := a.redeem(code)
		require.Equal(t, grantID, a.grantOf(first.AccessToken))
		assert.Equal(t, []Audit{a.entry(models.AuditTokenIssued, id, grantID, issued("authorization_code", "profile", audience))}, a.take(), "it redeems the code")

		second := a.refresh(first.RefreshToken)
		assert.Equal(t, []Audit{a.entry(models.AuditTokenRefreshed, id, grantID, issued("refresh_token", "profile", audience))}, a.take(), "it refreshes")

		exchanged := a.Token(a.client, "grant_type="+exchangeGrant+"&subject_token_type=urn:ietf:params:oauth:token-type:access_token&subject_token="+second.AccessToken)
		require.Equal(t, http.StatusOK, exchanged.Status, exchanged.Raw)
		assert.Equal(t, []Audit{a.entry(models.AuditTokenExchanged, id, grantID, issued(exchangeGrant, "profile", audience))}, a.take(), "it exchanges the token")

		a.Revoke(a.client, "token="+second.AccessToken)
		assert.Equal(t, []Audit{a.entry(models.AuditTokenRevoked, id, "", at("revocation"))}, a.take(), "it revokes one access token")
		a.Revoke(a.client, "token="+second.AccessToken)
		assert.Empty(t, a.take(), "which is no act a second time")

		a.Now = a.Now.Add(time.Minute) // too late for one whose answer was lost
		a.refresh(first.RefreshToken)
		assert.Equal(t, []Audit{a.entry(models.AuditGrantRevoked, id, grantID, func(e *Audit) {
			e.Endpoint, e.Reason = "token", models.AuditByReuse
		})}, a.take(), "a refresh token comes back")
		a.refresh(second.RefreshToken)
		a.redeem(code)
		assert.Empty(t, a.take(), "what is refused is no act")

		third := a.redeem(a.code("email"))
		grantID = a.grantOf(third.AccessToken)
		a.take()
		a.Revoke(a.client, "token="+third.RefreshToken)
		assert.Equal(t, []Audit{a.entry(models.AuditGrantRevoked, id, grantID, at("revocation"))}, a.take(), "it revokes the grant")

		service := a.NewClient(oauthtest.Grants("client_credentials"))
		assert.Equal(t, []Audit{a.entry(models.AuditClientRegistered, service.ClientID, "", func(e *Audit) {
			e.UserID, e.RemoteAddress, e.OccurredAt = nil, "", service.ClientIDIssuedAt
		})}, a.take(), "the program makes a client")
		a.Token(service, "grant_type=client_credentials&scope=email")
		assert.Equal(t, []Audit{a.entry(models.AuditTokenIssued, service.ClientID, "", func(e *Audit) {
			issued("client_credentials", "email", audience)(e)
			e.UserID = nil
		})}, a.take(), "a client gets a token of its own")
		a.Token(&Client{ClientMixin: service.ClientMixin, Secret: "wrong"}, "grant_type=client_credentials")
		assert.Empty(t, a.take(), "nobody is told of wrong secrets here")

		tokens, err := gormstore.NewTokens[Token](a.DB)
		require.NoError(t, err)
		require.NoError(t, tokens.RevokeClient(underway.Shorten(ctx, 0), service.ClientID, a.Now))
		assert.Equal(t, []Audit{a.entry(models.AuditAllRevoked, service.ClientID, "", func(e *Audit) { e.UserID, e.RemoteAddress = nil, "" })},
			a.take(), "the program revokes a client's tokens")

		page := a.Server.PageContext(httptest.NewRequestWithContext(ctx, http.MethodPost, "/", http.NoBody), "settings", a.User)
		_, err = gormoauth.CreateClientFactory[Client](a.DB, a.Server).RotateSecret(page, service.ClientID, gormstore.SecretRotation{})
		require.NoError(t, err)
		entries = a.take()
		require.Len(t, entries, 1)
		entries[0].OccurredAt = a.Now.Unix() // the factory has a clock of its own
		assert.Equal(t, []Audit{a.entry(models.AuditClientSecretRotated, service.ClientID, "", at("settings"))}, entries, "on a page somebody makes a new secret")
	})
}

// What users do at other places than the authorization endpoint.
func TestWhoLetDevicesInAndTookBackWhat(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		a := newAudited(t, db)
		id, ctx := a.client.ClientID, t.Context()
		devices := gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](a.DB)
		require.NoError(t, a.Server.RegisterEndpoint(devices))
		device := func() oauthtest.Answer { return a.Post("/oauth/device_authorization", a.client, "scope=email") }
		decide := func(userCode string, approved bool) {
			require.NoError(t, a.DecideDevice(devices, userCode, a.User, approved))
		}
		asked := device()
		assert.Empty(t, a.take(), "a device that asks got nothing yet")
		decide(device().Body["user_code"], false)
		assert.Empty(t, a.take(), "nor does one that was refused")
		decide(asked.Body["user_code"], true)
		allowed := a.take()
		answer := a.Token(a.client, "grant_type="+deviceGrant+"&device_code="+asked.Body["device_code"])
		require.Equal(t, http.StatusOK, answer.Status, answer.Raw)
		grantID := a.grantOf(answer.Body["access_token"])
		assert.Equal(t, []Audit{a.entry(models.AuditAuthorizationGranted, id, grantID, func(e *Audit) {
			e.Endpoint, e.Scope, e.Audience = "device", "email", "https://a.example"
		})}, allowed, "a user lets a device in")
		assert.Equal(t, []Audit{a.entry(models.AuditTokenIssued, id, grantID, issued(deviceGrant, "email", "https://a.example"))}, a.take(), "which gets its token")

		consents, err := gormstore.NewConsents[oauthtest.Consent, Token, AuthorizationCode](a.DB)
		require.NoError(t, err)
		for range 2 {
			require.NoError(t, consents.Revoke(ctx, a.User.GetUserID(), id, a.Now))
		}
		assert.Equal(t, []Audit{a.entry(models.AuditConsentRevoked, id, "", func(e *Audit) { e.RemoteAddress = "" })}, a.take(), "the user takes it back, once")

		sessions, err := gormstore.NewSessions[oauthtest.Session, oauthtest.Logout, Token, AuthorizationCode](a.DB)
		require.NoError(t, err)
		first := a.redeem(a.code("email"))
		grantID = a.grantOf(first.AccessToken)
		sid := "of a session"
		require.NoError(t, db.Model(&Token{}).Where("grant_id = ?", grantID).Update("session_id", sid).Error)
		a.take()
		_, err = sessions.JoinSession(ctx, &models.SessionMixin{SID: sid, SessionID: "s", ClientID: id, ExpiresAt: a.Now.Add(time.Hour).Unix()}, a.User)
		require.NoError(t, err)
		for range 2 {
			_, err = sessions.EndSession(ctx, oidc.SessionEnd{SessionID: "s", Time: a.Now, Revokes: func(string) bool { return true }})
			require.NoError(t, err)
		}
		nowhere := func(e *Audit) { e.RemoteAddress = "" }
		assert.Equal(t, []Audit{
			a.entry(models.AuditSessionEnded, id, "", nowhere),
			a.entry(models.AuditGrantRevoked, id, grantID, func(e *Audit) { e.RemoteAddress, e.Reason = "", models.AuditBySession }),
		}, a.take(), "the user signs out, once")
	})
}

// Clients that register themselves, are updated, and leave.
func TestWhoRegisteredWhat(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		a := newAudited(t, db)
		registered := a.Register(`{"redirect_uris":["https://a.example/"],"token_endpoint_auth_method":"none"}`)
		id := registered.Body["client_id"]
		require.NotEmpty(t, id, registered.Raw)
		by := func(e *Audit) { e.UserID, e.Endpoint = nil, "registration" }
		assert.Equal(t, []Audit{a.entry(models.AuditClientRegistered, id, "", by)}, a.take())

		manage := func(method, token, body string) int {
			r := httptest.NewRequestWithContext(oauthtest.Brief(t), method, "/oauth/register?client_id="+id, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			a.Server.CreateEndpointResponse(w, r, "registration")
			return w.Code
		}
		token, second := registered.Body["registration_access_token"], `{"client_id":"`+id+`","redirect_uris":["https://b.example/"],"token_endpoint_auth_method":"none"}`
		require.Equal(t, http.StatusOK, manage(http.MethodPut, token, second))
		assert.Equal(t, []Audit{a.entry(models.AuditClientUpdated, id, "", by)}, a.take())
		require.Equal(t, http.StatusOK, manage(http.MethodPut, token, second))
		assert.Empty(t, a.take(), "which changed nothing")
		require.Equal(t, http.StatusUnauthorized, manage(http.MethodDelete, "another", ""))
		assert.Empty(t, a.take(), "by a token that is not the client's")
		require.Equal(t, http.StatusNoContent, manage(http.MethodDelete, token, ""))
		assert.Equal(t, []Audit{a.entry(models.AuditClientDeleted, id, "", by)}, a.take())

		storage := gormoauth.CreateClientRegistrationStorage[Client, Token](a.DB)
		require.NoError(t, storage.DeleteClient(oauthtest.Brief(t), id, a.Now))
		assert.Empty(t, a.take(), "what is gone is not deleted again")
		documents, err := gormstore.NewClientDocuments[Client](a.DB)
		require.NoError(t, err)
		for range 2 {
			require.NoError(t, documents.SaveDocumentClient(t.Context(), &models.ClientMixin{ClientID: "https://c.example/", ClientSource: models.ClientByDocument}))
		}
		entries := a.take()
		require.Len(t, entries, 1, "a client that is known by its document is stored once")
		assert.Equal(t, models.AuditClientRegistered, entries[0].Event)
		require.NoError(t, a.DB.Create(&Token{TokenMixin: models.TokenMixin{Authorization: models.Authorization{ClientID: "https://c.example/", GrantID: "g"}, AccessToken: "a", ExpiresAt: a.Now.Unix() + 60}}).Error)
		for _, want := range []int{1, 0} {
			require.NoError(t, storage.DeleteClient(oauthtest.Brief(t), "https://c.example/", a.Now))
			entries := slices.DeleteFunc(a.take(), func(entry Audit) bool { return entry.Event != models.AuditClientDeleted })
			assert.Len(t, entries, want, "and deleted once")
		}
	})
}

// Without its entry nothing happens: one that cannot be written undoes the act, also
// in the program's own transaction.
func TestNothingHappensWithoutItsEntry(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		a := newAudited(t, db)
		code, first := a.code("profile"), a.redeem(a.code("profile"))
		tokens, err := gormstore.NewTokens[Token](a.DB)
		require.NoError(t, err)
		before := a.state()
		full := func(tx *gorm.DB) {
			if tx.Statement.Table == "audits" {
				_ = tx.AddError(errors.New("there is no room"))
			}
		}
		require.NoError(t, db.Callback().Create().Before("gorm:create").Register("full", full))

		assert.Equal(t, http.StatusInternalServerError, a.redeem(code).Status)
		assert.Equal(t, http.StatusInternalServerError, a.refresh(first.RefreshToken).Status)
		assert.Equal(t, http.StatusInternalServerError, a.Revoke(a.client, "token="+first.RefreshToken).Status)
		assert.Equal(t, http.StatusInternalServerError, a.Revoke(a.client, "token="+first.AccessToken).Status)
		assert.Equal(t, http.StatusInternalServerError, a.Register(`{"redirect_uris":["https://a.example/"]}`).Status)
		assert.Equal(t, "server_error", a.Grant(oauthtest.AuthorizeQuery(a.client, "")).Query.Get("error"))
		require.NoError(t, a.DB.Transaction(func(tx *gorm.DB) error {
			ctx := gormstore.WithTransaction(t.Context(), tx)
			require.Error(t, tokens.RevokeGrant(ctx, a.grantOf(first.AccessToken), a.Now))
			require.Error(t, tokens.Save(ctx, storage.Exchange{Kind: storage.ExchangeIssue, Token: &models.TokenMixin{AccessToken: rand.Text()}}))
			return nil // the program goes on all the same
		}))
		assert.Equal(t, before, a.state())

		require.NoError(t, db.Callback().Create().Remove("full"))
		assert.Equal(t, http.StatusOK, a.redeem(code).Status, "the code was not spent")
		assert.Equal(t, http.StatusOK, a.refresh(first.RefreshToken).Status)
	})
}

// state is all that there is.
func (a *audited) state() (rows []any) {
	a.T.Helper()
	var tokens []Token
	var codes []AuthorizationCode
	require.NoError(a.T, a.plain.Order("id").Find(&tokens).Error)
	require.NoError(a.T, a.plain.Order("id").Find(&codes).Error)
	return []any{tokens, codes, a.Rows(&Client{}), a.Rows(&Audit{})}
}

// In the program's own transaction the entry stays or goes with everything else, on
// SQLite without a wait for its own lock.
func TestTheTrailIsInTheProgramsOwnTransaction(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		a := newAudited(t, db)
		tokens, err := gormstore.NewTokens[Token](a.DB)
		require.NoError(t, err)
		for _, outcome := range []error{errors.New("rolled back"), nil} {
			err := a.DB.Transaction(func(tx *gorm.DB) error {
				ctx := gormstore.WithTransaction(t.Context(), tx)
				require.NoError(t, tokens.Save(ctx, storage.Exchange{Kind: storage.ExchangeIssue, Token: &models.TokenMixin{Authorization: models.Authorization{ClientID: "c", GrantID: "g"}, AccessToken: rand.Text()}, Time: a.Now}))
				require.NoError(t, tokens.RevokeGrant(ctx, "g", a.Now))
				return outcome
			})
			require.Equal(t, outcome, err)
		}
		entries := a.take()
		require.Len(t, entries, 2, "of the transaction that was committed")
		assert.Equal(t, models.AuditTokenIssued, entries[0].Event)
		assert.Equal(t, models.AuditGrantRevoked, entries[1].Event)
	})
}

// What a trail costs is one transaction and one INSERT; without one nothing.
func TestRoundTripsOfEachExchangeWithATrail(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		recorded, s := record(db)
		with, err := gormoauth.WithAudit[Audit](recorded)
		require.NoError(t, err)
		p := newProvider(t, with)
		service := p.NewClient(oauthtest.Grants("client_credentials"))
		s.take()
		in := func(acts ...string) []string {
			return append(append([]string{"BEGIN"}, acts...), "INSERT audits", "COMMIT")
		}
		code := p.code("profile")
		assert.Equal(t, append([]string{"SELECT clients", "SELECT clients", "SELECT users"}, in("INSERT authorization_codes")...), s.take(), "the page, and the decision on it")
		first := p.redeem(code)
		exchange := []string{"UPDATE authorization_codes", "INSERT tokens"}
		if db.Name() == "postgres" {
			exchange = []string{"UPDATE authorization_codes, INSERT tokens"}
		}
		assert.Equal(t, append([]string{"SELECT clients", "SELECT authorization_codes", "SELECT users"}, in(exchange...)...), s.take(), "redeem")
		second := p.refresh(first.RefreshToken)
		assert.Equal(t, append([]string{"SELECT clients", "SELECT tokens", "SELECT users"}, in("UPDATE tokens")...), s.take(), "refresh")
		p.valid(second.AccessToken)
		assert.Equal(t, []string{"SELECT tokens"}, s.take(), "validate")
		p.Token(service, "grant_type=client_credentials")
		assert.Equal(t, append([]string{"SELECT clients"}, in("INSERT tokens")...), s.take(), "issue")
		p.Revoke(p.client, "token="+second.RefreshToken)
		assert.Equal(t, append([]string{"SELECT clients", "SELECT tokens"}, in("UPDATE authorization_codes", "UPDATE tokens", "UPDATE tokens")...), s.take(), "revoke")

		requests := gormoauth.CreatePushedRequestStorage[oauthtest.PushedRequest](with)
		require.NoError(t, requests.SavePushedRequest(t.Context(), &models.PushedRequestMixin{RequestURI: "r"}))
		assert.Equal(t, []string{"INSERT pushed_requests"}, s.take(), "what is no act of anybody's costs what it did")
	})
}

// No credential, nor the digest of one that is alive, is in an entry.
func TestNoSecretIsInTheTrail(t *testing.T) {
	a := newAudited(t, testdb.Open(t, testdb.SQLiteGo, allModels...))
	code := a.code("profile")
	first := a.redeem(code)
	second := a.refresh(first.RefreshToken)
	registered := a.Register(`{"redirect_uris":["https://a.example/"]}`)
	require.NotEmpty(t, registered.Body["client_secret"])
	var rows []map[string]any
	require.NoError(t, a.plain.Model(&Audit{}).Find(&rows).Error)
	require.NotEmpty(t, rows)
	for _, row := range rows {
		for name, value := range row {
			text, _ := value.(string)
			for _, plaintext := range []string{code, first.AccessToken, first.RefreshToken, second.AccessToken, second.RefreshToken,
				registered.Body["client_secret"], registered.Body["registration_access_token"]} {
				assert.NotContains(t, text, plaintext, name)
				assert.NotContains(t, text, secret.Digest(plaintext), name)
			}
		}
	}
}

// Whatever a proxy says of where a request comes from, it fits.
func TestAStrangersTextFitsTheTrail(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		with, err := gormoauth.WithAudit[Audit](db)
		require.NoError(t, err)
		said := ""
		p := oauthtest.New(t, with, func(config *server.Config) { config.RemoteAddress = func(*http.Request) string { return said } })
		service := p.NewClient(oauthtest.Grants("client_credentials"))
		for text, want := range map[string]string{
			strings.Repeat("x", 1000):      strings.Repeat("x", 64),
			strings.Repeat("é", 1000):      strings.Repeat("é", 32),
			"x" + strings.Repeat("é", 100): "x" + strings.Repeat("é", 31),
			"a\x00b":                       "ab",
			"a\xffb":                       "ab",
			"2001:db8::/64":                "2001:db8::/64",
		} {
			said = text
			require.Equal(t, http.StatusOK, p.Token(service, "grant_type=client_credentials").Status)
			var last Audit
			require.NoError(t, db.Order("id DESC").First(&last).Error)
			assert.Equal(t, want, last.RemoteAddress)
		}
	})
}

// A model that could not hold the trail is refused at construction.
func TestAMistakeInAModelOfTheTrailIsRefused(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	type withoutUser struct {
		ID uint
		models.AuditMixin
	}
	type withoutIndex struct {
		ID     uint
		UserID *uint `gorm:"index"`
		models.AuditMixin
	}
	type withoutMixin struct {
		ID, UserID        uint
		models.AuditMixin `gorm:"-"`
	}
	for rule, c := range map[string]struct {
		err  error
		want string
	}{
		"no UserID": {second(gormstore.WithAudit[withoutUser](db)), "has no field UserID"},
		"no index":  {second(gormstore.WithAudit[withoutIndex](db)), "withoutIndex has no index on UserID and OccurredAt, which the query for a user's entries needs; add the tag `gorm:\"index:,composite:user,priority:1\"` to UserID"},
		"no mixin":  {second(gormstore.NewAudits[withoutMixin](db, gormstore.AuditOptions{})), "has no columns of models.AuditMixin"},
		"no handle": {second(gormstore.WithAudit[Audit](nil)), "the *gorm.DB is nil"},
		"a retention of less than nothing": {
			second(gormstore.NewAudits[Audit](db, gormstore.AuditOptions{Retention: -time.Second})), "AuditOptions.Retention must not be negative"},
	} {
		assert.ErrorContains(t, c.err, c.want, rule)
	}
}

// However much ends at once, each of it has an entry.
func TestAnActOfManyEntries(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		const grants = 250
		a := newAudited(t, db)
		sessions := gormoauth.CreateSessionStorage[oauthtest.Session, oauthtest.Logout, Token, AuthorizationCode](a.DB)
		sid := "of a session"
		_, err := sessions.JoinSession(t.Context(), &models.SessionMixin{SID: sid, SessionID: "s", ClientID: a.client.ClientID, ExpiresAt: a.Now.Add(time.Hour).Unix()}, a.User)
		require.NoError(t, err)
		for range grants {
			require.NoError(t, db.Create(&Token{UserID: &a.User.ID, TokenMixin: models.TokenMixin{Authorization: models.Authorization{GrantID: rand.Text(), SessionID: &sid}, AccessToken: rand.Text()}}).Error)
		}
		_, err = sessions.EndSession(t.Context(), oidc.SessionEnd{SessionID: "s", Time: a.Now, Revokes: func(string) bool { return true }})
		require.NoError(t, err)
		ended := make(map[string]bool)
		for _, e := range a.take() {
			ended[e.Event+e.GrantID] = true
		}
		assert.Len(t, ended, grants+1)
	})
}
