package main

import (
	"net/http"

	"github.com/gormoauth/gormoauth/server/display"
)

// securityHeaders sets the headers of every response. No page has a script, so none is allowed.
func securityHeaders(secure bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// An authorization request must not leak in a Referer. "no-referrer" would make
		// browsers send forms with "Origin: null".
		h.Set("Referrer-Policy", "same-origin")
		if secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// contentSecurityPolicy allows this site's own style sheet, images and forms.
const contentSecurityPolicy = withoutFormAction + "; form-action 'self'"

const withoutFormAction = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; img-src 'self'"

// leadsOn sets the policy of a page whose form may lead to an application. Chromium applies
// form-action to every redirect that follows, and an application may redirect to any site or to a
// scheme of its own. So such a page has no form-action. logo is the application's, or empty.
func leadsOn(w http.ResponseWriter, logo string) {
	policy := withoutFormAction
	if source := display.PolicySource(logo); source != "" {
		policy += " " + source
	}
	w.Header().Set("Content-Security-Policy", policy)
}
