package server

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/gormoauth/gormoauth/internal/header"
)

// WriteError answers with an error. It sends the error to the client's redirect URI if it is
// meant for that; otherwise it shows it to the user with Config.RenderError or writes it as JSON.
// An error that is not an [*Error] becomes server_error and is logged. Pass the error as it was
// returned: what [AsError] finds in it no longer knows its request.
func (s *Server) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	if s.ready(w) {
		s.writeError(w, s.WithRequestID(r), err, nil)
	}
}

// writeError is WriteError for an error of the request, which may be nil.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error, of *Request) {
	f := failureOf(err)
	if f.answer.isSeeOther() {
		noStore(w)
		f.answer.SetHeader(w)
		w.WriteHeader(f.answer.Status)
		return
	}
	if page := s.config.ErrorURIs[f.answer.Code]; f.answer.URI == "" && page != "" {
		answer := *f.answer
		answer.URI = page
		f.answer = &answer
	}
	description := s.config.Translator.Describe(r, f.answer.Description, f.answer.Args...)
	if f.way == toRedirectURI {
		if err := s.deliver(w, f.of, f.parameters(description)); err != nil {
			s.writeError(w, r, err, of)
			return
		}
	}
	s.log(r, f, of)
	switch {
	case f.way == toRedirectURI:
	case f.way != toCaller && s.config.RenderError != nil:
		f.answer.SetHeader(w)
		noStore(w)
		s.config.RenderError(w, r, s.errorPage(f, description))
	case f.way != toCaller && acceptsHTML(r):
		writeErrorPage(w, s.errorPage(f, description))
	default:
		f.answer.SetHeader(w)
		_ = s.writeJSON(w, f.answer.Status, f.members(description)) // a map of strings cannot fail
	}
}

// Describe returns what a user may know about an error, in the language of the request.
func (s *Server) Describe(r *http.Request, err error) string {
	failure := AsError(err)
	return s.config.Translator.Describe(r, failure.Description, failure.Args...)
}

// writeJSON writes a response that must not be cached (RFC 6749 section 5.1).
func (s *Server) writeJSON(w http.ResponseWriter, status int, body any) error {
	text, err := encode(body)
	if err != nil {
		return err
	}
	noStore(w)
	write(w, status, "application/json", text)
	return nil
}

// encode returns a response as JSON. If it fails, nothing has been sent yet, and the failure is
// an internal error.
func encode(body any) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("server: encode the response: %w", err)
	}
	return text, nil
}

func write(w http.ResponseWriter, status int, contentType string, text []byte) {
	header.Set(w, "Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(text) //nolint:gosec // JSON, or from an endpoint that sets its Content-Type
}

func noStore(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
}
