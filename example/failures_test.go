package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// fullDisk is an output that nothing can be written to.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// A command that could not do its work, or not say what it did, ends with an error.
func TestCommandsThatFailSaySo(t *testing.T) {
	t.Parallel()
	const onFire = "BEGIN SELECT RAISE(ABORT, 'the disk is on fire'); END"
	for name, c := range map[string]struct {
		command    []string
		statements string
		want       string
		started    bool // whether the database is that of a program
	}{
		"erase, a user that cannot be written":  {[]string{"erase", "-user", "bob"}, "CREATE TRIGGER t BEFORE UPDATE ON users " + onFire, "cannot erase bob: ", true},
		"erase, a user that cannot be removed":  {[]string{"erase", "-user", "bob"}, "CREATE TRIGGER t BEFORE DELETE ON users " + onFire, "cannot erase bob: ", true},
		"erase, a table that cannot be made":    {[]string{"erase", "-user", "bob"}, "CREATE VIEW tokens AS SELECT 1", "cannot prepare the database: ", false},
		"erase, an output that takes nothing":   {[]string{"erase", "-user", "bob"}, "", "no space left", true},
		"prune, a token that cannot be removed": {[]string{"prune"}, "CREATE TRIGGER t BEFORE DELETE ON tokens " + onFire, "cannot prune the database: ", true},
		"prune, a table that cannot be made":    {[]string{"prune"}, "CREATE VIEW tokens AS SELECT 1", "cannot prepare the database: ", false},
		"prune, an output that takes nothing":   {[]string{"prune"}, "", "no space left", true},
		"doctor, findings that nobody reads":    {[]string{"doctor"}, "DROP INDEX idx_tokens_access_token", "no space left", true},
		"doctor, no findings that nobody reads": {[]string{"doctor"}, "", "no space left", true},
		"doctor, an address that is none":       {[]string{"doctor", "-addr", "nowhere"}, "", "is not host:port", true},
		"doctor, a port that is none":           {[]string{"doctor", "-addr", "127.0.0.1:nowhere"}, "", "unknown port", true},
		"doctor, an issuer with a path":         {[]string{"doctor", "-issuer", "https://id.example/x"}, "", `-issuer "https://id.example/x" has a path`, true},
		"doctor, authorities that are none":     {[]string{"doctor", "-client-ca", "missing.pem"}, "", "missing.pem", true},
		"doctor, a database that is none":       {[]string{"doctor", "-db", "postgres://127.0.0.1:1/x"}, "", "cannot reach the database", true},
		"prune, a database that is none":        {[]string{"prune", "-db", "postgres://127.0.0.1:1/x"}, "", "cannot reach the database", true},
		"erase, a database that is none":        {[]string{"erase", "-user", "bob", "-db", "postgres://127.0.0.1:1/x"}, "", "cannot reach the database", true},
		"a start, a certificate that is none":   {[]string{"-addr", "127.0.0.1:0", "-issuer", "https://127.0.0.1:8443", "-tls-cert", "missing.pem", "-tls-key", "missing.pem"}, "", "missing.pem", true},
		"a start, a table that cannot be made":  {nil, "CREATE VIEW tokens AS SELECT 1", "cannot prepare the database: ", false},
		"a start, a user that cannot be made":   {nil, "DELETE FROM users\nCREATE TRIGGER t BEFORE INSERT ON users " + onFire, "cannot prepare the database: ", true},
		"a start without the demo accounts":     {[]string{"-demo=false"}, "CREATE TRIGGER t BEFORE UPDATE ON users " + onFire, "cannot prepare the database: ", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := filepath.Join(t.TempDir(), "example.db")
			if c.started {
				require.NoError(t, startProgramOn(t, "-db", database).end())
			}
			db, closeDB, err := openDatabase(t.Context(), database, slog.New(slog.DiscardHandler))
			require.NoError(t, err)
			if c.started {
				require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{AccessToken: "old", ExpiresAt: 1}}).Error)
			}
			for statement := range strings.SplitSeq(c.statements, "\n") {
				require.True(t, statement == "" || db.Exec(statement).Error == nil, statement)
			}
			closeDB()
			command := c.command
			if command == nil {
				command = []string{"-addr", "127.0.0.1:0"}
			}
			arguments := append([]string{}, command...)
			if !strings.Contains(strings.Join(command, " "), "-db") {
				arguments = append(arguments, "-db", database)
			}
			err = run(oauthtest.Brief(t), arguments, noEnvironment, fullDisk{}, t.Output())
			require.ErrorContains(t, err, c.want)
			if strings.Contains(c.statements, "RAISE") {
				assert.ErrorContains(t, err, "the disk is on fire")
			}
		})
	}
}

