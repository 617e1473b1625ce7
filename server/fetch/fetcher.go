// Package fetch fetches documents from URLs that clients name, such as key sets. Since
// strangers choose these URLs, fetches are limited to the public network, to a size and to
// a time.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"code.dny.dev/ssrf"

	"github.com/gormoauth/gormoauth/internal/bounded"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// Options limit fetches. The zero value is secure.
type Options struct {
	// Timeout is how long a fetch may take in total. 0 means five seconds.
	Timeout time.Duration
	// MaxBytes is the maximum size of a document. 0 means 64 KiB.
	MaxBytes int64
	// CacheFor is how long a document is cached, unless its response asks for less (RFC
	// 9111). 0 means five minutes.
	CacheFor time.Duration
	// KeepKeySetsFor is how long a key set may still be used after it was last fetched,
	// while its URL returns an error or something else. 0 means one day.
	KeepKeySetsFor time.Duration
	// Concurrency is how many documents are fetched at once. Callers take turns
	// ([ratelimit.OnBehalf]), so that a caller that names many slow URLs does not delay
	// others. 0 means 64.
	Concurrency int
	// AllowPrivateAddresses allows URLs with private network addresses, any port, and http
	// as well as https. Use it only in tests and in closed networks: elsewhere it exposes
	// what is behind the firewall.
	AllowPrivateAddresses bool
	// Transport makes the requests, for example one that trusts a company's own certificate
	// authority. nil means a default one. Its dialers are replaced.
	Transport *http.Transport
	// Clock returns the current time. nil means time.Now.
	Clock func() time.Time
}

// Fetcher fetches documents and caches them. It is safe for concurrent use.
type Fetcher struct {
	options Options
	client  *http.Client
	cache   *bounded.Map[string, remembered]
	turns   *ratelimit.Concurrency

	mu       sync.Mutex
	underway map[string]*fetching // by the key of the cache
}

// fetching is a fetch under way, which all callers that want its document wait for.
type fetching struct {
	done  chan struct{}
	found remembered // valid once done is closed
}

// remembered is the result of a fetch.
type remembered struct {
	document  Document
	err       error // why there is no document; cached for a while too
	fetchedAt time.Time

	// keySet is the last key set that was fetched, or nil. A later failure does not replace
	// it.
	keySet   []byte
	keySetAt time.Time
}

const (
	maxDocuments  = 1000
	refreshPause  = 30 * time.Second // the minimum time between two fetches of a document
	maxAddress    = 2048
	maxHeaderSize = 16 << 10
)

// New returns a fetcher with the given limits.
func New(options Options) *Fetcher {
	if options.Timeout == 0 {
		options.Timeout = 5 * time.Second
	}
	if options.MaxBytes == 0 {
		options.MaxBytes = 64 << 10
	}
	if options.CacheFor == 0 {
		options.CacheFor = 5 * time.Minute
	}
	if options.KeepKeySetsFor == 0 {
		options.KeepKeySetsFor = 24 * time.Hour
	}
	if options.Clock == nil {
		options.Clock = time.Now
	}
	if options.Concurrency == 0 {
		options.Concurrency = 64
	}
	transport := &http.Transport{}
	if options.Transport != nil {
		transport = options.Transport.Clone()
	}
	dialer := &net.Dialer{Timeout: options.Timeout}
	if !options.AllowPrivateAddresses {
		// It checks the resolved address that is dialed, so that a host name cannot resolve
		// to another address after the check.
		dialer.Control = ssrf.New(ssrf.WithPorts(443)).Safe
	}
	transport.DialContext, transport.DialTLSContext, transport.Proxy, transport.DisableCompression = dialer.DialContext, nil, nil, true
	transport.DialTLS = nil //nolint:staticcheck // nothing may bypass the dialer
	transport.MaxResponseHeaderBytes, transport.MaxIdleConnsPerHost, transport.IdleConnTimeout = maxHeaderSize, 1, options.Timeout
	return &Fetcher{
		options: options,
		client: &http.Client{Transport: transport, Timeout: options.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a redirect would lead elsewhere
		}},
		cache:    bounded.New[string, remembered](maxDocuments, max(options.CacheFor, options.KeepKeySetsFor)),
		turns:    ratelimit.NewConcurrency(options.Concurrency, options.Timeout),
		underway: make(map[string]*fetching),
	}
}

// ErrRefused means that a URL is not allowed, or that no document could be fetched from it.
// It is the client's fault, not the server's.
var ErrRefused = errors.New("fetch: refused")

// Get returns the document, from the cache if it was fetched recently. After a failure the
// document is fetched again after half a minute at the earliest. The error is
// [ratelimit.ErrBusy] if other fetches kept it waiting for as long as a fetch may take.
func (f *Fetcher) Get(ctx context.Context, address string) ([]byte, error) {
	document, err := f.Fetch(ctx, address, Request{})
	return document.Body, err
}

// Refresh is like Get, for a caller that did not find what it needs in the cached document:
// the document is fetched again, but not twice in half a minute.
func (f *Fetcher) Refresh(ctx context.Context, address string) ([]byte, error) {
	document, err := f.Fetch(ctx, address, f.again())
	return document.Body, err
}

// Request has the options of [Fetcher.Fetch]. The zero value accepts a cached document.
type Request struct {
	// Anew fetches the document now, for a decision that must not depend on an old version,
	// such as whether a client may register.
	Anew bool
	// Validator is that of the version that the caller already has. If the document has not
	// changed, the result is NotModified, without a body.
	Validator string
	// Permit is called before the document is fetched. Its error is returned instead of a
	// document.
	Permit func(ctx context.Context) error

	// notBefore excludes documents that were fetched before this time. With Anew it is now.
	notBefore time.Time
}

