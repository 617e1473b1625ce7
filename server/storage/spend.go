package storage

import (
	"context"
	"time"
)

// Replays remembers what may be presented only once, see [Spend].
type Replays interface {
	// FirstUse reports whether the key is new, and remembers it until expiresAt. Of any number of
	// callers with the same key, exactly one is the first.
	FirstUse(ctx context.Context, key string, expiresAt time.Time) (first bool, err error)
}

// Spend is something that a request presents and that can be used only once: a client assertion,
// a DPoP proof, an assertion that is exchanged for a token, a pushed request, a request object.
// It is spent after the decision on the request: if it is part of the outcome, in the same step
// that stores the outcome; if it proves who makes the request (Proof), also when the request is
// refused. So a client that is told to repeat its request, with a nonce or later, can present the
// same again, and a replay is never answered.
type Spend struct {
	// Replays remembers Key as used until ExpiresAt.
	Replays Replays
	// PushedRequests stores it, if it is a pushed request. Key is then the digest of its
	// request_uri.
	PushedRequests interface {
		UsePushedRequest(ctx context.Context, requestURI string, now time.Time) (won bool, err error)
	}
	Key       string
	ExpiresAt time.Time
	// Proof reports whether it proves who makes the request. A refusal then spends it as well.
	Proof bool
	// Refusal is the answer to a request that presents it again. A server.NotAuthenticated becomes
	// invalid_client.
	Refusal error
	// Time is when the request arrived. server.Request.Spend sets it.
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

// SpentWithOutcome is implemented by a [Replays], or a storage of pushed requests, in whose
// database outcomes are stored, and whose entries the outcome's storage spends in the same step,
// see [SpendsFromContext].
type SpentWithOutcome interface{ IsSpentWithOutcome() }
