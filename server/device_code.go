package server

import (
	"context"
	"errors"
	"time"

	"github.com/gormoauth/gormoauth/models"
)

// DeviceCode is what is asked of a stored device authorization (RFC 8628).
// [github.com/gormoauth/gormoauth/models.DeviceCodeMixin] has all of it; a
// method that the program's model declares itself wins.
type DeviceCode interface {
	CredentialRecord
	// GetClientID returns the client that asks.
	GetClientID() string
	// GetGranted returns how much it asks for.
	GetGranted() models.Granted
	// GetAuthorization returns what its tokens will have in common with it.
	GetAuthorization() models.Authorization
	// IsExpired reports whether the codes have ended.
	IsExpired(now time.Time) bool
	// IsApproved reports whether a user approved.
	IsApproved() bool
	// IsDenied reports whether a user denied.
	IsDenied() bool
	// IsRedeemed reports whether the device got its token.
	IsRedeemed() bool
}

// StoredDeviceCode is a device authorization as storage found it, with the id
// of the user who approved.
type StoredDeviceCode struct {
	// DeviceCode is a pointer to the program's own model.
	DeviceCode DeviceCode
	// UserID is the UserID column as text, empty until a user approved.
	UserID string
}

// DeviceCodeStorage keeps device authorizations. An approved one is spent by
// [SaveTokenFunc].
type DeviceCodeStorage interface {
	// SaveDeviceCode stores one; the record holds digests only. It returns
	// ErrTaken when there is one with the same user code.
	SaveDeviceCode(ctx context.Context, record *models.DeviceCodeMixin, req *Request) error
	// QueryDeviceCode finds one, or returns nil, nil.
	QueryDeviceCode(ctx context.Context, query DeviceCodeQuery) (*StoredDeviceCode, error)
	// PollDeviceCode notes that the device asked. When it did so before its
	// interval was over, tooSoon is true, and the interval grows by slower. A poll
	// within [DevicePollRepeat] of the one before is the same poll once more: it is not
	// noted, and not too soon.
	PollDeviceCode(ctx context.Context, deviceCode string, now time.Time, slower time.Duration) (tooSoon bool, err error)
	// DecideDeviceCode stores a user's decision, unless there is one or the codes
	// have ended: decided is then false.
	DecideDeviceCode(ctx context.Context, userCode string, decision DeviceDecision) (decided bool, err error)
}

// DevicePollRepeat is how soon after a poll a client repeats it with its credentials in
// another place, as clients do that do not know where the server wants them.
const DevicePollRepeat = time.Second

// DeviceCodeQuery says by which of the two codes a device authorization is
// looked for: by the digest of one of them.
type DeviceCodeQuery struct{ DeviceCode, UserCode string }

// DeviceDecision is a user's decision on a device.
type DeviceDecision struct {
	// DeviceCode is what was decided on, as storage found it before; nil when that is
	// not known.
	DeviceCode DeviceCode
	// User is who decided.
	User User
	// Approved is whether the device may have what it asks for.
	Approved bool
	// Authentication is when and how the user signed in.
	Authentication Authentication
	// UserGeneration is the generation of the user who approved, see [Generational].
	UserGeneration int64
	// Time is when the user decided.
	Time time.Time
}

// ErrTaken is what storage returns for a key that another row has.
var ErrTaken = errors.New("the key is taken")
