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
// Scopes are given as in Require("profile email", "admin"): all words of one
// string, or all words of another.
package resource
