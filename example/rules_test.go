package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
)

// A form that is too long, or that has what cannot be stored, is refused on every page.
func TestAFormThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	f.signIn()
	for _, path := range []string{"/login", "/logout", "/accounts", "/device", "/clients", "/consents/revoke"} {
		for _, c := range []struct {
			value  string
			status int
		}{{strings.Repeat("x", maxFormBytes), http.StatusRequestEntityTooLarge}, {"a\x00b", http.StatusBadRequest}, {"\xff", http.StatusBadRequest}} {
			w := f.send(path, form("next", c.value))
			assert.Equal(t, c.status, w.Code, path)
			assert.Equal(t, 1, strings.Count(w.Body.String(), "</html>"), path)
			assert.Empty(t, w.Header().Get("Location"), path)
		}
	}
	assert.Equal(t, http.StatusOK, f.send("/accounts", nil).Code, "she is still signed in")
}

// Who signs out on a page of this site is led on from there.
func TestASignOutLeadsOn(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	for next, want := range map[string]string{"": "/", "/device?user_code=X": "/device?user_code=X", "https://evil.example/": "/"} {
		f.signIn()
		w := f.send("/logout", form("next", next))
		assert.Equal(t, http.StatusSeeOther, w.Code, next)
		assert.Equal(t, want, w.Header().Get("Location"), next)
	}
}

// Applications with a front channel are told in frames of a page, unless this site's own page leads on.
func TestASignOutWithAFrontChannel(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	var client Client
	require.NoError(t, f.app.db.Where("client_id = ?", "demo-web").First(&client).Error)
	client.ClientMetadata.Extra["frontchannel_logout_uri"] = []byte(`"http://127.0.0.1:8081/logout"`)
	require.NoError(t, f.app.db.Save(&client).Error)
	for next, status := range map[string]int{"": http.StatusOK, "/device": http.StatusSeeOther} {
		f.signIn()
		page := f.send(authorizePath("demo-web")+"&prompt=consent", nil)
		path, body := answer{status: page.Code, body: page.Body.String()}.consentForm(t)
		body.Set("confirm", "yes")
		require.Contains(t, f.send(path, body).Header().Get("Location"), "code=")
		w := f.send("/logout", form("next", next))
		assert.Equal(t, status, w.Code, next)
		assert.Equal(t, next, w.Header().Get("Location"))
		assert.Equal(t, next == "", strings.Contains(w.Body.String(), `<iframe src="http://127.0.0.1:8081/logout?`), w.Body)
	}
}

// A part that cannot be put together is named, each of them.
func TestEachPartThatCannotBePutTogetherIsNamed(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	_, err := newApp(f.config(), f.app.db.Select("id"), slog.New(slog.DiscardHandler))
	require.Error(t, err)
	// users, tokens, signing keys, audits, and the two tables each of consents and registrations
	assert.Equal(t, 8, strings.Count(err.Error(), "has columns (Select, Omit, Distinct, MapColumns)"), err)

	cfg := f.config()
	cfg.clientCA = filepath.Join(t.TempDir(), "missing.pem")
	var log bytes.Buffer
	logFindings(t.Context(), cfg, f.app.db, slog.New(slog.NewTextHandler(&log, nil)))
	assert.Contains(t, log.String(), `level=ERROR msg="the doctor could not look" error=`)
	assert.Contains(t, log.String(), "missing.pem")
}

// Older instances could not read a salt of pairwise subjects among the keys, so the provider has it until they are gone.
func TestWhereTheSaltOfPairwiseSubjectsIs(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	for _, alone := range []bool{true, false} {
		cfg := f.config()
		cfg.noOlderInstances = alone
		provider := (&app{cfg: cfg, db: f.app.db, keys: f.app.keys}).newProvider(nil)
		assert.Equal(t, alone, provider.PairwiseSubjects)
		assert.Equal(t, map[bool][]byte{true: nil, false: cfg.pairwiseSalt()}[alone], provider.PairwiseSalt)
	}
}

