package oidc_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/on"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/secret"
)

const (
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"
	accessType  = "urn:ietf:params:oauth:token-type:access_token"
)

// world is a server with users, apps and services, and a list of every credential that it
// issued, with where it came from.
type world struct {
	*provider
	random   *rand.Rand
	devices  *endpoint.DeviceAuthorization
	consents *gormstore.Consents[oauthtest.Consent]
	tokens   *gormstore.Tokens
	users    []*oauthtest.User
	apps     []*oauthtest.Client // who have grants of their own
	services []*oauthtest.Client // who exchange what they are called with

	mu    sync.Mutex
	all   []*credential
	grant int
	told  []server.Revocation
}

// credential is what somebody may present.
type credential struct {
	kind     string // "access", "refresh", "code" or "device"
	text     string
	user     *oauthtest.User // nil for a client's own
	client   *oauthtest.Client
	grant    int         // by which all that came of one authorization is known
	owner    string      // the client whose grant it is
	session  string      // in which the grant began
	offline  bool        // whether the grant outlives its session
	from     *credential // what it was exchanged for (RFC 8693)
	narrow   bool        // whether the next refresh is for one resource alone
	ended    bool        // as it ought to be
	either   bool        // whether it may have ended, or not
	spent    bool
	replaced bool // an access token whose refresh token got another one since
}

const apis = "https://a.example https://b.example"

func newWorld(t *testing.T, db *gorm.DB, seed uint64) *world {
	t.Helper()
	w := &world{provider: newProvider(t, db), random: rand.New(rand.NewPCG(seed, 19))}
	w.devices = gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)
	w.devices.Attempts = ratelimit.Unlimited{}
	w.consents = gormoauth.CreateConsentStorage[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](db)
	tokens, err := gormstore.NewTokens[oauthtest.Token](db)
	require.NoError(t, err)
	w.tokens = tokens
	w.Server.TellRevocations(tokens)
	exchange := gormoauth.CreateTokenExchangeGrant[oauthtest.Token](db)
	exchange.Policy = func(context.Context, *server.Request, *grant.Exchange) error { return nil }
	require.NoError(t, errors.Join(
		w.Server.RegisterGrant(exchange),
		w.Server.RegisterEndpoint(w.devices),
		w.Server.Register(
			&grant.RememberedConsent{Storage: w.consents}, grant.ResourceIndicators{Resources: strings.Fields(apis)},
			on.TokenRevoked(func(_ context.Context, req *server.Request, r server.Revocation) {
				assert.NotNil(t, req.Server)
				w.mu.Lock()
				defer w.mu.Unlock()
				w.told = append(w.told, r)
			}),
		),
	))
	for range 2 {
		user := &oauthtest.User{}
		require.NoError(t, db.Create(user).Error)
		w.users = append(w.users, user)
		w.apps = append(w.apps, w.NewClient(func(c *oauthtest.Client) {
			c.ClientMetadata.GrantTypes = []string{"authorization_code", "refresh_token", deviceGrant, exchangeGrant, "client_credentials"}
			c.ClientMetadata.ResponseTypes = []string{"code"}
			c.ClientMetadata.Scope = scope
		}))
		w.services = append(w.services, w.NewClient(func(c *oauthtest.Client) {
			c.ClientMetadata.GrantTypes, c.ClientMetadata.Scope = []string{exchangeGrant, "client_credentials"}, scope
			c.ClientMetadata.ResponseTypes, c.ClientMetadata.RedirectURIs = []string{}, nil
		}))
	}
	return w
}

func oneOf[T any](w *world, all []T) T { return all[w.random.IntN(len(all))] }

func (w *world) add(c credential) *credential {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, &c)
	return &c
}

// code has a user let an app in.
func (w *world) code(app *oauthtest.Client, user *oauthtest.User, session string, offline bool) *credential {
	w.T.Helper()
	words := "openid profile"
	if offline {
		words += " offline_access"
	}
	w.grant++
	how := server.Authentication{Time: w.Now.Unix() - 30, SessionID: session}
	q := query(app, "scope="+words, "prompt=consent") + "&" + url.Values{"resource": strings.Fields(apis)}.Encode()
	a := w.Decide(q, "confirm=yes", server.SignedIn{User: user, Authentication: how})
	require.NotEmpty(w.T, a.Params()["code"], a.Raw)
	return w.add(credential{kind: "code", text: a.Params()["code"], user: user, client: app, grant: w.grant, owner: app.ClientID, session: session, offline: offline})
}

