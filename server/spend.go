package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gormoauth/gormoauth/server/storage"
)

// Spend records something that the request presents and that can be used only once, after it has
// been verified. The caller does not check whether it was used before: the engine does, and then
// answers with Refusal.
func (r *Request) Spend(spend storage.Spend) {
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
// ([storage.SpendsFromContext]). The rest is spent before, or after if it is [storage.SpentWithOutcome]. On an
// error the request must be refused. A grant or an endpoint that stores something of its own
// calls StoreOutcome; the engine does so for tokens.
func (r *Request) StoreOutcome(ctx context.Context, store func(ctx context.Context) error) error {
	if err := r.checkGenerations(ctx); err != nil {
		return err
	}
	if !r.presents(anything) {
		return store(ctx)
	}
	if err := r.spend(ctx, (*storage.Spend).IsApart); err != nil {
		return err
	}
	if err := store(storage.WithSpends(ctx, r.spends)); err != nil {
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

func anything(*storage.Spend) bool { return true }

func isProof(s *storage.Spend) bool { return s.Proof }

// presents reports whether the request has something that is not spent yet.
func (r *Request) presents(which func(*storage.Spend) bool) bool {
	for _, spend := range r.spends {
		if !spend.IsSpent() && which(spend) {
			return true
		}
	}
	return false
}

// spend spends what is left of those selected, each in a write of its own, and returns the
// refusal of the first that was used before.
func (r *Request) spend(ctx context.Context, which func(*storage.Spend) bool) (refusal error) {
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
