// Package oidc makes a server an OpenID Provider (OpenID Connect Core 1.0): ID
// tokens, UserInfo, discovery, the implicit and hybrid flows, sessions and logout.
// All of it is built on what package server exports; a server without it is a plain
// OAuth server.
//
//	provider := &oidc.Provider{Keys: keys}
//	err := provider.Register(srv, protector)
//
// The program's own user model says what is known of a user:
//
//	func (u *User) GetClaims(_ context.Context, scopes []string) (map[string]any, error) {
//		claims := make(map[string]any)
//		if slices.Contains(scopes, "email") {
//			claims["email"], claims["email_verified"] = u.Email, u.EmailVerified
//		}
//		return claims, nil
//	}
//
// What prompt, max_age, acr_values and id_token_hint ask for is told to the
// program's page as the Interaction of [server.ConsentGrant].
package oidc
