package otel

import (
	"net/http"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/gormoauth/gormoauth/server"
)

// Attributes for which there is no semantic convention.
const (
	endpointKey   = attribute.Key("oauth.endpoint")
	grantTypeKey  = attribute.Key("oauth.grant_type")
	clientIDKey   = attribute.Key("oauth.client_id")
	authMethodKey = attribute.Key("oauth.client_auth_method")
	scopeKey      = attribute.Key("oauth.scope")
	reuseKey      = attribute.Key("oauth.reuse")
)

// other replaces unknown values, of which there could be any number.
const other = "other"

// measured returns the attributes that metrics and spans have in common. A stranger cannot give
// any of them new values.
func measured(o *server.Observation) []attribute.KeyValue {
	all := []attribute.KeyValue{endpointKey.String(o.Endpoint)}
	if o.GrantType != "" {
		all = append(all, grantTypeKey.String(o.GrantType))
	}
	if o.Status != 0 {
		all = append(all, semconv.HTTPResponseStatusCode(o.Status))
	}
	if code := o.ErrorCode(); code != "" {
		all = append(all, semconv.ErrorTypeKey.String(errorType(code)))
	}
	return all
}

// errorType returns the code if it is one of this module's, and "other" if not.
func errorType(code string) string {
	switch code {
	case server.InvalidRequest, server.InvalidClient, server.InvalidGrant, server.UnauthorizedClient, server.UnsupportedGrantType, server.UnsupportedResponseType,
		server.InvalidScope, server.AccessDenied, server.ServerError, server.TemporarilyUnavailable, server.UnsupportedTokenType, server.AuthorizationPending, server.SlowDown,
		server.ExpiredToken, server.InvalidRequestURI, server.RequestNotSupported, server.RequestURINotSupported, server.InteractionRequired, server.LoginRequired,
		server.AccountSelectionRequired, server.ConsentRequired, server.RegistrationNotSupported, server.InvalidTarget, server.InvalidDPoPProof, server.UseDPoPNonce,
		server.InvalidAuthorizationDetails, server.InvalidRequestObject, server.InvalidRedirectURI, server.InvalidClientMetadata, server.InvalidSoftwareStatement,
		server.UnapprovedSoftwareStatement, server.MissingAuthorization, server.InvalidToken, server.InsufficientUserAuthentication, server.UnmetAuthenticationRequirements,
		server.InsufficientScope, server.Canceled:
		return code
	default:
		return other
	}
}

// method returns an HTTP method, or the value that the conventions define for unknown ones.
func method(name string) string {
	known := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace}
	if slices.Contains(known, name) {
		return name
	}
	return "_OTHER"
}
