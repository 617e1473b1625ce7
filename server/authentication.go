package server

import (
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/models"
)

// Authentication is when and how a user signed in. Its zero value is that
// nothing is known.
type Authentication struct {
	// Time is when, in Unix seconds, 0 when unknown.
	Time int64
	// ACR is the authentication context class that was reached, such as
	// "phr" (RFC 9470, OpenID Connect Core section 2).
	ACR string
	// AMR is the authentication methods that were used, such as "pwd" and "otp"
	// (RFC 8176).
	AMR []string
	// ReturnTo is where the user came back to after they had signed in: the ReturnTo of
	// the [ConsentGrant] that had sent them. It is what says that they signed in for that
	// very request, and has to be forgotten once that was answered, see
	// [AuthorizationPages]: the same request of tomorrow is another one.
	ReturnTo string
	// ReturnedAt is when, in Unix seconds. Ten minutes later ReturnTo says nothing any
	// more.
	ReturnedAt int64
	// AccountChosenFor is ReturnTo for a user who chose an account and did not sign in:
	// it does for prompt=select_account, and not for prompt=login or max_age.
	AccountChosenFor string
	// AccountChosenAt is when, in Unix seconds.
	AccountChosenAt int64
	// SessionID names the session that the user signed in to, such as a random text
	// that the program put into it: the same from one sign-in to the next sign-out,
	// and no other session's. Empty has nobody told when the session ends.
	SessionID string
}

// SignedIn is a user of whom it is known when and how they signed in. Hand it
// over in the place of the user:
//
//	srv.CreateAuthorizationResponse(w, r, server.SignedIn{User: user, Authentication: server.Authentication{Time: session.SignedInAt}})
type SignedIn struct {
	User
	Authentication Authentication
}

// signedIn takes a user apart. Without a SignedIn, known is false.
func signedIn(user User) (plain User, authentication Authentication, known bool) {
	switch s := user.(type) {
	case SignedIn:
		return s.User, s.Authentication, true
	case *SignedIn:
		if s == nil {
			return nil, Authentication{}, false
		}
		return s.User, s.Authentication, true
	}
	return user, Authentication{}, false
}

// AuthenticationOf returns how the user of a code, a token or a device authorization
// signed in.
func AuthenticationOf(authorization models.Authorization) Authentication {
	return Authentication{Time: authorization.AuthTime, ACR: authorization.ACR, AMR: strings.Fields(authorization.AMR)}
}

// NewAuthorization returns what a code, a device authorization or a token of the request
// says of whose it is: the client, the grant, the key that the request proved to have,
// and how its user signed in.
func (r *Request) NewAuthorization(grantID string) models.Authorization {
	authorization := r.Authorization
	authorization.GrantID, authorization.Issuer = grantID, r.Server.config.Issuer
	if !IsNilUser(r.User) {
		authorization.Subject = ""
		if subject := r.Server.Subject(r.Client, r.User.GetUserID()); subject != r.User.GetUserID() {
			authorization.Subject = subject
		}
	}
	authorization.ClientID, authorization.LongClientID = models.SplitClientID(r.Client.GetClientID())
	authorization.SetGenerations(GenerationOf(r.Client), r.userGeneration)
	authorization.AuthTime, authorization.ACR, authorization.AMR = r.Authentication.Time, r.Authentication.ACR, strings.Join(r.Authentication.AMR, " ")
	return authorization
}

// Issued reports whether this server issued what has an authorization: a code, a device
// authorization or a token. What its Config.FormerIssuers issued counts as such, and so does
// a row of an older release, which names no issuer.
func (s *Server) Issued(authorization models.Authorization) bool {
	issuer := authorization.Issuer
	return issuer == "" || issuer == s.config.Issuer || slices.Contains(s.config.FormerIssuers, issuer)
}

// NotIssued is why something counts for nothing that another issuer issued, see
// [Server.Issued].
func NotIssued(authorization models.Authorization) *Reason {
	return NewReason("another issuer issued it", slog.String("iss", authorization.Issuer))
}

// IsWithin reports whether the user signed in no longer ago than maxAge. When
// that is unknown, it is long ago.
func (a Authentication) IsWithin(maxAge time.Duration, now time.Time) bool {
	return a.Time != 0 && now.Unix()-a.Time <= int64(maxAge/time.Second)
}