// device has a user allow a device, which has not asked for its tokens yet.
func (w *world) device(app *oauthtest.Client, user *oauthtest.User) *credential {
	w.T.Helper()
	a := w.Post("/oauth/device_authorization", app, "scope=profile&"+url.Values{"resource": strings.Fields(apis)}.Encode())
	require.Equal(w.T, http.StatusOK, a.Status, a.Raw)
	require.NoError(w.T, w.DecideDevice(w.devices, a.Body["user_code"], user, true))
	w.Now = w.Now.Add(6 * time.Second)
	w.grant++
	return w.add(credential{kind: "device", text: a.Body["device_code"], user: user, client: app, grant: w.grant, owner: app.ClientID})
}

// own has a client get a token of its own.
func (w *world) own(client *oauthtest.Client) *credential {
	w.T.Helper()
	a := w.Token(client, "grant_type=client_credentials")
	require.Equal(w.T, http.StatusOK, a.Status, a.Raw)
	return w.add(credential{kind: "access", text: a.Body["access_token"], client: client, owner: client.ClientID})
}

// present exchanges a credential for what it is good for, as a client does, and adds what
// comes of it.
func (w *world) present(c *credential, by *oauthtest.Client) oauthtest.Answer {
	w.T.Helper()
	var a oauthtest.Answer
	switch c.kind {
	case "code":
		a = w.Token(c.client, "grant_type=authorization_code&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code="+c.text)
	case "device":
		a = w.Token(c.client, "grant_type="+url.QueryEscape(deviceGrant)+"&device_code="+c.text)
	case "refresh":
		body := "grant_type=refresh_token&refresh_token=" + c.text
		if c.narrow {
			body += "&resource=" + url.QueryEscape(strings.Fields(apis)[0])
		}
		a = w.Token(c.client, body)
	default:
		a = w.Token(by, "grant_type="+url.QueryEscape(exchangeGrant)+"&subject_token_type="+url.QueryEscape(accessType)+"&subject_token="+c.text)
	}
	if a.Status != http.StatusOK {
		return a
	}
	next := credential{kind: "access", text: a.Body["access_token"], user: c.user, client: c.client, grant: c.grant, owner: c.owner, session: c.session, offline: c.offline}
	if c.kind == "access" {
		next.client, next.from = by, c
	} else {
		w.mu.Lock()
		c.spent = true
		for _, other := range w.all {
			if c.kind == "refresh" && other.kind == "access" && other.grant == c.grant && other.from == nil {
				other.replaced = true
			}
		}
		w.mu.Unlock()
	}
	next.from = cmp.Or(next.from, c.from)
	w.add(next)
	if a.Body["refresh_token"] != "" {
		next.kind, next.text, next.narrow = "refresh", a.Body["refresh_token"], !c.narrow
		w.add(next)
	}
	return a
}

// live are credentials that could be presented.
func (w *world) live(kinds ...string) []*credential {
	return slices.DeleteFunc(slices.Clone(w.all), func(c *credential) bool {
		return c.spent || c.ended || c.replaced || !slices.Contains(kinds, c.kind) || c.kind == "access" && c.user == nil
	})
}

// act does something at random.
func (w *world) act() {
	w.T.Helper()
	app, user := oneOf(w, w.apps), oneOf(w, w.users)
	switch live := w.live("code", "device", "refresh", "access", "access"); w.random.IntN(8) {
	case 0, 1:
		w.code(app, user, []string{"", "one", "two"}[w.random.IntN(3)]+user.GetUserID(), w.random.IntN(2) == 0)
	case 2:
		w.device(app, user)
	case 3:
		w.own(oneOf(w, w.services))
	default:
		if len(live) > 0 {
			c := oneOf(w, live)
			a := w.present(c, oneOf(w, append(slices.Clone(w.services), w.apps...)))
			require.Equal(w.T, http.StatusOK, a.Status, "%s: %s", c.kind, a.Raw)
		}
	}
}

// end is a way to end something.
type end struct {
	name string
	do   func(w *world) error
	ends func(c *credential) bool
	// of is the client that ends, or that a user takes a consent from: its acts beside that
	// may come before it or after it.
	of *oauthtest.Client
}

// isThrough reports whether a credential, or one that it was exchanged for, is a client's.
func (c *credential) isThrough(client *oauthtest.Client) bool {
	for ; c != nil; c = c.from {
		if c.client == client {
			return true
		}
	}
	return false
}

