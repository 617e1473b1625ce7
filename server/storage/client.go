package storage

import (
	"time"

	"github.com/gormoauth/gormoauth/models"
)

// Client is an OAuth client (RFC 6749 section 2).
// [github.com/gormoauth/gormoauth/models.ClientMixin] implements all of it; a method declared on
// the program's model takes precedence.
type Client interface {
	// GetClientID returns the client identifier.
	GetClientID() string
	// GetDefaultRedirectURI returns the redirect URI for a request that has none, or "" if the
	// request must have one.
	GetDefaultRedirectURI() string
	// GetAllowedScope returns the part of the requested scope that the client may have, or the
	// client's default if scope is empty. If ok is false, the client's own request is refused
	// with invalid_scope. Otherwise the request gets the returned scope, unless
	// Config.StrictScope is set and a requested word is missing from it. Words that the server
	// does not know are removed before the call.
	GetAllowedScope(scope string) (allowed string, ok bool)
	// CheckRedirectURI reports whether the client registered the URI.
	CheckRedirectURI(uri string) bool
	// CheckClientSecret reports whether the secret belongs to the client and is valid at now.
	CheckClientSecret(secret string, now time.Time) bool
	// CheckEndpointAuthMethod reports whether the client is registered to authenticate by the
	// method ("client_secret_basic", …) at the endpoint ("token", …). A client that is registered
	// for one of client_secret_basic and client_secret_post may use the other as well, unless the
	// client or the server insists on the registered one.
	CheckEndpointAuthMethod(method, endpoint string) bool
	// CheckResponseType reports whether the client may use the response type.
	CheckResponseType(responseType string) bool
	// CheckGrantType reports whether the client may use the grant type.
	CheckGrantType(grantType string) bool
}

// RegisteredClient is a stored client that can be registered dynamically (RFC 7591, RFC 7592).
// [github.com/gormoauth/gormoauth/models.ClientMixin] implements all of it.
type RegisteredClient interface {
	Client
	AsClientMixin() *models.ClientMixin
}

// ResourceServer is implemented by a client that is itself an API, such as [models.ClientMixin].
type ResourceServer interface {
	// GetAPIResources returns the resources for which the client is the API, nil if there are
	// none.
	GetAPIResources() []string
}
