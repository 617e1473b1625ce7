package gormstore_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/secret"
)

// auditKey is the key of an entry by the nanoseconds within its second.
func auditKey(nanoseconds int) string {
	return fmt.Sprintf("%09d", nanoseconds) + strings.Repeat("A", 26)
}

// A page after the other, the trail is read once, the latest entry first, however many
// entries a second has.
func TestTheTrailIsReadPageByPage(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		a := newAudited(t, db)
		other := &User{}
		require.NoError(t, db.Create(other).Error)
		long := "https://client.example/" + fmt.Sprintf("%064d", 1)
		key, whole := models.SplitClientID(long)
		require.NoError(t, db.Where("1 = 1").Delete(&Audit{}).Error)
		for i := range 10 {
			e := Audit{UserID: &a.User.ID}
			e.AuditKey, e.OccurredAt, e.Scope = auditKey(i), int64(i/5), fmt.Sprint(i)
			e.ClientID, e.LongClientID, e.GrantID = key, whole, fmt.Sprint("grant", i%2)
			if i == 3 {
				e.UserID = &other.ID
			}
			require.NoError(t, db.Create(&e).Error)
		}
		read := func(query gormstore.AuditQuery) (scopes string) {
			query.Limit = 4
			for range 5 {
				page, err := a.audits.Query(t.Context(), query)
				require.NoError(t, err)
				for _, e := range page {
					scopes += e.Scope
				}
				if len(page) < query.Limit {
					return scopes
				}
				query.Before = page[len(page)-1].GetCursor()
			}
			t.Fatal("there is no last page")
			return ""
		}
		for rule, c := range map[string]struct {
			query gormstore.AuditQuery
			want  string
		}{
			"all of it":                   {gormstore.AuditQuery{}, "9876543210"},
			"a user's":                    {gormstore.AuditQuery{UserID: a.User.GetUserID()}, "987654210"},
			"another's":                   {gormstore.AuditQuery{UserID: other.GetUserID()}, "3"},
			"a client's":                  {gormstore.AuditQuery{ClientID: long}, "9876543210"},
			"a grant's":                   {gormstore.AuditQuery{GrantID: "grant1"}, "97531"},
			"a grant's and a user's":      {gormstore.AuditQuery{GrantID: "grant1", UserID: other.GetUserID()}, "3"},
			"nobody's":                    {gormstore.AuditQuery{ClientID: "nobody"}, ""},
			"what no database can hold":   {gormstore.AuditQuery{ClientID: "a\x00"}, ""},
			"what is no text":             {gormstore.AuditQuery{GrantID: "a\xff"}, ""},
			"from the middle of a second": {gormstore.AuditQuery{Before: "1." + auditKey(7)}, "6543210"},
		} {
			assert.Equal(t, c.want, read(c.query), rule)
		}
		for _, cursor := range []string{"x", "1", "1.", ".000000000AAAAAAAAAAAAAAAAAAAAAAAAAA", "1.000000000AAAAAAAAAAAAAAAAAAAAAAAAAA' OR ''='", "1.\x00", "99999999999999999999.000000000AAAAAAAAAAAAAAAAAAAAAAAAAA"} {
			_, err := a.audits.Query(t.Context(), gormstore.AuditQuery{Before: cursor})
			assert.ErrorIs(t, err, gormstore.ErrCursor, cursor)
		}
		_, err := a.audits.Query(t.Context(), gormstore.AuditQuery{UserID: "no number"})
		assert.Error(t, err)
	})
}

// What happens in one second is read in the order in which it happened.
func TestEntriesOfOneSecondAreInOrder(t *testing.T) {
	a := newAudited(t, testdb.Open(t, testdb.SQLiteGo, allModels...))
	a.Now = time.Unix(1_800_000_000, 0)
	for i := range 20 {
		a.Now = a.Now.Add(time.Millisecond)
		a.Token(a.client, "grant_type=refresh_token&refresh_token=x")
		a.code([]string{"profile", "email"}[i%2])
	}
	page, err := a.audits.Query(t.Context(), gormstore.AuditQuery{Limit: 20})
	require.NoError(t, err)
	require.Len(t, page, 20)
	for i, e := range page {
		assert.Equal(t, []string{"email", "profile"}[i%2], e.Scope, i)
	}
}

