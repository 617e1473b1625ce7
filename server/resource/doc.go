// Package resource protects an API with access tokens (RFC 6750).
//
//	protector, err := resource.NewProtector(resource.Config{}, gormoauth.CreateBearerTokenValidator[Token](db))
//	mux.Handle("/api/me", protector.Require("profile")(me))
//
//	func me(w http.ResponseWriter, r *http.Request) {
//		token, _ := resource.TokenFromContext(r.Context())
//		… token.UserID, token.Token.(*Token) …
//	}
//
// Require("profile email", "admin") requires a token with either all scopes of the first
// string or all of the second.
package resource
