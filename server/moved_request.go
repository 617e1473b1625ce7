package server

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/gormoauth/gormoauth/internal/header"
)

// Address returns the address at which a page is reached by GET: its path, with the parameters as
// its query.
func (r *Request) Address(params url.Values) string { return r.address(params.Encode()) }

func (r *Request) address(query string) string {
	path := r.publicPath()
	if query == "" {
		return path
	}
	return path + "?" + query
}

// publicPath returns the path of the request's page as the browser knows it, which is below the
// issuer: [http.StripPrefix] may have removed a prefix, and a proxy the issuer's path.
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

// fromRoot returns a path with a single leading slash: with two it would begin with another host.
func fromRoot(u *url.URL) string { return "/" + strings.TrimLeft(u.EscapedPath(), "/") }

// returnTo returns the address of a request whose parameters are in the query. A decision in the
// query, which only somebody else can have written, is removed, and characters that are not
// allowed in a header are escaped.
func (r *Request) returnTo() string {
	query := r.HTTP.URL.RawQuery
	if strings.Contains(query, DecisionField) || strings.Contains(query, ConfirmField) || !header.IsPrintable(query) {
		if values, err := url.ParseQuery(query); err == nil {
			return r.Address(withoutDecision(values))
		}
	}
	return r.address(query)
}

// withoutDecision returns a copy of the parameters without the fields of a decision.
func withoutDecision(values url.Values) url.Values {
	rest := make(url.Values, len(values))
	for name, value := range values {
		if name != DecisionField && name != ConfirmField {
			rest[name] = value
		}
	}
	return rest
}

// SeeOther returns an error with which [Server.WriteError] redirects the browser by GET to an
// address of this site.
func SeeOther(address string) *Error {
	return &Error{Status: http.StatusSeeOther, Header: http.Header{"Location": {address}}}
}

// isSeeOther reports whether an error was returned by [SeeOther].
func (e *Error) isSeeOther() bool { return e.Code == "" && e.Status == http.StatusSeeOther }

// isOnPage reports whether a POST was sent from the program's own page to the page's address: the
// query has the request, and the body the user's decision. Any other POST is a client's request.
func (r *Request) isOnPage() bool {
	return r.HTTP.URL.RawQuery != "" && !r.HTTP.PostForm.Has("client_id") && r.Server.FromOwnPage(r.HTTP)
}

// moveOn redirects a client's request that was sent by POST and is too long for an address. The
// request is valid, so nothing is stored for invalid ones.
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

// restore replaces the request_uri of a stored request by its parameters.
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

// KeptRequestURI returns the request_uri under which a [KeepRequestHook] stored the request, or
// "" if its parameters were sent directly. It is never that of a pushed request.
func (r *Request) KeptRequestURI() string { return r.kept }
