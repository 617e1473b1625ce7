package oauthtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// secretParams are the parameters and members whose values nobody but client and
// server may know.
var secretParams = []string{
	"access_token", "actor_token", "assertion", "client_assertion", "client_secret", "code", "code_verifier", "device_code", "id_token", "id_token_hint", "nonce", "password",
	"refresh_token", "registration_access_token", "request", "request_uri", "response", "state", "subject_token", "token", "user_code", "verification_uri_complete",
}

// Secrets are all the secrets of the requests and responses that a test has seen,
// to be looked for where they must not be. The zero value has none.
type Secrets struct {
	mu    sync.Mutex
	names map[string]string // by value
}

// shortestSecret keeps out what is no secret but a test's "x".
const shortestSecret = 8

// Add remembers a secret.
func (s *Secrets) Add(name, value string) {
	if len(value) < shortestSecret {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = make(map[string]string)
	}
	s.names[value] = name
}

// Kinds returns what secrets there are.
func (s *Secrets) Kinds() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// In returns the secrets that stand in a text, each with its name.
func (s *Secrets) In(text string) (found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for value, name := range s.names {
		if strings.Contains(text, value) || strings.Contains(text, url.QueryEscape(value)) {
			found = append(found, name+" "+value)
		}
	}
	return found
}

// Params remembers the secrets among parameters.
func (s *Secrets) Params(params url.Values) {
	for _, name := range secretParams {
		for _, value := range params[name] {
			s.Add(name, value)
		}
	}
}

// Request remembers those of a request, whose body was read.
func (s *Secrets) Request(r *http.Request, body []byte) {
	s.Params(r.URL.Query())
	s.body(body)
	for _, header := range r.Header.Values("Authorization") {
		_, credentials, _ := strings.Cut(header, " ")
		s.Add("Authorization", credentials)
	}
	if _, password, ok := r.BasicAuth(); ok {
		s.Add("client_secret", password)
	}
	for _, proof := range r.Header.Values("DPoP") {
		s.Add("DPoP", proof)
	}
	s.cookies(r.Cookies())
}

// Response remembers those of a response.
func (s *Secrets) Response(header http.Header, body []byte) {
	s.body(body)
	if to, err := url.Parse(header.Get("Location")); err == nil {
		fragment, _ := url.ParseQuery(to.EscapedFragment())
		s.Params(to.Query())
		s.Params(fragment)
	}
	s.cookies((&http.Response{Header: header}).Cookies())
}

func (s *Secrets) cookies(cookies []*http.Cookie) {
	for _, cookie := range cookies {
		s.Add("cookie", cookie.Value)
	}
}

func (s *Secrets) body(body []byte) {
	var members map[string]any
	if json.Unmarshal(body, &members) != nil {
		form, _ := url.ParseQuery(string(body))
		s.Params(form)
		return
	}
	for _, name := range secretParams {
		if text, ok := members[name].(string); ok {
			s.Add(name, text)
		}
	}
}

// Transport remembers the secrets of all that goes through another transport.
func (s *Secrets) Transport(next http.RoundTripper) http.RoundTripper { return transport{s, next} }

type transport struct {
	secrets *Secrets
	next    http.RoundTripper
}

// RoundTrip sends the request.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	t.secrets.Request(r, sent)
	response, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	t.secrets.Response(response.Header, body)
	return response, err
}