// anEnd is one of all ways, at random.
func (w *world) anEnd() end {
	user, client := oneOf(w, w.users), oneOf(w, append(slices.Clone(w.apps), w.services...))
	ofUser := func(c *credential) bool { return c.user == user }
	ofClient := func(c *credential) bool { return c.owner == client.ClientID || c.isThrough(client) }
	session := []string{"one", "two"}[w.random.IntN(2)] + user.GetUserID()
	all := []end{
		{"the user " + user.GetUserID(), func(w *world) error { return w.tokens.RevokeUser(oauthtest.Brief(w.T), user.GetUserID(), w.Now) }, ofUser, nil},
		{"the client", func(w *world) error { return w.tokens.RevokeClient(oauthtest.Brief(w.T), client.ClientID, w.Now) }, ofClient, client},
		{"the consent", func(w *world) error {
			return w.consents.Revoke(w.T.Context(), user.GetUserID(), client.ClientID, w.Now)
		}, func(c *credential) bool { return ofUser(c) && ofClient(c) }, client},
		{"the session", func(w *world) error {
			_, err := w.oidc.EndSession(w.T.Context(), session)
			return err
		}, func(c *credential) bool { return c.session == session && (!c.offline || c.kind == "code") }, nil},
		{"the registration", func(w *world) error {
			registrations := gormoauth.CreateClientRegistrationStorage[oauthtest.Client, oauthtest.Token](w.DB)
			return registrations.DeleteClient(oauthtest.Brief(w.T), client.ClientID, w.Now)
		}, ofClient, client},
		{"everything about the user", func(w *world) error {
			erase := gormoauth.CreateEraseFunc[oauthtest.Token, oauthtest.AuthorizationCode](w.DB, w.consents, gormoauth.CreateDeviceCodeStorage[oauthtest.DeviceCode](w.DB))
			_, err := erase(oauthtest.Brief(w.T), user.GetUserID())
			return err
		}, ofUser, nil},
		{"a user who is disabled", func(w *world) error {
			if err := w.DB.Model(user).Update("disabled", true).Error; err != nil {
				return err
			}
			return w.tokens.RevokeUser(oauthtest.Brief(w.T), user.GetUserID(), w.Now)
		}, ofUser, nil},
	}
	if refresh := w.live("refresh"); len(refresh) > 0 {
		c := oneOf(w, refresh)
		all = append(all, end{"the grant", func(w *world) error {
			if a := w.Revoke(c.client, "token="+c.text); a.Status != http.StatusOK {
				return errors.New(a.Raw)
			}
			return nil
		}, func(other *credential) bool { return other.grant == c.grant }, nil})
	}
	return oneOf(w, all)
}

// note says of each credential whether it has ended.
func (w *world) note(e end) {
	for _, c := range w.all {
		if e.ends(c) {
			c.ended = true
		}
	}
}

// check presents every credential that was ever issued.
func (w *world) check(t *testing.T, after string) {
	t.Helper()
	say := func(c *credential) string {
		return fmt.Sprintf("after the end of %s: %s of grant %d, user %v, through %s (owner %s), session %q, offline %v", after, c.kind, c.grant, c.user, c.client.ClientID, c.owner, c.session, c.offline)
	}
	for _, c := range w.all {
		if c.kind != "access" || c.either {
			continue
		}
		valid := w.Valid(c.text)
		if c.ended {
			assert.False(t, valid, say(c))
		} else if !c.replaced {
			assert.True(t, valid, say(c))
		}
	}
	for _, c := range slices.Clone(w.all) {
		if c.kind == "access" || c.spent || c.either {
			continue
		}
		a := w.present(c, nil)
		if c.ended {
			assert.NotEqual(t, http.StatusOK, a.Status, say(c))
		} else {
			assert.Equal(t, http.StatusOK, a.Status, "%s: %s", say(c), a.Raw)
		}
	}
}

// What ends, ends with all that came of it, whoever holds it, and nothing else does.
func TestWhateverEndsEndsAllThatCameOfItAndNothingElse(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
				w := newWorld(t, db, seed)
				for range 30 {
					w.act()
				}
				e := w.anEnd()
				require.NoError(t, e.do(w), e.name)
				w.note(e)
				w.check(t, e.name)
			})
		})
	}
}

