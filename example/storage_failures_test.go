package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// failing is the program on a database of which one call can fail.
type failing struct {
	t      *testing.T
	app    *app
	routes http.Handler
	log    strings.Builder
	cookie string

	armed, fails, calls int
	failed              string
}

func newFailing(t *testing.T) *failing {
	t.Helper()
	f := &failing{t: t}
	log := slog.New(slog.NewTextHandler(&f.log, nil))
	db, closeDB, err := openDatabase(t.Context(), filepath.Join(t.TempDir(), "example.db"), log)
	require.NoError(t, err)
	t.Cleanup(closeDB)
	healthy, err := newApp(f.config(), db, log)
	require.NoError(t, err)
	require.NoError(t, prepareDatabase(t.Context(), db, true, healthy.oauth))
	broken := faults.DB(db, &faults.Plan{Next: func(call faults.Call) faults.Fault {
		if f.armed == 0 {
			return faults.Fault{}
		}
		f.calls++
		if f.calls != f.fails+1 {
			return faults.Fault{}
		}
		f.failed = call.SQL
		return faults.Fault{Err: errors.New("the disk is on fire")}
	}})
	f.app, err = newApp(f.config(), broken, log)
	require.NoError(t, err)
	f.app.devices.Attempts = ratelimit.Unlimited{}
	f.routes = f.app.routes()
	return f
}

func (*failing) config() *config {
	return &config{issuer: "http://127.0.0.1:8080", secrets: [][]byte{[]byte(demoSecret)}, noOlderInstances: true, demo: true}
}

// send sends a request as the browser does; a body makes it a POST.
func (f *failing) send(path string, body url.Values) *httptest.ResponseRecorder {
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body.Encode()))
	r.Host, r.RemoteAddr = "127.0.0.1:8080", "127.0.0.1:1"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html")
	if f.cookie != "" {
		r.Header.Set("Cookie", f.cookie)
	}
	w := httptest.NewRecorder()
	f.routes.ServeHTTP(w, r)
	if set := w.Header().Get("Set-Cookie"); f.armed == 0 && set != "" {
		f.cookie, _, _ = strings.Cut(set, ";")
	}
	return w
}

// signIn makes alice's session anew.
func (f *failing) signIn() {
	f.cookie = ""
	require.Equal(f.t, http.StatusSeeOther, f.send("/login", form("username", "alice", "password", "wonderland")).Code)
}

