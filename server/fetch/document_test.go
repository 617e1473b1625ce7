package fetch_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/server/fetch"
)

// RFC 9111 section 4.2, within bounds.
func TestHowLongADocumentIsFresh(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	header := make(chan http.Header, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range <-header {
			w.Header()[name] = values
		}
	}))
	t.Cleanup(s.Close)
	for rule, c := range map[string]struct {
		header http.Header
		fresh  time.Duration
	}{
		"nothing is said":               {http.Header{}, 0},
		"some time":                     {http.Header{"Cache-Control": {"public, max-age=7200"}}, 2 * time.Hour},
		"in quotes":                     {http.Header{"Cache-Control": {`Max-Age="7200"`}}, 2 * time.Hour},
		"in a second field":             {http.Header{"Cache-Control": {"public", "max-age=7200"}}, 2 * time.Hour},
		"a part of it has gone":         {http.Header{"Cache-Control": {"max-age=7200"}, "Age": {"3600"}}, time.Hour},
		"all of it has gone":            {http.Header{"Cache-Control": {"max-age=7200"}, "Age": {"9999"}}, time.Minute},
		"a shared cache is none":        {http.Header{"Cache-Control": {"s-maxage=7200"}}, 0},
		"no time":                       {http.Header{"Cache-Control": {"max-age=0"}}, time.Minute},
		"not to be stored":              {http.Header{"Cache-Control": {"max-age=7200, no-store"}}, time.Minute},
		"not to be believed":            {http.Header{"Cache-Control": {"no-cache"}}, time.Minute},
		"for ever":                      {http.Header{"Cache-Control": {"max-age=31536000, immutable"}}, 24 * time.Hour},
		"a number that is none":         {http.Header{"Cache-Control": {"max-age=9e9"}}, time.Minute},
		"a negative number":             {http.Header{"Cache-Control": {"max-age=-1"}}, time.Minute},
		"a number too large":            {http.Header{"Cache-Control": {"max-age=99999999999999999999"}}, 24 * time.Hour},
		"a large number that is old":    {http.Header{"Cache-Control": {"max-age=99999999999999999999"}, "Age": {"99999999999999999999"}}, time.Minute},
		"two that differ":               {http.Header{"Cache-Control": {"max-age=7200, max-age=600"}}, 10 * time.Minute},
		"two in the other order":        {http.Header{"Cache-Control": {"max-age=600", "max-age=7200"}}, 10 * time.Minute},
		"two, of which one is none":     {http.Header{"Cache-Control": {"max-age=7200, max-age=soon"}}, time.Minute},
		"a date":                        {http.Header{"Expires": {in(2 * time.Hour)}, "Date": {in(0)}}, 2 * time.Hour},
		"sent a while ago":              {http.Header{"Cache-Control": {"max-age=7200"}, "Date": {in(-time.Hour)}}, time.Hour},
		"sent longer ago than it says":  {http.Header{"Cache-Control": {"max-age=7200"}, "Date": {in(-time.Hour)}, "Age": {"60"}}, time.Hour},
		"sent long ago":                 {http.Header{"Cache-Control": {"max-age=7200"}, "Date": {in(-30 * 24 * time.Hour)}}, time.Minute},
		"a date, sent a while ago":      {http.Header{"Expires": {in(2 * time.Hour)}, "Date": {in(-time.Hour)}}, 2 * time.Hour},
		"sent by a clock that is ahead": {http.Header{"Cache-Control": {"max-age=7200"}, "Date": {in(time.Hour)}}, 2 * time.Hour},
		"a date, sent at no time":       {http.Header{"Expires": {in(2 * time.Hour)}, "Date": nil}, 2 * time.Hour},
		"sent at no time":               {http.Header{"Cache-Control": {"max-age=7200"}, "Date": {"yesterday"}}, 2 * time.Hour},
		"a date that is none":           {http.Header{"Expires": {"0"}}, time.Minute},
		"a date that has gone":          {http.Header{"Expires": {"Thu, 01 Jan 2026 00:00:00 GMT"}}, time.Minute},
		"a date counts less":            {http.Header{"Expires": {"0"}, "Cache-Control": {"max-age=7200"}}, 2 * time.Hour},
	} {
		header <- c.header
		document, err := fetch.New(fetch.Options{AllowPrivateAddresses: true}).Fetch(t.Context(), s.URL, fetch.Request{})
		require.NoError(t, err, rule)
		assert.InDelta(t, c.fresh, document.FreshFor, float64(2*time.Second), rule)
	}
}

