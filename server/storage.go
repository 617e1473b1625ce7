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

// SaveTokenFunc stores a token that the engine issued. The record holds
// digests only and becomes a row of the program's token model;
// req.User is its user, if any.
//
// When req.Credential is set, the same atomic step spends it:
//   - its Record is a token (a refresh token is rotated): update that row in
//     place, on the condition that it still holds the digest that was presented
//     and is not revoked;
//   - its Record is a token and the record holds the very digest that was
//     presented (the refresh token is kept): on the same condition, note its use
//     there, and insert the access token as a row without a refresh token;
//   - otherwise: mark the Record as spent, on the condition that it is not, and
//     insert the token.
//
// When req.Subject is set, the same atomic step makes sure that it is not
// revoked, and adds one to its exchanges: whoever revokes its grant at the same
// moment either sees the new token or is seen.
//
// The count of rows that the conditional update changed decides. When it is
// zero, nothing is written and the function returns [ErrSpent]. Any other
// error means that nothing is known to be stored; [ErrUnavailable] that trying
// again is worth while.
type SaveTokenFunc func(ctx context.Context, record *models.TokenMixin, req *Request) error

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
