package server

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"

	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/server/display"
)

const errorPageStyle = `body{font-family:system-ui,sans-serif;margin:15vh auto;max-width:34em;padding:0 1em;line-height:1.5}code{color:#555}a{display:inline-block;padding:.5em 1em;border:1px solid;border-radius:.4em;text-decoration:none}@media(prefers-color-scheme:dark){body{background:#111;color:#eee}code{color:#aaa}a{color:#9cf}}`

var errorPage = template.Must(template.New("error").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>This request cannot be answered</title>
<style>{{.Style}}</style></head>
<body>
<h1>This request cannot be answered</h1>
<p>{{.Description}}</p>
<p><code>{{.Code}}</code></p>
{{if .WayBack}}<p><a href="{{.WayBack}}" rel="noreferrer">Back to {{.Host}}</a></p>
{{end}}</body>
</html>
`))

// acceptsHTML reports whether a request comes from a browser that displays the response.
func acceptsHTML(r *http.Request) bool {
	return strings.Contains(strings.Join(r.Header.Values("Accept"), ","), "text/html")
}

// ErrorPage is what Config.RenderError shows to the user.
type ErrorPage struct {
	// Error is what went wrong. Its Status is the page's: whether the request is invalid (400),
	// comes too often (429) or at a bad moment (503).
	Error *Error
	// Description says it in the user's language.
	Description string
	// WayBack is the address that delivers the error to the client, or "" if there is none. The
	// page may have a link or a button to it that shows its host. The browser must not be
	// redirected there automatically, because the client created itself and no user has decided
	// on it (RFC 9700 section 4.11.2).
	WayBack string
}

// errorPage returns what the page of an error shows.
func (s *Server) errorPage(f *failure, description string) ErrorPage {
	page := ErrorPage{Error: f.answer, Description: description}
	if f.way == toUserAndLink {
		page.WayBack = s.wayBack(f, description)
	}
	return page
}

// wayBack returns the address that delivers an error to the client, or "" if the error would have
// to be sent there by POST.
func (s *Server) wayBack(f *failure, description string) string {
	mode, params, err := s.responseParams(f.of, f.parameters(description))
	if err != nil || mode == modeFormPost {
		return ""
	}
	return responseAddress(f.of.RedirectURI, mode, params)
}

// writeErrorPage shows an error to the user if the program has no page of its own for it.
func writeErrorPage(w http.ResponseWriter, page ErrorPage) {
	page.Error.SetHeader(w)
	noStore(w)
	digest := sha256.Sum256([]byte(errorPageStyle))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	header.Set(w, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(digest[:])+"'")
	w.WriteHeader(page.Error.Status)
	_ = errorPage.Execute(w, struct {
		Code, Description, Host string
		WayBack                 template.URL
		Style                   template.CSS
	}{page.Error.Code, page.Description, display.Host(page.WayBack), template.URL(page.WayBack), errorPageStyle}) //nolint:gosec // a redirect URI that the client registered, which is never a javascript: URL
}
