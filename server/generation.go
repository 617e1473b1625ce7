package server

import (
	"context"
	"fmt"
	"time"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/budget"
	"github.com/gormoauth/gormoauth/server/cache"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

// ended is Ended for what the request exchanges, with the generation of its client and, once that
// is known, its user.
func (r *Request) ended(authorization models.Authorization) *reason.Reason {
	ofClient := int64(0)
	if authorization.CheckClient(r.Client.GetClientID()) { // an exchanged token may be another client's
		ofClient = storage.GenerationOf(r.Client)
	}
	return storage.Ended(authorization, ofClient, r.userGeneration)
}

// queryClient is QueryClient for the request's client. It records when the client was read.
func (r *Request) queryClient(ctx context.Context, clientID string) (storage.Client, error) {
	r.clientReadAt = time.Now()
	return r.Server.QueryClient(cache.Note(ctx, &r.clientReadAt), clientID)
}

// queryUser is QueryUser for the request's user. It records the user's generation, and when it
// was read.
func (r *Request) queryUser(ctx context.Context, userID string) (storage.User, error) {
	r.userReadAt = time.Now()
	user, err := r.Server.QueryUser(ctx, userID)
	r.userGeneration = storage.GenerationOf(user)
	return user, err
}

// checkGenerations reads the client and the user again if they were read so long ago that their
// grants may have been ended since: ending all grants waits for requests in progress, but not for
// long. A credential that is exchanged is checked when it is spent.
func (r *Request) checkGenerations(ctx context.Context) error {
	if r.Credential != nil {
		return nil
	}
	longAgo := func(at time.Time) bool { return !at.IsZero() && time.Since(at) > budget.StaleAfter(ctx) }
	if longAgo(r.clientReadAt) && r.Client != nil {
		client, err := r.queryClient(cache.Bypass(ctx), r.Client.GetClientID())
		if err != nil {
			return err
		}
		if isNil(client) || storage.GenerationOf(client) != storage.GenerationOf(r.Client) {
			return fmt.Errorf("%w: all grants of the client were ended while its request was under way", storage.ErrUnavailable)
		}
	}
	if longAgo(r.userReadAt) && r.User != nil {
		before := r.userGeneration
		user, err := r.queryUser(ctx, r.User.GetUserID())
		if err != nil {
			return err
		}
		if isNil(user) || r.userGeneration != before {
			return fmt.Errorf("%w: all grants of the user were ended while a request for them was under way", storage.ErrUnavailable)
		}
	}
	return nil
}
