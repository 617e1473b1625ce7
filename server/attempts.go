package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

const (
	failedAuthentications    = 100
	failedAuthenticationsPer = 10 * time.Minute
	slowSecretPatience       = 3 * time.Second
)

// TooManyRequests is the answer to somebody who has to wait (RFC 6585 section
// 4).
func TooManyRequests(wait time.Duration, description string) *Error {
	failure := NewError(TemporarilyUnavailable, description)
	failure.Status = http.StatusTooManyRequests
	seconds := max(1, int((wait+time.Second-1)/time.Second)) // by then it works again
	failure.Header = http.Header{"Retry-After": {strconv.Itoa(seconds)}}
	return failure
}

// TooBusy is the answer to somebody who came in a flood (RFC 9110 section
// 15.6.4): nothing is broken, and nothing was looked at.
func TooBusy(wait time.Duration, description string) *Error {
	failure := TooManyRequests(wait, description)
	failure.Status = http.StatusServiceUnavailable
	return failure
}

// RemoteAddress is where a request comes from, by Config.RemoteAddress.
func (s *Server) RemoteAddress(r *http.Request) string { return s.config.RemoteAddress(r) }

// attempt is a client's attempt to authenticate. Guesses are counted by client and
// address: by the client alone, a stranger could shut it out. Unknown clients are counted
// like others, so that no count tells which there are. The clients of one address share
// 4096 counts: whoever invents clients without end has no more of them, and cannot push
// others out of a limiter's memory.
//
// A request that proves nothing but names its client, or comes with a certificate, has
// nothing to be guessed. It is neither counted nor held up by others' guesses.
type attempt struct {
	req    *Request
	proves bool
	key    string // empty until the client that it claims to be is looked up, or where nothing can be guessed
}

// limited is query, but refuses a client for which there were too many guesses before
// its credentials are looked at.
func (a *attempt) limited(query QueryClientFunc) QueryClientFunc {
	return func(ctx context.Context, clientID string) (Client, error) {
		s := a.req.Server
		a.req.claimed = clientID
		if a.proves {
			a.key = Digest(clientID)[:3] + " " + s.RemoteAddress(a.req.HTTP)
		}
		if err := a.check(ctx); err != nil {
			return nil, err
		}
		return query(ctx, clientID)
	}
}

// check returns what to answer when there were too many failures before, nil
// otherwise.
func (a *attempt) check(ctx context.Context) error {
	if a == nil || a.key == "" { // a secret that is checked elsewhere, or nothing to guess
		return nil
	}
	return tooManyFailures(a.req.Server.config.FailedAuthentications.Wait(ctx, a.key))
}

// failed counts a guess. It returns what to answer when it was one too many,
// nil otherwise.
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
		return TooManyRequests(wait, "The client failed to authenticate too often. Please try again later.").
			Because("there were too many wrong secrets or signatures for this client from this address", slog.Duration("wait", wait))
	default:
		return nil
	}
}

// CheckClientSecret returns nil for a client's secret, in one of its spellings, and
// otherwise a [*NotAuthenticated]: of no client, of a client without it, or of one whose
// secret has expired. Of secrets that are stored as a password's digest few are checked at
// once, and in turn by network address, so that a flood of wrong ones keeps neither the
// machine from everything else nor other clients waiting; whoever makes it is answered
// temporarily_unavailable.
func (r *Request) CheckClientSecret(ctx context.Context, client Client, spellings ...string) error {
	if isNil(client) {
		return &NotAuthenticated{Reason: r.WhyNoClient(NewReason("the client is unknown")), Guess: true}
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
		return &NotAuthenticated{Reason: NewReason("the client secret has expired")}
	}
	if registered, ok := client.(RegisteredClient); ok && isUnknownSecret(registered.AsClientMixin().ClientSecret) {
		return &NotAuthenticated{Reason: NewReason("the client secret is wrong, or is stored in an unknown form, which the doctor reports"), Guess: true}
	}
	return &NotAuthenticated{Reason: NewReason("the client secret is wrong"), Guess: true}
}

// isUnknownSecret reports whether a stored secret is in a form by which nothing verifies.
func isUnknownSecret(stored string) bool {
	return !models.IsHashedClientSecret(stored) && !models.IsPlaintextClientSecret(stored)
}

// secretComparison is what a secret turned out to be.
type secretComparison int

const (
	wrongSecret secretComparison = iota
	expiredSecret
	rightSecret
)

func (r *Request) compareSecret(ctx context.Context, client Client, secret string) (is secretComparison, err error) {
	registered, ok := client.(RegisteredClient)
	if !ok || !registered.AsClientMixin().HasPasswordDigest() {
		return r.secretIs(client, secret), nil
	}
	busy := r.Server.config.SlowSecrets.Do(ctx, r.Server.RemoteAddress(r.HTTP), func() bool {
		// Whoever waited among others that failed in the meantime is one of too many.
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

func (r *Request) secretIs(client Client, secret string) secretComparison {
	if client.CheckClientSecret(secret, r.Time) {
		return rightSecret
	}
	registered, ok := client.(RegisteredClient)
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

// newSlowSecrets leaves half of the processors to everything else.
func newSlowSecrets() *ratelimit.Concurrency {
	return ratelimit.NewConcurrency(max(1, runtime.GOMAXPROCS(0)/2), slowSecretPatience)
}
