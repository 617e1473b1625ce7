package server

import (
	"cmp"
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
	if s.ready(w) {
		s.writeError(w, s.WithRequestID(r), err, nil)
	}
}

// writeError is WriteError for an error of the request, which may be nil.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error, of *Request) {
	failure := *AsError(err)
	if failure.isSeeOther() {
		noStore(w)
		header.Copy(w, failure.Header)
		w.WriteHeader(failure.Status)
		return
	}
	s.log(r, &failure, of)
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
			s.writeError(w, r, err, of) // it is for no redirect URI
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

// logged logs an error that the program gets, and marks it: it is not logged again when
// the program writes it.
func (s *Server) logged(r *http.Request, err error, of *Request) error {
	if err == nil || AsError(err).isSeeOther() {
		return err
	}
	failure := *AsError(err)
	s.log(r, &failure, of)
	failure.logged = true
	return &failure
}

// log tells the operator what a client may not know, and what it may: whoever looks for
// the reason of a failure finds it here.
func (s *Server) log(r *http.Request, failure *Error, of *Request) {
	if failure.logged || errors.Is(failure.cause, context.Canceled) { // nobody waits for the answer
		return
	}
	req := cmp.Or(failure.of, of, RequestFromContext(r.Context()), &Request{Server: s, HTTP: r})
	o := Observation{Endpoint: req.Endpoint, Status: failure.answerStatus(), Error: failure}
	o.describe(req)
	message, attributes := "an OAuth request was refused", o.LogAttrs(slog.String("path", r.URL.Path))
	if failure.cause != nil {
		message, attributes = "an OAuth request failed inside", append(attributes, slog.String("cause", failure.cause.Error()))
	}
	s.config.Logger.LogAttrs(r.Context(), o.LogLevel(), message, attributes...)
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
