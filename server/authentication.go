package server

import (
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Authentication says when and how a user signed in. The zero value means that nothing is known.
type Authentication struct {
	// Time is when the user signed in, in Unix seconds; 0 if unknown.
	Time int64
	// ACR is the authentication context class that was reached, such as "phr" (RFC 9470, OpenID
	// Connect Core section 2).
	ACR string
	// AMR lists the authentication methods that were used, such as "pwd" and "otp" (RFC 8176).
	AMR []string
	// ReturnTo is the address that the user came back to after signing in: the ReturnTo of the
	// [ConsentGrant] that sent them to sign in. It proves that the user signed in for that
	// request. The program must forget it once the request has been answered, see
	// [AuthorizationPages], because the same request tomorrow is a different one.
	ReturnTo string
	// ReturnedAt is when the user came back, in Unix seconds. ReturnTo is ignored ten minutes
	// later.
	ReturnedAt int64
	// AccountChosenFor is like ReturnTo, for a user who chose an account without signing in. It
	// satisfies prompt=select_account, but not prompt=login or max_age.
	AccountChosenFor string
	// AccountChosenAt is when the user chose the account, in Unix seconds.
	AccountChosenAt int64
	// SessionID identifies the session that the user signed in to, such as a random string that
	// the program stores in it. It stays the same from one sign-in to the next sign-out and is
	// never used for another session. If it is empty, no client is told when the session ends.
	SessionID string
}

// SignedIn is a [storage.User] together with when and how they signed in. Pass it wherever a User is
// expected:
//
//	srv.CreateAuthorizationResponse(w, r, server.SignedIn{User: user, Authentication: server.Authentication{Time: session.SignedInAt}})
type SignedIn struct {
	storage.User
	Authentication Authentication
}

// signedIn splits a user into the plain user and the Authentication. known is false if the user
// is not a SignedIn.
func signedIn(user storage.User) (plain storage.User, authentication Authentication, known bool) {
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

// AuthenticationOf returns when and how the user of a code, a token or a device authorization
// signed in.
func AuthenticationOf(authorization models.Authorization) Authentication {
	return Authentication{Time: authorization.AuthTime, ACR: authorization.ACR, AMR: strings.Fields(authorization.AMR)}
}

// NewAuthorization returns the [models.Authorization] of a code, a device authorization or a
// token of the request: the client, the grant, the key that the request proved possession of, and
// how its user signed in.
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
	authorization.SetGenerations(storage.GenerationOf(r.Client), r.userGeneration)
	authorization.AuthTime, authorization.ACR, authorization.AMR = r.Authentication.Time, r.Authentication.ACR, strings.Join(r.Authentication.AMR, " ")
	return authorization
}

// Issued reports whether this server issued the code, device authorization or token that has the
// authorization. It is true for the issuers in Config.FormerIssuers as well, and for a row of an
// older release, which has no issuer.
func (s *Server) Issued(authorization models.Authorization) bool {
	issuer := authorization.Issuer
	return issuer == "" || issuer == s.config.Issuer || slices.Contains(s.config.FormerIssuers, issuer)
}

// IsWithin reports whether the user signed in at most maxAge ago. It is false if the time is
// unknown.
func (a Authentication) IsWithin(maxAge time.Duration, now time.Time) bool {
	return a.Time != 0 && now.Unix()-a.Time <= int64(maxAge/time.Second)
}
