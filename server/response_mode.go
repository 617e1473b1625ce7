package server

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/header"
)

// Response modes of authorization responses (OAuth 2.0 Multiple Response Type
// Encoding Practices, OAuth 2.0 Form Post Response Mode).
const (
	modeQuery    = "query"
	modeFragment = "fragment"
	modeFormPost = "form_post"
)

// responseMode returns how the response is delivered, and the hook that wraps it, if any. ok is
// false if the requested mode is not supported; the response is then delivered in the default
// mode.
func responseMode(req *Request) (mode string, wrap ResponseModeHook, ok bool) {
	usual := usualResponseMode(req)
	requested := req.Params.Get("response_mode")
	if requested == "" {
		return usual, nil, true
	}
	base, suffix, dotted := strings.Cut(requested, ".")
	tell(req, func(hook ResponseModeHook) {
		if dotted && hook.ResponseModeSuffix() == suffix || hook.ResponseModeSuffix() == requested {
			wrap = hook
		}
	})
	switch {
	case wrap != nil && requested == wrap.ResponseModeSuffix():
		return usual, wrap, true
	case dotted && wrap == nil, !slices.Contains(responseModes(usual), base):
		return usual, nil, false
	}
	return base, wrap, true
}

// responseModes returns the modes of a response whose default mode is usual. A token must not be
// sent in a query, which ends up in logs.
func responseModes(usual string) []string {
	if usual == modeQuery {
		return []string{modeQuery, modeFragment, modeFormPost}
	}
	return []string{modeFragment, modeFormPost}
}

// usualResponseMode returns the default mode of the grant. For an unsupported response type it is
// fragment if a token is asked for, and query otherwise.
func usualResponseMode(req *Request) string {
	if grant, ok := req.grant.(AuthorizationGrant); ok {
		return grant.ResponseMode()
	}
	words := strings.Fields(req.ResponseType)
	if slices.Contains(words, "token") || slices.Contains(words, "id_token") {
		return modeFragment
	}
	return modeQuery
}

// deliver sends an authorization response to the redirect URI, which has been found to be the
// client's. On an error nothing was written; the error is shown to the user.
func (s *Server) deliver(w http.ResponseWriter, req *Request, params url.Values) error {
	mode, params, err := s.responseParams(req, params)
	if err != nil {
		return req.stays(err)
	}
	noStore(w)
	if mode == modeFormPost {
		writeFormPost(w, req.RedirectURI, params)
		return nil
	}
	if err := header.Redirect(w, responseAddress(req.RedirectURI, mode, params), http.StatusFound); err != nil {
		return req.stays(err)
	}
	return nil
}

// responseParams returns the parameters of an authorization response as they are sent, including
// the issuer (RFC 9207), and the mode in which they are sent.
func (s *Server) responseParams(req *Request, params url.Values) (mode string, sent url.Values, err error) {
	mode, wrap, _ := responseMode(req)
	params.Set("iss", s.config.Issuer)
	if wrap != nil {
		params, err = wrap.WrapAuthorizationResponse(req.Context(), req, params)
	}
	return mode, params, err
}

// responseAddress returns a redirect URI with the parameters of a response.
func responseAddress(redirectURI, mode string, params url.Values) string {
	separator := "#"
	if mode == modeQuery {
		separator = "?"
		if strings.Contains(redirectURI, "?") {
			separator = "&"
		}
	}
	return redirectURI + separator + params.Encode()
}

const formPostScript = "document.forms[0].submit()"

// formPostPage submits itself. Without scripts it shows a button.
var formPostPage = template.Must(template.New("form_post").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Back to the application</title></head>
<body>
<form method="post" action="{{.Action}}">
{{range $name, $values := .Params}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}<noscript><button type="submit">Continue</button></noscript>
</form>
<script>{{.Script}}</script>
</body>
</html>
`))

// writeFormPost writes a page that posts the response to the redirect URI. Its policy allows its
// one script by digest, even if the program forbids scripts elsewhere.
func writeFormPost(w http.ResponseWriter, redirectURI string, params url.Values) {
	digest := sha256.Sum256([]byte(formPostScript))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	header.Set(w, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; script-src 'sha256-"+
		base64.StdEncoding.EncodeToString(digest[:])+"'")
	_ = formPostPage.Execute(w, struct {
		Action template.URL
		Params url.Values
		Script template.JS
	}{template.URL(redirectURI), params, formPostScript}) //nolint:gosec // a redirect URI that the client registered, which is never a javascript: URL
}
