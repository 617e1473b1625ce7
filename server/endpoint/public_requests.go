package endpoint

import (
	"context"
	"fmt"
	"time"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

const (
	publicRequests    = 300
	publicRequestsPer = 10 * time.Minute
)

// newPublicRequests bounds requests that are stored for public clients, where the
// program has no limiter of its own.
func newPublicRequests() ratelimit.Limiter { return ratelimit.New(publicRequests, publicRequestsPer) }

// checkPublicRequest refuses a request that is to be stored when there were many
// from the address: anybody can make those of a public client, and would fill the
// database. Whoever proved to be a client is not held to that: it may be a server
// for many people.
func checkPublicRequest(ctx context.Context, req *server.Request, limiter ratelimit.Limiter) error {
	if req.AuthMethod != models.None {
		return nil
	}
	return allowRequest(ctx, req, limiter)
}

// allowRequest refuses a request that is to be stored when there were many from the
// address.
func allowRequest(ctx context.Context, req *server.Request, limiter ratelimit.Limiter) error {
	wait, err := limiter.Allow(ctx, req.Server.RemoteAddress(req.HTTP))
	switch {
	case err != nil:
		return fmt.Errorf("limit the requests of public clients: %w", err)
	case wait > 0:
		return server.TooManyRequests(wait, "These were many requests. Please try again later.")
	default:
		return nil
	}
}