// The same while clients exchange what they have.
func TestWhatIsExchangedWhileItEndsEnds(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
				w := newWorld(t, db, seed)
				for range 25 {
					w.act()
				}
				e := w.anEnd()
				type race struct {
					c      *credential
					by     *oauthtest.Client
					answer oauthtest.Answer
				}
				var races []*race
				for _, c := range w.live("code", "device", "refresh", "access") {
					races = append(races, &race{c: c, by: oneOf(w, append(slices.Clone(w.services), w.apps...))})
				}
				before := len(w.all)
				var group sync.WaitGroup
				start := make(chan struct{})
				for _, r := range races {
					group.Go(func() {
						<-start
						r.answer = w.present(r.c, r.by)
					})
				}
				var err error
				group.Go(func() {
					<-start
					err = e.do(w)
				})
				close(start)
				group.Wait()
				require.NoError(t, err, e.name)
				w.note(e)
				for _, c := range w.all[before:] {
					// What a client does beside its own end, in a grant of another's, may come after it.
					c.either = c.ended && e.of != nil && c.kind == "access" && c.from != nil && c.client == e.of && !c.from.ended
				}
				for _, r := range races {
					require.Contains(t, []int{http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized, http.StatusServiceUnavailable}, r.answer.Status, r.answer.Raw)
					if r.answer.Status != http.StatusOK && r.c.kind != "access" {
						r.c.either = !r.c.ended && r.answer.Status == http.StatusServiceUnavailable
						if !r.c.ended && !r.c.either {
							assert.Equal(t, http.StatusOK, r.answer.Status, "%s beside the end of %s: %s", r.c.kind, e.name, r.answer.Raw)
						}
					}
				}
				w.check(t, e.name+", beside it")
			})
		})
	}
}

// A consent that is revoked, and a client that is revoked, end what other tables have: an
// approved device that has not asked yet, a code, what a service got by exchange.
func TestAnEndReachesOtherTablesAndOtherClients(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		for name, e := range map[string]func(w *world) error{
			"consent": func(w *world) error {
				return w.consents.Revoke(t.Context(), w.users[0].GetUserID(), w.apps[0].ClientID, w.Now)
			},
			"client": func(w *world) error { return w.tokens.RevokeClient(oauthtest.Brief(t), w.apps[0].ClientID, w.Now) },
			"user":   func(w *world) error { return w.tokens.RevokeUser(oauthtest.Brief(t), w.users[0].GetUserID(), w.Now) },
		} {
			w := newWorld(t, db, 0)
			app, user := w.apps[0], w.users[0]
			code, device := w.code(app, user, "", true), w.device(app, user)
			w.present(w.code(app, user, "", true), nil)
			for range 3 { // one exchanges what the other got
				live := w.live("access")
				w.present(live[len(live)-1], oneOf(w, w.services))
			}
			other := w.code(w.apps[1], w.users[1], "", true)
			w.present(other, nil)
			w.present(w.live("access")[len(w.live("access"))-1], w.services[0])
			w.told = nil
			require.NoError(t, e(w))
			require.Len(t, w.told, 1, "the hooks are told once")
			assert.Equal(t, name, w.told[0].Reason)
			require.NoError(t, e(w), "nothing is left")
			assert.Len(t, w.told, 1)
			w.note(end{ends: func(c *credential) bool { return c.user == user && c.owner == app.ClientID }})
			w.check(t, name)
			assert.True(t, code.ended && device.ended)
		}
	})
}

// In the grant of another client, what a client got ends with it, and what others got for
// that, and nothing before it.
func TestAClientEndsWithItsBranchOfAGrant(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		w := newWorld(t, db, 0)
		last := func() *credential { return w.all[len(w.all)-1] }
		exchange := func(c *credential, by *oauthtest.Client) *credential {
			require.Equal(t, http.StatusOK, w.present(c, by).Status)
			return last()
		}
		w.present(w.code(w.apps[0], w.users[0], "", true), nil)
		root := w.live("access")[0]
		first := exchange(root, w.services[0])
		second := exchange(first, w.services[1])
		third := exchange(second, w.apps[1])
		beside := exchange(root, w.services[1])
		require.NoError(t, w.tokens.RevokeClient(oauthtest.Brief(t), w.services[0].ClientID, w.Now))
		for c, want := range map[*credential]bool{root: true, first: false, second: false, third: false, beside: true} {
			assert.Equal(t, want, w.Valid(c.text), c.client.ClientID)
		}
		require.NoError(t, w.tokens.RevokeClient(oauthtest.Brief(t), w.services[1].ClientID, w.Now))
		assert.True(t, w.Valid(root.text))
		assert.False(t, w.Valid(beside.text))

		// A row of an older release does not say what made it: it is a client's own grant
		// unless the refresh token there is another's.
		w.present(w.code(w.apps[0], w.users[0], "", true), nil)
		root = w.live("access")[len(w.live("access"))-1]
		first = exchange(root, w.services[0])
		require.NoError(t, db.Model(&oauthtest.Token{}).Where("1 = 1").Updates(map[string]any{"origin": nil, "token_id": nil, "exchanged_from": nil}).Error)
		require.NoError(t, w.tokens.RevokeClient(oauthtest.Brief(t), w.services[0].ClientID, w.Now))
		assert.True(t, w.Valid(root.text))
		assert.False(t, w.Valid(first.text))
		require.NoError(t, w.tokens.RevokeClient(oauthtest.Brief(t), w.apps[0].ClientID, w.Now))
		assert.False(t, w.Valid(root.text))
	})
}

