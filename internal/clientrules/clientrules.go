// Package clientrules has what the rules for the metadata of clients and the engine share.
package clientrules

import (
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/models"
)

// RegisteredItself reports whether a client chose its own metadata, by registration (RFC 7591) or
// by a metadata document. It returns false for a client that the operator or a user created by
// hand.
func RegisteredItself(client any) bool {
	registered, ok := client.(interface{ AsClientMixin() *models.ClientMixin })
	return ok && RegisteredMixin(registered.AsClientMixin())
}

// RegisteredMixin is [RegisteredItself] for the row of a client.
func RegisteredMixin(client *models.ClientMixin) bool {
	return IsOwnChoice(client.ClientSource) || client.ClientSource == "" && client.RegistrationAccessToken != ""
}

// IsOwnChoice reports whether a client from the source chose its own metadata.
func IsOwnChoice(source string) bool {
	return source == models.ClientByRegistration || source == models.ClientByDocument
}

// IsSelfMade reports whether a client created itself, by registration or by a client metadata
// document. It returns false if the program's model does not tell.
func IsSelfMade(client any) bool {
	registered, ok := client.(interface{ AsClientMixin() *models.ClientMixin })
	return ok && IsOwnChoice(registered.AsClientMixin().ClientSource)
}

// ResponseTypes returns pairs of what a response type issues and the grant type that belongs to
// it.
func ResponseTypes() [][2]string {
	return [][2]string{{"code", "authorization_code"}, {"token", "implicit"}}
}

// Issues returns a function that reports whether a response type includes what: a code, or a
// token of either kind, which belong to the implicit grant (OpenID Connect Dynamic Client
// Registration section 2).
func Issues(what string) func(responseType string) bool {
	return func(responseType string) bool {
		words := strings.Fields(responseType)
		return slices.Contains(words, what) || what == "token" && slices.Contains(words, "id_token")
	}
}

// NotForAuthMethod is the problem of a grant type that the client's authentication method rules
// out.
const NotForAuthMethod = "is not allowed for a client whose token_endpoint_auth_method is %s; choose another method, or leave this grant type out"

// IsScope reports whether every word of a scope is a scope-token (RFC 6749 section 3.3):
// printable ASCII without the quotation mark and the backslash.
func IsScope(scope string) bool {
	for i := range len(scope) {
		if c := scope[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
