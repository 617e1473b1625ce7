package gormstore_test

import (
	"context"
	"database/sql"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/device"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// member is a user whom a handle may leave out.
type member struct {
	ID        uint
	Disabled  bool
	Vip       bool
	DeletedAt gorm.DeletedAt
}

func (member) TableName() string { return "users" }

func (m *member) GetUserID() string { return strconv.FormatUint(uint64(m.ID), 10) }

// raw is a condition of a program's own type.
type raw string

func (r raw) Build(builder clause.Builder) { _, _ = builder.WriteString(string(r)) }

// or is "not disabled, or a VIP" in every form in which a handle can say it.
var or = map[string]func(db *gorm.DB) *gorm.DB{
	"Where and Or":           func(db *gorm.DB) *gorm.DB { return db.Where("disabled = ?", false).Or("vip = ?", true) },
	"Or and Or":              func(db *gorm.DB) *gorm.DB { return db.Or("disabled = ?", false).Or("vip = ?", true) },
	"a word":                 func(db *gorm.DB) *gorm.DB { return db.Where("disabled = ? or vip = ?", false, true) },
	"a line break":           func(db *gorm.DB) *gorm.DB { return db.Where("disabled = ?\n OR vip = ?", false, true) },
	"a line break behind it": func(db *gorm.DB) *gorm.DB { return db.Where("disabled = ? OR\nvip = ?", false, true) },
	"a tab":                  func(db *gorm.DB) *gorm.DB { return db.Where("disabled = ?\tOR\tvip = ?", false, true) },
	"a comment":              func(db *gorm.DB) *gorm.DB { return db.Where("disabled = ?/**/OR/**/vip = ?", false, true) },
	"no space":               func(db *gorm.DB) *gorm.DB { return db.Where("(disabled = ?)OR(vip = ?)", false, true) },
	"names": func(db *gorm.DB) *gorm.DB {
		return db.Where("disabled = @no\nOR vip = @yes", sql.Named("no", false), sql.Named("yes", true))
	},
	"structs and maps": func(db *gorm.DB) *gorm.DB { return db.Where(map[string]any{"disabled": false}).Or(&member{Vip: true}) },
	"another handle":   func(db *gorm.DB) *gorm.DB { return db.Where(db.Where("disabled = ?", false).Or("vip = ?", true)) },
	"a negation":       func(db *gorm.DB) *gorm.DB { return db.Not("disabled = ?\nAND vip = ?", true, false) },
	"a negation of two": func(db *gorm.DB) *gorm.DB {
		return db.Not(db.Where("disabled = ?", true).Where("vip = ?\nOR 1 = 0", false))
	},
	"a negation of comparisons": func(db *gorm.DB) *gorm.DB { return db.Not("disabled", true).Or(map[string]any{"vip": true}) },
	"an expression":             func(db *gorm.DB) *gorm.DB { return db.Where(raw("NOT disabled OR vip")) },
	"a clause": func(db *gorm.DB) *gorm.DB {
		return db.Clauses(clause.Where{Exprs: []clause.Expression{raw("NOT disabled OR vip")}})
	},
	"a clause of two": func(db *gorm.DB) *gorm.DB {
		return db.Clauses(clause.Or(clause.Eq{Column: "disabled", Value: false}, clause.Eq{Column: "vip", Value: true}))
	},
	"a scope": func(db *gorm.DB) *gorm.DB {
		return db.Scopes(func(tx *gorm.DB) *gorm.DB { return tx.Where("disabled = ?", false).Or("vip = ?", true) })
	},
	"a scope with a line break": func(db *gorm.DB) *gorm.DB {
		return db.Scopes(func(tx *gorm.DB) *gorm.DB { return tx.Where("disabled = ?\nOR vip = ?", false, true) })
	},
	"a plugin": func(db *gorm.DB) *gorm.DB {
		db = db.Session(&gorm.Session{Initialized: true}).Set("members", true).Session(&gorm.Session{})
		_ = db.Callback().Query().Before("gorm:query").Replace("test:members", func(tx *gorm.DB) {
			if _, ok := tx.Get("members"); ok {
				tx.Where("disabled = ?", false).Or("vip = ?", true)
			}
		})
		return db
	},
	"a join": func(db *gorm.DB) *gorm.DB {
		return db.Joins("JOIN users AS same ON same.id = users.id").Where("NOT same.disabled\nOR same.vip")
	},
}

// Without brackets, "disabled = false OR vip = true AND id = 7" is true of everybody who
// is not disabled.
func TestAUserIsFoundWhoWasAskedFor(t *testing.T) {
	testdb.Each(t, []any{&member{}}, func(t *testing.T, db *gorm.DB) {
		alice, bob, carol, dave := &member{}, &member{Disabled: true, Vip: true}, &member{Disabled: true}, &member{}
		for _, m := range []*member{alice, bob, carol, dave} {
			require.NoError(t, db.Create(m).Error)
		}
		require.NoError(t, db.Delete(dave).Error)
		for form, handle := range or {
			t.Run(form, func(t *testing.T) {
				users, err := gormstore.NewUsers[member](handle(db))
				require.NoError(t, err)
				found := func(id string) string {
					user, err := users.Query(t.Context(), id)
					require.NoError(t, err)
					if user == nil {
						return ""
					}
					return user.GetUserID()
				}
				assert.Equal(t, alice.GetUserID(), found(alice.GetUserID()))
				assert.Equal(t, bob.GetUserID(), found(bob.GetUserID()))
				assert.Empty(t, found(carol.GetUserID()), "who is left out")
				assert.Empty(t, found(dave.GetUserID()), "who was deleted")
				assert.Empty(t, found("99"), "who does not exist")
			})
		}
	})
}

// The attack: bob redeems his code while the handle of users has an OR.
func TestBobsCodeDoesNotBecomeAlicesToken(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		require.NoError(t, gormoauth.AutoMigrate(db, &member{}))
		for form, handle := range or {
			t.Run(form, func(t *testing.T) {
				alice, bob := &member{}, &member{}
				require.NoError(t, db.Create(alice).Error)
				require.NoError(t, db.Create(bob).Error)
				p := oauthtest.New(t, db, func(config *server.Config) {
					config.QueryUser = gormoauth.CreateQueryUserFunc[member](handle(db))
				})
				client := p.NewClient(oauthtest.Public)
				a := p.Decide(oauthtest.AuthorizeQuery(client, "scope=profile"), "confirm=yes", bob)
				answer := p.Redeem(client, a.Query.Get("code"))
				require.NotEmpty(t, answer.Body["access_token"], "%s %v", answer.Raw, a)
				tokens, err := gormstore.NewTokens[Token](db)
				require.NoError(t, err)
				stored, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: secret.Digest(answer.Body["access_token"])})
				require.NoError(t, err)
				assert.Equal(t, bob.GetUserID(), stored.UserID)
				next := p.Refresh(client, answer.Body["refresh_token"], "")
				assert.NotEmpty(t, next.Body["access_token"], next.Raw)
			})
		}
	})
}

