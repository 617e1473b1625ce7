package oidc_test

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/budget"
)

// whoEnds are those of whom all grants can be ended at once.
var whoEnds = map[string]func(w *world) gormstore.RevokeOptions{
	"client": func(w *world) gormstore.RevokeOptions {
		return gormstore.RevokeOptions{ClientID: w.apps[0].ClientID, Time: w.Now}
	},
	"user": func(w *world) gormstore.RevokeOptions {
		return gormstore.RevokeOptions{UserID: w.users[0].GetUserID(), Time: w.Now}
	},
}

// interrupt has an ending stop after its mark, before anything was revoked: nobody waits for
// it, and the rows are as they were.
func (w *world) interrupt(t *testing.T, options gormstore.RevokeOptions) {
	t.Helper()
	ctx, cancel := context.WithCancel(oauthtest.Brief(t))
	require.NoError(t, w.DB.Callback().Query().Before("gorm:query").Register("interrupt", func(db *gorm.DB) {
		switch db.Statement.Model.(type) {
		case *[]oauthtest.AuthorizationCode, *[]oauthtest.DeviceCode, *[]oauthtest.Token:
			cancel()
		}
	}))
	require.ErrorIs(t, w.tokens.Revoke(ctx, options), context.Canceled)
	require.NoError(t, w.DB.Callback().Query().Remove("interrupt"))
}

// From the mark on nothing counts that was issued before it, wherever the row of the client
// or the user is read; and what is issued after it does.
func TestFromTheMarkOnNothingOfBeforeCounts(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		for name, options := range whoEnds {
			w := newWorld(t, db, 0)
			app, user := w.apps[0], w.users[0]
			introspect := func(by *oauthtest.Client, token string) string {
				return w.Introspect(by, "token="+url.QueryEscape(token)).Body["active"]
			}
			api := w.NewClient(func(c *oauthtest.Client) { c.APIResources = apis })
			issue := func() (code, device, refresh, access *credential) {
				w.present(w.code(app, user, "", true), nil)
				live := w.live("refresh", "access")
				return w.code(app, user, "", true), w.device(app, user), live[len(live)-1], live[len(live)-2]
			}
			code, device, refresh, access := issue()
			require.Equal(t, "true", introspect(app, access.text), name)
			require.Equal(t, "true", introspect(api, access.text), name)
			w.interrupt(t, options(w))

			for _, c := range []*credential{code, device, refresh} {
				a := w.present(c, nil)
				assert.Equal(t, http.StatusBadRequest, a.Status, "%s: %s", c.kind, a.Raw)
				assert.Equal(t, "invalid_grant", a.Body["error"])
				assert.Contains(t, a.Refusal().Keys["reason"], "all grants of the "+name+" were ended", c.kind)
			}
			assert.Equal(t, "false", introspect(app, access.text), name)
			assert.Equal(t, "false", introspect(app, refresh.text), name)
			assert.Equal(t, "false", introspect(api, access.text), name)
			assert.Equal(t, http.StatusUnauthorized, w.userInfo(access.text).Status, name)
			if name == "user" { // an exchange knows the user of what is exchanged, and not its client
				assert.Equal(t, http.StatusBadRequest, w.present(access, w.services[0]).Status)
			}
			assert.True(t, w.Valid(access.text), "an API that looks at the token alone takes it until its row is reached")

			code, device, refresh, access = issue()
			own := w.own(app)
			require.NoError(t, w.tokens.Revoke(oauthtest.Brief(t), func() gormstore.RevokeOptions { // for another one
				o := options(w)
				if o.ClientID != "" {
					o.ClientID = w.apps[1].ClientID
				} else {
					o.UserID = w.users[1].GetUserID()
				}
				return o
			}()))
			for _, c := range []*credential{code, device, refresh} {
				a := w.present(c, nil)
				assert.Equal(t, http.StatusOK, a.Status, "%s of after the mark: %s", c.kind, a.Raw)
			}
			assert.Equal(t, "true", introspect(app, own.text))
			assert.Equal(t, "true", introspect(api, access.text), name)
			require.NoError(t, w.DB.Delete(app).Error)
			assert.Equal(t, "false", introspect(api, access.text), "nor does a client that is gone have any")
		}
	})
}

// An ending that was interrupted is called again, and goes on. It leaves what was issued
// after it began alone only if it is not called again: that is a new one.
func TestAnEndingGoesOnWhereItWasInterrupted(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		for name, options := range whoEnds {
			w := newWorld(t, db, 0)
			for range 3 {
				w.present(w.code(w.apps[0], w.users[0], "", true), nil)
			}
			w.interrupt(t, options(w))
			var told []int64
			o := options(w)
			before := w.live("access", "refresh")
			o.Report = func(ended int64) {
				if told = append(told, ended); len(told) == 1 { // somebody signs in meanwhile
					w.present(w.code(w.apps[0], w.users[0], "", true), nil)
				}
			}
			require.NoError(t, w.tokens.Revoke(oauthtest.Brief(t), o), name)
			assert.Equal(t, []int64{3}, told)
			for _, c := range before {
				assert.False(t, w.Valid(c.text))
			}
			meanwhile := w.live("access")
			assert.True(t, w.Valid(meanwhile[len(meanwhile)-1].text), "what was issued meanwhile counts")
			w.present(w.code(w.apps[0], w.users[0], "", true), nil)
			live := w.live("access")
			assert.True(t, w.Valid(live[len(live)-1].text), "and what is issued from then on counts")
			var client oauthtest.Client
			require.NoError(t, db.First(&client, "client_id = ?", w.apps[0].ClientID).Error)
			assert.Equal(t, client.Generation, client.EndedGeneration)
		}
	})
}