// The address of a listener says at which port the program is.
func TestAListenerWithoutAPort(t *testing.T) {
	t.Parallel()
	cfg := &config{addr: "127.0.0.1:0"}
	require.ErrorContains(t, cfg.resolve(&net.UnixAddr{Name: "socket"}), "missing port in address")
	assert.Empty(t, cfg.address)
}

// holdPasswords takes all turns at which passwords and slow secrets are checked, while f runs.
func (a *app) holdPasswords(f func()) {
	held, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	turns := max(1, runtime.GOMAXPROCS(0)/2)
	for i := range turns {
		go func() {
			_ = a.passwords.checks.Do(context.Background(), strconv.Itoa(i), func() bool {
				held <- struct{}{}
				<-release
				return true
			})
			done <- struct{}{}
		}()
	}
	for range turns {
		<-held
	}
	f()
	close(release)
	for range turns {
		<-done
	}
}

// While too many passwords are checked, neither a password nor the slow secret of a client is checked as well.
func TestPasswordsAndSlowSecretsShareTheirTurns(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	digest, err := bcrypt.GenerateFromPassword([]byte(demoService.secret), bcrypt.MinCost)
	require.NoError(t, err)
	require.NoError(t, f.app.db.Model(&Client{}).Where("client_id = ?", demoService.id).Update("client_secret", string(digest)).Error)
	ask := func(path string, body url.Values) *httptest.ResponseRecorder {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(body.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		f.routes.ServeHTTP(w, r)
		return w
	}
	token := form("grant_type", "client_credentials", "client_id", demoService.id, "client_secret", demoService.secret)
	f.app.holdPasswords(func() {
		w := ask("/login", form("username", "alice", "password", "wonderland"))
		assert.Equal(t, http.StatusServiceUnavailable, w.Code, w.Body)
		assert.Contains(t, w.Body.String(), "We are busy just now")
		assert.NotEmpty(t, w.Header().Get("Retry-After"))
		w = ask("/oauth/token", token)
		assert.Equal(t, http.StatusServiceUnavailable, w.Code, w.Body)
		assert.Contains(t, w.Body.String(), server.TemporarilyUnavailable)
	})
	assert.Equal(t, http.StatusOK, f.send("/oauth/token", token).Code)
}

// brokenLimiter is a limiter that cannot count.
type brokenLimiter struct{ wait, allow error }

func (l brokenLimiter) Wait(context.Context, string) (time.Duration, error)  { return 0, l.wait }
func (l brokenLimiter) Allow(context.Context, string) (time.Duration, error) { return 0, l.allow }

// If failures cannot be counted, no password is taken.
func TestAPasswordThatCannotBeCountedIsNotTaken(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	away := errors.New("the counter is away")
	whole := f.app.passwords.byUser
	for _, c := range []struct {
		limiter  brokenLimiter
		password string
	}{{brokenLimiter{wait: away}, "wonderland"}, {brokenLimiter{wait: away}, "wrong"}, {brokenLimiter{allow: away}, "wrong"}} {
		f.app.passwords.byUser = c.limiter
		f.log.Reset()
		w := f.send("/login", form("username", "alice", "password", c.password))
		assert.Equal(t, http.StatusInternalServerError, w.Code)
		assert.Contains(t, f.log.String(), away.Error())
	}
	f.app.passwords.byUser = whole
	cost, err := bcrypt.Cost(f.app.passwords.nobody)
	require.NoError(t, err)
	assert.Equal(t, passwordCost, cost, "somebody who does not exist takes as long")
}

// What a user could not judge is not a payment.
func TestPayments(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`"amount":"12.50","currency":"EUR","creditor":"Hatter & Sons"`:                       "",
		`"amount":"999999.99","currency":"EUR","creditor":"` + strings.Repeat("x", 70) + `"`: "",
		`"amount":"1000000.00","currency":"EUR","creditor":"Hatter"`:                         "the amount or the currency is none",
		`"amount":"1.5","currency":"EUR","creditor":"Hatter"`:                                "the amount or the currency is none",
		`"amount":"-1.50","currency":"EUR","creditor":"Hatter"`:                              "the amount or the currency is none",
		`"amount":"1.50","currency":"eur","creditor":"Hatter"`:                               "the amount or the currency is none",
		`"amount":"1.50","creditor":"Hatter"`:                                                "the amount or the currency is none",
		`"amount":1.5,"currency":"EUR","creditor":"Hatter"`:                                  "amount",
		`"amount":"1.50","currency":"EUR"`:                                                   "the creditor is not a name",
		`"amount":"1.50","currency":"EUR","creditor":" "`:                                    "the creditor is not a name",
		`"amount":"1.50","currency":"EUR","creditor":"` + strings.Repeat("x", 71) + `"`:      "the creditor is not a name",
		`"amount":"1.50","currency":"EUR","creditor":"Hatter\u202e"`:                         "the creditor is not a name",
	} {
		details, err := grant.ParseAuthorizationDetails(`[{"type":"payment",` + text + `}]`)
		require.NoError(t, err, text)
		require.Len(t, details, 1)
		err = checkPayment(t.Context(), nil, details[0])
		if want == "" {
			require.NoError(t, err, text)
		} else {
			require.ErrorContains(t, err, want, text)
		}
	}
}

