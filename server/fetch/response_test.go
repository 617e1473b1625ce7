package fetch_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/server/fetch"
)

// A cached document is used until the time that its response gives, or that of the options if
// that is shorter, and says how old it is.
func TestHowLongADocumentIsCached(t *testing.T) {
	for rule, c := range map[string]struct {
		header string
		life   time.Duration
	}{
		"as long as the response says":      {"max-age=90", 90 * time.Second},
		"not longer than the options":       {"max-age=7200", 5 * time.Minute},
		"as the options if nothing is said": {"public", 5 * time.Minute},
		"a minute even if it is not to be":  {"no-store", time.Minute},
	} {
		now := time.Unix(1_800_000_000, 0)
		var asked atomic.Int32
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.Header()["Date"] = nil
			w.Header().Set("Cache-Control", c.header)
		}))
		f := fetch.New(fetch.Options{AllowPrivateAddresses: true, CacheFor: 5 * time.Minute, Clock: func() time.Time { return now }})
		for _, at := range []struct {
			after, age time.Duration
			asked      int32
		}{{0, 0, 1}, {c.life, c.life, 1}, {time.Second, 0, 2}} {
			now = now.Add(at.after)
			document, err := f.Fetch(t.Context(), s.URL, fetch.Request{})
			require.NoError(t, err, rule)
			assert.Equal(t, at.age, document.Age, rule)
			assert.Equal(t, at.asked, asked.Load(), rule)
		}
		s.Close()
	}
}

// A document is taken as it is sent: nothing is asked for compressed, which could be large when
// it is unpacked, and nothing is unpacked.
func TestADocumentIsNotUnpacked(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte("{}"))
	require.NoError(t, z.Close())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Empty(t, r.Header.Get("Accept-Encoding"))
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}))
	t.Cleanup(s.Close)
	body, err := fetch.New(fetch.Options{AllowPrivateAddresses: true}).Get(t.Context(), s.URL)
	require.NoError(t, err)
	assert.Equal(t, packed.Bytes(), body)
}

// What is refused has no document and no status, and says why.
func TestWhyADocumentIsRefused(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/half", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("{}"))
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 11)) })
	mux.HandleFunc("/gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	f := fetch.New(fetch.Options{AllowPrivateAddresses: true, MaxBytes: 10})
	for address, why := range map[string]string{
		s.URL + "/half":     "unexpected EOF",
		s.URL + "/long":     "is longer than 10 bytes",
		s.URL + "/gone":     "answers with 410 Gone",
		"ftp://client.test": "is not an https address",
		"http://":           "has no host",
	} {
		document, err := f.Fetch(t.Context(), address, fetch.Request{})
		require.ErrorIs(t, err, fetch.ErrRefused, address)
		require.ErrorContains(t, err, why, address)
		assert.Empty(t, document.Body, address)
	}
}

func TestAFormIsPosted(t *testing.T) {
	var got url.Values
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, http.MethodPost, r.Method)
		assert.NoError(t, r.ParseForm())
		got = r.PostForm
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(s.Close)
	f := fetch.New(fetch.Options{AllowPrivateAddresses: true})
	form := url.Values{"logout_token": {"a b"}}
	status, err := f.Post(t.Context(), s.URL, form)
	require.NoError(t, err)
	assert.Equal(t, http.StatusAccepted, status)
	assert.Equal(t, form, got)
	s.Close()
	for _, address := range []string{s.URL, "ftp://client.test"} {
		status, err = f.Post(t.Context(), address, form)
		require.ErrorIs(t, err, fetch.ErrRefused, address)
		assert.Zero(t, status, address)
	}
}

// A key set is registered by value or by URL; of a client that has neither, the reason is known.
func TestWhyThereIsNoKeySet(t *testing.T) {
	fetches := fetch.New(fetch.Options{AllowPrivateAddresses: true})
	for _, c := range []struct {
		fetcher   *fetch.Fetcher
		jwks, uri string
		why       string
	}{
		{fetches, "", "", "the client has no key set"},
		{fetches, " null ", "", "the client has no key set"},
		{nil, "", "https://client.test/jwks", "the server does not fetch key sets"},
		{nil, "{}", "https://client.test/jwks", "no such key"},
	} {
		err := c.fetcher.InKeySet(t.Context(), []byte(c.jwks), c.uri, func(keySet []byte) error {
			assert.Equal(t, "{}", string(keySet), "it is by value")
			return errors.New("no such key")
		})
		require.ErrorIs(t, err, fetch.ErrRefused, c.why)
		require.EqualError(t, err, c.why)
	}
}
