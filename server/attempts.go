package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/cache"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

const (
	failedAuthentications    = 100
	failedAuthenticationsPer = 10 * time.Minute
	slowSecretPatience       = 3 * time.Second
)

// TooManyRequests returns the answer to a client that has to wait (RFC 6585 section 4), with the
// status 429 and Retry-After.
func TooManyRequests(wait time.Duration, description string) *Error {
	failure := NewError(TemporarilyUnavailable, description)
	failure.Status = http.StatusTooManyRequests
	seconds := max(1, int((wait+time.Second-1)/time.Second)) // by then it works again
	failure.Header = http.Header{"Retry-After": {strconv.Itoa(seconds)}}
	return failure
}

// TooBusy returns the answer to a request that the server is too busy to handle (RFC 9110 section
// 15.6.4), with the status 503 and Retry-After. Nothing is broken, and nothing of the request was
// processed.
func TooBusy(wait time.Duration, description string) *Error {
	failure := TooManyRequests(wait, description)
	failure.Status = http.StatusServiceUnavailable
	return failure
}

// RemoteAddress returns the address that a request comes from, according to Config.RemoteAddress.
func (s *Server) RemoteAddress(r *http.Request) string { return s.config.RemoteAddress(r) }

// RemoteAddress returns the address that the request comes from, according to
// Config.RemoteAddress.
func (r *Request) RemoteAddress() string {
	if r.remote == "" {
		r.remote = r.Server.RemoteAddress(r.HTTP)
	}
	return r.remote
}

// attempt is a client's attempt to authenticate. Guesses are counted by client and address:
// counting by client alone would let a stranger lock the client out. Unknown clients are counted
// like known ones, so that the count does not reveal which clients exist. The clients of one
// address share 4096 counters, so that inventing client ids gains no further guesses and does not
// push others out of the limiter's memory.
//
// A request that only names its client, or comes with a certificate, has nothing that could be
// guessed. It is neither counted nor delayed by the guesses of others.
type attempt struct {
	req    *Request
	fresh  bool           // whether the client has to be read from storage
	proves bool           // whether the method proves anything
	known  storage.Client // the client, if it has been looked up to choose the method
	chosen bool           // whether it has
	key    string         // empty until the claimed client is looked up, or if nothing can be guessed
}

// choose returns the one method that the client is registered for. It looks the client up only if
// there are several.
func (a *attempt) choose(ctx context.Context, methods []ClientAuthMethod) (method ClientAuthMethod, err error) {
	at := 0
	if a.chosen = len(methods) > 1; a.chosen {
		if a.known, err = a.lookUp(ctx, a.req.ClaimedClientID()); err != nil {
			return nil, err
		}
		registered := func(m ClientAuthMethod) bool {
			return a.known != nil && a.known.CheckEndpointAuthMethod(m.AuthMethod(), a.req.Endpoint)
		}
		at = max(0, slices.IndexFunc(methods, registered))
	}
	method = methods[at]
	a.proves = isExplicit(method)
	return method, nil
}

// queryClient is a [storage.QueryClientFunc]. It refuses a client with too many earlier guesses before its
// credentials are checked.
func (a *attempt) queryClient(ctx context.Context, clientID string) (storage.Client, error) {
	a.req.claimed = clientID
	if a.proves {
		a.key = secret.Digest(clientID)[:3] + " " + a.req.RemoteAddress()
	}
	if err := a.check(ctx); err != nil {
		return nil, err
	}
	if a.chosen {
		return a.known, nil
	}
	return a.lookUp(ctx, clientID)
}

func (a *attempt) lookUp(ctx context.Context, clientID string) (storage.Client, error) {
	if a.fresh {
		ctx = cache.Bypass(ctx)
	}
	return a.req.queryClient(ctx, clientID)
}

// check returns the answer if there were too many failures before, nil otherwise.
func (a *attempt) check(ctx context.Context) error {
	if a == nil || a.key == "" { // a secret that is checked elsewhere, or nothing to guess
		return nil
	}
	return tooManyFailures(a.req.Server.config.FailedAuthentications.Wait(ctx, a.key))
}