// underWay holds a request up right before it stores something.
type underWay struct {
	at   chan struct{} // told when it is there
	goOn chan struct{}
	held sync.Once
}

func (u *underWay) hold() {
	u.held.Do(func() {
		close(u.at)
		<-u.goOn
	})
}

func (u *underWay) PrepareToken(_ context.Context, req *server.Request, _ *models.TokenMixin) error {
	if req.GrantType == "client_credentials" || req.Subject != nil {
		u.hold()
	}
	return nil
}

func (u *underWay) PrepareAuthorizationCode(context.Context, *server.Request, *models.AuthorizationCodeMixin) error {
	u.hold()
	return nil
}

// marked reports whether somebody's grants are ending.
func (w *world) marked() bool {
	var clients, users int64
	w.DB.Model(&oauthtest.Client{}).Where("generation > 0").Count(&clients)
	w.DB.Model(&oauthtest.User{}).Where("grant_generation > 0").Count(&users)
	return clients+users > 0
}

// A request that was under way when an ending began leaves nothing alive, when it stores
// something while that goes on: the ending waits for it. One that is so slow that the ending
// is over before looks again, and is told to come back.
func TestWhatIsUnderWayWhenAnEndBeginsEndsWithIt(t *testing.T) {
	tokenOf := func(a oauthtest.Answer) string { return a.Body["access_token"] }
	for name, row := range map[string]struct {
		who     func(w *world) gormstore.RevokeOptions
		request func(w *world, subject *credential) oauthtest.Answer
		alive   func(w *world, a oauthtest.Answer) bool
	}{
		"a client's own token": {whoEnds["client"], func(w *world, _ *credential) oauthtest.Answer {
			return w.Token(w.apps[0], "grant_type=client_credentials")
		}, func(w *world, a oauthtest.Answer) bool { return w.Valid(tokenOf(a)) }},
		"an exchange of another client's token": {func(w *world) gormstore.RevokeOptions {
			return gormstore.RevokeOptions{ClientID: w.services[0].ClientID, Time: w.Now}
		}, func(w *world, subject *credential) oauthtest.Answer { return w.present(subject, w.services[0]) },
			func(w *world, a oauthtest.Answer) bool { return w.Valid(tokenOf(a)) }},
		"a code of the client": {whoEnds["client"], func(w *world, _ *credential) oauthtest.Answer {
			return w.Decide(query(w.apps[0], "scope=openid", "prompt=consent"), "confirm=yes", w.users[1])
		}, func(w *world, a oauthtest.Answer) bool {
			return w.Redeem(w.apps[0], a.Params()["code"]).Status == http.StatusOK
		}},
		"a code of the user": {whoEnds["user"], func(w *world, _ *credential) oauthtest.Answer {
			return w.Decide(query(w.apps[1], "scope=openid", "prompt=consent"), "confirm=yes", w.users[0])
		}, func(w *world, a oauthtest.Answer) bool {
			return w.Redeem(w.apps[1], a.Params()["code"]).Status == http.StatusOK
		}},
	} {
		t.Run(name, func(t *testing.T) {
			testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
				for _, slow := range []bool{false, true} {
					w := newWorld(t, db, 0)
					w.present(w.code(w.apps[0], w.users[1], "", true), nil)
					subject := w.live("access")[0]
					held := &underWay{at: make(chan struct{}), goOn: make(chan struct{})}
					require.NoError(t, w.Server.Register(held))
					answers, began := make(chan oauthtest.Answer, 1), time.Now()
					go func() { answers <- row.request(w, subject) }()
					<-held.at
					options := row.who(w)
					waited := make(chan error, 1)
					end := func(wait time.Duration) { waited <- w.tokens.Revoke(underway.Shorten(t.Context(), wait), options) }
					if slow { // the ending is over before the request goes on
						end(0)
						time.Sleep(time.Until(began.Add(budget.Default / 3)))
					} else {
						go end(250 * time.Millisecond)
						require.Eventually(t, w.marked, 5*time.Second, time.Millisecond)
					}
					close(held.goOn)
					a := <-answers
					require.NoError(t, <-waited)
					if slow {
						assert.NotEqual(t, http.StatusOK, a.Status, a.Raw)
						assert.Equal(t, "temporarily_unavailable", a.Params()["error"], a.Raw)
						continue
					}
					assert.NotContains(t, a.Params(), "error", a.Raw)
					assert.False(t, row.alive(w, a))
				}
			})
		})
	}
}
