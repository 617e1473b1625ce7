package server

import (
	"context"
	"errors"
	"time"

	"github.com/gormoauth/gormoauth/models"
)

// QueryClientFunc finds a client by its id. It returns nil, nil when there is
// none; an error is a storage failure, never "not found".
type QueryClientFunc func(ctx context.Context, clientID string) (Client, error)

// QueryUserFunc finds a user who may still be served. It returns nil, nil for
// one who is gone or disabled: whatever they granted is then invalid_grant.
type QueryUserFunc func(ctx context.Context, userID string) (User, error)

// SaveTokenFunc stores a token that the engine issued, and in the same atomic step does
// to what it is exchanged for what the kind of the exchange says. The number of rows that
// the conditional update changed decides: when it is zero, nothing is written and the
// function returns [ErrSpent]. Any other error means that nothing is known to be stored;
// [ErrUnavailable] says that it is worth while to try again. What the request presents that
// is good once is spent in the same step, see [SpendsFromContext].
type SaveTokenFunc func(ctx context.Context, exchange Exchange) error

// Exchange is a token to store, with what it is exchanged for.
type Exchange struct {
	// Kind says what becomes of From.
	Kind ExchangeKind
	// Token becomes a row of the program's token model. It holds digests only.
	Token *models.TokenMixin
	// User is whose token it is, nil for a client's own.
	User User
	// From is the row that the token is exchanged for, nil for [ExchangeIssue].
	From CredentialRecord
	// Presented is the digest of the credential as the client presented it, empty for
	// [ExchangeIssue] and [ExchangeDescend].
	Presented string
	// Beside says, for [ExchangeRotate], that the access token in From stays, as the new
	// one is for other resources.
	Beside bool
	// Again says, for [ExchangeKeep], that the refresh token was rotated a moment ago and
	// that its client asks for one more access token: leave the times of the rotation as
	// they are.
	Again bool
	// GrantType is the grant type by which it is exchanged, for an audit trail.
	GrantType string
	// Time is when the request came in.
	Time time.Time
}

// ExchangeKind is what becomes of the row that a token is exchanged for.
type ExchangeKind int

const (
	// ExchangeIssue is a token for which nothing is exchanged: insert it.
	ExchangeIssue ExchangeKind = iota + 1
	// ExchangeSpend is a token for a code, or for another credential that is good once:
	// mark From as spent, on the condition that it is not, and insert the token.
	ExchangeSpend
	// ExchangeRotate is a token for a refresh token: From is a token. Update that row in
	// place, with its SuccessorSalt and RefreshedFor, without which a repeated refresh counts
	// as reuse, on the condition that it still holds the digest that was presented and is
	// not revoked. With Beside, its access token stays, and the new one is inserted
	// without the refresh token; an earlier one of the same resources lives until it
	// expires.
	ExchangeRotate
	// ExchangeKeep is a token for a refresh token that stays: on the same condition, note
	// its use in From, unless it is one Again, and insert the access token without the
	// refresh token.
	ExchangeKeep
	// ExchangeDescend is a token for an access token that stays (RFC 8693): add one to
	// the exchanges of From, on the condition that it is not revoked, and insert the
	// token, so that whoever revokes the grant of From at the same moment either sees the
	// new token or is seen.
	ExchangeDescend
)

// QueryTokenFunc finds a token, or returns nil, nil when there is none.
type QueryTokenFunc func(ctx context.Context, query TokenQuery) (*StoredToken, error)

// TokenQuery says by what a token is looked for. Exactly one of the fields is
// set, but for a refresh token that names its grant.
type TokenQuery struct {
	// AccessToken is the digest of an access token.
	AccessToken string
	// RefreshToken is the digest of a refresh token.
	RefreshToken string
	// GrantID comes with RefreshToken: the row of the grant is wanted, whether
	// or not it still holds that refresh token.
	GrantID string
}

// RevokeTokenFunc revokes one access token, found by its digest, and nothing
// else. A token that is gone or revoked already is no error.
type RevokeTokenFunc func(ctx context.Context, accessToken string, now time.Time) error

// RevokeGrantFunc revokes every token of a grant. It returns only when they
// are revoked; none being left is no error.
type RevokeGrantFunc func(ctx context.Context, grantID string, now time.Time) error

// SaveAuthorizationCodeFunc stores a code that the engine issued. The record
// holds digests only; req.User is the user who granted it.
type SaveAuthorizationCodeFunc func(ctx context.Context, record *models.AuthorizationCodeMixin, req *Request) error

// QueryAuthorizationCodeFunc finds a code by its digest, or returns nil, nil.
type QueryAuthorizationCodeFunc func(ctx context.Context, code string) (*StoredAuthorizationCode, error)

// ErrSpent is what SaveToken returns when the credential had been used before,
// be it a moment ago by a request that ran beside this one.
var ErrSpent = errors.New("the credential was spent before")

// ErrUnavailable is what a storage function wraps when it gave up for now, or
// cannot know whether what it was asked for has happened. The client is
// answered with temporarily_unavailable and told to try again.
var ErrUnavailable = errors.New("storage is unavailable")