// A user has the claims that are known of them, and no others.
func TestClaimsOfAUser(t *testing.T) {
	t.Parallel()
	all := []string{"profile", "email", "phone", "address"}
	known := func(user User) (names []string) {
		claims, err := user.GetClaims(t.Context(), all)
		require.NoError(t, err)
		for name, value := range claims {
			if value != "" {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	assert.Empty(t, known(User{}), "nothing is known")
	assert.Equal(t, []string{"address"}, known(User{Personal: personal{Address: map[string]string{"country": "Wonderland"}}}))
	assert.Equal(t, []string{"updated_at"}, known(User{Personal: personal{UpdatedAt: 1}}))
	assert.Equal(t, []string{"phone_number", "phone_number_verified"}, known(User{Personal: personal{PhoneNumber: "+1"}}))
	assert.Equal(t, []string{"email", "email_verified"}, known(User{Email: "a@b.example"}))
}

// A secret that cannot be made is an error that says what to do.
func TestASecretThatCannotBeMade(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "example.db")
	require.NoError(t, os.Symlink("missing", database+".secret"))
	err := run(t.Context(), []string{"-addr", "127.0.0.1:0", "-db", database}, noEnvironment, io.Discard, io.Discard)
	require.ErrorContains(t, err, "cannot make the secret of the server")
	require.ErrorContains(t, err, "or set GORMOAUTH_SECRET")
}

// A database in memory has no file beside which a secret could be kept.
func TestTheSecretOfADatabaseInMemory(t *testing.T) {
	t.Chdir(t.TempDir())
	one, two := &config{db: ":memory:", demo: true}, &config{db: ":memory:", demo: true}
	require.NoError(t, one.readSecrets(noEnvironment, true))
	require.NoError(t, two.readSecrets(noEnvironment, true))
	assert.Len(t, one.secrets, 1)
	assert.NotEqual(t, one.secrets, two.secrets)
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	assert.Empty(t, files)
}

// However many sessions have expired, all of them are deleted, and no others.
func TestAllExpiredSessionsAreDeleted(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	now := time.Unix(1_800_000_000, 0)
	for _, n := range []int{1, 1000, 1001, 2000} {
		require.NoError(t, f.app.db.Where("1 = 1").Delete(&Session{}).Error)
		sessions := []Session{{Token: "alive", Data: []byte("{}"), ExpiresAt: now.Unix() + 1}}
		for i := range n {
			sessions = append(sessions, Session{Token: strconv.Itoa(i), Data: []byte("{}"), ExpiresAt: now.Unix()})
		}
		require.NoError(t, f.app.db.CreateInBatches(sessions, 500).Error)
		require.NoError(t, deleteExpiredSessions(t.Context(), f.app.db, now))
		var rows int64
		require.NoError(t, f.app.db.Model(&Session{}).Count(&rows).Error)
		assert.EqualValues(t, 1, rows, n)
	}
}

// The grants that OAuth 2.1 no longer has are there for the one client that shows them.
func TestTheLegacyClient(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	f.signIn()
	page := f.send("/oauth/authorize?"+form("client_id", "demo-legacy", "response_type", "token", "scope", "profile", "redirect_uri", demoRedirectURI, "state", "s").Encode(), nil)
	path, body := answer{status: page.Code, body: page.Body.String()}.consentForm(t)
	body.Set("confirm", "yes")
	assert.Contains(t, f.send(path, body).Header().Get("Location"), "access_token=")
}

// The demo's accounts are made or none of them, and what somebody else has by such a name stays as it is.
func TestTheDemoIsMadeAsAWhole(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	db := f.app.db
	empty := func() {
		require.NoError(t, db.Where("1 = 1").Delete(&User{}).Error)
		require.NoError(t, db.Where("1 = 1").Delete(&Client{}).Error)
	}
	rows := func() (n int64) {
		var clients int64
		require.NoError(t, db.Model(&User{}).Count(&n).Error)
		require.NoError(t, db.Model(&Client{}).Count(&clients).Error)
		return n + clients
	}
	for f.fails = 0; ; f.fails++ {
		require.Less(t, f.fails, 200)
		empty()
		f.armed, f.calls = 1, 0
		err := prepareDatabase(t.Context(), db, true, f.app.oauth)
		f.armed = 0
		if f.calls <= f.fails {
			require.NoError(t, err)
			break
		}
		require.ErrorContains(t, err, "the disk is on fire", f.failed)
		require.Zero(t, rows(), f.failed)
	}
	assert.Greater(t, rows(), int64(5))
	for _, demo := range demoClients {
		var client Client
		require.NoError(t, db.Where("client_id = ?", demo.id).First(&client).Error)
		assert.Equal(t, demo.secret != "", client.ClientSecret != "", demo.id)
		assert.True(t, demo.secret == "" || client.CheckClientSecret(demo.secret, time.Now()), demo.id)
	}

	empty()
	require.NoError(t, db.Create(&User{Username: "alice", Name: "Somebody else"}).Error)
	require.NoError(t, db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: demoService.id, ClientSecret: "another"}}).Error)
	require.NoError(t, prepareDatabase(t.Context(), db, true, f.app.oauth))
	var alice User
	require.NoError(t, db.Where("username = ?", "alice").First(&alice).Error)
	assert.Equal(t, []any{"Somebody else", "", false}, []any{alice.Name, alice.PasswordHash, alice.Demo})
	var service Client
	require.NoError(t, db.Where("client_id = ?", demoService.id).First(&service).Error)
	assert.Equal(t, []any{"another", false}, []any{service.ClientSecret, service.Demo})

	require.ErrorIs(t, seedUser(db, demoUser{Password: strings.Repeat("x", 73)}, User{}), bcrypt.ErrPasswordTooLong)
	require.ErrorIs(t, seedClient(db, new(server.Server), demoService, Client{}), server.ErrNotInitialized)
	_, err := newClientForm().check(t.Context(), new(server.Server))
	require.NoError(t, err, "it is faulty in any case")
	_, err = clientForm{ClientName: "Mine", Type: typeService}.check(t.Context(), new(server.Server))
	require.ErrorIs(t, err, server.ErrNotInitialized)
}

