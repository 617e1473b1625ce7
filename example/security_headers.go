package main

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gormoauth/gormoauth/server"
)

// securityHeaders sets what holds for every answer. There is no script
// anywhere, so none is allowed.
func securityHeaders(secure bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy(""))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// An authorization request must not travel on in a Referer. Not
		// "no-referrer", which makes browsers send forms with "Origin: null".
		h.Set("Referrer-Policy", "same-origin")
		if secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// contentSecurityPolicy allows this site's own style sheet, images and forms.
// A form may lead on to formTarget, too, unless that is empty.
func contentSecurityPolicy(formTarget string) string {
	formAction := strings.TrimSpace("'self' " + formTarget)
	return "default-src 'none'; style-src 'self'; img-src 'self'; form-action " + formAction +
		"; frame-ancestors 'none'; base-uri 'none'"
}

// formTarget is a redirect URI as a source of form-action. Chromium holds the redirect
// that follows a form to form-action, and knows no source for an IPv6 address, such as a
// native app's, but its scheme.
func formTarget(redirectURI string) string {
	source := server.PolicySource(redirectURI)
	if source == "" && strings.HasPrefix(redirectURI, "http://[::1]") {
		return "http:"
	}
	return source
}

// formTargetOf is where a form leads in the end that leads on to next: for what is
// allowed already, straight to the application.
func (a *app) formTargetOf(r *http.Request, next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Path != "/oauth/authorize" {
		return ""
	}
	request := r.Clone(r.Context())
	request.Method, request.URL, request.Form, request.PostForm = http.MethodGet, u, nil, nil
	consent, err := a.oauth.GetConsentGrant(request, nil)
	if err != nil {
		return ""
	}
	return formTarget(consent.RedirectURI)
}
