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
	"unicode/utf8"

	"github.com/gormoauth/gormoauth/models"
)

// Request is one OAuth request, parsed once and carried along.
type Request struct {
	// Server is the server that answers.
	Server *Server
	// HTTP is the request as it came in.
	HTTP *http.Request
	// Endpoint is "authorization", "token", or an endpoint's own name.
	Endpoint string
	// Params are the parameters; empty ones are left out (RFC 6749 section
	// 3.1) and none stands twice, but for those that a hook declares.
	Params url.Values
	// Time is when the request came in; every check of it uses this one.
	Time time.Time

	// Client is the client, nil before it is known.
	Client Client
	// AuthMethod is how the client authenticated, empty at the authorization
	// endpoint.
	AuthMethod string
	// User is the resource owner, nil where there is none.
	User User
	// Authentication is when and how the user signed in, as far as an
	// authorization request knows.
	Authentication Authentication
	// GrantType is the grant type, also of a token that the authorization
	// endpoint issues ("implicit").
	GrantType string
	// ResponseType is the response type of an authorization request.
	ResponseType string
	// RequestURI is the request_uri that stood for the request (RFC 9126, RFC
	// 9101), empty when its parameters came themselves.
	RequestURI string
	// RequestObject is the signed request object that the parameters stood in (RFC
	// 9101), nil when they came themselves.
	RequestObject *Assertion
	// RedirectURI is where the authorization response goes: one that the
	// client registered.
	RedirectURI string
	// Granted is how much the request asks for, as far as the client may have it.
	models.Granted
	// Authorization is what a code or a token of the request will say of whose it is, as
	// far as extensions know it: the key that the request proved to have (Confirmation),
	// what it asks for of the user (Claims), the session. [Request.NewAuthorization] adds
	// the rest.
	Authorization models.Authorization
	// State is the client's state, given back as it was.
	State string
	// Subject is the token that the request exchanges and does not spend (RFC
	// 8693), nil where there is none.
	Subject *StoredToken
	// Credential is what the request spends, nil where it spends nothing.
	Credential *Credential
	// Reuse is whether the credential was found to have been presented before, for
	// which its grant is revoked.
	Reuse bool

	ctx        context.Context //nolint:containedctx // as that of an http.Request, see Context
	storage    *storageBudget
	grant      any
	extensions []any
	attempt    *attempt // of the client to authenticate
	claimed    string   // the client that this is an attempt of
	leftOut    string   // words of the scope that it asked for and does not get
	decided    bool     // whether the user has decided on the authorization request
	noClient   *Reason  // why a client was not found, see WhyNoClient
	aside      bool     // whether nobody answers it, see PageContext
	kept       string   // the request_uri of a KeepRequestHook that it came by
	spends     []*Spend // what it presents that is good once

	clientReadAt   time.Time // when Client was read
	userReadAt     time.Time // when userGeneration was
	userGeneration int64
}

// failure is err as the answer to this request.
func (r *Request) failure(err error) error {
	failure := *AsError(err)
	failure.of = r
	if r.Endpoint == authorizationEndpoint {
		failure.state, failure.forPerson = r.State, true
	}
	return &failure
}

// stays is err as an answer that a person is shown and no client gets.
func (r *Request) stays(err error) error {
	failure := *AsError(r.Failure(err))
	failure.stays = true
	return &failure
}

// refused is the request, as far as it was read, and err as the answer to it.
func (r *Request) refused(err error) (*Request, error) {
	failure := r.failure(err)
	return r, failure
}

// Limits of a request beside Config.MaxRequestBytes.
const (
	maxParameters          = 128
	maxAuthorizationHeader = 8 << 10
)

const formMediaType = "application/x-www-form-urlencoded"

// ParseRequest parses a request to a page of the program's own, such as the
// verification page of RFC 8628: the parameters of the query and of the body.
func (s *Server) ParseRequest(r *http.Request, page string) (*Request, error) {
	if !s.initialized {
		return nil, ErrNotInitialized
	}
	return s.parse(r, page, true)
}

// ParsePageRequest is ParseRequest for a page to which a client sends the user's
// browser, by GET or POST: its errors are shown to the person.
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

// Failure is err as an answer that a person is shown by Config.RenderError.
func (r *Request) Failure(err error) error {
	failure := *AsError(r.failure(err))
	failure.forPerson = true
	return &failure
}