// everyRow is true of every row, and of any row as soon as it is joined with one half
// alone.
var everyRow = map[string]func(db *gorm.DB) *gorm.DB{
	"Where and Or": func(db *gorm.DB) *gorm.DB { return db.Where("1 = 1").Or("1 = 0") },
	"a line break": func(db *gorm.DB) *gorm.DB { return db.Where("1 = 1\nOR 1 = 0") },
	"a scope": func(db *gorm.DB) *gorm.DB {
		return db.Scopes(func(tx *gorm.DB) *gorm.DB { return tx.Where("1 = 0").Or("1 = 1") })
	},
}

// The attack: somebody presents a token, a code, … that nobody issued, or acts on
// what is theirs, and must neither find nor touch what is somebody else's.
func TestWhatNobodyIssuedIsNotFound(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		for form, handle := range everyRow {
			t.Run(form, func(t *testing.T) {
				p := newProvider(t, db)
				theirs := p.redeem(p.code("profile"))
				require.True(t, p.valid(theirs.AccessToken), theirs.Description)
				open := newProvider(t, handle(db).Session(&gorm.Session{}))
				nobodys := secret.Generate(secret.DefaultPrefix, secret.AccessToken)
				assert.Equal(t, 401, open.Call(nobodys).Status, "a token opens nothing")
				refresh, _ := open.Server.GenerateCode(secret.RefreshToken, "")
				assert.Equal(t, "invalid_grant", open.refresh(refresh).Error)
				code, _ := open.Server.GenerateCode(secret.AuthorizationCode, "")
				assert.Equal(t, "invalid_grant", open.redeem(code).Error)
				nobody := &Client{ClientMixin: models.ClientMixin{ClientID: "nobody", ClientMetadata: models.ClientMetadata{TokenEndpointAuthMethod: models.None}}}
				assert.Equal(t, "invalid_client", open.Token(nobody, "grant_type=refresh_token&refresh_token="+refresh).Body["error"])
				assert.True(t, p.valid(theirs.AccessToken), "what is somebody else's stays")

				mine := open.redeem(open.code("profile"))
				require.True(t, open.valid(mine.AccessToken), mine.Description)
				next := open.refresh(mine.RefreshToken)
				require.NotEmpty(t, next.AccessToken, next.Description)
				assert.True(t, p.valid(theirs.AccessToken), "a rotation rotates its own")
				open.Revoke(open.client, "token="+next.RefreshToken)
				assert.False(t, open.valid(next.AccessToken))
				assert.True(t, p.valid(theirs.AccessToken), "a revocation revokes its own")
				assert.NotEmpty(t, p.refresh(theirs.RefreshToken).AccessToken)
			})
		}
	})
}

