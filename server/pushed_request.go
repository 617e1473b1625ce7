package server

import (
	"context"
	"time"

	"github.com/gormoauth/gormoauth/models"
)

// PushedRequest is what is asked of a stored authorization request that a
// client pushed (RFC 9126).
// [github.com/gormoauth/gormoauth/models.PushedRequestMixin] has all of it.
type PushedRequest interface {
	// GetClientID returns the client that pushed it.
	GetClientID() string
	// GetParameters returns its parameters, form-urlencoded.
	GetParameters() string
	// IsExpired reports whether it has ended.
	IsExpired(now time.Time) bool
	// IsUsed reports whether a user has decided on it.
	IsUsed() bool
}

// PushedRequestStorage keeps pushed authorization requests.
type PushedRequestStorage interface {
	// SavePushedRequest stores one; the record holds digests only.
	SavePushedRequest(ctx context.Context, record *models.PushedRequestMixin) error
	// QueryPushedRequest finds one by the digest of its request_uri, or returns
	// nil, nil.
	QueryPushedRequest(ctx context.Context, requestURI string) (PushedRequest, error)
	// UsePushedRequest marks one as used. Of any number of callers one wins.
	UsePushedRequest(ctx context.Context, requestURI string, now time.Time) (won bool, err error)
}
