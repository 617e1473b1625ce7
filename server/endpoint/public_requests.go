package endpoint

import (
	"context"
	"fmt"
	"time"

	"github.com/gormoauth/gormoauth/internal/ondemand"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

const (
	publicRequests    = 300
	publicRequestsPer = 10 * time.Minute
)

// publicRequestsOr returns the limiter of requests that are stored for public clients: the given
// one, or the default.
func publicRequestsOr(standard *ondemand.Limiter, given ratelimit.Limiter) ratelimit.Limiter {
	return standard.Or(given, publicRequests, publicRequestsPer)
}

// checkPublicRequest limits, per address, the requests that are stored for public clients:
// anyone can send them, and could fill the database. A client that has authenticated is not
// limited, since its address may be that of a server for many people.
func checkPublicRequest(ctx context.Context, req *server.Request, limiter ratelimit.Limiter) error {
	if req.AuthMethod != models.None {
		return nil
	}
	return allowRequest(ctx, req, limiter)
}

// allowRequest refuses a request after too many from its address.
func allowRequest(ctx context.Context, req *server.Request, limiter ratelimit.Limiter) error {
	wait, err := limiter.Allow(ctx, req.RemoteAddress())
	switch {
	case err != nil:
		return fmt.Errorf("limit the requests of public clients: %w", err)
	case wait > 0:
		return server.TooManyRequests(wait, "Too many requests were made. Please try again later.")
	default:
		return nil
	}
}
