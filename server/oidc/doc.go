// Package oidc makes a server an OpenID Provider (OpenID Connect Core 1.0): ID tokens,
// UserInfo, discovery, the implicit and hybrid flows, sessions and logout. It uses only the
// exported API of package server; a server without it is a plain OAuth server.
//
//	provider := &oidc.Provider{Keys: keys}
//	err := provider.Register(srv, protector)
//
// The program's user model provides the claims of a user:
//
//	func (u *User) GetClaims(_ context.Context, scopes []string) (map[string]any, error) {
//		claims := make(map[string]any)
//		if slices.Contains(scopes, "email") {
//			claims["email"], claims["email_verified"] = u.Email, u.EmailVerified
//		}
//		return claims, nil
//	}
//
// The consent page learns what prompt, max_age, acr_values and id_token_hint require from
// the Interaction of [server.ConsentGrant].
package oidc