func TestWhatIsJSON(t *testing.T) {
	for mediaType, is := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "Application/JSON": true, "application/vnd.client+json": true,
		"text/html": false, "text/plain": false, "text/json": false, "image/x+json": false, "application/jsonp": false, "": false, "application/": false, "json": false,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{mediaType}
			_, _ = w.Write([]byte("{}"))
		}))
		document, err := fetch.New(fetch.Options{AllowPrivateAddresses: true}).Fetch(t.Context(), s.URL, fetch.Request{})
		s.Close()
		require.NoError(t, err, mediaType)
		assert.Equal(t, is, document.IsJSON(), "%q", mediaType)
	}
}

// versions serves a document with a validator, and tells how often it was sent whole.
type versions struct {
	*httptest.Server
	tag         atomic.Value
	asked, sent atomic.Int32
}

func newVersions(t *testing.T, header ...string) *versions {
	t.Helper()
	v := new(versions)
	v.tag.Store(`"1"`)
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.asked.Add(1)
		tag := v.tag.Load().(string)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		v.sent.Add(1)
		_, _ = w.Write([]byte("version " + tag))
	}))
	t.Cleanup(v.Close)
	return v
}

// A document that somebody has already is not sent again (RFC 9110 section 13.1.2).
func TestADocumentThatHasNotChanged(t *testing.T) {
	v := newVersions(t, "Cache-Control", "max-age=600")
	f := fetch.New(fetch.Options{AllowPrivateAddresses: true})
	first, err := f.Fetch(t.Context(), v.URL, fetch.Request{})
	require.NoError(t, err)
	assert.Equal(t, []string{`version "1"`, `"1"`}, []string{string(first.Body), first.Validator})
	again, err := f.Fetch(t.Context(), v.URL, fetch.Request{Validator: first.Validator})
	require.NoError(t, err)
	assert.True(t, again.NotModified)
	assert.Empty(t, again.Body)
	assert.Equal(t, 10*time.Minute, again.FreshFor)
	assert.EqualValues(t, 1, v.sent.Load())
	v.tag.Store(`"2"`)
	changed, err := f.Fetch(t.Context(), v.URL, fetch.Request{Validator: first.Validator, Anew: true})
	require.NoError(t, err)
	assert.False(t, changed.NotModified)
	assert.Equal(t, `version "2"`, string(changed.Body))

	odd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }))
	t.Cleanup(odd.Close)
	_, err = f.Fetch(t.Context(), odd.URL, fetch.Request{})
	require.ErrorIs(t, err, fetch.ErrRefused, "of what nobody has, nothing is unchanged")
}

// What decides once is asked for now, whatever is remembered and whoever is asking already.
func TestADocumentIsFetchedAnew(t *testing.T) {
	v := newVersions(t, "Cache-Control", "max-age=86400")
	f := fetch.New(fetch.Options{AllowPrivateAddresses: true})
	for range 3 {
		_, err := f.Get(t.Context(), v.URL)
		require.NoError(t, err)
	}
	assert.EqualValues(t, 1, v.asked.Load())
	v.tag.Store(`"2"`)
	old, err := f.Get(t.Context(), v.URL)
	require.NoError(t, err)
	assert.Equal(t, `version "1"`, string(old), "it is remembered")
	document, err := f.Fetch(t.Context(), v.URL, fetch.Request{Anew: true})
	require.NoError(t, err)
	assert.Equal(t, `version "2"`, string(document.Body))
	remembered, err := f.Get(t.Context(), v.URL)
	require.NoError(t, err)
	assert.Equal(t, `version "2"`, string(remembered), "and is what is remembered from then on")

	// Those who come while it is being fetched wait for a fetch that begins after them.
	begun, goOn := make(chan struct{}), make(chan struct{})
	var number atomic.Int32
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if number.Add(1) == 1 {
			close(begun)
			<-goOn
			_, _ = w.Write([]byte("old"))
			return
		}
		_, _ = w.Write([]byte("new"))
	}))
	t.Cleanup(slow.Close)
	var all sync.WaitGroup
	all.Go(func() { _, _ = f.Get(context.Background(), slow.URL) })
	<-begun
	answers := make([]string, 5)
	for i := range answers {
		all.Go(func() {
			document, err := f.Fetch(context.Background(), slow.URL, fetch.Request{Anew: true})
			assert.NoError(t, err)
			answers[i] = string(document.Body)
		})
	}
	close(goOn)
	all.Wait()
	assert.Equal(t, []string{"new", "new", "new", "new", "new"}, answers)
}