// again returns the request of a caller that did not find what it needs.
func (f *Fetcher) again() Request { return Request{notBefore: f.options.Clock().Add(-refreshPause)} }

// Fetch returns the document at an address, as request says. Its errors are those of
// [Fetcher.Get].
func (f *Fetcher) Fetch(ctx context.Context, address string, request Request) (Document, error) {
	found, err := f.find(ctx, address, request)
	if err != nil {
		return Document{}, err
	}
	found.document.Age = f.options.Clock().Sub(found.fetchedAt)
	return found.document, found.err
}

// find returns the result of a fetch that satisfies the request, or an error if there was
// no fetch.
func (f *Fetcher) find(ctx context.Context, address string, request Request) (remembered, error) {
	key := address
	if request.Validator != "" {
		key += " " + request.Validator
	}
	notBefore := request.notBefore
	if request.Anew {
		notBefore = f.options.Clock()
	}
	if found, ok := f.known(key, notBefore); ok {
		return found, nil
	}
	if request.Permit != nil {
		if err := request.Permit(ctx); err != nil {
			return remembered{}, err
		}
	}
	// Each caller first waits for its own turn, and only then for a shared fetch: a shared
	// fetch that waited in a flood would delay every caller that wants the same document.
	var found remembered
	var err error
	busy := f.turns.Do(ctx, ratelimit.Key(ctx), func() bool {
		found, err = f.load(ctx, key, address, request.Validator, notBefore)
		return err == nil && found.err == nil
	})
	if err := errors.Join(busy, err); err != nil {
		return remembered{}, err
	}
	return found, nil
}

// known returns the cached result, if it may still be used and is not from before
// notBefore.
func (f *Fetcher) known(key string, notBefore time.Time) (found remembered, ok bool) {
	now := f.options.Clock()
	found, ok = f.cache.Get(key, now)
	if !ok {
		return found, false
	}
	life := f.options.CacheFor
	switch {
	case found.err != nil:
		life = refreshPause
	case found.document.FreshFor > 0:
		life = min(life, found.document.FreshFor)
	}
	return found, !found.fetchedAt.Before(notBefore) && now.Sub(found.fetchedAt) <= life
}

// load fetches for all callers that wait for the document, so that none of them can make it
// fail for the others by cancelling. A caller that wants it anew may meet a fetch that
// began earlier, and waits for the next one.
func (f *Fetcher) load(ctx context.Context, key, address, validator string, notBefore time.Time) (remembered, error) {
	for {
		f.mu.Lock()
		if found, ok := f.known(key, notBefore); ok { // another caller was faster
			f.mu.Unlock()
			return found, nil
		}
		others, ok := f.underway[key]
		if !ok {
			own := &fetching{done: make(chan struct{})}
			f.underway[key] = own
			f.mu.Unlock()
			return f.fetchFor(context.WithoutCancel(ctx), own, key, address, validator), nil
		}
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return remembered{}, ctx.Err()
		case <-others.done:
			if !others.found.fetchedAt.Before(notBefore) {
				return others.found, nil
			}
		}
	}
}

// fetchFor fetches, caches the result, and wakes the waiting callers.
func (f *Fetcher) fetchFor(ctx context.Context, own *fetching, key, address, validator string) remembered {
	now := f.options.Clock()
	own.found = remembered{err: ErrRefused, fetchedAt: now}
	if before, ok := f.cache.Get(key, now); ok {
		own.found.keySet, own.found.keySetAt = before.keySet, before.keySetAt
	}
	defer func() { // runs after a panic too
		f.mu.Lock()
		defer f.mu.Unlock()
		f.cache.Set(key, own.found, now)
		delete(f.underway, key)
		close(own.done)
	}()
	own.found.document, own.found.err = f.fetch(ctx, address, validator)
	if isKeySet(own.found.document.Body) {
		own.found.keySet, own.found.keySetAt = own.found.document.Body, now
	}
	return own.found
}

// Post sends a form to a URL that a client named, and returns the status of the response,
// whose body is not read.
func (f *Fetcher) Post(ctx context.Context, address string, form url.Values) (status int, err error) {
	r, err := f.request(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := f.client.Do(r)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return response.StatusCode, response.Body.Close()
}

// request returns a request to a URL that a stranger may have chosen.
func (f *Fetcher) request(ctx context.Context, method, address string, body io.Reader) (*http.Request, error) {
	u, err := weburi.Parse(address)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %.200q %w", ErrRefused, address, err)
	case len(address) > maxAddress || u.Scheme != "https" && (u.Scheme != "http" || !f.options.AllowPrivateAddresses):
		return nil, fmt.Errorf("%w: %.200q is not an https address", ErrRefused, address)
	}
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	r.Header.Set("Accept", "application/json")
	return r, nil
}

func (f *Fetcher) fetch(ctx context.Context, address, validator string) (Document, error) {
	r, err := f.request(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return Document{}, err
	}
	if validator != "" {
		r.Header.Set("If-None-Match", validator)
	}
	response, err := f.client.Do(r)
	if err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	defer func() { _ = response.Body.Close() }()
	document := documentOf(response.Header, f.options.Clock())
	if validator != "" && response.StatusCode == http.StatusNotModified {
		document.NotModified = true
		return document, nil
	}
	if response.StatusCode != http.StatusOK {
		return Document{}, fmt.Errorf("%w: %.200q answers with %s", ErrRefused, address, response.Status)
	}
	document.Body, err = io.ReadAll(io.LimitReader(response.Body, f.options.MaxBytes+1))
	if err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if int64(len(document.Body)) > f.options.MaxBytes {
		return Document{}, fmt.Errorf("%w: %.200q is longer than %d bytes", ErrRefused, address, f.options.MaxBytes)
	}
	return document, nil
}