// oneOfEach are the stores beside tokens, codes and clients, each with one row.
type oneOfEach struct {
	user          *User
	now           time.Time
	devices       *gormstore.DeviceCodes
	requests      *gormstore.PushedRequests
	consents      *gormstore.Consents[oauthtest.Consent]
	sessions      *gormstore.Sessions
	registrations *gormstore.ClientRegistration
	client        *models.ClientMixin
}

func newOneOfEach(t *testing.T, db *gorm.DB) *oneOfEach {
	t.Helper()
	s := &oneOfEach{
		user: &User{}, now: time.Now(),
		devices:       gormoauth.CreateDeviceCodeStorage[oauthtest.DeviceCode](db),
		requests:      gormoauth.CreatePushedRequestStorage[oauthtest.PushedRequest](db),
		consents:      gormoauth.CreateConsentStorage[oauthtest.Consent, Token, AuthorizationCode](db),
		sessions:      gormoauth.CreateSessionStorage[oauthtest.Session, oauthtest.Logout, Token, AuthorizationCode](db),
		registrations: gormoauth.CreateClientRegistrationStorage[Client, Token](db),
		client:        &models.ClientMixin{ClientID: "c", RegistrationAccessToken: "t"},
	}
	require.NoError(t, db.Create(s.user).Error)
	later := s.now.Add(time.Hour).Unix()
	require.NoError(t, s.devices.SaveDeviceCode(t.Context(), &models.DeviceCodeMixin{DeviceCode: "d", UserCode: "u", ExpiresAt: later}, nil))
	require.NoError(t, s.requests.SavePushedRequest(t.Context(), &models.PushedRequestMixin{RequestURI: "r", ExpiresAt: later}))
	saved, err := s.consents.SaveConsent(t.Context(), nil, &models.ConsentMixin{ClientID: "c", Scope: "profile"}, s.user)
	require.True(t, err == nil && saved)
	joined, err := s.sessions.JoinSession(t.Context(), &models.SessionMixin{SID: "s", SessionID: "s", ExpiresAt: later}, s.user)
	require.True(t, err == nil && joined)
	require.NoError(t, s.registrations.SaveClient(t.Context(), s.client, nil))
	return s
}

