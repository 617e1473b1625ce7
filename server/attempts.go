package server

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"time"

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
	failure.Header = http.Header{"Retry-After": {strconv.Itoa(int(wait/time.Second) + 1)}}
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

// attempt is a client's attempt to authenticate. Failures are counted by client
// and address: by the client alone, a stranger could shut it out. The clients of one
// address share 4096 counts: whoever invents clients without end has no more of them,
// and cannot push others out of a limiter's memory.
type attempt struct {
	req *Request
	key string // empty until the client that it claims to be is looked up
}

// limited is query, but refuses a client that has failed too often before its
// credentials are looked at.
func (a *attempt) limited(query QueryClientFunc) QueryClientFunc {
	return func(ctx context.Context, clientID string) (Client, error) {
		s := a.req.Server
		a.key = Digest(clientID)[:3] + " " + s.RemoteAddress(a.req.HTTP)
		if err := a.check(ctx); err != nil {
			return nil, err
		}
		return query(ctx, clientID)
	}
}

// check returns what to answer when there were too many failures before, nil
// otherwise.
func (a *attempt) check(ctx context.Context) error {
	if a == nil {
		return nil // a secret that is checked elsewhere
	}
	return tooManyFailures(a.req.Server.config.FailedAuthentications.Wait(ctx, a.key))
}

// failed counts the attempt. It returns what to answer when it was one too many,
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
		return TooManyRequests(wait, "The client failed to authenticate too often. Please try again later.")
	default:
		return nil
	}
}

// CheckClientSecret reports whether a secret is the client's. Of secrets that are
// stored as a password's digest few are checked at once, and in turn by network
// address, so that a flood of wrong ones keeps neither the machine from everything
// else nor other clients waiting; whoever makes it is answered
// temporarily_unavailable.
func (r *Request) CheckClientSecret(ctx context.Context, client Client, secret string) (good bool, err error) {
	registered, ok := client.(RegisteredClient)
	if !ok || !registered.AsClientMixin().HasPasswordDigest() {
		return client.CheckClientSecret(secret, r.Time), nil
	}
	busy := r.Server.config.SlowSecrets.Do(ctx, r.Server.RemoteAddress(r.HTTP), func() bool {
		// Whoever waited among others that failed in the meantime is one of too many.
		if err = r.attempt.check(ctx); err == nil {
			good = client.CheckClientSecret(secret, r.Time)
		}
		return good
	})
	if busy != nil {
		return false, TooBusy(slowSecretPatience, "Many secrets are being checked. Please try again later.")
	}
	return good, err
}

// newSlowSecrets leaves half of the processors to everything else.
func newSlowSecrets() *ratelimit.Concurrency {
	return ratelimit.NewConcurrency(max(1, runtime.GOMAXPROCS(0)/2), slowSecretPatience)
}
