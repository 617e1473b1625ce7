package fetch_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/server/fetch"
)

// A key set that was fetched is used until its address has another one, or for a day after
// it was last there; a stranger who names a key that does not exist changes nothing.
func TestAGoodKeySetOutlivesAFailure(t *testing.T) {
	const good, other = `{"keys":[{"kid":"good"}]}`, `{"keys":[{"kid":"other"}]}`
	for fault, answer := range map[string]http.HandlerFunc{
		"it is away":        func(w http.ResponseWriter, r *http.Request) { http.Error(w, "away", http.StatusBadGateway) },
		"it breaks off":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"it has a page":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>maintenance</html>")) },
		"it has a document": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"error":"maintenance"}`)) },
		"it has half of it": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(good[:10])) },
	} {
		t.Run(fault, func(t *testing.T) {
			var now, asked atomic.Int64
			var serve atomic.Pointer[http.HandlerFunc]
			keys := func(text string) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
			}
			set := func(h http.HandlerFunc) { serve.Store(&h) }
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				w.Header()["Date"] = nil
				(*serve.Load())(w, r)
			}))
			t.Cleanup(s.Close)
			now.Store(1_800_000_000)
			f := fetch.New(fetch.Options{AllowPrivateAddresses: true, Clock: func() time.Time { return time.Unix(now.Load(), 0) }})
			unknown := errors.New("no such key")
			find := func(kid string) error {
				return f.InKeySet(t.Context(), nil, s.URL, func(keySet []byte) error {
					if strings.Contains(string(keySet), `"`+kid+`"`) {
						return nil
					}
					return unknown
				})
			}
			set(keys(good))
			require.NoError(t, find("good"))
			set(answer)
			for range 10 { // within the time in which it is not asked again
				require.ErrorIs(t, find("a stranger's"), unknown)
				require.NoError(t, find("good"))
			}
			now.Add(31)
			require.ErrorIs(t, find("a stranger's"), unknown)
			require.NoError(t, find("good"), "a stranger had it fetched again")
			assert.LessOrEqual(t, asked.Load(), int64(3), "once, and what the transport repeats")
			for range 23 {
				now.Add(3600)
				require.NoError(t, find("good"))
				require.ErrorIs(t, find("a stranger's"), unknown)
			}
			text, err := f.KeySet(t.Context(), s.URL)
			require.NoError(t, err)
			assert.JSONEq(t, good, string(text))
			now.Add(3600)
			require.ErrorIs(t, find("good"), fetch.ErrRefused, "it was last there a day ago")

			set(keys(good))
			now.Add(31)
			require.NoError(t, find("good"), "and is there again")
			set(keys(other))
			now.Add(31)
			require.NoError(t, find("other"), "a key that is new is looked for")
			require.ErrorIs(t, find("good"), unknown, "what was taken out is out")
		})
	}
}

// What is no key set is as it was: what fails is not remembered as a document.
func TestOtherDocumentsDoNotOutliveAFailure(t *testing.T) {
	var now atomic.Int64
	var away atomic.Bool
	now.Store(1_800_000_000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		if away.Load() {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(`{"keys":[]}`))
	}))
	t.Cleanup(s.Close)
	f := fetch.New(fetch.Options{AllowPrivateAddresses: true, KeepKeySetsFor: time.Hour, Clock: func() time.Time { return time.Unix(now.Load(), 0) }})
	_, err := f.Get(t.Context(), s.URL)
	require.NoError(t, err)
	away.Store(true)
	now.Add(600)
	_, err = f.Get(t.Context(), s.URL)
	require.ErrorIs(t, err, fetch.ErrRefused, "who asks for a document gets what is there now")
	_, err = f.Fetch(t.Context(), s.URL, fetch.Request{Anew: true})
	require.ErrorIs(t, err, fetch.ErrRefused)
	_, err = f.KeySet(t.Context(), s.URL)
	require.NoError(t, err, "and who asks for a key set the last one")
	now.Add(3000)
	_, err = f.KeySet(t.Context(), s.URL)
	require.NoError(t, err, "for as long as the setting says")
	now.Add(1)
	_, err = f.KeySet(t.Context(), s.URL)
	require.ErrorIs(t, err, fetch.ErrRefused)
}