// Who did not find what it needs has the document fetched again, but not twice in half a
// minute, and everybody else gets that version from then on.
func TestADocumentIsRefreshed(t *testing.T) {
	v := newVersions(t, "Cache-Control", "max-age=86400")
	now := time.Unix(1_800_000_000, 0)
	f := fetch.New(fetch.Options{AllowPrivateAddresses: true, Clock: func() time.Time { return now }})
	get := func(by func(ctx context.Context, address string) ([]byte, error)) string {
		document, err := by(t.Context(), v.URL)
		require.NoError(t, err)
		return string(document)
	}
	assert.Equal(t, `version "1"`, get(f.Get))
	v.tag.Store(`"2"`)
	now = now.Add(30 * time.Second)
	assert.Equal(t, `version "1"`, get(f.Refresh), "it was fetched half a minute ago")
	assert.EqualValues(t, 1, v.asked.Load())
	now = now.Add(time.Second)
	assert.Equal(t, `version "1"`, get(f.Get), "it is remembered")
	assert.Equal(t, `version "2"`, get(f.Refresh))
	assert.Equal(t, `version "2"`, get(f.Refresh))
	assert.Equal(t, `version "2"`, get(f.Get), "and is what is remembered from then on")
	assert.EqualValues(t, 2, v.asked.Load())
	v.Close()
	now = now.Add(31 * time.Second)
	_, err := f.Refresh(t.Context(), v.URL)
	assert.ErrorIs(t, err, fetch.ErrRefused, "an old version is no answer")
}

// An address that has nothing is asked again after a while, or by who has to decide now.
func TestAMissingDocumentIsRememberedForAWhile(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.NotFound(w, r)
	}))
	t.Cleanup(s.Close)
	f := fetch.New(fetch.Options{AllowPrivateAddresses: true})
	for range 3 {
		_, err := f.Get(t.Context(), s.URL)
		require.ErrorIs(t, err, fetch.ErrRefused)
	}
	assert.EqualValues(t, 1, asked.Load())
	_, err := f.Fetch(t.Context(), s.URL, fetch.Request{Anew: true})
	require.ErrorIs(t, err, fetch.ErrRefused)
	assert.EqualValues(t, 2, asked.Load())
}

// Who may not have anything fetched is told before the address is asked, and what is
// remembered needs no permission.
func TestAFetchNeedsPermission(t *testing.T) {
	v := newVersions(t)
	f := fetch.New(fetch.Options{AllowPrivateAddresses: true})
	refused := errors.New("too many")
	permit := func(context.Context) error { return refused }
	_, err := f.Fetch(t.Context(), v.URL, fetch.Request{Permit: permit})
	require.ErrorIs(t, err, refused)
	assert.Zero(t, v.asked.Load())
	_, err = f.Get(t.Context(), v.URL)
	require.NoError(t, err, "that is not remembered")
	_, err = f.Fetch(t.Context(), v.URL, fetch.Request{Permit: permit})
	require.NoError(t, err)
	_, err = f.Fetch(t.Context(), v.URL, fetch.Request{Permit: permit, Anew: true})
	require.ErrorIs(t, err, refused)
}
