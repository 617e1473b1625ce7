package fetch

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/server/ratelimit"
)

func TestFetcher(t *testing.T) {
	var asked atomic.Int64
	slow := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/document", func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		assert.Equal(t, "application/json", r.Header.Get("Accept"))
		_, _ = w.Write([]byte("{}"))
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(strings.Repeat("a", 1001))) })
	mux.HandleFunc("/fits", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(strings.Repeat("a", 1000))) })
	mux.HandleFunc("/bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write([]byte(strings.Repeat("a", 1<<20)))
		_ = z.Close()
	})
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/document", http.StatusFound) })
	mux.HandleFunc("/slow", func(http.ResponseWriter, *http.Request) { <-slow })
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("a", 64<<10)) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(slow) })

	f := New(Options{AllowPrivateAddresses: true, MaxBytes: 1000, Timeout: 300 * time.Millisecond})
	for range 3 {
		body, err := f.Get(t.Context(), s.URL+"/document")
		require.NoError(t, err)
		assert.Equal(t, "{}", string(body))
		_, err = f.Refresh(t.Context(), s.URL+"/document")
		require.NoError(t, err)
	}
	assert.EqualValues(t, 1, asked.Load(), "it is remembered, and nobody can have it fetched again and again")
	body, err := f.Get(t.Context(), s.URL+"/fits")
	require.NoError(t, err)
	assert.Len(t, body, 1000)
	for _, path := range []string{"/long", "/elsewhere", "/slow", "/headers", "/nothing"} {
		_, err := f.Get(t.Context(), s.URL+path)
		assert.ErrorIs(t, err, ErrRefused, path)
	}
	body, err = f.Get(t.Context(), s.URL+"/bomb")
	if err == nil {
		assert.Less(t, len(body), 2000, "nothing is unpacked")
	}
	for _, address := range []string{"", "/document", "ftp://client.example/", "file:///etc/passwd", "https://user@client.example/", "http:", "https://" + strings.Repeat("a", 3000)} {
		_, err := f.Get(t.Context(), address)
		assert.ErrorIs(t, err, ErrRefused, address)
	}
}

// Whoever names many addresses that never answer waits for its own, and nothing that
// was not asked for is remembered.
func TestFetchesTakeTurns(t *testing.T) {
	come := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	t.Cleanup(s.Close)
	f := New(Options{AllowPrivateAddresses: true, Concurrency: 2, Timeout: 500 * time.Millisecond})
	flood, other := ratelimit.OnBehalf(t.Context(), "flood"), ratelimit.OnBehalf(t.Context(), "other")
	held := make(chan struct{})
	go func() { // in the flood's only slot
		_ = f.turns.Do(context.Background(), "flood", func() bool {
			close(held)
			<-come
			return true
		})
	}()
	<-held
	refused := make(chan error)
	go func() {
		_, err := f.Get(flood, s.URL+"/document")
		refused <- err
	}()
	time.Sleep(100 * time.Millisecond) // it waits now
	begin := time.Now()
	body, err := f.Get(other, s.URL+"/document")
	require.NoError(t, err, "somebody else wants the same, and does not wait with the flood")
	assert.Equal(t, "{}", string(body))
	assert.Less(t, time.Since(begin), 300*time.Millisecond)
	require.ErrorIs(t, <-refused, ratelimit.ErrBusy)
	_, err = f.Get(flood, s.URL+"/another")
	require.ErrorIs(t, err, ratelimit.ErrBusy)
	_, err = f.Get(other, s.URL+"/another")
	require.NoError(t, err, "it is nothing that is remembered")
	body, err = f.Get(flood, s.URL+"/document")
	require.NoError(t, err, "what is remembered needs no turn")
	assert.Equal(t, "{}", string(body))
	close(come)
}

// What is behind the firewall is not a client's to ask for.
func TestPrivateAddressesAreRefused(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	require.NoError(t, err)
	transport := s.Client().Transport.(*http.Transport)
	f := New(Options{Transport: transport, Timeout: time.Second})
	for _, host := range []string{
		"127.0.0.1:" + port, "localhost:" + port, "[::1]:" + port, "[::ffff:127.0.0.1]:" + port, "0.0.0.0:" + port, "2130706433:" + port,
		"10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fc00::1]", "[64:ff9b::7f00:1]", "224.0.0.1", "255.255.255.255",
		"127.0.0.1", "localhost",
	} {
		_, err := f.Get(t.Context(), "https://"+host+"/")
		assert.ErrorIs(t, err, ErrRefused, host)
	}
	_, err = f.Get(t.Context(), "http://client.example/")
	assert.ErrorIs(t, err, ErrRefused, "and nothing without encryption")
	assert.Zero(t, asked.Load())
	dial := func(string, string) (net.Conn, error) {
		return tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	}
	for _, change := range []func(*http.Transport){
		func(around *http.Transport) { around.DialTLS = dial }, //nolint:staticcheck // somebody may have it still
		func(around *http.Transport) {
			around.DialTLSContext = func(_ context.Context, network, address string) (net.Conn, error) { return dial(network, address) }
		},
	} {
		around := transport.Clone()
		change(around)
		_, err = New(Options{Transport: around, Timeout: time.Second}).Get(t.Context(), "https://127.0.0.1/")
		assert.ErrorIs(t, err, ErrRefused)
		assert.Zero(t, asked.Load(), "also by a dialer of the transport's own")
	}
	_, err = New(Options{Transport: transport, AllowPrivateAddresses: true}).Get(t.Context(), s.URL)
	assert.NoError(t, err, "but for the operator who says so")
}

// What is left out has the value that its comment names, and what is set stays.
func TestTheOptionsHaveDefaults(t *testing.T) {
	got := New(Options{}).options
	assert.NotNil(t, got.Clock)
	got.Clock = nil
	assert.Equal(t, Options{Timeout: 5 * time.Second, MaxBytes: 64 << 10, CacheFor: 5 * time.Minute, KeepKeySetsFor: 24 * time.Hour, Concurrency: 64}, got)
	own := Options{Timeout: 1, MaxBytes: 2, CacheFor: 3, KeepKeySetsFor: 4, Concurrency: 5}
	got = New(own).options
	got.Clock = nil
	assert.Equal(t, own, got)
}
