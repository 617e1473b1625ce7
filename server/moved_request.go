package server

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/gormoauth/gormoauth/internal/header"
)

// MaxAddress is how long an address may be to which a browser is sent on: it still
// fits into a header when it is, once more escaped, the parameter of a sign-in page.
const MaxAddress = 4 << 10

// Address returns where a page is met by GET: its path, with the parameters as its
// query.
func (r *Request) Address(params url.Values) string { return r.address(params.Encode()) }

func (r *Request) address(query string) string {
	path := r.publicPath()
	if query == "" {
		return path
	}
	return path + "?" + query
}

// publicPath is the path by which the browser knows the page of a request, which lies
// below the issuer: [http.StripPrefix] may have taken off whatever stands before it,
// and a proxy the issuer's path.
func (r *Request) publicPath() string {
	path := fromRoot(r.HTTP.URL)
	if line, err := url.ParseRequestURI(r.HTTP.RequestURI); err == nil && strings.HasSuffix(fromRoot(line), path) {
		path = fromRoot(line)
	}
	if below := r.Server.issuerPath(); !strings.HasPrefix(path, below+"/") {
		path = below + path
	}
	return path
}

// fromRoot is a path with one slash at its beginning: two would begin another host.
func fromRoot(u *url.URL) string { return "/" + strings.TrimLeft(u.EscapedPath(), "/") }

// returnTo is the address of a request whose parameters stand in the query. A decision
// that somebody wrote into it is left out, and what cannot stand in a header is escaped.
func (r *Request) returnTo() string {
	query := r.HTTP.URL.RawQuery
	if strings.Contains(query, DecisionField) || strings.Contains(query, ConfirmField) || !header.IsPrintable(query) {
		if values, err := url.ParseQuery(query); err == nil {
			return r.Address(withoutDecision(values))
		}
	}
	return r.address(query)
}

// withoutDecision is a copy of the parameters without the fields of a decision.
func withoutDecision(values url.Values) url.Values {
	rest := make(url.Values, len(values))
	for name, value := range values {
		if name != DecisionField && name != ConfirmField {
			rest[name] = value
		}
	}
	return rest
}

// SeeOther returns an error by which [Server.WriteError] sends the browser on by GET to
// an address of this site.
func SeeOther(address string) *Error {
	return &Error{Status: http.StatusSeeOther, Header: http.Header{"Location": {address}}}
}

// isSeeOther reports whether an error is one of [SeeOther].
func (e *Error) isSeeOther() bool { return e.Code == "" && e.Status == http.StatusSeeOther }

// isOnPage reports whether a POST was sent to the address of a page, from the program's
// own page: the query has the request, and the body what the user decides. Any other
// POST is a client's request.
func (r *Request) isOnPage() bool {
	return r.HTTP.URL.RawQuery != "" && !r.HTTP.PostForm.Has("client_id") && r.Server.FromOwnPage(r.HTTP)
}

// moveOn sends a client's request on that came by POST and is too long for an address.
// It is valid, so that nothing is kept for nobody.
func (s *Server) moveOn(req *Request, posted url.Values) error {
	requestURI := ""
	err := each(req, func(hook KeepRequestHook) (err error) {
		if requestURI == "" {
			requestURI, err = hook.KeepAuthorizationRequest(req.Context(), req, posted)
		}
		return err
	})
	switch {
	case err != nil:
		return req.stays(err)
	case requestURI == "":
		return s.redirectable(req, NewError(InvalidRequest, "The request is too long to be redirected by GET. Push it instead (RFC 9126)."))
	}
	return SeeOther(req.Address(url.Values{"client_id": {req.Client.GetClientID()}, "request_uri": {requestURI}}))
}

// restore puts the parameters of a request that is kept in the place of its
// request_uri.
func (s *Server) restore(ctx context.Context, req *Request) error {
	if !req.Params.Has("request_uri") {
		return nil
	}
	return each(req, func(hook KeepRequestHook) error {
		requestURI := req.Params.Get("request_uri")
		params, err := hook.KeptAuthorizationRequest(ctx, req)
		if err != nil || params == nil {
			return err
		}
		req.kept = requestURI
		return req.setParams(params)
	})
}

// KeptRequestURI returns the request_uri of a [KeepRequestHook] by which the request came,
// empty where it came as it is. It is not one that was pushed.
func (r *Request) KeptRequestURI() string { return r.kept }
