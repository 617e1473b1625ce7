package main

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/gormoauth/gormoauth/server/display"
)

var (
	//go:embed templates/*.html
	templateFiles embed.FS
	//go:embed static
	staticFiles embed.FS
)

// layout is what every page shows.
type layout struct {
	Title string
	User  *User // nil when nobody is signed in
}

type errorView struct {
	layout
	Heading, Message, Detail string
	WayBack                  template.URL // a link to the application
	Place                    string
}

// pages renders the templates.
type pages struct {
	log       *slog.Logger
	templates map[string]*template.Template
}

func newPages(log *slog.Logger) (*pages, error) {
	functions := template.FuncMap{
		"uri":      display.URI,
		"date":     func(seconds int64) string { return time.Unix(seconds, 0).UTC().Format("2 January 2006, 15:04 UTC") },
		"datetime": func(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) },
	}
	base, err := template.New("layout.html").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/demo.html", "templates/client.html")
	if err != nil {
		return nil, err
	}
	p := &pages{log, make(map[string]*template.Template)}
	for _, name := range []string{"landing", "login", "accounts", "logout", "signed-out", "consent", "device", "home", "activity", "secret", "error"} {
		page, err := base.Clone()
		if err != nil {
			return nil, err
		}
		if p.templates[name], err = page.ParseFS(templateFiles, "templates/"+name+".html"); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// render writes a page as a whole, or an error page.
func (p *pages) render(w http.ResponseWriter, status int, name string, view any) {
	var page bytes.Buffer
	if err := p.templates[name].Execute(&page, view); err != nil {
		p.log.Error("a page could not be rendered", slog.String("page", name), slog.String("cause", err.Error()))
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", fmt.Sprint(page.Len()))
	// Every page shows who is signed in.
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes())
}

// errorPage answers with the page of an HTTP status.
func (a *app) errorPage(w http.ResponseWriter, status int) {
	heading, message := inWords(status)
	a.pages.render(w, status, "error", errorView{
		layout:  layout{Title: heading},
		Heading: heading,
		Message: message,
		Detail:  fmt.Sprintf("%d %s", status, http.StatusText(status)),
	})
}

// inWords explains an HTTP status to a user.
func inWords(status int) (heading, message string) {
	switch status {
	case http.StatusBadRequest:
		return "The form could not be read", "Please go back and try again."
	case http.StatusForbidden:
		return "That came from another site", "A form on another site tried to act in your name here. It was refused, and nothing was changed."
	case http.StatusNotFound:
		return "There is nothing here", "The address is mistyped, or what was here is gone."
	case http.StatusMethodNotAllowed:
		return "This address does something else", "It cannot be opened this way. Please start again from the home page."
	case http.StatusTooManyRequests:
		return "These were many attempts", "Please wait a few minutes, and try again."
	case http.StatusServiceUnavailable:
		return "We are busy just now", "It is not your fault. Please try again in a moment."
	case http.StatusRequestEntityTooLarge:
		return "That is too much text", "Please go back and shorten it."
	default:
		return "Something went wrong", "It is not your fault, and it has been noted. Please try again later."
	}
}

// serveStatic serves one file, such as the style sheet.
func serveStatic(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		http.ServeFileFS(w, r, staticFiles, "static/"+name)
	}
}