// No statement that reads, prunes or blanks the trail reads a whole table.
func TestEveryStatementOfTheTrailHasAnIndex(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		a := newAudited(t, db)
		a.redeem(a.code("profile"))
		var statements []string
		note := func(tx *gorm.DB) {
			if tx.Statement.Table == "audits" {
				statements = append(statements, tx.Dialector.Explain(tx.Statement.SQL.String(), tx.Statement.Vars...))
			}
		}
		require.NoError(t, db.Callback().Query().After("gorm:query").Register("plan", note))
		require.NoError(t, db.Callback().Update().After("gorm:update").Register("plan", note))
		require.NoError(t, db.Callback().Delete().After("gorm:delete").Register("plan", note))
		cursor := fmt.Sprint(a.Now.Unix()+1) + "." + auditKey(2)
		for _, query := range []gormstore.AuditQuery{{UserID: a.User.GetUserID()}, {ClientID: a.client.ClientID}, {GrantID: "g"}, {}} {
			for _, query.Before = range []string{"", cursor} {
				_, err := a.audits.Query(t.Context(), query)
				require.NoError(t, err)
			}
		}
		tokens, codes := stores(t, db)
		kept, err := gormstore.NewAudits[Audit](db, gormstore.AuditOptions{Retention: time.Second})
		require.NoError(t, err)
		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{Before: time.Unix(1_700_000_000, 0)}, kept))
		_, err = gormstore.Erase(underway.Shorten(t.Context(), 0), a.User.GetUserID(), tokens, codes, a.audits)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(statements), 11)
		for _, statement := range statements {
			plan := explain(t, db, statement)
			if db.Name() == "sqlite" {
				assert.Regexp(t, "USING INDEX", plan, statement)
				assert.NotRegexp(t, "TEMP B-TREE FOR ORDER BY", plan, statement)
			}
			assert.NotRegexp(t, `Seq Scan`, plan, statement)
		}
	})
}

// The trail leaves when the program says for how long it is kept, and not before.
func TestTheTrailIsPruned(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		tokens, codes := stores(t, db)
		now := time.Now()
		for i, age := range []time.Duration{0, 23 * time.Hour, 25 * time.Hour, 1000 * 24 * time.Hour} {
			e := Audit{}
			e.AuditKey, e.OccurredAt = auditKey(i), now.Add(-age).Unix()
			require.NoError(t, db.Create(&e).Error)
		}
		prune := func(retention time.Duration, options gormstore.PruneOptions) int64 {
			audits, err := gormstore.NewAudits[Audit](db, gormstore.AuditOptions{Retention: retention})
			require.NoError(t, err)
			var progress gormstore.PruneProgress
			options.Report = func(p gormstore.PruneProgress) { progress = p }
			require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, options, audits))
			assert.Equal(t, progress.Expired, progress.Removed)
			return progress.Removed
		}
		assert.Zero(t, prune(0, gormstore.PruneOptions{}), "without end")
		assert.Zero(t, prune(2000*24*time.Hour, gormstore.PruneOptions{}), "for longer than it is")
		assert.EqualValues(t, 1, prune(24*time.Hour, gormstore.PruneOptions{Before: now.Add(-24 * time.Hour)}), "for a day, a day ago")
		assert.EqualValues(t, 1, prune(24*time.Hour, gormstore.PruneOptions{}), "for a day")
	})
}

// A user who is erased leaves the trail, and the trail stays.
func TestAnErasedUserLeavesTheTrail(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		a := newAudited(t, db)
		other := &User{}
		require.NoError(t, db.Create(other).Error)
		a.redeem(a.code("profile"))
		a.Decide(oauthtest.AuthorizeQuery(a.client, "scope=email"), "", other)
		require.NoError(t, db.Model(&Audit{}).Where("user_id IS NOT NULL").Update("authorization_details", `[{"type":"payment","creditor":"Bob"}]`).Error)
		tokens, codes := stores(t, a.DB)
		before := a.Rows(&Audit{})

		page := a.Server.PageContext(httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody), "settings", a.User) // a user who leaves by a page of theirs
		removed, err := gormstore.Erase(underway.Shorten(page, 0), a.User.GetUserID(), tokens, codes, a.audits)
		require.NoError(t, err)
		assert.EqualValues(t, 5, removed, "a token, a code, and three entries: of the code, of the token, and of its end")
		assert.Equal(t, before+1, a.Rows(&Audit{}), "every entry stays")
		var entries []Audit
		require.NoError(t, db.Order("id").Find(&entries).Error)
		for _, e := range entries {
			if e.UserID != nil {
				assert.Equal(t, other.ID, *e.UserID)
				assert.NotEmpty(t, e.RemoteAddress)
				assert.NotEmpty(t, e.AuthorizationDetails)
				continue
			}
			assert.Empty(t, e.AuthorizationDetails+e.RemoteAddress, e.Event)
		}
		last := entries[len(entries)-1]
		assert.Equal(t, []string{models.AuditAllRevoked, models.AuditByErasure}, []string{last.Event, last.Reason})
		removed, err = gormstore.Erase(underway.Shorten(t.Context(), 0), a.User.GetUserID(), tokens, codes, a.audits)
		require.NoError(t, err)
		assert.Zero(t, removed)
	})
}

