package main

import (
	"net/http"

	"github.com/gormoauth/gormoauth/server/display"
)

// securityHeaders sets what holds for every answer. There is no script
// anywhere, so none is allowed.
func securityHeaders(secure bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
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
const contentSecurityPolicy = withoutFormAction + "; form-action 'self'"

const withoutFormAction = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; img-src 'self'"

// leadsOn is for a page with a form that may end at an application. Chromium holds
// form-action against every redirect that follows, and where an application leads on
// to nobody knows: an app of its own scheme, or another site. So such a page has none.
//
// The page may have the application's logo, or none.
func leadsOn(w http.ResponseWriter, logo string) {
	policy := withoutFormAction
	if source := display.PolicySource(logo); source != "" {
		policy += " " + source
	}
	w.Header().Set("Content-Security-Policy", policy)
}