// lookUps are for what there is not, beside a row that there is.
func (s *oneOfEach) lookUps(ctx context.Context, db *gorm.DB) map[string]func() (found bool, err error) {
	return map[string]func() (bool, error){
		"a device by its code": func() (bool, error) {
			device, err := s.devices.QueryDeviceCode(ctx, device.Query{DeviceCode: "none"})
			return device != nil, err
		},
		"a device by its user code": func() (bool, error) {
			device, err := s.devices.QueryDeviceCode(ctx, device.Query{UserCode: "none"})
			return device != nil, err
		},
		"a pushed request": func() (bool, error) {
			request, err := s.requests.QueryPushedRequest(ctx, "none")
			return request != nil, err
		},
		"a consent for another client": func() (bool, error) {
			consent, err := s.consents.QueryConsent(ctx, s.user.GetUserID(), "none")
			return consent != nil, err
		},
		"another's consent": func() (bool, error) {
			consent, err := s.consents.QueryConsent(ctx, "99", "c")
			return consent != nil, err
		},
		"a list of another's consents": func() (bool, error) {
			consents, err := s.consents.Of(ctx, "99")
			return len(consents) > 0, err
		},
		"the sessions of another": func() (bool, error) {
			ended, err := s.sessions.EndSession(ctx, oidc.SessionEnd{UserID: "99", Time: s.now, Revokes: func(string) bool { return true }})
			return err == nil && len(ended.Clients) > 0, err
		},
		"a session": func() (bool, error) {
			ended, err := s.sessions.EndSession(ctx, oidc.SessionEnd{SessionID: "none", Time: s.now, Revokes: func(string) bool { return true }})
			return err == nil && len(ended.Clients) > 0, err
		},
		"a client": func() (bool, error) {
			client, err := gormoauth.CreateQueryClientFunc[Client](db)(ctx, "none")
			return client != nil, err
		},
		"a user": func() (bool, error) {
			user, err := gormoauth.CreateQueryUserFunc[User](db)(ctx, "99")
			return user != nil, err
		},
		"a token": func() (bool, error) {
			token, err := gormoauth.CreateQueryTokenFunc[Token](db)(ctx, storage.TokenQuery{AccessToken: "none", RefreshToken: "none", GrantID: "none"})
			return token != nil, err
		},
		"an authorization code": func() (bool, error) {
			code, err := gormoauth.CreateQueryAuthorizationCodeFunc[AuthorizationCode](db)(ctx, "none")
			return code != nil, err
		},
		"another's entries of the audit trail": func() (bool, error) {
			entries, err := gormoauth.CreateAuditStorage[oauthtest.Audit](db, gormstore.AuditOptions{}).Query(ctx, gormstore.AuditQuery{UserID: "99"})
			return len(entries) > 0, err
		},
	}
}

