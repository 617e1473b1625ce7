// Package device is what the device flow (RFC 8628) stores: device authorizations, and what users
// decide on them. Package endpoint has the endpoint, package grant the grant.
package device

import (
	"context"
	"time"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Code is a stored device authorization (RFC 8628).
// [github.com/gormoauth/gormoauth/models.DeviceCodeMixin] implements all of it; a method declared
// on the program's model takes precedence.
type Code interface {
	storage.CredentialRecord
	// GetClientID returns the id of the client that asks.
	GetClientID() string
	// GetGranted returns the scope, audience and authorization details that it asks for.
	GetGranted() models.Granted
	// GetAuthorization returns what it passes on to its tokens.
	GetAuthorization() models.Authorization
	// IsExpired reports whether its codes have expired.
	IsExpired(now time.Time) bool
	// IsApproved reports whether a user approved it.
	IsApproved() bool
	// IsDenied reports whether a user denied it.
	IsDenied() bool
	// IsRedeemed reports whether the device has received its token.
	IsRedeemed() bool
}

// StoredCode is a device authorization as storage found it, with the id of the user who
// approved it.
type StoredCode struct {
	// Code is a pointer to the program's own model.
	DeviceCode Code
	// UserID is the UserID column as text, empty until a user has approved.
	UserID string
}

// Storage stores device authorizations. An approved one is spent by [storage.SaveTokenFunc].
type Storage interface {
	// SaveDeviceCode stores a device authorization; the record contains only digests. It returns
	// [storage.ErrTaken] if another one has the same user code.
	SaveDeviceCode(ctx context.Context, record *models.DeviceCodeMixin, req *server.Request) error
	// QueryDeviceCode looks up a device authorization. It returns nil, nil if there is none.
	QueryDeviceCode(ctx context.Context, query Query) (*StoredCode, error)
	// PollDeviceCode records a poll of the device. If the interval since the last poll was not
	// over, it returns tooSoon true and increases the interval by slower. A poll within
	// [PollRepeat] of the last one counts as a repetition of it: it is neither recorded nor
	// too soon.
	PollDeviceCode(ctx context.Context, deviceCode string, now time.Time, slower time.Duration) (tooSoon bool, err error)
	// DecideDeviceCode stores a user's decision. If there already is one, or the codes have
	// expired, it stores nothing and decided is false.
	DecideDeviceCode(ctx context.Context, userCode string, decision Decision) (decided bool, err error)
}

// PollRepeat is the time within which a poll counts as a repetition of the one before.
// Clients that do not know where the server expects their credentials repeat a request with the
// credentials in another place.
const PollRepeat = time.Second

// Query selects a device authorization by the digest of one of its two codes.
type Query struct{ DeviceCode, UserCode string }

// Decision is a user's decision on a device authorization.
type Decision struct {
	// Code is the device authorization as storage found it before the decision, nil if that
	// is not known.
	DeviceCode Code
	// User is the user who decided.
	User storage.User
	// Approved reports whether the device may have what it asks for.
	Approved bool
	// Authentication says when and how the user signed in.
	Authentication server.Authentication
	// UserGeneration is the generation of the user who approved, see [storage.Generational].
	UserGeneration int64
	// Time is when the user decided.
	Time time.Time
}