// Whichever call to the database fails while a user is erased, that is an error, and the user cannot sign in.
func TestAnErasureThatFailsLeavesADisabledUser(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	ctx := underway.Shorten(t.Context(), time.Millisecond)
	var bob User
	require.NoError(t, f.app.db.Where("username = ?", "bob").First(&bob).Error)
	require.NoError(t, f.app.db.Create(&Client{UserID: &bob.ID, ClientMixin: models.ClientMixin{ClientID: "his"}}).Error)
	for f.fails = 0; ; f.fails++ {
		require.Less(t, f.fails, 200)
		require.NoError(t, f.app.db.Model(&bob).Update("disabled", false).Error)
		f.armed, f.calls = 1, 0
		_, err := eraseUser(ctx, f.app.db, &bob)
		f.armed = 0
		if f.calls <= f.fails {
			require.NoError(t, err)
			break
		}
		require.ErrorContains(t, err, "the disk is on fire", f.failed)
		var left User
		require.NoError(t, f.app.db.First(&left, bob.ID).Error, f.failed)
		assert.Equal(t, f.fails > 2, left.Disabled, "%d: %s, once the first transaction is over", f.fails, f.failed)
	}
	assert.Greater(t, f.fails, 20)
	assert.Zero(t, f.app.db.Where("client_id = ?", "his").Limit(1).Find(new(Client)).RowsAffected)
	assert.Zero(t, f.app.db.Limit(1).Find(new(User), bob.ID).RowsAffected)
}

// What is asked of the database ends with the context.
func TestWorkEndsWithItsContext(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	db, bob := f.app.db, new(User)
	require.NoError(t, db.Where("username = ?", "bob").First(bob).Error)
	for what, err := range map[string]error{
		"the preparation": prepareDatabase(ctx, db, true, f.app.oauth), "the clean-up of sessions": deleteExpiredSessions(ctx, db, time.Now()),
		"an erasure": func() error { _, err := eraseUser(ctx, db, bob); return err }(), "pruning": func() error { _, err := pruneExpired(ctx, db, io.Discard); return err }(),
		"the end of clients": deleteClients(ctx, db, []Client{{ClientMixin: models.ClientMixin{ClientID: "demo-web"}}}), "a note of use": noteUse(ctx, db, new(Token), time.Now()),
	} {
		require.ErrorIs(t, err, context.Canceled, what)
	}
}

// What the library checked is checked no second time, but a page is not shown without it.
func TestAConsentPageThatCannotBeReadIsNotShown(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	for what, c := range map[string]struct{ details, claims string }{
		"details": {"{", ""}, "a payment": {`[{"type":"payment","amount":7}]`, ""}, "claims": {"", "{"},
	} {
		request := new(server.Request)
		request.AuthorizationDetails, request.Authorization.Claims = c.details, c.claims
		w := httptest.NewRecorder()
		f.app.askConsent(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/authorize", http.NoBody), &server.ConsentGrant{
			Request: request, Client: &Client{}, User: &User{},
		})
		assert.Equal(t, http.StatusInternalServerError, w.Code, what)
		assert.Equal(t, 1, strings.Count(w.Body.String(), "</html>"), what)
		assert.Contains(t, w.Body.String(), "Something went wrong", what)
	}
}