// The hooks are told of everything that ends, once, with what it is and why.
func TestHooksAreToldOfEveryEnd(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		for name, row := range map[string]struct {
			end  func(w *world, refresh string) error
			told func(w *world) server.Revocation
		}{
			"a request": {func(w *world, refresh string) error {
				assert.Equal(t, http.StatusOK, w.Revoke(w.apps[0], "token="+refresh).Status)
				return nil
			}, func(w *world) server.Revocation {
				return server.Revocation{ClientID: w.apps[0].ClientID, UserID: w.users[0].GetUserID(), Reason: server.RevokedByRequest}
			}},
			"a session": {func(w *world, _ string) error {
				_, err := w.oidc.EndSession(t.Context(), "a session")
				return err
			}, func(w *world) server.Revocation {
				return server.Revocation{ClientID: w.apps[0].ClientID, UserID: w.users[0].GetUserID(), Reason: server.RevokedBySession}
			}},
			"a registration": {func(w *world, _ string) error {
				return gormoauth.CreateClientRegistrationStorage[oauthtest.Client, oauthtest.Token](db).DeleteClient(oauthtest.Brief(t), w.apps[0].ClientID, w.Now)
			}, func(w *world) server.Revocation {
				return server.Revocation{ClientID: w.apps[0].ClientID, Reason: server.RevokedByDeletion}
			}},
			"an erasure": {func(w *world, _ string) error {
				_, err := gormoauth.CreateEraseFunc[oauthtest.Token, oauthtest.AuthorizationCode](db, w.consents)(oauthtest.Brief(t), w.users[0].GetUserID())
				return err
			}, func(w *world) server.Revocation {
				return server.Revocation{UserID: w.users[0].GetUserID(), Reason: server.RevokedByErasure}
			}},
		} {
			w := newWorld(t, db, 0)
			w.present(w.code(w.apps[0], w.users[0], name, false), nil)
			require.NoError(t, row.end(w, w.live("refresh")[0].text), name)
			require.Len(t, w.told, 1, name)
			want, told := row.told(w), w.told[0]
			if want.Reason == server.RevokedByRequest || want.Reason == server.RevokedBySession {
				assert.NotEmpty(t, told.GrantID, name)
			}
			told.GrantID, told.Token = "", nil
			assert.Equal(t, want, told, name)
		}
	})
}

// Signing out ends what the session began, however long ago: the session is remembered for
// as long as its longest grant.
func TestASessionIsRememberedForAsLongAsItsGrants(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		w := newWorld(t, db, 0)
		w.present(w.code(w.apps[0], w.users[0], "one", false), nil)
		prune := gormoauth.CreatePruneFunc[oauthtest.Token, oauthtest.AuthorizationCode](db, w.sessions.(*gormstore.Sessions))
		began := time.Now().Add(-100 * 24 * time.Hour)
		writes := 0
		for day := 0; day <= 90; day += 3 {
			w.Now = began.Add(time.Duration(day) * 24 * time.Hour)
			refresh := w.live("refresh")[0]
			tables := w.Queried(func() {
				require.Equal(t, http.StatusOK, w.present(refresh, nil).Status)
			})
			if slices.Contains(tables, "sessions") {
				writes++
			}
			var row oauthtest.Session
			require.NoError(t, db.First(&row).Error)
			assert.GreaterOrEqual(t, row.ExpiresAt, w.Now.Add(30*24*time.Hour).Unix(), "day %d: the refresh token lives as long", day)
			require.NoError(t, prune(t.Context(), gormstore.PruneOptions{Before: w.Now}))
		}
		assert.LessOrEqual(t, writes, 8, "31 refreshes move it on once in half of a refresh token's life")
		_, err := w.oidc.EndSession(t.Context(), "one")
		require.NoError(t, err)
		w.note(end{ends: func(*credential) bool { return true }})
		w.check(t, "the session, on day 90")
	})
}