// SetUser sets the user, and what is known of how they signed in. A nil pointer is no
// user.
func (r *Request) SetUser(user User) {
	if IsNilUser(user) {
		r.User, r.Authentication = nil, Authentication{}
		return
	}
	r.User, r.Authentication, _ = signedIn(user)
}

// CheckAuthorizationRequest checks an authorization request that came by another
// way than the authorization endpoint, whose client is known: what stands for it,
// its redirect URI, its response type and all that [Request.CheckAuthorization] checks.
func (r *Request) CheckAuthorizationRequest(ctx context.Context) error {
	if err := r.Server.resolve(ctx, r); err != nil {
		return err
	}
	if err := r.checkRedirectURI(); err != nil {
		return err
	}
	return r.Server.checkAuthorizationRequest(ctx, r)
}

// ReplaceParams puts other parameters in the place of the request's, such as
// those of a request object. They are held to what all parameters are held to.
func (r *Request) ReplaceParams(params url.Values) error { return r.setParams(params) }

// CheckAuthorization checks what a client asks a user for, at an endpoint from
// which the user is asked later: its scope, and what the hooks check. It sets
// the request's Scope.
func (r *Request) CheckAuthorization(ctx context.Context) error {
	if err := r.takeScope(r.Params.Get("scope")); err != nil {
		return err
	}
	return each(r, func(hook AuthorizationRequestHook) error { return hook.CheckAuthorizationRequest(ctx, r) })
}

// parse reads the request's parameters: those of the body, and those of the
// query where the endpoint allows it.
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
	if err := CheckContentEncoding(r); err != nil {
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

// CheckContentEncoding refuses a body that is compressed, which could be unpacked
// to any size.
func CheckContentEncoding(r *http.Request) error {
	encoding := r.Header.Get("Content-Encoding")
	if encoding == "" || encoding == "identity" {
		return nil
	}
	failure := NewError(InvalidRequest, "The body must not be compressed.").With(slog.String("content_encoding", encoding))
	failure.Status = http.StatusUnsupportedMediaType
	return failure
}

// parseBody reads a form-urlencoded body, or takes what the program's page
// has read of it already.
func (s *Server) parseBody(r *http.Request) (url.Values, error) {
	if r.PostForm == nil && r.ContentLength != 0 {
		if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != formMediaType {
			return nil, NewError(InvalidRequest, "The Content-Type must be %s.", formMediaType).With(slog.String("content_type", media))
		}
		text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, s.config.MaxRequestBytes))
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			failure := NewError(InvalidRequest, "The body is too long.")
			failure.Status = http.StatusRequestEntityTooLarge
			return nil, failure
		}
		if hasTooMany(string(text)) {
			return nil, errTooManyParameters()
		}
		form, formErr := url.ParseQuery(string(text))
		if err != nil || formErr != nil {
			return nil, NewError(InvalidRequest, "The body is not form-urlencoded.")
		}
		r.PostForm = form // for the program's own page, which cannot read the body again
	}
	return r.PostForm, nil
}

// hasTooMany counts parameters before they are read: to read thousands costs more than
// to answer all of an honest request.
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

// setParams keeps the parameters that have a value, and refuses what no
// parameter may be: too many, repeated, not UTF-8, or with a NUL, which some
// databases do not store.
func (r *Request) setParams(params url.Values) error {
	r.Params = make(url.Values, min(len(params), maxParameters))
	if len(params) > maxParameters {
		return errTooManyParameters()
	}
	malformed, repeated := false, ""
	for name, values := range params {
		switch values := withoutEmpty(values); {
		case !wellFormed(name) || !allWellFormed(values):
			malformed = true
		case len(values) == 0:
		case len(values) == 1 || r.repeatable(name):
			r.Params[name] = values
		case repeated == "" || name < repeated:
			repeated = name
		}
	}
	switch {
	case malformed:
		return NewError(InvalidRequest, "A parameter is not well-formed UTF-8 text.")
	case repeated != "":
		return NewError(InvalidRequest, "The request has more than one '%s'.", Excerpt(repeated))
	}
	return nil
}

func (r *Request) repeatable(name string) bool {
	return slices.Contains(r.Server.repeatable, name)
}

func wellFormed(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

func allWellFormed(values []string) bool { return !slices.ContainsFunc(values, negate(wellFormed)) }

func withoutEmpty(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
}

func negate[T any](f func(T) bool) func(T) bool { return func(value T) bool { return !f(value) } }