// One act, one entry: whatever call to the database fails, before it took effect or
// after.
func TestAFaultNeitherLosesNorDoublesAnEntry(t *testing.T) {
	const calls = 14 // more than any act makes
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		with, err := gormoauth.WithAudit[Audit](db)
		require.NoError(t, err)
		plan := &faults.Plan{Next: func(faults.Call) faults.Fault { return faults.Fault{} }}
		broken, err := gormoauth.WithAudit[Audit](faults.DB(db, plan))
		require.NoError(t, err)
		healthy, p := oauthtest.New(t, with), newProvider(t, broken)
		healthy.User = p.User
		tokens, err := gormstore.NewTokens[Token](broken)
		require.NoError(t, err)
		consents, err := gormstore.NewConsents[oauthtest.Consent, Token, AuthorizationCode](broken)
		require.NoError(t, err)
		registration := gormoauth.CreateClientRegistrationStorage[Client, Token](broken)
		factory := gormoauth.CreateClientFactory[Client](broken, p.Server)
		first := func() answer { return answerOf(healthy.Redeem(p.client, healthy.Code(p.client, "scope=email"))) }
		must := func(err error) bool { return assert.NoError(t, err) }

		for event, prepare := range map[string]func() (act func() bool){
			models.AuditAuthorizationGranted: func() func() bool {
				return func() bool { return p.code("email") != "" }
			},
			models.AuditTokenIssued: func() func() bool {
				code := healthy.Code(p.client, "scope=email")
				return func() bool { return p.redeem(code).Status == 200 }
			},
			models.AuditTokenRefreshed: func() func() bool {
				token := first()
				return func() bool { return p.refresh(token.RefreshToken).Status == 200 }
			},
			models.AuditTokenRevoked: func() func() bool {
				token := first()
				return func() bool {
					return must(tokens.RevokeToken(t.Context(), secret.Digest(token.AccessToken), p.Now))
				}
			},
			models.AuditGrantRevoked: func() func() bool {
				token := first()
				return func() bool { return p.Revoke(p.client, "token="+token.RefreshToken).Status == 200 }
			},
			models.AuditConsentRevoked: func() func() bool {
				first()
				return func() bool {
					return must(consents.Revoke(t.Context(), p.User.GetUserID(), p.client.ClientID, p.Now))
				}
			},
			models.AuditClientDeleted: func() func() bool {
				c := healthy.NewClient(nil)
				return func() bool {
					return must(registration.DeleteClient(underway.Shorten(t.Context(), 0), c.ClientID, p.Now))
				}
			},
			models.AuditClientRegistered: func() func() bool {
				return func() bool {
					_, err := factory.Create(t.Context(), &Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{GrantTypes: []string{"client_credentials"}}}})
					return must(err)
				}
			},
			models.AuditClientSecretRotated: func() func() bool {
				c := healthy.NewClient(nil)
				return func() bool {
					_, err := factory.RotateSecret(t.Context(), c.ClientID, gormstore.SecretRotation{})
					return must(err)
				}
			},
		} {
			t.Run(event, func(t *testing.T) {
				events := provider{healthy, nil}.events
				injected := 0
				for _, fault := range []faults.Fault{{Err: faults.ErrCut}, {Err: faults.ErrCut, After: true}, {Err: faults.ErrSerialization}} {
					for call := range calls {
						plan.Next = func(faults.Call) faults.Fault { return faults.Fault{} }
						act, before := prepare(), events(event)
						plan.Next = faults.At(call, fault)
						plan.Reset()
						require.True(t, act(), "%+v at call %d", fault, call)
						injected += plan.Injected()
						require.EqualValues(t, 1, events(event)-before, "entries for one act, %+v at call %d", fault, call)
					}
				}
				require.NotZero(t, injected)
			})
		}
	})
}

// events counts the entries of an event.
func (p provider) events(event string) (rows int64) {
	require.NoError(p.T, p.DB.Session(&gorm.Session{}).Model(&Audit{}).Where("event = ?", event).Count(&rows).Error)
	return rows
}

// Of many who race for one credential, one leaves an entry of success.
func TestARaceLeavesOneEntry(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		a := newAudited(t, db)
		code := a.code("profile")
		race(8, func(int) answer { return a.redeem(code) })
		assert.EqualValues(t, 1, a.events(models.AuditTokenIssued))
		assert.LessOrEqual(t, a.events(models.AuditGrantRevoked), int64(1))
		first := a.redeem(a.code("profile"))
		race(8, func(int) answer { return a.refresh(first.RefreshToken) })
		assert.EqualValues(t, 1, a.events(models.AuditTokenRefreshed))
	})
}