// failed counts a guess. It returns the answer if that was one guess too many, nil otherwise.
func (a *attempt) failed(ctx context.Context) error {
	if a.key == "" {
		return nil
	}
	return tooManyFailures(a.req.Server.config.FailedAuthentications.Allow(ctx, a.key))
}

func tooManyFailures(wait time.Duration, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("limit failed authentications: %w", err)
	case wait > 0:
		return TooManyRequests(wait, "The client failed to authenticate too many times. Please try again later.").
			Because("there were too many wrong secrets or signatures for this client from this address", slog.Duration("wait", wait))
	default:
		return nil
	}
}

// CheckClientSecret returns nil if one of the spellings is the client's secret. Otherwise it
// returns a [*NotAuthenticated]: for a nil client, a wrong secret, or an expired one. Secrets
// that are stored as a password hash are slow to check: only a few are checked at once, and
// network addresses take turns, so that a flood of wrong secrets neither uses up the machine nor
// keeps other clients waiting. The sender of the flood gets temporarily_unavailable.
func (r *Request) CheckClientSecret(ctx context.Context, client storage.Client, spellings ...string) error {
	if isNil(client) {
		return &NotAuthenticated{Reason: r.WhyNoClient(reason.New("the client is unknown")), Guess: true}
	}
	found := wrongSecret
	for _, secret := range spellings {
		is, err := r.compareSecret(ctx, client, secret)
		if err != nil || is == rightSecret {
			return err
		}
		found = max(found, is)
	}
	if found == expiredSecret {
		return &NotAuthenticated{Reason: reason.New("the client secret has expired")}
	}
	if registered, ok := client.(storage.RegisteredClient); ok && isUnknownSecret(registered.AsClientMixin().ClientSecret) {
		return &NotAuthenticated{Reason: reason.New("the client secret is wrong, or is stored in an unknown form, which the doctor reports"), Guess: true}
	}
	return &NotAuthenticated{Reason: reason.New("the client secret is wrong"), Guess: true}
}

// isUnknownSecret reports whether a stored secret is in a form that nothing can be verified
// against.
func isUnknownSecret(stored string) bool {
	return !models.IsHashedClientSecret(stored) && !models.IsPlaintextClientSecret(stored)
}

// secretComparison is the result of comparing a secret.
type secretComparison int

const (
	wrongSecret secretComparison = iota
	expiredSecret
	rightSecret
)

func (r *Request) compareSecret(ctx context.Context, client storage.Client, secret string) (is secretComparison, err error) {
	registered, ok := client.(storage.RegisteredClient)
	if !ok || !registered.AsClientMixin().HasPasswordDigest() {
		return r.secretIs(client, secret), nil
	}
	busy := r.Server.config.SlowSecrets.Do(ctx, r.RemoteAddress(), func() bool {
		// While it waited its turn, other attempts may have failed and used up the limit.
		if err = r.attempt.check(ctx); err == nil {
			is = r.secretIs(client, secret)
		}
		return is != wrongSecret
	})
	if busy != nil {
		return wrongSecret, TooBusy(slowSecretPatience, "The server is busy checking client secrets. Please try again later.")
	}
	return is, err
}

func (r *Request) secretIs(client storage.Client, secret string) secretComparison {
	if client.CheckClientSecret(secret, r.Time) {
		return rightSecret
	}
	registered, ok := client.(storage.RegisteredClient)
	if !ok {
		return wrongSecret
	}
	row := registered.AsClientMixin()
	for _, method := range r.Server.methods {
		hook, ok := method.(DerivedSecretHook)
		if !ok {
			continue
		}
		switch right, expired := hook.CheckDerivedSecret(row, secret, r.Time); {
		case right:
			return rightSecret
		case expired:
			return expiredSecret
		}
	}
	if row.HasExpiredClientSecret(secret, r.Time) {
		return expiredSecret
	}
	return wrongSecret
}

// newSlowSecrets leaves half of the processors for everything else.
func newSlowSecrets() *ratelimit.Concurrency {
	return ratelimit.NewConcurrency(max(1, runtime.GOMAXPROCS(0)/2), slowSecretPatience)
}
