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

// writeErrorPage shows an error to the user if the program has no page of its own for it.
func writeErrorPage(w http.ResponseWriter, failure *Error, description string) {
	failure.SetHeader(w)
	noStore(w)
	digest := sha256.Sum256([]byte(errorPageStyle))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	header.Set(w, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(digest[:])+"'")
	w.WriteHeader(failure.Status)
	_ = errorPage.Execute(w, struct {
		Code, Description, Host string
		WayBack                 template.URL
		Style                   template.CSS
	}{failure.Code, description, display.Host(failure.wayBack), template.URL(failure.wayBack), errorPageStyle}) //nolint:gosec // a redirect URI that the client registered, which is never a javascript: URL
}