// Whichever call to the database fails, a page says that something went wrong, the log says
// what, and nobody is told that it was done.
func TestEveryFailureOfStorageIsAPageThatSaysSo(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	get := func(path string) func() func() *httptest.ResponseRecorder {
		return func() func() *httptest.ResponseRecorder {
			f.signIn()
			return func() *httptest.ResponseRecorder { return f.send(path, nil) }
		}
	}
	post := func(path string, pairs ...string) func() func() *httptest.ResponseRecorder {
		return func() func() *httptest.ResponseRecorder {
			f.signIn()
			return func() *httptest.ResponseRecorder { return f.send(path, form(pairs...)) }
		}
	}
	client := func() string {
		f.signIn()
		page := f.send("/clients", form("client_name", rand.Text(), "type", "service", "scope", "profile"))
		require.Equal(t, http.StatusCreated, page.Code, page.Body)
		return answer{body: page.Body.String()}.find(t, `id="client-id">([^<]+)<`)
	}
	device := func() string {
		page := f.send("/oauth/device_authorization", form("client_id", "demo-device", "scope", "profile"))
		return answer{body: page.Body.String()}.find(t, `"user_code":"([^"]+)"`)
	}
	decision := func(path string, body url.Values) (string, url.Values) {
		page := f.send(path, body)
		return answer{status: page.Code, body: page.Body.String()}.consentForm(t)
	}
	requests := map[string]func() func() *httptest.ResponseRecorder{
		"the home page": get("/"), "the page of devices": get("/device"), "the activity": get("/activity"), "the page that signs out": get("/logout"), "the accounts": get("/accounts"),
		"the page that signs in": get("/login"), "an application's sign-out": get("/oauth/end_session?client_id=demo-web"),
		"an authorization request": get(authorizePath("demo-web") + "&prompt=consent"),
		"the choice of an account": post("/accounts", "next", "/device"), "a sign-out": post("/logout"), "what was allowed is taken back": post("/consents/revoke", "client_id", "demo-web"),
		"a code that nobody has": post("/device", "user_code", "BCDF-GHJK"), "an application is taken back": post("/applications/1/revoke"),
		"a new client": post("/clients", "client_name", "Mine", "type", "service", "scope", "profile"), "a client that is faulty": post("/clients", "client_name", "Mine"),
		"a sign-in": func() func() *httptest.ResponseRecorder {
			f.cookie = ""
			return func() *httptest.ResponseRecorder {
				return f.send("/login", form("username", "alice", "password", "wonderland"))
			}
		},
		"a sign-in again":         post("/login", "username", "alice", "password", "wonderland"),
		"somebody else's sign-in": post("/login", "username", "bob", "password", "builder"),
		"a new secret": func() func() *httptest.ResponseRecorder {
			id := client()
			return func() *httptest.ResponseRecorder { return f.send("/clients/"+id+"/secret", form()) }
		},
		"the end of a client": func() func() *httptest.ResponseRecorder {
			id := client()
			return func() *httptest.ResponseRecorder { return f.send("/clients/"+id+"/delete", form()) }
		},
		"a decision on an application's sign-out": func() func() *httptest.ResponseRecorder {
			f.signIn()
			page := f.send("/oauth/end_session?client_id=demo-web", nil)
			path, body := signOutForm(t, answer{status: page.Code, body: page.Body.String()})
			return func() *httptest.ResponseRecorder { return f.send(path, body) }
		},
		"a device": func() func() *httptest.ResponseRecorder {
			f.signIn()
			code := device()
			return func() *httptest.ResponseRecorder { return f.send("/device", form("user_code", code)) }
		},
		"a decision on a device": func() func() *httptest.ResponseRecorder {
			f.signIn()
			path, body := decision("/device", form("user_code", device()))
			body.Set("confirm", "yes")
			return func() *httptest.ResponseRecorder { return f.send(path, body) }
		},
	}
	require.Equal(t, http.StatusOK, f.send("/healthz", nil).Code)
	for _, what := range slices.Sorted(maps.Keys(requests)) {
		healthy := requests[what]()()
		require.Less(t, healthy.Code, http.StatusInternalServerError, what)
		for f.fails = 0; ; f.fails++ {
			send := requests[what]()
			f.log.Reset()
			f.armed, f.calls = 1, 0
			w := send()
			f.armed = 0
			if f.calls <= f.fails {
				assert.Equal(t, healthy.Code, w.Code, what)
				break
			}
			if strings.Contains(f.log.String(), "error=server_error") && w.Header().Get("Location") != "" { // the application is told, and knows what to do
				assert.True(t, strings.HasPrefix(w.Header().Get("Location"), demoRedirectURI+"?error=server_error"), w.Header())
				continue
			}
			if !assert.Equal(t, http.StatusInternalServerError, w.Code, "%s: %s", what, f.failed) {
				continue
			}
			assert.Contains(t, w.Body.String(), "Something went wrong", "%s: %s", what, f.failed)
			assert.NotContains(t, w.Body.String(), "fire")
			assert.Contains(t, f.log.String(), "fire", "%s: %s", what, f.failed)
			for line := range strings.Lines(f.log.String()) {
				if strings.Contains(line, `msg="a request failed with an internal error"`) {
					assert.Contains(t, line, " path=/", what)
					assert.Contains(t, line, " remote_address=127.0.0.1 ", what)
				}
			}
			require.Less(t, f.fails, 60, what)
		}
	}
	f.armed, f.fails, f.calls = 1, 0, 0
	w := f.send("/healthz", nil)
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.JSONEq(t, `{"status":"the database does not answer"}`, w.Body.String())
	f.armed = 0
}