// Whatever a store is asked for that it does not have, and is told to do to what it
// does not have, leaves what it has as it is.
func TestEveryLookUpIsExact(t *testing.T) {
	for form, handle := range everyRow {
		testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
			open, ctx := handle(db).Session(&gorm.Session{}), t.Context()
			s := newOneOfEach(t, open)
			for what, lookUp := range s.lookUps(ctx, open) {
				found, err := lookUp()
				assert.NoError(t, err, form, what)
				assert.False(t, found, "%s: %s", form, what)
			}
			decided, err := s.devices.DecideDeviceCode(ctx, "none", device.Decision{User: s.user, Approved: true, Time: s.now})
			assert.True(t, err == nil && !decided, "a decision on another's device")
			used, err := s.requests.UsePushedRequest(ctx, "none", s.now)
			assert.True(t, err == nil && !used, "the use of another's request")
			updated, err := s.registrations.UpdateClient(ctx, &models.ClientMixin{ClientID: "none", RegistrationAccessToken: "t"}, s.client)
			assert.True(t, err == nil && !updated, "an update of another client")
			require.NoError(t, s.consents.Revoke(ctx, "99", "c", s.now))
			require.NoError(t, s.registrations.DeleteClient(underway.Shorten(ctx, 0), "none", s.now))
			require.NoError(t, s.sessions.DeleteLogout(ctx, "none"))
			erased, err := gormoauth.CreateEraseFunc[Token, AuthorizationCode](open, s.devices, s.consents, s.sessions)(underway.Shorten(ctx, 0), "99")
			assert.True(t, err == nil && erased == 0, "the erasure of another")
			require.NoError(t, gormoauth.CreatePruneFunc[Token, AuthorizationCode](open, s.devices, s.requests, s.sessions, s.registrations)(ctx, gormstore.PruneOptions{}))

			device, err := s.devices.QueryDeviceCode(ctx, device.Query{UserCode: "u"})
			require.True(t, err == nil && device != nil)
			assert.Zero(t, device.DeviceCode.(*oauthtest.DeviceCode).ApprovedAt)
			request, err := s.requests.QueryPushedRequest(ctx, "r")
			require.True(t, err == nil && request != nil)
			assert.Zero(t, request.(*oauthtest.PushedRequest).UsedAt)
			consents, err := s.consents.Of(ctx, s.user.GetUserID())
			assert.True(t, err == nil && len(consents) == 1)
			ended, err := s.sessions.EndSession(ctx, oidc.SessionEnd{UserID: s.user.GetUserID(), Time: s.now, Revokes: func(string) bool { return true }})
			assert.True(t, err == nil && len(ended.Clients) == 1)
			client, err := gormoauth.CreateQueryClientFunc[Client](open)(ctx, "c")
			assert.True(t, err == nil && client != nil)
		})
	}
}

// A plugin, a view or a collation may have the database answer with a row that nobody
// asked for. It is none.
func TestARowThatNobodyAskedForIsNone(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		audited, err := gormoauth.WithAudit[oauthtest.Audit](db)
		require.NoError(t, err)
		s := newOneOfEach(t, audited)
		p := newProvider(t, audited)
		require.NotEmpty(t, p.redeem(p.code("profile")).AccessToken)
		lookUps := s.lookUps(t.Context(), db)
		require.NoError(t, db.Callback().Query().Before("gorm:query").Register("test:all", func(tx *gorm.DB) { delete(tx.Statement.Clauses, "WHERE") }))
		for what, lookUp := range lookUps {
			found, err := lookUp()
			assert.NoError(t, err, what)
			assert.False(t, found, what)
		}
	})
}

// A database that compares without regard to case finds no client by another's id.
func TestAClientIsFoundByItsExactID(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, allModels...)
	var made string
	require.NoError(t, db.Raw("SELECT sql FROM sqlite_master WHERE name = 'clients'").Scan(&made).Error)
	blind := regexp.MustCompile("(`client_id` [a-z]+(\\(\\d+\\))?)").ReplaceAllString(made, "$1 COLLATE NOCASE")
	require.NotEqual(t, made, blind)
	require.NoError(t, db.Exec("DROP TABLE clients").Error)
	require.NoError(t, db.Exec(blind).Error)
	for _, row := range []models.ClientMixin{{ClientID: "Client"}, {ClientID: "deleted", ClientDeletedAt: 1}} {
		require.NoError(t, db.Create(&Client{ClientMixin: row}).Error)
	}
	clients, err := gormstore.NewClients[Client](db)
	require.NoError(t, err)
	for id, found := range map[string]bool{"Client": true, "client": false, "CLIENT": false, "deleted": false, "none": false, "": false} {
		client, err := clients.Query(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, found, client != nil, id)
	}
}
