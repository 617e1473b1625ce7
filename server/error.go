package server

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/server/ratelimit"
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
	MissingAuthorization            = "missing_authorization"             // for logs alone: no credentials at all, RFC 6750 section 3.1
	InvalidToken                    = "invalid_token"                     // RFC 6750 section 3.1
	InsufficientUserAuthentication  = "insufficient_user_authentication"  // RFC 9470 section 3
	UnmetAuthenticationRequirements = "unmet_authentication_requirements" // RFC 9470 section 5
	InsufficientScope               = "insufficient_scope"                // RFC 6750 section 3.1
)

// Error is an OAuth error: all that a client may know of what went wrong. A
// cause from inside goes to the log alone.
type Error struct {
	// Code is the error code.
	Code string
	// Description is an English sentence, a fmt format for Args, in the
	// characters that RFC 6749 section 5.2 allows: ASCII without " and \. It
	// is also the key under which translations are found.
	Description string
	// Args are what Description names. What a stranger wrote is there as [Excerpt]
	// returns it, and words of a scope as they are, up to a length: those have an
	// alphabet of their own (RFC 6749 section 3.3), in which there is no quote.
	Args []any
	// URI is a page about the error; empty for the one in Config.ErrorURIs.
	URI string
	// Status is the HTTP status of a direct answer.
	Status int
	// Scope is the scope that would have been enough (RFC 6750 section 3.1).
	Scope string
	// Parameters are further ones of a challenge, such as max_age (RFC 9470
	// section 3).
	Parameters map[string]string
	// Header is sent with a direct answer, such as WWW-Authenticate.
	Header http.Header

	cause     error
	reason    error // see Because
	values    []slog.Attr
	token     *StoredToken // see OfToken
	redirect  *Request     // whose redirect URI the error is delivered to: one that was found to be the client's
	held      *Request     // whose redirect URI nobody is sent to yet: a person may go there
	wayBack   string       // where that is
	state     string
	of        *Request // for the log
	logged    bool     // and whether it is there already
	forPerson bool     // an error of the authorization endpoint, which a person sees
	stays     bool     // and which no client gets
	undecided bool     // see ErrNoDecision
	reuse     *ReuseError
}

// ReuseError is what [errors.As] finds in the error of a request whose code or refresh token
// was presented before: its grant was revoked for that. A program that runs the request in
// a transaction of its own, and rolls that back, revokes it once more by Config.RevokeGrant, or
// all that has to stay by gormstore.AfterRollback.
type ReuseError struct {
	// GrantID is the grant.
	GrantID string
	// Time is when the request came in.
	Time time.Time
}

// Error says so, without the grant.
func (*ReuseError) Error() string { return "a credential was presented again; its grant is revoked" }

// NewError returns an error with the status that its code has in a direct
// answer; one of [TemporarilyUnavailable] says when to come again.
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

// AsError returns err as an OAuth error. A [*ClientMetadataError] becomes
// invalid_redirect_uri or invalid_client_metadata, a [ratelimit.ErrBusy] [TooBusy].
// Any other becomes server_error, or temporarily_unavailable for an
// [ErrUnavailable], with err as its cause, which no client sees.
func AsError(err error) *Error {
	var oauth *Error
	if errors.As(err, &oauth) {
		return oauth
	}
	var metadata *ClientMetadataError
	if errors.As(err, &metadata) {
		return metadata.clientError()
	}
	if errors.Is(err, ratelimit.ErrBusy) {
		return TooBusy(time.Second, "The server is busy. Please try again later.")
	}
	failure := NewError(ServerError, "The server could not answer the request.")
	if errors.Is(err, ErrUnavailable) {
		failure = NewError(TemporarilyUnavailable, "The server is temporarily unavailable. Please try again.")
	}
	failure.cause = err
	return failure
}

// Error returns code, description and, for the log, the cause.
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

// Unwrap returns what went wrong inside, nil for a client's own fault.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is [ErrNoDecision] and the error is one of those.
func (e *Error) Is(target error) bool { return e.undecided && target == ErrNoDecision }

// As sets a *[ReuseError] where the error is about one.
func (e *Error) As(target any) bool {
	reuse, ok := target.(**ReuseError)
	if ok && e.reuse != nil {
		*reuse = e.reuse
		return true
	}
	return false
}

// WayBack returns the address at which the client learns of an error that a person is
// shown, empty when there is none. The page may have a link or a button that leads
// there and names its host: nobody is sent there without one, as the client made itself
// and no person has decided on it (RFC 9700 section 4.11.2).
func (e *Error) WayBack() string { return e.wayBack }

// RedirectURI returns the address that the error is delivered to, empty when
// it is to be shown to the person: an error never leaves for an address that
// was not found to be the client's.
func (e *Error) RedirectURI() string {
	if e.redirect == nil {
		return ""
	}
	return e.redirect.RedirectURI
}

// answerStatus returns the HTTP status with which the error is answered.
func (e *Error) answerStatus() int {
	if e.redirect == nil {
		return e.Status
	}
	if mode, _, _ := responseMode(e.redirect); mode == modeFormPost {
		return http.StatusOK
	}
	return http.StatusFound
}

// Members returns what an answer says of the error, with its description in the
// language of the reader: the members of a JSON object or the parameters of a redirect.
// Empty ones are left out. There are none for a request that has no credentials at all:
// it did not know that it needs some (RFC 6750 section 3.1).
func (e *Error) Members(description string) map[string]string {
	if e.Code == MissingAuthorization {
		return map[string]string{}
	}
	members := map[string]string{"error": e.Code, "error_description": description, "error_uri": e.URI, "state": e.state}
	maps.DeleteFunc(members, func(_, value string) bool { return value == "" })
	return members
}

// SetHeader sets the headers that are sent with a direct answer, such as Retry-After. It
// is for a program that shows the error on a page of its own; for Config.RenderError they
// are set already.
func (e *Error) SetHeader(w http.ResponseWriter) { header.Copy(w, e.Header) }

func (e *Error) parameters(description string) url.Values {
	values := make(url.Values, 4)
	for name, value := range e.Members(description) {
		values.Set(name, value)
	}
	return values
}
