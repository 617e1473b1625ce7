package server

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/gormoauth/gormoauth/internal/header"
)

// WriteError answers with an error. It sends the error to the client's redirect URI if it is
// meant for that; otherwise it shows it to the user with Config.RenderError or writes it as JSON.
// An error that is not an [*Error] becomes server_error and is logged.
func (s *Server) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	if s.ready(w) {
		s.writeError(w, s.WithRequestID(r), err, nil)
	}
}

// writeError is WriteError for an error of the request, which may be nil.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error, of *Request) {
	failure := *AsError(err)
	if failure.isSeeOther() {
		noStore(w)
		failure.SetHeader(w)
		w.WriteHeader(failure.Status)
		return
	}
	if failure.URI == "" {
		failure.URI = s.config.ErrorURIs[failure.Code]
	}
	description := s.config.Translator.Describe(r, failure.Description, failure.Args...)
	if failure.held != nil {
		failure.wayBack = s.wayBack(&failure, description)
	}
	if failure.redirect != nil {
		if err := s.deliver(w, failure.redirect, failure.parameters(description)); err != nil {
			s.writeError(w, r, err, of) // the new error is not marked for redirection
			return
		}
	}
	s.log(r, &failure, of)
	switch {
	case failure.redirect != nil:
	case s.config.RenderError != nil && failure.forPerson:
		failure.SetHeader(w)
		noStore(w)
		s.config.RenderError(w, r, &failure, description)
	case failure.forPerson && acceptsHTML(r):
		writeErrorPage(w, &failure, description)
	default:
		failure.SetHeader(w)
		_ = s.writeJSON(w, failure.Status, failure.Members(description)) // a map of strings cannot fail
	}
}

// wayBack returns the address that delivers an error to the client, or "" if the error would have
// to be sent there by POST.
func (s *Server) wayBack(failure *Error, description string) string {
	mode, params, err := s.responseParams(failure.held, failure.parameters(description))
	if err != nil || mode == modeFormPost {
		return ""
	}
	return responseAddress(failure.held.RedirectURI, mode, params)
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
