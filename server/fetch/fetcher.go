// Package fetch gets what a client names by its address, such as its key set:
// a stranger chose that address, so it is held to the public network, to a size
// and to a time.
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

// Options bound what is fetched. The zero value is secure.
type Options struct {
	// Timeout is how long it may take altogether; 0 is five seconds.
	Timeout time.Duration
	// MaxBytes is how long a document may be; 0 is 64 KiB.
	MaxBytes int64
	// CacheFor is for how long a document is remembered that does not ask to be fetched
	// again sooner (RFC 9111); 0 is five minutes.
	CacheFor time.Duration
	// KeepKeySetsFor is how long a key set may be used after its address last answered with
	// one, while it answers with nothing, or with something else; 0 is a day.
	KeepKeySetsFor time.Duration
	// Concurrency is how many documents are fetched at once, in turn by who asks
	// ([ratelimit.OnBehalf]), so that whoever names many slow addresses keeps nobody
	// else waiting; 0 is 64.
	Concurrency int
	// AllowPrivateAddresses lets clients name addresses of the program's own
	// network, and any port, by https or http. It is for tests and for networks
	// without strangers: elsewhere it opens what is behind the firewall.
	AllowPrivateAddresses bool
	// Transport makes the requests, such as one that trusts a company's own
	// certificates; nil is one of the package's own. Its dialers are replaced.
	Transport *http.Transport
	// Clock tells the time; nil is time.Now.
	Clock func() time.Time
}

// Fetcher gets documents, and remembers them for a while.
type Fetcher struct {
	options Options
	client  *http.Client
	cache   *bounded.Map[string, remembered]
	turns   *ratelimit.Concurrency

	mu       sync.Mutex
	underway map[string]*fetching // by the key of the cache
}

// fetching is a fetch that everybody waits for who wants its document.
type fetching struct {
	done  chan struct{}
	found remembered // once it is done
}

// remembered is what came of a fetch.
type remembered struct {
	document  Document
	err       error // why there is none, remembered for a while as well
	fetchedAt time.Time

	// keySet is the last key set that was fetched, nil where none was: what fails later does
	// not take its place.
	keySet   []byte
	keySetAt time.Time
}

const (
	maxDocuments  = 1000
	refreshPause  = 30 * time.Second // a document is asked for again no sooner, whoever wants it
	maxAddress    = 2048
	maxHeaderSize = 16 << 10
)

// New returns a fetcher.
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
		// It looks at the address that a name turned out to have, so that a name
		// cannot mean another one the second time.
		dialer.Control = ssrf.New(ssrf.WithPorts(443)).Safe
	}
	transport.DialContext, transport.DialTLSContext, transport.Proxy, transport.DisableCompression = dialer.DialContext, nil, nil, true
	transport.DialTLS = nil //nolint:staticcheck // nothing may go around the dialer
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

// ErrRefused is for an address that nothing is fetched from, and for what came
// back and was no document. It is the client's fault, not the server's.
var ErrRefused = errors.New("fetch: refused")

// Get returns the document, from memory when it was fetched a short while ago. An
// address that has none is asked again after half a minute. It is a
// [ratelimit.ErrBusy] when others kept it waiting for as long as a fetch may take.
func (f *Fetcher) Get(ctx context.Context, address string) ([]byte, error) {
	document, err := f.Fetch(ctx, address, Request{})
	return document.Body, err
}

// Refresh is Get for somebody who did not find in the document what should be
// there: it is fetched again, but not twice in half a minute.
func (f *Fetcher) Refresh(ctx context.Context, address string) ([]byte, error) {
	document, err := f.Fetch(ctx, address, f.again())
	return document.Body, err
}

// Request says how a document is wanted. The zero value takes what is remembered.
type Request struct {
	// Anew asks the address now: for what is decided once, such as whether a client
	// may register, which yesterday's answer must not decide.
	Anew bool
	// Validator is that of the document that the caller has already; an address that
	// still has the same one says so, and does not send it again.
	Validator string
	// Permit is asked before the address is. Its error is returned in the place of a
	// document.
	Permit func(ctx context.Context) error

	// notBefore is the moment from before which nothing is wanted; Anew is now.
	notBefore time.Time
}

// again is the request of somebody who did not find what should be there.
func (f *Fetcher) again() Request { return Request{notBefore: f.options.Clock().Add(-refreshPause)} }

// Fetch returns the document as the request wants it. Its errors are those of
// [Fetcher.Get].
func (f *Fetcher) Fetch(ctx context.Context, address string, request Request) (Document, error) {
	found, err := f.find(ctx, address, request)
	if err != nil {
		return Document{}, err
	}
	found.document.Age = f.options.Clock().Sub(found.fetchedAt)
	return found.document, found.err
}

// find returns what came of the fetch that the request wants, or why there was none.
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
	// Each waits for a turn of its own, and only then for a fetch that is shared: one
	// that waits in a flood would keep everybody waiting who wants the same.
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

// known returns what is remembered, if it may still be used by somebody who wants nothing
// from before a moment.
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

// load fetches for everybody who waits for the document, so that none of them can have
// it fail for the others. Who wants it anew may meet a fetch that began before, and
// waits for the next one.
func (f *Fetcher) load(ctx context.Context, key, address, validator string, notBefore time.Time) (remembered, error) {
	for {
		f.mu.Lock()
		if found, ok := f.known(key, notBefore); ok { // somebody was faster
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

// fetchFor fetches, remembers what came of it, and tells those who wait.
func (f *Fetcher) fetchFor(ctx context.Context, own *fetching, key, address, validator string) remembered {
	now := f.options.Clock()
	own.found = remembered{err: ErrRefused, fetchedAt: now}
	if before, ok := f.cache.Get(key, now); ok {
		own.found.keySet, own.found.keySetAt = before.keySet, before.keySetAt
	}
	defer func() { // also after a panic
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

// Post sends a form to an address that a client named, and returns the status of
// the answer, of which nothing else is read.
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

// request returns a request to an address that anybody may name.
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
