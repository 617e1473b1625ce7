package main

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/gormoauth/gormoauth/server/display"
)

const maxFormBytes = 64 << 10

// readForm reads a posted form. If that fails, it answers the request and returns false.
func (a *app) readForm(w http.ResponseWriter, r *http.Request) (form url.Values, ok bool) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	err := r.ParseForm()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		a.errorPage(w, http.StatusRequestEntityTooLarge)
		return nil, false
	case err != nil || !storableForm(r.PostForm):
		a.errorPage(w, http.StatusBadRequest)
		return nil, false
	}
	return r.PostForm, true
}

// storable reports whether a text can be stored. PostgreSQL refuses NUL, and text that is not
// valid UTF-8.
func storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

func storableForm(form url.Values) bool {
	for _, values := range form {
		for _, value := range values {
			if !storable(value) {
				return false
			}
		}
	}
	return true
}

// redirectLocal redirects to a page of this site only.
func redirectLocal(w http.ResponseWriter, r *http.Request, next string) {
	http.Redirect(w, r, display.LocalPath(next), http.StatusSeeOther) //nolint:gosec // G710: LocalPath lets no other host through
}
