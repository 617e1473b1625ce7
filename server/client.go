package server

import "time"

// Client is what the engine asks of a client (RFC 6749 section 2).
// [github.com/gormoauth/gormoauth/models.ClientMixin] has all of it; a method
// that the program's model declares itself wins.
type Client interface {
	// GetClientID returns the client identifier.
	GetClientID() string
	// GetDefaultRedirectURI returns the redirect URI of a request that names
	// none, or empty when the request must name one.
	GetDefaultRedirectURI() string
	// GetAllowedScope returns what the client may have of the scope asked for, and
	// for an empty one the client's default. With ok false the client's own request
	// is refused with invalid_scope; otherwise it gets what is returned, unless
	// Config.StrictScope refuses what leaves a word out. A word that the server does
	// not know is not asked about.
	GetAllowedScope(scope string) (allowed string, ok bool)
	// CheckRedirectURI reports whether the client registered the URI.
	CheckRedirectURI(uri string) bool
	// CheckClientSecret reports whether the secret is the client's and valid.
	CheckClientSecret(secret string, now time.Time) bool
	// CheckEndpointAuthMethod reports whether the client is registered for
	// authenticating with the method ("client_secret_basic", …) at the endpoint
	// ("token", …). A client that is for one of client_secret_basic and
	// client_secret_post may use the other one, too, unless it or the server insists.
	CheckEndpointAuthMethod(method, endpoint string) bool
	// CheckResponseType reports whether the client may use the response type.
	CheckResponseType(responseType string) bool
	// CheckGrantType reports whether the client may use the grant type.
	CheckGrantType(grantType string) bool
}

// IsClientID reports whether a text can be the id of a client: printable ASCII,
// and some of it (RFC 6749 appendix A.1).
func IsClientID(text string) bool {
	for i := range len(text) {
		if text[i] < 0x20 || text[i] > 0x7e {
			return false
		}
	}
	return text != ""
}
