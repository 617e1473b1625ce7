package server

import (
	"context"
	"time"

	"github.com/gormoauth/gormoauth/models"
)

// RegisteredClient is what client registration asks of a stored client (RFC
// 7591, RFC 7592). [github.com/gormoauth/gormoauth/models.ClientMixin] has all
// of it.
type RegisteredClient interface {
	Client
	AsClientMixin() *models.ClientMixin
}

// ClientRegistrationStorage keeps the clients that register themselves.
type ClientRegistrationStorage interface {
	// SaveClient stores a new client; the record holds digests only. It returns
	// ErrTaken when there is one with its id.
	SaveClient(ctx context.Context, record *models.ClientMixin, req *Request) error
	// UpdateClient replaces a client's metadata, and of its secrets and its registration
	// access token what record has changed, unless those are others than in old by now, or
	// the client is gone: updated is then false. What record leaves as it is in old stays as
	// it is stored: old may have been read a while ago.
	UpdateClient(ctx context.Context, old, record *models.ClientMixin) (updated bool, err error)
	// DeleteClient removes a client and revokes its tokens. One that is gone is
	// no error. Of a client whose id is an address a mark stays, so that its
	// metadata document does not bring it back.
	DeleteClient(ctx context.Context, clientID string, now time.Time) error
	// KeepClient notes that a client is in use, and no longer to be forgotten.
	KeepClient(ctx context.Context, clientID string) error
}

// ClientDocumentStorage keeps the clients whose id is the address of their
// metadata.
type ClientDocumentStorage interface {
	// DocumentClient returns a client of the program's own model that has no row
	// yet.
	DocumentClient(record *models.ClientMixin) Client
	// HidesClient reports whether there is a row of the client that look-ups do not
	// return: it was deleted, or a condition leaves it out. Its document must not bring
	// it back.
	HidesClient(ctx context.Context, clientID string) (bool, error)
	// SaveDocumentClient stores a client. One that has a row already is no error.
	SaveDocumentClient(ctx context.Context, record *models.ClientMixin) error
	// UpdateDocumentClient stores what its document says now, unless the client was
	// updated, deleted or made the operator's own since old was read.
	UpdateDocumentClient(ctx context.Context, old, record *models.ClientMixin) error
}
