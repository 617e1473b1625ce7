package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Spend is something that a request presents and that is good once: a client assertion, a
// DPoP proof, an assertion that is exchanged for a token, a pushed request, a request
// object. It is spent after the decision. What is part of an outcome is spent in the step
// that stores the outcome, and what proves who asks at a refusal as well. So a client that
// is told to come again with a nonce, or later, comes with the same once more; and no replay
// is answered.
type Spend struct {
	// Replays remembers it under Key until ExpiresAt.
	Replays ReplayStorage
	// PushedRequests has it, where it is a pushed request; then Key is the digest of its
	// request_uri.
	PushedRequests PushedRequestStorage
	Key            string
	ExpiresAt      time.Time
	// Proof says that it proves who asks: then a refusal spends it, too.
	Proof bool
	// Refusal is the answer to a request that presents it again. A [*NotAuthenticated]
	// becomes invalid_client.
	Refusal error
	// Time is when the request came in; [Request.Spend] sets it.
	Time time.Time

	authenticates bool // whether the client is not known where it was used before
	spent         bool
}

// SpentWithOutcome is for a [ReplayStorage] or a [PushedRequestStorage] to whose database
// outcomes are stored, and which are told of what to spend, see [SpendsFromContext].
type SpentWithOutcome interface{ IsSpentWithOutcome() }

// Spend notes what the request presents and is good once, after it has been verified. Who
// notes it does not look whether it was used before: the engine does, and gives Refusal as
// the answer then.
func (r *Request) Spend(spend Spend) {
	for _, known := range r.spends {
		if known.Key == spend.Key && known.Proof == spend.Proof { // a grant was asked once more
			return
		}
	}
	var why *NotAuthenticated
	if spend.authenticates = errors.As(spend.Refusal, &why); spend.authenticates {
		spend.Refusal = r.Server.notAClient(r, why)
	}
	spend.Time, spend.spent = r.Time, false
	r.spends = append(r.spends, &spend)
}

// StoreOutcome runs what stores the outcome of the request, and spends what the request
// presents: the storage does so in the same atomic step, if it knows how to
// ([SpendsFromContext]); what it leaves is spent before, or, where it is
// [SpentWithOutcome], after that. On an error nothing may be answered that the request asked
// for. A grant or an endpoint that stores something of its own calls it; the engine does
// so for tokens.
func (r *Request) StoreOutcome(ctx context.Context, store func(ctx context.Context) error) error {
	if err := r.checkGenerations(ctx); err != nil {
		return err
	}
	if !r.presents(anything) {
		return store(ctx)
	}
	if err := r.spend(ctx, isApart); err != nil {
		return err
	}
	if err := store(context.WithValue(ctx, spendsKey{}, r)); err != nil {
		return err
	}
	return r.spend(ctx, anything)
}

type spendsKey struct{}

// SpendsFromContext returns what storage is to spend in the step that stores an outcome, all
// of it or nothing together with the outcome: by the context in which [SaveTokenFunc],
// [SaveAuthorizationCodeFunc], SaveDeviceCode and SavePushedRequest are called. When one
// was used before, nothing is stored, and its Refusal is returned. Once all is stored, each is
// told so by [Spend.MarkSpent]. Storage that does not ask leaves it to the engine.
func SpendsFromContext(ctx context.Context) (spends []*Spend) {
	req, _ := ctx.Value(spendsKey{}).(*Request)
	if req == nil {
		return nil
	}
	for _, spend := range req.spends {
		if !spend.spent {
			spends = append(spends, spend)
		}
	}
	return spends
}

// MarkSpent notes that it has been stored as spent.
func (s *Spend) MarkSpent() { s.spent = true }

// settle spends what is left when a request is about to be answered: all of it when
// it succeeds, what proves who asks when it is refused. It returns the answer, which is a
// refusal where one of them was used before.
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

// mayRepeat reports whether a client that gets an error is to come again with the same.
func mayRepeat(err error) bool {
	failure := AsError(err)
	return failure.Code == UseDPoPNonce || failure.Code == TemporarilyUnavailable ||
		failure.Status == http.StatusTooManyRequests || failure.Status == http.StatusServiceUnavailable
}

func anything(*Spend) bool { return true }

func isProof(s *Spend) bool { return s.Proof }

// isApart is true of what cannot be spent in the step that stores an outcome.
func isApart(s *Spend) bool {
	var storage any = s.Replays
	if s.PushedRequests != nil {
		storage = s.PushedRequests
	}
	_, together := storage.(SpentWithOutcome)
	return !together
}

// presents reports whether the request has something that is not spent yet.
func (r *Request) presents(which func(*Spend) bool) bool {
	for _, spend := range r.spends {
		if !spend.spent && which(spend) {
			return true
		}
	}
	return false
}

// spend spends what is left of some, each in a write of its own, and returns the refusal of
// the first that was used before.
func (r *Request) spend(ctx context.Context, which func(*Spend) bool) (refusal error) {
	for _, spend := range r.spends {
		if spend.spent || !which(spend) {
			continue
		}
		first, err := spend.use(ctx)
		if err != nil {
			return fmt.Errorf("spend what the request presents: %w", err)
		}
		spend.spent = true
		if !first && spend.authenticates {
			r.Client, r.AuthMethod = nil, "" // it is not known to be the client
		}
		if !first && refusal == nil {
			refusal = spend.Refusal
		}
	}
	return refusal
}

func (s *Spend) use(ctx context.Context) (first bool, err error) {
	if s.PushedRequests != nil {
		return s.PushedRequests.UsePushedRequest(ctx, s.Key, s.Time)
	}
	return s.Replays.FirstUse(ctx, s.Key, s.ExpiresAt)
}