func TestWhatAServerGivesAClient(t *testing.T) {
	t.Parallel()
	handler := http.NewServeMux()
	s := newHTTPServer(handler, new(config), slog.New(slog.DiscardHandler))
	assert.Equal(t, []any{http.Handler(handler), 5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 64 << 10},
		[]any{s.Handler, s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout, s.MaxHeaderBytes})
	assert.NotNil(t, s.ConnState)
	assert.NotNil(t, s.ErrorLog)
	assert.NotNil(t, s.TLSConfig)
}

// What each entry of the audit trail is in words.
func TestEveryEntryIsASentence(t *testing.T) {
	t.Parallel()
	var told strings.Builder
	tell := func(entry models.AuditMixin) {
		s := sentenceOf(&Audit{AuditMixin: entry})
		fmt.Fprintln(&told, s.Before+"App"+s.After)
	}
	for _, event := range []string{
		models.AuditAuthorizationGranted, models.AuditTokenIssued, models.AuditTokenRefreshed, models.AuditTokenExchanged, models.AuditTokenRevoked, models.AuditGrantRevoked,
		models.AuditAllRevoked, models.AuditConsentRevoked, models.AuditSessionEnded, models.AuditClientRegistered, models.AuditClientUpdated, models.AuditClientDeleted,
		models.AuditClientSecretRotated, "another",
	} {
		tell(models.AuditMixin{Event: event})
	}
	for _, reason := range []string{models.AuditByReuse, models.AuditBySession, models.AuditByErasure} {
		tell(models.AuditMixin{Event: models.AuditGrantRevoked, Reason: reason})
	}
	assert.Equal(t, `You let App in
App got access
App renewed its access
App got access for another service
App gave an access token back
App gave its access back
All access of App ended
You removed the access of App
You signed out of App
You created the client App
The client App was changed
You deleted the client App
You made a new secret for App
App: another
The access of App ended: somebody used a key of it a second time
The access of App ended when you signed out
App gave its access back
`, told.String())
}

// A client that its owner deletes is gone soon, while the program runs.
func TestADeletedClientIsRemoved(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "example.db")
	p := startProgramIn(oauthtest.Brief(t), t, "-db", database)
	p.file = database
	alice := p.signedIn(t, "alice", "wonderland")
	db := p.database(t)
	const document = "https://client.example/client.json" // whose row stays, as a mark
	require.NoError(t, db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: document, ClientDeletedAt: 1}}).Error)
	for range 2 { // one while nothing waits, and one after it
		alice.post("/clients", form("client_name", "Mine", "type", "service", "scope", "profile")).want(t, http.StatusCreated)
		alice.post(alice.get("/").find(t, `action="(/clients/[^"]+/delete)"`), nil).wantRedirect(t, "/")
		require.Eventually(t, func() bool { return db.Where("client_deleted_at > 1").Limit(1).Find(new(Client)).RowsAffected == 0 }, 20*time.Second, 10*time.Millisecond)
	}
	assert.EqualValues(t, 1, db.Where("client_id = ?", document).Limit(1).Find(new(Client)).RowsAffected)
}

// Who signs in again keeps the sessions at applications; somebody else, in the same browser, ends them.
func TestWhoseSessionsASignInEnds(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	db := p.database(t)
	b := p.signedIn(t, "alice", "wonderland")
	sessions := func() (open, ended int) {
		var all []ClientSession
		require.NoError(t, db.Find(&all).Error)
		for _, one := range all {
			if one.EndedAt == 0 {
				open++
			} else {
				ended++
			}
		}
		return open, ended
	}
	redirected(t, b.decide(authorizePath("demo-web"), form("confirm", "yes")))
	for _, c := range []struct {
		username, password string
		open, ended        int
	}{{"alice", "wonderland", 1, 0}, {"bob", "builder", 0, 1}} {
		b.post("/login", form("username", c.username, "password", c.password)).want(t, http.StatusSeeOther)
		open, ended := sessions()
		assert.Equal(t, []int{c.open, c.ended}, []int{open, ended}, c.username)
	}
}