// A person can have a hundred clients, and no more.
func TestHowManyClientsAPersonCanHave(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	f.signIn()
	var alice User
	require.NoError(t, f.app.db.Where("username = ?", "alice").First(&alice).Error)
	for i := range maxClients - 1 {
		require.NoError(t, f.app.db.Create(&Client{UserID: &alice.ID, ClientMixin: models.ClientMixin{ClientID: strconv.Itoa(i)}}).Error)
	}
	one := form("client_name", "One more", "type", "service", "scope", "profile")
	require.NoError(t, f.app.db.Create(&Client{UserID: &alice.ID, ClientMixin: models.ClientMixin{ClientID: "deleted", ClientDeletedAt: 1}}).Error)
	assert.Equal(t, http.StatusCreated, f.send("/clients", one).Code)
	w := f.send("/clients", one)
	assert.Equal(t, http.StatusUnprocessableEntity, w.Code)
	assert.Contains(t, w.Body.String(), "You have as many clients as one person can have. Delete one first.")
}

// A view that a page cannot show is an internal error, and nothing of the page is sent.
func TestAPageThatCannotBeRendered(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	w := httptest.NewRecorder()
	f.app.pages.render(w, http.StatusOK, "home", struct{ layout }{})
	assert.Equal(t, http.StatusInternalServerError, w.Code)
	assert.Equal(t, "Internal Server Error\n", w.Body.String())
	assert.Contains(t, f.log.String(), `level=ERROR msg="a page could not be rendered" page=home cause="template: home.html:`)
}

