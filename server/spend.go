package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Spend is something that a request presents and that can be used only once: a client assertion,
// a DPoP proof, an assertion that is exchanged for a token, a pushed request, a request object.
// It is spent after the decision on the request: if it is part of the outcome, in the same step
// that stores the outcome; if it proves who makes the request (Proof), also when the request is
// refused. So a client that is told to repeat its request, with a nonce or later, can present the
// same again, and a replay is never answered.
type Spend struct {
	// Replays remembers Key as used until ExpiresAt.
	Replays ReplayStorage
	// PushedRequests stores it, if it is a pushed request. Key is then the digest of its
	// request_uri.
	PushedRequests interface {
		UsePushedRequest(ctx context.Context, requestURI string, now time.Time) (won bool, err error)
	}
	Key       string
	ExpiresAt time.Time
	// Proof reports whether it proves who makes the request. A refusal then spends it as well.
	Proof bool
	// Refusal is the answer to a request that presents it again. A [*NotAuthenticated] becomes
	// invalid_client.
	Refusal error
	// Time is when the request arrived. [Request.Spend] sets it.
	Time time.Time

	spent bool
}

// MarkSpent records that it has been stored as spent.
func (s *Spend) MarkSpent() { s.spent = true }

// IsSpent reports whether it has been stored as spent.
func (s *Spend) IsSpent() bool { return s.spent }

// Use spends it in a write of its own. first is false if it was used before. Without an error it is
// spent afterwards.
func (s *Spend) Use(ctx context.Context) (first bool, err error) {
	if s.PushedRequests != nil {
		first, err = s.PushedRequests.UsePushedRequest(ctx, s.Key, s.Time)
	} else {
		first, err = s.Replays.FirstUse(ctx, s.Key, s.ExpiresAt)
	}
	s.spent = err == nil
	return first, err
}

// IsApart reports whether it cannot be spent in the step that stores an outcome.
func (s *Spend) IsApart() bool {
	var storage any = s.Replays
	if s.PushedRequests != nil {
		storage = s.PushedRequests
	}
	_, together := storage.(SpentWithOutcome)
	return !together
}

type spendsKey struct{}

// WithSpends returns the context in which the engine has an outcome stored.
func WithSpends(ctx context.Context, spends []*Spend) context.Context {
	return context.WithValue(ctx, spendsKey{}, spends)
}

// SpendsFromContext returns what storage has to spend in the step that stores an outcome, either
// all of it together with the outcome or nothing. Storage calls it with the context passed to
// [SaveTokenFunc], grant.SaveAuthorizationCodeFunc, SaveDeviceCode or SavePushedRequest. If one was
// used before, nothing is stored and its Refusal is returned. Once everything is stored, storage
// calls [Spend.MarkSpent] on each. If storage does not call SpendsFromContext, the engine spends
// them.
func SpendsFromContext(ctx context.Context) (spends []*Spend) {
	all, _ := ctx.Value(spendsKey{}).([]*Spend)
	for _, spend := range all {
		if !spend.IsSpent() {
			spends = append(spends, spend)
		}
	}
	return spends
}

// SpentWithOutcome is implemented by a [ReplayStorage], or a storage of pushed requests, in whose
// database outcomes are stored, and whose entries the outcome's storage spends in the same step,
// see [SpendsFromContext].
type SpentWithOutcome interface{ IsSpentWithOutcome() }

// Spend records something that the request presents and that can be used only once, after it has
// been verified. The caller does not check whether it was used before: the engine does, and then
// answers with Refusal.
func (r *Request) Spend(spend Spend) {
	for _, known := range r.spends {
		if known.Key == spend.Key && known.Proof == spend.Proof { // the grant prepared the request a second time
			return
		}
	}
	var why *NotAuthenticated
	if errors.As(spend.Refusal, &why) {
		spend.Refusal, r.authenticates = r.Server.notAClient(r, why), &spend
	}
	spend.Time = r.Time
	r.spends = append(r.spends, &spend)
}

// StoreOutcome calls store, which stores the outcome of the request, and spends what the request
// presents. The storage spends it in the same atomic step if it supports that
// ([SpendsFromContext]). The rest is spent before, or after if it is [SpentWithOutcome]. On an
// error the request must be refused. A grant or an endpoint that stores something of its own
// calls StoreOutcome; the engine does so for tokens.
func (r *Request) StoreOutcome(ctx context.Context, store func(ctx context.Context) error) error {
	if err := r.checkGenerations(ctx); err != nil {
		return err
	}
	if !r.presents(anything) {
		return store(ctx)
	}
	if err := r.spend(ctx, (*Spend).IsApart); err != nil {
		return err
	}
	if err := store(WithSpends(ctx, r.spends)); err != nil {
		return err
	}
	return r.spend(ctx, anything)
}

// settle spends what is left when a request is about to be answered: everything if it succeeds,
// and what proves who makes it if it is refused. It returns the error to answer with, which is a
// refusal if one of them was used before.
func (r *Request) settle(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return r.spend(ctx, anything)
	case mayRepeat(err):
		return err
	}
	if refusal := r.spend(ctx, isProof); refusal != nil {
		return refusal
	}
	return err
}

// mayRepeat reports whether a client that gets err is supposed to present the same again.
func mayRepeat(err error) bool {
	failure := AsError(err)
	return failure.Code == UseDPoPNonce || failure.Code == TemporarilyUnavailable ||
		failure.Status == http.StatusTooManyRequests || failure.Status == http.StatusServiceUnavailable
}

func anything(*Spend) bool { return true }

func isProof(s *Spend) bool { return s.Proof }

// presents reports whether the request has something that is not spent yet.
func (r *Request) presents(which func(*Spend) bool) bool {
	for _, spend := range r.spends {
		if !spend.IsSpent() && which(spend) {
			return true
		}
	}
	return false
}

// spend spends what is left of those selected, each in a write of its own, and returns the
// refusal of the first that was used before.
func (r *Request) spend(ctx context.Context, which func(*Spend) bool) (refusal error) {
	for _, spend := range r.spends {
		if spend.IsSpent() || !which(spend) {
			continue
		}
		first, err := spend.Use(ctx)
		if err != nil {
			return fmt.Errorf("spend what the request presents: %w", err)
		}
		if !first && spend == r.authenticates {
			r.Client, r.AuthMethod = nil, "" // the client is not authenticated after all
		}
		if !first && refusal == nil {
			refusal = spend.Refusal
		}
	}
	return refusal
}
