package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/fetch"
)

// What cannot be put together is an error, and no program.
func TestAProgramThatCannotBePutTogether(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	for _, issuer := range []string{"", "nowhere", "http://id.example"} {
		cfg := f.config()
		cfg.issuer = issuer
		made, err := newApp(cfg, f.app.db, slog.New(slog.DiscardHandler))
		require.Error(t, err, issuer)
		assert.Nil(t, made, issuer)
		protector, err := newProtector(&app{cfg: cfg, db: f.app.db, tokens: f.app.tokens, keys: f.app.keys})
		require.Error(t, err, issuer)
		assert.Nil(t, protector, issuer)
	}
	database := filepath.Join(t.TempDir(), "example.db")
	require.NoError(t, os.Mkdir(database+".secret", 0o700))
	for _, command := range [][]string{{"-addr", "127.0.0.1:0"}, {"doctor"}} {
		require.ErrorContains(t, run(t.Context(), append(command, "-db", database), noEnvironment, io.Discard, io.Discard), "example.db.secret")
	}
	noCertificate := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(noCertificate, nil, 0o600))
	_, err := readCertificates(noCertificate)
	require.ErrorContains(t, err, noCertificate+" has no certificate")
	_, err = readCertificates(noCertificate + ".missing")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Under the profile, documents are not fetched by cipher suites that it forbids.
func TestFetchesAreHeldToTheProfile(t *testing.T) {
	t.Parallel()
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}}
	old.Config.ErrorLog = log.New(io.Discard, "", 0)
	old.StartTLS()
	t.Cleanup(old.Close)
	f := newFailing(t)
	for underProfile, want := range map[bool]string{false: "certificate", true: "handshake failure"} {
		cfg := f.config()
		cfg.fapi = underProfile
		made, err := newApp(cfg, f.app.db, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		_, err = made.openid.Fetcher.Get(t.Context(), old.URL)
		require.ErrorContains(t, err, want)
	}
}

// A demo that starts at another address goes on with what it issued before.
func TestADemoAtAnotherAddressTakesItsTokens(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "example.db")
	first := startProgramOn(t, "-db", database)
	token := passwordToken(t, first.visit(t), "alice", "wonderland")
	require.NoError(t, first.end())
	second := startProgramOn(t, "-db", database)
	about := second.visit(t).do(http.MethodPost, "/oauth/introspect", strings.NewReader("token="+token), http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("demo-legacy:demo-legacy-secret"))}})
	about.want(t, http.StatusOK, `"active":true`, `"sub":"1"`)
}

// Only the keys and the users of the issuer that the operator trusts count.
func TestTheIssuerThatIsTrusted(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	body, status := `{"keys":[]}`, http.StatusOK
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(keys.Close)
	f.app.cfg.trustedIssuer, f.app.cfg.trustedKeys = "https://other.example", keys.URL
	of := func() trustedIssuer {
		return trustedIssuer{f.app, fetch.New(fetch.Options{AllowPrivateAddresses: true})}
	}
	set, err := of().keys(t.Context(), "https://other.example")
	require.NoError(t, err)
	assert.NotNil(t, set)
	set, err = of().keys(t.Context(), "https://another.example")
	require.NoError(t, err)
	assert.Nil(t, set)
	status = http.StatusNotFound
	_, err = of().keys(t.Context(), "https://other.example")
	require.ErrorIs(t, err, fetch.ErrRefused)
	status, body = http.StatusOK, "no keys"
	_, err = of().keys(t.Context(), "https://other.example")
	require.Error(t, err)

	ask := func(name string) (id string, err error) {
		user, err := of().user(context.Background(), nil, &assertion.Assertion{Subject: name})
		if user == nil {
			return "", err
		}
		return user.GetUserID(), err
	}
	for name, want := range map[string]string{"alice": "1", "nobody": ""} {
		id, err := ask(name)
		require.NoError(t, err)
		assert.Equal(t, want, id, name)
	}
	f.armed, f.fails, f.calls = 1, 0, 0
	_, err = ask("alice")
	require.ErrorContains(t, err, "the disk is on fire")
	f.armed = 0
	require.NoError(t, f.app.db.Model(&User{}).Where("username = ?", "alice").Update("disabled", true).Error)
	id, err := ask("alice")
	require.NoError(t, err)
	assert.Empty(t, id, "who is disabled")
}

// What is older than the list of secrets was made with the last of them; without any there is no salt.
func TestTheOldestSecret(t *testing.T) {
	t.Parallel()
	one, two := []byte("one"), []byte("two")
	salt := func(secrets ...[]byte) []byte { return (&config{secrets: secrets}).pairwiseSalt() }
	assert.Nil(t, new(config).oldest())
	assert.Nil(t, salt())
	assert.Equal(t, one, (&config{secrets: [][]byte{one}}).oldest())
	assert.Equal(t, one, (&config{secrets: [][]byte{two, one}}).oldest())
	assert.Len(t, salt(one), 32)
	assert.Equal(t, salt(one), salt(two, one), "a new secret in front changes nothing")
	assert.NotEqual(t, salt(one), salt(two))
}
