package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/characters"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/budget"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Request is one OAuth request. It is parsed once and passed along.
type Request struct {
	// Server is the server that answers the request.
	Server *Server
	// HTTP is the request as it arrived.
	HTTP *http.Request
	// Endpoint is "authorization", "token", or the name of another endpoint.
	Endpoint string
	// Params are the parameters. Empty ones are left out (RFC 6749 section 3.1), and none is
	// repeated except those that a [RepeatableParametersHook] names.
	Params url.Values
	// Time is when the request arrived. Every check uses this time.
	Time time.Time

	// Client is the client, nil until it is known.
	Client storage.Client
	// AuthMethod is the method by which the client authenticated. It is empty at the
	// authorization endpoint.
	AuthMethod string
	// User is the resource owner, nil if there is none.
	User storage.User
	// Authentication says when and how the user signed in, as far as an authorization request
	// knows.
	Authentication Authentication
	// GrantType is the grant type. It is also set ("implicit") for a token that the authorization
	// endpoint issues.
	GrantType string
	// ResponseType is the response type of an authorization request.
	ResponseType string
	// RequestURI is the request_uri that stood for the request (RFC 9126, RFC 9101). It is empty
	// if the parameters were sent directly.
	RequestURI string
	// RequestObject is the signed request object that held the parameters (RFC 9101). It is nil
	// if they were sent directly.
	RequestObject *assertion.Assertion
	// RedirectURI is where the authorization response goes, a redirect URI that the client
	// registered.
	RedirectURI string
	// Granted is the scope, audience and authorization details that the request asks for, limited
	// to what the client may have.
	models.Granted
	// Authorization is the part of the [models.Authorization] of a code or token from this
	// request that extensions have filled in: the key that the request proved possession of
	// (Confirmation), the requested claims about the user (Claims), the session.
	// [Request.NewAuthorization] adds the rest.
	Authorization models.Authorization
	// State is the client's state, which is returned unchanged.
	State string
	// Subject is the token that the request exchanges without spending it (RFC 8693), nil if
	// there is none.
	Subject *storage.StoredToken
	// Credential is the credential that the request spends, nil if there is none.
	Credential *Credential
	// Reuse reports whether the credential had been presented before, in which case its grant is
	// revoked.
	Reuse bool

	ctx        context.Context  //nolint:containedctx // as that of an http.Request, see Context
	basic      basicCredentials // see BasicCredentials
	remote     string           // see RemoteAddress
	storage    *budget.Budget
	grant      any
	extensions []any
	attempt    *attempt         // to authenticate the client
	claimed    string           // the client_id that the attempt claims
	leftOut    string           // words of the requested scope that are not granted
	decided    bool             // whether the user has decided on the authorization request
	noClient   *reason.Reason   // why a client was not found, see WhyNoClient
	aside      bool             // whether it is never answered, see PageContext
	kept       string           // the request_uri of a KeepRequestHook that stood for it
	spends     []*storage.Spend // what it presents that can be used only once

	authenticates *storage.Spend // that of them by which the client authenticated

	clientReadAt   time.Time // when Client was read
	userReadAt     time.Time // when userGeneration was
	userGeneration int64
}

// Limits of a request, besides Config.MaxRequestBytes.
const (
	maxParameters          = 128
	maxAuthorizationHeader = 8 << 10
)

const formMediaType = "application/x-www-form-urlencoded"

// ParseRequest parses a request to one of the program's own pages, such as the verification page
// of RFC 8628: the parameters of the query and of the body.
func (s *Server) ParseRequest(r *http.Request, page string) (*Request, error) {
	if !s.initialized {
		return nil, ErrNotInitialized
	}
	return s.parse(r, page, true)
}

// ParsePageRequest is ParseRequest for a page to which a client sends the user's browser by GET
// or POST. Its errors are shown to the user.
func (s *Server) ParsePageRequest(r *http.Request, page string) (*Request, error) {
	if !s.initialized {
		return nil, ErrNotInitialized
	}
	if err := checkMethod(r, http.MethodGet, http.MethodPost); err != nil {
		req := s.newRequest(r, page)
		failure := req.Failure(err)
		return req, failure
	}
	req, err := s.parse(r, page, true)
	if err != nil {
		err = req.Failure(err)
	}
	return req, err
}

// SetUser sets the user, together with when and how they signed in if that is known. A nil user,
// or a nil pointer, clears both.
func (r *Request) SetUser(user storage.User) {
	if IsNilUser(user) {
		r.User, r.Authentication = nil, Authentication{}
		return
	}
	r.User, r.Authentication, _ = signedIn(user)
}

// CheckAuthorizationRequest checks an authorization request that did not arrive at the
// authorization endpoint and whose client is known. It resolves a request_uri or request object,
// then checks the redirect URI, the response type and everything that
// [Request.CheckAuthorization] checks.
func (r *Request) CheckAuthorizationRequest(ctx context.Context) error {
	if err := r.Server.resolve(ctx, r); err != nil {
		return err
	}
	if err := r.checkRedirectURI(); err != nil {
		return err
	}
	return r.Server.checkAuthorizationRequest(ctx, r)
}

// ReplaceParams replaces the request's parameters by others, such as those of a request object.
// The new parameters are checked like any others.
func (r *Request) ReplaceParams(params url.Values) error { return r.setParams(params) }

