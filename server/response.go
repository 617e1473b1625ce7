package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/gormoauth/gormoauth/internal/header"
)

// WriteError answers with an error: sent to the client's redirect URI when it
// is one for there, otherwise shown to the person by Config.RenderError or
// written as JSON. An error that is not an [*Error] becomes server_error, and
// is logged.
func (s *Server) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	if !s.ready(w) {
		return
	}
	failure := *AsError(err)
	if failure.isSeeOther() {
		noStore(w)
		header.Copy(w, failure.Header)
		w.WriteHeader(failure.Status)
		return
	}
	s.log(r, &failure)
	if failure.URI == "" {
		failure.URI = s.config.ErrorURIs[failure.Code]
	}
	description := s.config.Translator.Describe(r, &failure)
	if failure.held != nil {
		failure.wayBack = s.wayBack(&failure, description)
	}
	switch {
	case failure.redirect != nil:
		if err := s.deliver(w, failure.redirect, failure.parameters(description)); err != nil {
			s.WriteError(w, r, err) // it is for no redirect URI
		}
	case s.config.RenderError != nil && failure.forPerson:
		noStore(w)
		s.config.RenderError(w, r, &failure, description)
	case failure.forPerson && acceptsHTML(r):
		writeErrorPage(w, &failure, description)
	default:
		header.Copy(w, failure.Header)
		s.writeJSON(w, r, failure.Status, failure.Members(description))
	}
}

// wayBack is the address at which the client learns of an error, empty where it would
// have to be posted there.
func (s *Server) wayBack(failure *Error, description string) string {
	mode, params, err := s.responseParams(failure.held, failure.parameters(description))
	if err != nil || mode == modeFormPost {
		return ""
	}
	return responseAddress(failure.held.RedirectURI, mode, params)
}

// Describe returns what a person may know of an error, in the language of the
// request.
func (s *Server) Describe(r *http.Request, err error) string {
	return s.config.Translator.Describe(r, AsError(err))
}

// log tells the operator what a client may not know, and what it may: whoever
// looks for the reason of a failure finds it here.
func (s *Server) log(r *http.Request, failure *Error) {
	attributes := []any{slog.String("path", bounded(r.URL.Path, maxLoggedID)), slog.String("client_id", bounded(failure.clientID, maxLoggedID)), slog.String("error", failure.Error())}
	switch {
	case errors.Is(failure.cause, context.Canceled): // nobody waits for the answer
	case failure.cause != nil:
		s.config.Logger.ErrorContext(r.Context(), "an OAuth request failed inside", attributes...)
	default:
		s.config.Logger.InfoContext(r.Context(), "an OAuth request was refused", attributes...)
	}
}

// writeJSON writes an answer that no cache keeps (RFC 6749 section 5.1).
func (s *Server) writeJSON(w http.ResponseWriter, r *http.Request, status int, body any) {
	noStore(w)
	s.writeBody(w, r, status, "application/json", body)
}

func (s *Server) writeBody(w http.ResponseWriter, r *http.Request, status int, contentType string, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		s.config.Logger.ErrorContext(r.Context(), "an OAuth answer is not JSON", slog.String("error", err.Error()))
		status, text = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	header.Set(w, "Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

func noStore(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
}
