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
	"time"

	"code.dny.dev/ssrf"
	"github.com/maypok86/otter/v2"

	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// Options bound what is fetched. The zero value is secure.
type Options struct {
	// Timeout is how long it may take altogether; 0 is five seconds.
	Timeout time.Duration
	// MaxBytes is how long a document may be; 0 is 64 KiB.
	MaxBytes int64
	// CacheFor is for how long a document is remembered; 0 is five minutes.
	CacheFor time.Duration
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
}

// Fetcher gets documents, and remembers them for a while.
type Fetcher struct {
	options Options
	client  *http.Client
	cache   *otter.Cache[string, document]
	turns   *ratelimit.Concurrency
}

type document struct {
	body      []byte
	err       error // why there is none, remembered for a while as well
	fetchedAt time.Time
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
		cache: otter.Must(&otter.Options[string, document]{
			MaximumSize: maxDocuments, ExpiryCalculator: otter.ExpiryWriting[string, document](options.CacheFor),
		}),
		turns: ratelimit.NewConcurrency(options.Concurrency, options.Timeout),
	}
}

// ErrRefused is for an address that nothing is fetched from, and for what came
// back and was no document. It is the client's fault, not the server's.
var ErrRefused = errors.New("fetch: refused")

// Get returns the document, from memory when it was fetched a short while ago. An
// address that has none is asked again after half a minute. It is a
// [ratelimit.ErrBusy] when others kept it waiting for as long as a fetch may take.
func (f *Fetcher) Get(ctx context.Context, address string) ([]byte, error) {
	found, known := f.cache.GetIfPresent(address)
	if known && found.err != nil && time.Since(found.fetchedAt) > refreshPause {
		f.cache.Invalidate(address)
		known = false
	}
	if known {
		return found.body, found.err
	}
	// Each waits for a turn of its own, and only then for a fetch that is shared: one
	// that waits in a flood would keep everybody waiting who wants the same.
	var err error
	busy := f.turns.Do(ctx, ratelimit.Key(ctx), func() bool {
		found, err = f.cache.Get(ctx, address, otter.LoaderFunc[string, document](f.load))
		return err == nil && found.err == nil
	})
	return found.body, errors.Join(busy, err, found.err)
}

// Refresh is Get for somebody who did not find in the document what should be
// there: it is fetched again, but not twice in half a minute.
func (f *Fetcher) Refresh(ctx context.Context, address string) ([]byte, error) {
	if known, ok := f.cache.GetIfPresent(address); ok && time.Since(known.fetchedAt) > refreshPause {
		f.cache.Invalidate(address)
	}
	return f.Get(ctx, address)
}

// load fetches for everybody who waits for the document, so that none of them
// can have it fail for the others.
func (f *Fetcher) load(ctx context.Context, address string) (document, error) {
	body, err := f.fetch(context.WithoutCancel(ctx), address)
	return document{body, err, time.Now()}, nil
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

func (f *Fetcher) fetch(ctx context.Context, address string) ([]byte, error) {
	r, err := f.request(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := f.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %.200q answers with %s", ErrRefused, address, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, f.options.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if int64(len(body)) > f.options.MaxBytes {
		return nil, fmt.Errorf("%w: %.200q is longer than %d bytes", ErrRefused, address, f.options.MaxBytes)
	}
	return body, nil
}
