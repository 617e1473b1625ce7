package doctor_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/doctor"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/finding"
)

// outside is a server as clients reach it, with a proxy before it.
type outside struct {
	*httptest.Server
	server *server.Server
	now    time.Time
}

func newOutside(t *testing.T, proxy func(w http.ResponseWriter, r *http.Request, next http.Handler)) *outside {
	t.Helper()
	return startOutside(t, (*httptest.Server).StartTLS, proxy)
}

func startOutside(t *testing.T, start func(*httptest.Server), proxy func(w http.ResponseWriter, r *http.Request, next http.Handler)) *outside {
	t.Helper()
	o := &outside{now: time.Now()}
	mux := http.NewServeMux()
	o.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if proxy == nil {
			mux.ServeHTTP(w, r)
			return
		}
		proxy(w, r, mux)
	}))
	start(o.Server)
	t.Cleanup(o.Close)
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) {
		c.Issuer, c.Clock = o.URL, func() time.Time { return o.now }
	})
	keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](p.DB, gormstore.SigningKeyOptions{})
	require.NoError(t, p.Server.RegisterEndpoint(&endpoint.JWKS{Keys: keys}))
	o.server = p.Server
	for path, handler := range o.server.Routes() {
		mux.Handle(path, handler)
	}
	return o
}

func (o *outside) diagnose(t *testing.T) finding.List {
	t.Helper()
	return doctor.Issuer{Client: o.Client()}.Diagnose(t.Context(), o.server)
}

// rewriting has a proxy change every document.
func rewriting(change func(members map[string]any)) func(w http.ResponseWriter, r *http.Request, next http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		var members map[string]any
		_ = json.Unmarshal(answer.Body.Bytes(), &members)
		change(members)
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		_ = json.NewEncoder(w).Encode(members)
	}
}

func TestWhatClientsSeeIsDiagnosed(t *testing.T) {
	private, err := json.Marshal(jose.JSONWebKey{Key: oauthtest.NewKey(t), KeyID: "k"})
	require.NoError(t, err)
	header := func(name, value string) func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			answer := httptest.NewRecorder()
			next.ServeHTTP(answer, r)
			for name, values := range answer.Header() {
				w.Header()[name] = values
			}
			w.Header().Set(name, value)
			_, _ = w.Write(answer.Body.Bytes())
		}
	}
	for rule, c := range map[string]struct {
		proxy func(w http.ResponseWriter, r *http.Request, next http.Handler)
		want  []string
	}{
		"as it should be": {nil, nil},
		"it is there": {func(w http.ResponseWriter, r *http.Request, _ http.Handler) { http.NotFound(w, r) },
			[]string{"issuer_reachable"}},
		"it is not somewhere else": {func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, "https://elsewhere.example"+r.URL.Path, http.StatusMovedPermanently)
		}, []string{"issuer_reachable"}},
		"its type is JSON":             {header("Content-Type", "text/html"), []string{"issuer_content_type"}},
		"it is not kept for long":      {header("Cache-Control", "public, max-age=604800"), []string{"issuer_cache"}},
		"but for a day":                {header("Cache-Control", "max-age=86400"), nil},
		"nor for a second more":        {header("Cache-Control", "max-age=86401"), []string{"issuer_cache"}},
		"it is of this issuer":         {rewriting(func(m map[string]any) { m["issuer"] = "https://other.example" }), []string{"issuer_metadata"}},
		"it says what the server says": {rewriting(func(m map[string]any) { m["token_endpoint"] = "https://other.example/token" }), []string{"issuer_metadata"}},
		"and no less":                  {rewriting(func(m map[string]any) { delete(m, "token_endpoint") }), []string{"issuer_metadata"}},
		"and no more":                  {rewriting(func(m map[string]any) { m["x"] = 1 }), []string{"issuer_metadata"}},
		"there are keys":               {rewriting(func(m map[string]any) { delete(m, "keys") }), []string{"issuer_keys"}},
		"and none that is private":     {rewriting(func(m map[string]any) { m["keys"] = []any{json.RawMessage(private)} }), []string{"issuer_keys"}},
		"it is a document": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte("[]"))
		}, []string{"issuer_metadata", "issuer_keys"}},
		"the clocks are together": {header("Date", time.Now().Add(2*time.Minute).UTC().Format(http.TimeFormat)), []string{"clock"}},
		"and neither is late":     {header("Date", time.Now().Add(-2*time.Minute).UTC().Format(http.TimeFormat)), []string{"clock"}},
		"what a cache answers has its age": {func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.Header().Set("Age", "120")
			header("Date", time.Now().Add(-2*time.Minute).UTC().Format(http.TimeFormat))(w, r, next)
		}, nil},
	} {
		o := newOutside(t, c.proxy)
		got := checks(t, o.diagnose(t))
		if rule == "and no more" || rule == "there are keys" || rule == "and none that is private" {
			got = only(got, c.want[0]) // a proxy that changes one document changes all
		}
		assert.Equal(t, c.want, got, rule)
	}
	other := newOutside(t, rewriting(func(m map[string]any) { m["issuer"] = "https://other.example" }))
	assert.ErrorContains(t, other.diagnose(t).Err(), `has the issuer "https://other.example"`, "clients refuse it")
}

func only(all []string, want string) (found []string) {
	for _, one := range all {
		if one == want {
			return []string{want}
		}
	}
	return nil
}

// On the machine itself there is no certificate, and nothing wrong with that.
func TestAnIssuerWithoutTLSHasNoCertificate(t *testing.T) {
	assert.Empty(t, startOutside(t, (*httptest.Server).Start, nil).diagnose(t))
}

func TestACertificateThatEndsSoonIsFound(t *testing.T) {
	o := newOutside(t, nil)
	certificate := o.Certificate()
	o.now = certificate.NotAfter.Add(-13 * 24 * time.Hour)
	assert.Equal(t, []string{"certificate", "clock"}, checks(t, o.diagnose(t))[:2])
	o.now = time.Now()
	require.Empty(t, o.diagnose(t))
	assert.Equal(t, []string{"issuer_reachable"}, checks(t, doctor.Issuer{}.Diagnose(t.Context(), o.server)), "one that nobody trusts")
	o.Close()
	assert.ErrorContains(t, o.diagnose(t).Err(), "cannot be fetched")
}
