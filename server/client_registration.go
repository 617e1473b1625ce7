package server

import (
	"context"
	"time"

	"github.com/gormoauth/gormoauth/models"
)

// RegisteredClient is a stored client that can be registered dynamically (RFC 7591, RFC 7592).
// [github.com/gormoauth/gormoauth/models.ClientMixin] implements all of it.
type RegisteredClient interface {
	Client
	AsClientMixin() *models.ClientMixin
}

// ClientRegistrationStorage stores the clients that register themselves.
type ClientRegistrationStorage interface {
	// SaveClient stores a new client; the record contains only digests. It returns ErrTaken if
	// another client has the id.
	SaveClient(ctx context.Context, record *models.ClientMixin, req *Request) error
	// UpdateClient replaces a client's metadata, and its secrets and registration access token as
	// far as record changes them. If these differ by now from old, or the client no longer
	// exists, nothing is changed and updated is false. Whatever is the same in record and old
	// stays as it is stored, because old may have been read some time ago.
	UpdateClient(ctx context.Context, old, record *models.ClientMixin) (updated bool, err error)
	// DeleteClient removes a client and revokes its tokens. It is no error if the client does not
	// exist. If the client's id is a URL, a mark is kept, so that its metadata document does not
	// bring it back.
	DeleteClient(ctx context.Context, clientID string, now time.Time) error
	// KeepClient records that a client is in use and must no longer be removed as unused.
	KeepClient(ctx context.Context, clientID string) error
}

// ClientDocumentStorage stores the clients whose id is the URL of their metadata document.
type ClientDocumentStorage interface {
	// DocumentClient returns a client of the program's own model that is not stored yet.
	DocumentClient(record *models.ClientMixin) Client
	// HidesClient reports whether the client has a row that lookups do not return, because it was
	// deleted or a condition excludes it. Its document must not bring it back.
	HidesClient(ctx context.Context, clientID string) (bool, error)
	// SaveDocumentClient stores a client. It is no error if the client is stored already.
	SaveDocumentClient(ctx context.Context, record *models.ClientMixin) error
	// UpdateDocumentClient stores the current content of the document, unless the client was
	// updated, deleted or taken over by the operator since old was read.
	UpdateDocumentClient(ctx context.Context, old, record *models.ClientMixin) error
}
