package server

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"time"

	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Error codes, with the section that defines each.
const (
	InvalidRequest                  = "invalid_request"                   // RFC 6749 section 4.1.2.1, 5.2
	InvalidClient                   = "invalid_client"                    // RFC 6749 section 5.2
	InvalidGrant                    = "invalid_grant"                     // RFC 6749 section 5.2
	UnauthorizedClient              = "unauthorized_client"               // RFC 6749 section 4.1.2.1, 5.2
	UnsupportedGrantType            = "unsupported_grant_type"            // RFC 6749 section 5.2
	UnsupportedResponseType         = "unsupported_response_type"         // RFC 6749 section 4.1.2.1
	InvalidScope                    = "invalid_scope"                     // RFC 6749 section 4.1.2.1, 5.2
	AccessDenied                    = "access_denied"                     // RFC 6749 section 4.1.2.1
	ServerError                     = "server_error"                      // RFC 6749 section 4.1.2.1
	TemporarilyUnavailable          = "temporarily_unavailable"           // RFC 6749 section 4.1.2.1
	UnsupportedTokenType            = "unsupported_token_type"            // RFC 7009 section 2.2.1
	AuthorizationPending            = "authorization_pending"             // RFC 8628 section 3.5
	SlowDown                        = "slow_down"                         // RFC 8628 section 3.5
	ExpiredToken                    = "expired_token"                     // RFC 8628 section 3.5
	InvalidRequestURI               = "invalid_request_uri"               // RFC 9101 section 7
	RequestNotSupported             = "request_not_supported"             // OpenID Connect Core section 3.1.2.6
	RequestURINotSupported          = "request_uri_not_supported"         // OpenID Connect Core section 3.1.2.6
	InteractionRequired             = "interaction_required"              // OpenID Connect Core section 3.1.2.6
	LoginRequired                   = "login_required"                    // OpenID Connect Core section 3.1.2.6
	AccountSelectionRequired        = "account_selection_required"        // OpenID Connect Core section 3.1.2.6
	ConsentRequired                 = "consent_required"                  // OpenID Connect Core section 3.1.2.6
	RegistrationNotSupported        = "registration_not_supported"        // OpenID Connect Core section 3.1.2.6
	InvalidTarget                   = "invalid_target"                    // RFC 8707 section 2
	InvalidDPoPProof                = "invalid_dpop_proof"                // RFC 9449 section 5
	UseDPoPNonce                    = "use_dpop_nonce"                    // RFC 9449 section 8
	InvalidAuthorizationDetails     = "invalid_authorization_details"     // RFC 9396 section 5
	InvalidRequestObject            = "invalid_request_object"            // RFC 9101 section 7
	InvalidRedirectURI              = "invalid_redirect_uri"              // RFC 7591 section 3.2.2
	InvalidClientMetadata           = "invalid_client_metadata"           // RFC 7591 section 3.2.2
	InvalidSoftwareStatement        = "invalid_software_statement"        // RFC 7591 section 3.2.2
	UnapprovedSoftwareStatement     = "unapproved_software_statement"     // RFC 7591 section 3.2.2
	MissingAuthorization            = "missing_authorization"             // only in logs: the request has no credentials at all, RFC 6750 section 3.1
	Canceled                        = "canceled"                          // only in logs: the client disconnected before it got an answer
	InvalidToken                    = "invalid_token"                     // RFC 6750 section 3.1
	InsufficientUserAuthentication  = "insufficient_user_authentication"  // RFC 9470 section 3
	UnmetAuthenticationRequirements = "unmet_authentication_requirements" // RFC 9470 section 5
	InsufficientScope               = "insufficient_scope"                // RFC 6750 section 3.1
)

// Error is an OAuth error: everything that a client may know about what went wrong. An internal
// cause is only logged. It knows nothing of the request that it answers.
type Error struct {
	// Code is the error code.
	Code string
	// Description is an English sentence, a fmt format for Args, in the characters that RFC 6749
	// section 5.2 allows: ASCII without " and \. It is also the key of its translations.
	Description string
	// Args are the values in Description. Untrusted text is first passed through [display.Excerpt]. Words
	// of a scope are used as they are, up to a length, because their alphabet has no quotation
	// marks (RFC 6749 section 3.3).
	Args []any
	// URI is the URL of a page about the error. If empty, that of Config.ErrorURIs is used.
	URI string
	// Status is the HTTP status of a direct response.
	Status int
	// Scope is the scope that is required (RFC 6750 section 3.1).
	Scope string
	// Parameters are further parameters of a challenge, such as max_age (RFC 9470 section 3).
	Parameters map[string]string
	// Header is sent with a direct response, such as WWW-Authenticate.
	Header http.Header

	// What follows is for the log and for the program, and is never sent.
	cause  error
	kind   error // what [errors.Is] and [errors.As] find: ErrNoDecision or a *ReuseError
	reason error // see Because
	values []slog.Attr
	token  *storage.StoredToken // see OfToken
}