// CheckAuthorization checks what a client asks of a user at an endpoint where the user is asked
// later: the scope, and whatever the hooks check. It sets the request's Scope.
func (r *Request) CheckAuthorization(ctx context.Context) error {
	if err := r.takeScope(r.Params.Get("scope")); err != nil {
		return err
	}
	return each(r, func(hook AuthorizationRequestHook) error { return hook.CheckAuthorizationRequest(ctx, r) })
}

// parse reads the parameters of the body and, if the endpoint allows it, of the query.
func (s *Server) parse(r *http.Request, endpoint string, withQuery bool) (*Request, error) {
	req := s.newRequest(r, endpoint)
	var params url.Values
	if withQuery {
		if int64(len(r.URL.RawQuery)) > s.config.MaxRequestBytes {
			return req, NewError(InvalidRequest, "The query is too long.")
		}
		if hasTooMany(r.URL.RawQuery) {
			return req, errTooManyParameters()
		}
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return req, NewError(InvalidRequest, "The query is not form-urlencoded.")
		}
		params = query
	}
	if len(r.Header.Values("Authorization")) > 1 {
		return req, NewError(InvalidRequest, "The request has more than one 'Authorization' header.")
	}
	if len(r.Header.Get("Authorization")) > maxAuthorizationHeader {
		return req, NewError(InvalidRequest, "The Authorization header is too long.")
	}
	if err := checkContentEncoding(r); err != nil {
		return req, err
	}
	if r.Method == http.MethodPost {
		body, err := s.parseBody(r)
		if err != nil {
			return req, err
		}
		if endpoint != authorizationEndpoint || !req.isOnPage() {
			params = merge(params, body)
		}
	}
	if withQuery {
		params = withoutDecision(params)
	}
	err := req.setParams(params)
	req.State = req.Params.Get("state")
	return req, err
}

// CheckContentEncoding refuses a compressed body, which could expand to any size. An endpoint that
// reads the body itself calls it first.
func (r *Request) CheckContentEncoding() error { return checkContentEncoding(r.HTTP) }

func checkContentEncoding(r *http.Request) error {
	encoding := r.Header.Get("Content-Encoding")
	if encoding == "" || encoding == "identity" {
		return nil
	}
	failure := NewError(InvalidRequest, "The body must not be compressed.").With(slog.String("content_encoding", encoding))
	failure.Status = http.StatusUnsupportedMediaType
	return failure
}

// parseBody reads a form-urlencoded body, or uses the form that the program's page has already
// read.
func (s *Server) parseBody(r *http.Request) (url.Values, error) {
	if r.PostForm == nil && r.ContentLength != 0 {
		if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != formMediaType {
			return nil, NewError(InvalidRequest, "The Content-Type must be %s.", formMediaType).With(slog.String("content_type", media))
		}
		read, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, s.config.MaxRequestBytes))
		text := string(read)
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			failure := NewError(InvalidRequest, "The body is too long.")
			failure.Status = http.StatusRequestEntityTooLarge
			return nil, failure
		}
		if hasTooMany(text) {
			return nil, errTooManyParameters()
		}
		form, formErr := url.ParseQuery(text)
		if err != nil || formErr != nil {
			return nil, NewError(InvalidRequest, "The body is not form-urlencoded.")
		}
		r.PostForm = form // for the program's own page, which cannot read the body again
	}
	return r.PostForm, nil
}

// hasTooMany counts parameters before they are parsed: parsing thousands of them costs more than
// answering an honest request.
func hasTooMany(text string) bool { return strings.Count(text, "&") >= maxParameters }

func errTooManyParameters() error {
	return NewError(InvalidRequest, "The request has too many parameters.")
}

func merge(a, b url.Values) url.Values {
	if len(a) == 0 {
		return b
	}
	for name, values := range b {
		a[name] = append(a[name], values...)
	}
	return a
}

// setParams keeps the parameters that have a value. It refuses too many parameters, repeated
// ones, and those that are not UTF-8 or contain NUL, which some databases cannot store.
func (r *Request) setParams(params url.Values) error {
	r.Params = make(url.Values, len(params))
	malformed, repeated := false, ""
	for name, values := range params {
		switch values := withoutEmpty(values); {
		case !characters.AreStorable(name) || !allWellFormed(values):
			malformed = true
		case len(values) == 0:
		case len(values) == 1 || r.repeatable(name):
			r.Params[name] = values
		case repeated == "" || name < repeated:
			repeated = name
		}
	}
	switch {
	case len(params) > maxParameters:
		return errTooManyParameters()
	case malformed:
		return NewError(InvalidRequest, "A parameter is not valid UTF-8 text.")
	case repeated != "":
		return NewError(InvalidRequest, "The request has more than one '%s'.", display.Excerpt(repeated))
	}
	return nil
}

func (r *Request) repeatable(name string) bool {
	return slices.Contains(r.Server.repeatable, name)
}

func allWellFormed(values []string) bool {
	return !slices.ContainsFunc(values, negate(characters.AreStorable))
}

func withoutEmpty(values []string) []string {
	if !slices.Contains(values, "") {
		return values
	}
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
}

func negate[T any](f func(T) bool) func(T) bool { return func(value T) bool { return !f(value) } }
