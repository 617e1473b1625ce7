// Package par is what pushed authorization requests (RFC 9126) store. Package endpoint has the
// endpoint.
package par

import (
	"context"
	"time"

	"github.com/gormoauth/gormoauth/models"
)

// Request is a stored authorization request that a client pushed (RFC 9126).
// [github.com/gormoauth/gormoauth/models.PushedRequestMixin] implements all of it.
type Request interface {
	// GetClientID returns the id of the client that pushed it.
	GetClientID() string
	// GetParameters returns its parameters, form-urlencoded.
	GetParameters() string
	// IsExpired reports whether it has expired.
	IsExpired(now time.Time) bool
	// IsUsed reports whether a user has decided on it.
	IsUsed() bool
}

// Storage stores pushed authorization requests.
type Storage interface {
	// SavePushedRequest stores a pushed request; the record contains only digests.
	SavePushedRequest(ctx context.Context, record *models.PushedRequestMixin) error
	// QueryPushedRequest looks up a pushed request by the digest of its request_uri. It returns
	// nil, nil if there is none.
	QueryPushedRequest(ctx context.Context, requestURI string) (Request, error)
	// UsePushedRequest marks a pushed request as used. Of any number of callers exactly one wins.
	UsePushedRequest(ctx context.Context, requestURI string, now time.Time) (won bool, err error)
}
