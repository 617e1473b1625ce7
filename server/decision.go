package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Fields of the form in which a user decides. They are only read from the body of a POST; in
// a query they are ignored.
const (
	// DecisionField is the hidden field that holds the page's [Decision].
	DecisionField = "decision"
	// ConfirmField is the name of the buttons: the value "yes" agrees, any other does not.
	ConfirmField = "confirm"
)

// confirmed is the only value of ConfirmField that agrees.
const confirmed = "yes"

// Decision is a value that a page sends back together with the user's answer: a digest of what
// the page showed, and to whom. When the answer arrives, the digest is computed again from the
// current state and compared. If the client has changed since, or another user has signed in, the
// user answered a different question, and the page is shown again.
//
// A Decision is not secret and needs no key. [Server.FromOwnPage] checks that the form comes from
// the program's own page.
type Decision string

// Input returns the hidden field for the form of a page:
//
//	<form method="post" action="{{.ReturnTo}}">{{.Decision.Input}}
//	<button name="confirm" value="no">Deny</button> <button name="confirm" value="yes">Allow</button></form>
func (d Decision) Input() template.HTML {
	return template.HTML(`<input type="hidden" name="` + DecisionField + `" value="` + template.HTMLEscapeString(string(d)) + `">`) //nolint:gosec // escaped
}

// NoDecision returns an error that matches [ErrNoDecision] and can be shown to a client or a
// user.
func NoDecision() *Error {
	failure := NewError(InvalidRequest, "The page has changed since it was shown. Please decide again.")
	failure.kind = ErrNoDecision
	return failure
}

// FromOwnPage reports whether a request is a POST from a page of this site, or from a program
// that is not a browser. It uses the rule of [http.CrossOriginProtection]: the Sec-Fetch-Site
// header says so, or the Origin header has the host of the request. Because a proxy may change
// the host, the issuer's origin is accepted as well. It returns false for a GET, HEAD or OPTIONS.
func (s *Server) FromOwnPage(r *http.Request) bool {
	if r.Method != http.MethodPost {
		return false
	}
	if new(http.CrossOriginProtection).Check(r) == nil {
		return true
	}
	return r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == originOf(s.issuerURL())
}

// originOf returns a URL's origin as a browser writes it.
func originOf(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" && port != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host += ":" + port
	}
	return u.Scheme + "://" + host
}

// Decision returns the value that a page showing the request sends back: a digest of the user and
// the session, the client and its registered metadata, everything that was resolved about the
// request, and shown, which is whatever else the page shows.
func (r *Request) Decision(shown any) Decision {
	question := struct {
		Page, Issuer, Client, Revision                                         string
		RedirectURI, RequestURI, Scope, Audience, AuthorizationDetails, Claims string
		Shown                                                                  any
	}{
		Page: r.Endpoint, Issuer: r.Server.config.Issuer, RedirectURI: r.RedirectURI, RequestURI: r.RequestURI, Scope: r.Scope, Audience: r.Audience,
		AuthorizationDetails: r.AuthorizationDetails, Claims: r.Authorization.Claims, Shown: shown,
	}
	if r.Client != nil {
		question.Client, question.Revision = r.Client.GetClientID(), revisionOf(r.Client)
	}
	userID := ""
	if r.User != nil {
		userID = r.User.GetUserID()
	}
	asked := digestOf(question)
	return Decision(asked + "." + digestOf([]string{asked, userID, r.Authentication.SessionID}))
}

// digestOf returns a digest of a value that consists of strings.
func digestOf(value any) string {
	text, err := json.Marshal(value)
	if err != nil { // strings always marshal; any other value still gets a distinct digest
		text = fmt.Appendf(nil, "%#v", value)
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// revisionOf returns a digest of a client's registered metadata, or "" if the model does not
// return it.
func revisionOf(client storage.Client) string {
	if described, ok := client.(interface{ GetClientMetadata() models.ClientMetadata }); ok {
		return digestOf(described.GetClientMetadata())
	}
	return ""
}

// IsDecision reports whether the request is the user's decision on page, as that page would be
// shown now, and whether the user agreed. Only a POST from the program's own page can be a
// decision.
func (r *Request) IsDecision(page Decision) (decided, agreed bool) {
	given, ok := r.given()
	decided = ok && same(given, string(page))
	return decided, decided && r.HTTP.PostForm.Get(ConfirmField) == confirmed
}

// isDenial reports whether the request is a decision on the page, whichever user it was shown to:
// a program that passes no user means that the request was denied.
func (r *Request) isDenial(page Decision) bool {
	given, decided := r.given()
	asked, _, _ := strings.Cut(string(page), ".")
	givenAsked, _, _ := strings.Cut(given, ".")
	return decided && same(givenAsked, asked)
}

// given returns the hidden field of a form that comes from the program's own page.
func (r *Request) given() (decision string, ok bool) {
	if !r.Server.FromOwnPage(r.HTTP) || len(r.HTTP.PostForm[DecisionField]) != 1 {
		return "", false
	}
	return r.HTTP.PostForm.Get(DecisionField), true
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
