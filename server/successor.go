package server

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/json"
	"time"
)

// A client that never saw the answer to a refresh has nothing but the refresh
// token that it spent. With Config.RefreshTokenGrace the tokens of a rotation
// are not random but derived from the one presented, by a keyed hash: whoever
// presents it again gets the very same answer, although the database holds
// nothing but digests and no second row. As soon as the successor has been
// used, the row holds another digest, and what is presented is reuse.

// derive returns the own part of a successor: as many characters as a random
// one has, all of them pseudorandom under the key.
func (s *Server) derive(presented Presented, kind SecretKind) string {
	mac := hmac.New(sha512.New, s.config.RefreshTokenKey)
	mac.Write([]byte(string(kind) + "\x00" + presented.text))
	return s.config.TokenPrefix + "_" + string(kind) + "_" + base32NoPadding.EncodeToString(mac.Sum(nil))[:secretLength]
}

func (s *Server) accessSuccessor(presented Presented) string {
	return seal(s.derive(presented, AccessTokenKind))
}

func (s *Server) refreshSuccessor(presented Presented) string {
	return bindToGrant(s.derive(presented, RefreshTokenKind), presented.grantSecret)
}

// derives reports whether the tokens for a credential are derived. A refresh
// token of an older program names no grant and has random successors.
func (s *Server) derives(credential *Credential) (Token, bool) {
	if s.config.RefreshTokenGrace == 0 || credential == nil || credential.Keep || credential.Presented.grantSecret == "" || s.generators["refresh_token"] != nil || len(s.resourceGenerators) > 0 {
		return nil, false
	}
	token, ok := credential.Record.(Token)
	return token, ok
}

// repeats reports whether a spent refresh token was presented again in time,
// and its successor has not been used.
func (s *Server) repeats(req *Request, credential *Credential) bool {
	token, ok := s.derives(credential)
	if !ok || !req.Time.Before(time.Unix(token.GetRotatedAt(), 0).Add(s.config.RefreshTokenGrace)) {
		return false
	}
	return token.CheckRefreshToken(Digest(s.refreshSuccessor(credential.Presented)))
}

// repeat gives the answer of a rotation once more.
func (s *Server) repeat(credential *Credential) *TokenResponse {
	token := credential.Record.(Token)
	return &TokenResponse{
		AccessToken:  s.accessSuccessor(credential.Presented),
		RefreshToken: s.refreshSuccessor(credential.Presented),
		TokenType:    token.GetTokenType(),
		ExpiresIn:    token.GetExpiresIn(),
		Scope:        token.GetScope(),

		AuthorizationDetails: json.RawMessage(token.GetAuthorizationDetails()),
	}
}