// untilLogged is a log that ends a context with its first line.
type untilLogged struct {
	io.Writer
	end context.CancelFunc
}

func (u untilLogged) Write(line []byte) (int, error) {
	defer u.end()
	return u.Writer.Write(line)
}

// Work in the background that fails is logged, and goes on until the program ends.
func TestWorkInTheBackgroundThatFailsIsLogged(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	for want, work := range map[string]func(ctx context.Context, log *slog.Logger){
		`level=ERROR msg="expired sessions could not be deleted" cause=`:     func(ctx context.Context, log *slog.Logger) { cleanUpSessions(ctx, f.app.db, log) },
		`level=ERROR msg="clients that were deleted are still there" error=`: func(ctx context.Context, log *slog.Logger) { newDeletions().run(ctx, f.app.db, log) },
	} {
		var log bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		f.armed, f.fails, f.calls = 1, 0, 0
		work(ctx, slog.New(slog.NewTextHandler(untilLogged{&log, cancel}, nil)))
		f.armed = 0
		assert.Contains(t, log.String(), want+`"the disk is on fire"`)

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		log.Reset()
		work(ended, slog.New(slog.NewTextHandler(&log, nil)))
		assert.Empty(t, log.String(), "the end is no failure")
	}
}

// An API answers even if the use of a token cannot be noted.
func TestATokenWhoseUseCannotBeNoted(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	b := p.visit(t)
	token := passwordToken(t, b, "alice", "wonderland")
	require.NoError(t, p.database(t).Exec("CREATE TRIGGER t BEFORE UPDATE OF last_used_at ON tokens BEGIN SELECT RAISE(ABORT, 'the disk is on fire'); END").Error)
	b.do(http.MethodGet, "/api/me", nil, http.Header{"Authorization": {"Bearer " + token}}).want(t, http.StatusOK, `"username":"alice"`)
	assert.Contains(t, p.log.String(), `msg="a token's last use could not be noted" cause=`)
}

// A store of sessions is one with and without a context.
func TestSessionsWithoutAContext(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	store := &sessionStore{f.app.db}
	require.NoError(t, store.Commit("token", []byte("data"), time.Now().Add(time.Hour)))
	data, found, err := store.Find("token")
	require.NoError(t, err)
	assert.True(t, found)
	assert.Equal(t, "data", string(data))
	require.NoError(t, store.Delete("token"))
	_, found, err = store.Find("token")
	require.NoError(t, err)
	assert.False(t, found)
	f.armed, f.fails = 1, 0
	for what, work := range map[string]func() error{
		"find": func() error { _, _, err := store.Find("token"); return err }, "commit": func() error { return store.Commit("token", nil, time.Now()) }, "delete": func() error { return store.Delete("token") },
	} {
		f.calls = 0
		assert.ErrorContains(t, work(), "the disk is on fire", what)
	}
	f.armed = 0
}
