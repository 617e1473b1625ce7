package server

import (
	"context"
	"fmt"
	"time"

	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
)

// Generational is a client or a user of whom all grants can be ended at once. What was
// issued under an earlier generation than that of now counts for nothing.
// [github.com/gormoauth/gormoauth/models.ClientMixin] and
// [github.com/gormoauth/gormoauth/models.UserMixin] have it.
type Generational interface {
	// GetGeneration returns how often all grants were ended; it never becomes less.
	GetGeneration() int64
}

// GenerationOf returns the generation of a client or a user, 0 for one that has none.
func GenerationOf(of any) int64 {
	if g, ok := of.(Generational); ok && !isNil(of) {
		return g.GetGeneration()
	}
	return 0
}

// Ended returns why what has an authorization counts for nothing: all grants of its client,
// or of its user, were ended after it was issued. It is nil otherwise, and where the
// generations are 0: nothing was ended, or nobody has looked.
func Ended(authorization models.Authorization, ofClient, ofUser int64) *Reason {
	switch {
	case authorization.GetClientGeneration() < ofClient:
		return NewReason("all grants of the client were ended after it was issued")
	case authorization.GetUserGeneration() < ofUser:
		return NewReason("all grants of the user were ended after it was issued")
	}
	return nil
}

// ended is Ended for what the request exchanges, by its client and, once that is known, its
// user.
func (r *Request) ended(authorization models.Authorization) *Reason {
	ofClient := int64(0)
	if authorization.CheckClient(r.Client.GetClientID()) { // a token that is exchanged may be another's
		ofClient = GenerationOf(r.Client)
	}
	return Ended(authorization, ofClient, r.userGeneration)
}

// readAgain is the part of the storage budget after which a client and a user are looked at
// once more.
const readAgain = 4

type clientAgeKey struct{}

// ClientAge is called by a cache of clients that answers with what was read some time ago,
// with the context of the question.
func ClientAge(ctx context.Context, age time.Duration) {
	if readAt, ok := ctx.Value(clientAgeKey{}).(*time.Time); ok {
		*readAt = readAt.Add(-age)
	}
}

// queryClient is QueryClient for the client of the request: when it was read is noted.
func (r *Request) queryClient(ctx context.Context, clientID string) (Client, error) {
	r.clientReadAt = time.Now()
	return r.Server.QueryClient(context.WithValue(ctx, clientAgeKey{}, &r.clientReadAt), clientID)
}

// queryUser is QueryUser for the user of the request, whose generation is noted.
func (r *Request) queryUser(ctx context.Context, userID string) (User, error) {
	r.userReadAt = time.Now()
	user, err := r.Server.QueryUser(ctx, userID)
	r.userGeneration = GenerationOf(user)
	return user, err
}

// checkGenerations looks at the client and the user once more where they were read so long
// ago that their grants may have been ended meanwhile: whoever ends them waits for requests
// that are under way, but not for long. What is exchanged says itself whether it has ended.
func (r *Request) checkGenerations(ctx context.Context) error {
	if r.Credential != nil {
		return nil
	}
	longAgo := func(at time.Time) bool { return !at.IsZero() && time.Since(at) > StorageBudget(ctx)/readAgain }
	if longAgo(r.clientReadAt) && r.Client != nil {
		client, err := r.queryClient(FreshClients(ctx), r.Client.GetClientID())
		if err != nil {
			return err
		}
		if isNil(client) || GenerationOf(client) != GenerationOf(r.Client) {
			return fmt.Errorf("%w: all grants of the client were ended while its request was under way", ErrUnavailable)
		}
	}
	if longAgo(r.userReadAt) && r.User != nil {
		before := r.userGeneration
		user, err := r.queryUser(ctx, r.User.GetUserID())
		if err != nil {
			return err
		}
		if isNil(user) || r.userGeneration != before {
			return fmt.Errorf("%w: all grants of the user were ended while a request for them was under way", ErrUnavailable)
		}
	}
	return nil
}

// UnderWay is for how long a request may go on to issue something under a generation that it
// has read before.
func UnderWay(ctx context.Context) time.Duration {
	if wait, shortened := underway.Shortened(ctx); shortened {
		return wait
	}
	return StorageBudget(ctx)/readAgain + StorageBudget(ctx) + CommitBudget(ctx)
}