// Errors that are found by [errors.Is].
var (
	// ErrNoDecision is in the error for a request that should be the user's decision and is not:
	// it comes from another site, or not from the page as it would be shown now. Show the page
	// again.
	ErrNoDecision = errors.New("server: the request is not the user's decision on the current page")
	// ErrNotInitialized is the error of a server before [Server.Init].
	ErrNotInitialized = errors.New("server: Init has not been called")
)

// ReuseError is found by [errors.As] in the error of a request whose code or refresh token was
// presented before, for which its grant was revoked. A program that runs the request in its own
// transaction and rolls that back must revoke the grant again with Config.RevokeGrant, or use
// gormstore.AfterRollback for everything that has to persist.
type ReuseError struct {
	// GrantID is the id of the grant.
	GrantID string
	// Time is when the request arrived.
	Time time.Time
}

// Error returns a message without the grant.
func (*ReuseError) Error() string { return "a credential was presented again; its grant is revoked" }

// NewError returns an error with the HTTP status that belongs to its code in a direct response.
// An error with the code [TemporarilyUnavailable] also has a Retry-After header.
func NewError(code, description string, args ...any) *Error {
	failure := &Error{Code: code, Description: description, Args: args, Status: statusOf(code)}
	if code == TemporarilyUnavailable {
		failure.Header = http.Header{"Retry-After": {"1"}}
	}
	return failure
}

func statusOf(code string) int {
	switch code {
	case InvalidToken, MissingAuthorization, InsufficientUserAuthentication:
		return http.StatusUnauthorized
	case InsufficientScope:
		return http.StatusForbidden
	case ServerError:
		return http.StatusInternalServerError
	case TemporarilyUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusBadRequest
	}
}

// AsError returns err as an OAuth error. A [*clientmeta.Error] becomes invalid_redirect_uri or
// invalid_client_metadata, and a [ratelimit.ErrBusy] becomes [TooBusy]. Any other error becomes
// server_error, or temporarily_unavailable if it is an [storage.ErrUnavailable]. It has err as its cause,
// which is never sent to a client.
func AsError(err error) *Error {
	var oauth *Error
	if errors.As(err, &oauth) {
		return oauth
	}
	var metadata *clientmeta.Error
	if errors.As(err, &metadata) {
		return metadataError(metadata)
	}
	if errors.Is(err, ratelimit.ErrBusy) {
		return TooBusy(time.Second, "The server is busy. Please try again later.")
	}
	failure := NewError(ServerError, "The server could not answer the request.")
	if errors.Is(err, storage.ErrUnavailable) {
		failure = NewError(TemporarilyUnavailable, "The server is temporarily unavailable. Please try again.")
	}
	failure.cause = err
	return failure
}

// Error returns the code, the description and the cause. It is meant for the log.
func (e *Error) Error() string {
	if e.isSeeOther() {
		return "the browser is sent on to " + e.Header.Get("Location")
	}
	text := e.Code
	if e.Description != "" {
		text += ": " + e.Text()
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Text returns the description in English.
func (e *Error) Text() string { return fmt.Sprintf(e.Description, e.Args...) }

// Unwrap returns the internal cause, nil for a client's mistake.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether the error is of the kind of target, such as [ErrNoDecision].
func (e *Error) Is(target error) bool { return e.kind != nil && errors.Is(e.kind, target) }

// As sets target to what is known of the error if it is about that, such as a *[ReuseError].
func (e *Error) As(target any) bool { return e.kind != nil && errors.As(e.kind, target) }

// Members returns the members of the error response, either of a JSON object or as parameters of
// a redirect, with the description in the reader's language. Empty members are left out. The state
// of an authorization request is not the error's, and is added by the server. There are none for a request without any credentials, which did not know that it needs some (RFC 6750
// section 3.1).
func (e *Error) Members(description string) map[string]string {
	if e.Code == MissingAuthorization {
		return map[string]string{}
	}
	members := map[string]string{"error": e.Code, "error_description": description, "error_uri": e.URI}
	maps.DeleteFunc(members, func(_, value string) bool { return value == "" })
	return members
}

// SetHeader sets the headers of a direct response, such as Retry-After. Call it in a program that
// shows the error on a page of its own; for Config.RenderError they are already set.
func (e *Error) SetHeader(w http.ResponseWriter) { header.Copy(w, e.Header) }

// metadataError returns the first fault as an answer to the client (RFC 7591 section 3.2.2).
func metadataError(e *clientmeta.Error) *Error {
	fault := e.Faults[0]
	code := InvalidClientMetadata
	if fault.Member == "redirect_uris" {
		code = InvalidRedirectURI
	}
	member := display.Excerpt(fault.Member)
	if fault.Value != "" {
		member += " '" + display.Excerpt(fault.Value) + "'"
	}
	return NewError(code, "The client metadata is not valid: %s %s.", member, fault.Problem)
}