// A client that is new to a session may be about to join it while the session ends: its code
// is stored by then.
func TestAClientDoesNotJoinASessionThatHasEnded(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		w := newWorld(t, db, 0)
		_, err := w.oidc.EndSession(t.Context(), "one")
		require.NoError(t, err, "nobody has joined it yet")
		how := server.Authentication{Time: w.Now.Unix() - 30, SessionID: "one"}
		a := w.Decide(query(w.apps[0]), "confirm=yes", server.SignedIn{User: w.users[0], Authentication: how})
		assert.Equal(t, "login_required", a.Params()["error"], a.Raw)
		assert.Empty(t, a.Params()["code"])
		how.SessionID = "another"
		a = w.Decide(query(w.apps[0]), "confirm=yes", server.SignedIn{User: w.users[0], Authentication: how})
		assert.NotEmpty(t, a.Params()["code"], a.Raw)
		due, err := w.sessions.(*gormstore.Sessions).DueLogouts(t.Context(), w.Now.Add(365*24*time.Hour), 10)
		require.NoError(t, err)
		assert.Empty(t, due, "the mark is no logout that a client is told of")

		for range 20 { // at once: either the end finds the client, or the client finds the end
			session := rand.N(uint64(1 << 62))
			how.SessionID = fmt.Sprint(session)
			var ended *oidc.EndedSession
			var endErr error
			var answer oauthtest.Answer
			var group sync.WaitGroup
			group.Go(func() { ended, endErr = w.oidc.EndSession(t.Context(), how.SessionID) })
			group.Go(func() {
				answer = w.Decide(query(w.apps[0]), "confirm=yes", server.SignedIn{User: w.users[0], Authentication: how})
			})
			group.Wait()
			require.NoError(t, endErr)
			if code := answer.Params()["code"]; code != "" {
				assert.Len(t, ended.Clients, 1)
				a := w.Token(w.apps[0], "grant_type=authorization_code&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code="+code)
				assert.Equal(t, "invalid_grant", a.Body["error"], a.Raw)
			} else {
				assert.Equal(t, "login_required", answer.Params()["error"], answer.Raw)
			}
		}
	})
}

// A client that only wants ID tokens never asks for another token, and is in use all the same.
func TestAClientOfIDTokensAloneIsNotForgotten(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		w := newWorld(t, db, 0)
		const metadata = `{"redirect_uris":["https://client.example/cb"],"scope":"openid","grant_types":["implicit"],"response_types":["id_token"],"token_endpoint_auth_method":"none"}`
		ids := make(map[string]string)
		for _, name := range []string{"used", "denied", "unused"} {
			a := w.Register(metadata)
			require.Equal(t, http.StatusCreated, a.Status, a.Raw)
			ids[name] = a.Body["client_id"]
		}
		client := func(name string) *oauthtest.Client {
			return &oauthtest.Client{ClientMixin: models.ClientMixin{ClientID: ids[name]}}
		}
		w.authorize(client("used"), "response_type=id_token")
		w.Decide(query(client("denied"), "response_type=id_token"), "", nil)
		require.NoError(t, db.Model(&oauthtest.Client{}).Where("unused_expires_at > 0").UpdateColumn("unused_expires_at", 1).Error)
		prune := gormoauth.CreatePruneFunc[oauthtest.Token, oauthtest.AuthorizationCode](db, gormoauth.CreateClientRegistrationStorage[oauthtest.Client, oauthtest.Token](db))
		require.NoError(t, prune(t.Context(), gormstore.PruneOptions{}))
		for name, want := range map[string]int64{"used": 1, "denied": 0, "unused": 0} {
			var rows int64
			require.NoError(t, db.Model(&oauthtest.Client{}).Where("client_id = ?", ids[name]).Count(&rows).Error)
			assert.Equal(t, want, rows, name)
		}
	})
}

// offline_access where no code is issued is in no token (OpenID Connect Core section 11).
func TestOfflineAccessWithoutACodeIsInNoToken(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		params := p.authorize(p.client(), "response_type=id_token token", "scope=openid email offline_access")
		var row oauthtest.Token
		require.NoError(t, db.Where("access_token = ?", secret.Digest(params["access_token"])).First(&row).Error)
		assert.Equal(t, []string{"openid email", "openid email", "openid email"}, []string{params["scope"], row.Scope, row.GrantedScope})
	})
}
