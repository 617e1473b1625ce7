package storage

import (
	"context"
	"errors"
	"time"

	"github.com/gormoauth/gormoauth/models"
)

// QueryClientFunc looks up a client by its id. It returns nil, nil if there is none; an error is
// a storage failure, never "not found".
type QueryClientFunc func(ctx context.Context, clientID string) (Client, error)

// QueryUserFunc looks up a user who may still be served. It returns nil, nil for one who does not
// exist or is disabled: whatever they granted then results in invalid_grant.
type QueryUserFunc func(ctx context.Context, userID string) (User, error)

// SaveTokenFunc stores a token that the engine issued. In the same atomic step it changes the row
// that the token is exchanged for, in the way that the kind of the exchange says. The number of
// rows changed by the conditional update decides: if it is zero, the function stores nothing and
// returns [ErrSpent]. Any other error means that the token is not known to be stored;
// [ErrUnavailable] means that trying again is worthwhile. What the request presents and can be
// used only once is spent in the same step, see [SpendsFromContext].
type SaveTokenFunc func(ctx context.Context, exchange Exchange) error

// Exchange is a token to store, and what it is exchanged for.
type Exchange struct {
	// Kind says what happens to From.
	Kind ExchangeKind
	// Token becomes a row of the program's token model. It contains only digests.
	Token *models.TokenMixin
	// User is the user whose token it is, nil for a client's own.
	User User
	// From is the row that the token is exchanged for, nil for [ExchangeIssue].
	From CredentialRecord
	// Presented is the digest of the credential as the client presented it, empty for
	// [ExchangeIssue] and [ExchangeDescend].
	Presented string
	// Beside means, for [ExchangeRotate], that the access token in From remains, because the new
	// one is for other resources.
	Beside bool
	// Again means, for [ExchangeKeep], that the refresh token was rotated a moment ago and its
	// client asks for another access token: leave the times of the rotation unchanged.
	Again bool
	// GrantType is the grant type of the exchange, for an audit trail.
	GrantType string
	// Time is when the request arrived.
	Time time.Time
}

// ExchangeKind says what happens to the row that a token is exchanged for.
type ExchangeKind int

const (
	// ExchangeIssue exchanges nothing: insert the token.
	ExchangeIssue ExchangeKind = iota + 1
	// ExchangeSpend exchanges a code, or another credential that can be used only once: mark From
	// as spent, on the condition that it is not, and insert the token.
	ExchangeSpend
	// ExchangeRotate exchanges a refresh token; From is a token. Update its row in place,
	// including SuccessorSalt and RefreshedFor, without which a repeated refresh counts as reuse,
	// on the condition that the row still has the digest that was presented and is not revoked.
	// With Beside, the row's access token remains, and the new one is inserted without the
	// refresh token; an earlier one for the same resources remains valid until it expires.
	ExchangeRotate
	// ExchangeKeep exchanges a refresh token that remains valid: on the same condition, record
	// its use in From, unless Again is set, and insert the access token without the refresh
	// token.
	ExchangeKeep
	// ExchangeDescend exchanges an access token that remains valid (RFC 8693): increment the
	// count of exchanges of From, on the condition that it is not revoked, and insert the token.
	// A concurrent revocation of From's grant then either sees the new token or makes this
	// condition fail.
	ExchangeDescend
)

// RevokeGrantFunc revokes every token of a grant, and returns when they are revoked. It is no
// error if there are none.
type RevokeGrantFunc func(ctx context.Context, grantID string, now time.Time) error

// ErrSpent is returned by SaveToken if the credential was already used, possibly a moment ago by
// a concurrent request.
var ErrSpent = errors.New("the credential was spent before")

// ErrUnavailable is wrapped by the error of a storage function that gave up for now, or that
// cannot know whether what it was asked to do has happened. The client gets
// temporarily_unavailable and is told to try again.
var ErrUnavailable = errors.New("storage is unavailable")

// ErrTaken is returned by storage for a key that another row already has.
var ErrTaken = errors.New("the key is taken")
