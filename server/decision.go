package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/gormoauth/gormoauth/models"
)

// Fields of the form by which a user decides. They count in the body of a POST
// alone: in a query they are ignored.
const (
	// DecisionField is the hidden field that holds the page's [Decision].
	DecisionField = "decision"
	// ConfirmField is the field of the buttons: "yes" agrees, anything else does not.
	ConfirmField = "confirm"
)

// confirmed is the one value of ConfirmField that agrees.
const confirmed = "yes"

// Decision is what a page gives back together with the user's answer: a digest of
// what the page showed, and to whom. It is made anew from the present state when the
// answer comes, and compared. When the client has changed since, or somebody else has
// signed in, the answer was to another question, and the page is shown again.
//
// It is no secret and needs no key. That the form comes from the program's own page
// is checked by [Server.FromOwnPage].
type Decision string

// Input is the hidden field, for the form of a page:
//
//	<form method="post" action="{{.ReturnTo}}">{{.Decision.Input}}
//	<button name="confirm" value="no">Deny</button> <button name="confirm" value="yes">Allow</button></form>
func (d Decision) Input() template.HTML {
	return template.HTML(`<input type="hidden" name="` + DecisionField + `" value="` + template.HTMLEscapeString(string(d)) + `">`) //nolint:gosec // escaped
}

// ErrNoDecision is what errors.Is finds in the error for a request that is not the
// user's decision, although it should be: it comes from another site, or not from the
// page as it would be shown now. Show the page again.
var ErrNoDecision = errors.New("server: the request is not the user's decision on the page as it is now")

// NoDecision returns the error of [ErrNoDecision] for a client or a person.
func NoDecision() *Error {
	failure := NewError(InvalidRequest, "The page has changed since it was shown. Please decide again.")
	failure.undecided = true
	return failure
}

// FromOwnPage reports whether a request is a POST that comes from a page of this
// site, or from a program that is no browser, by the rule of
// [http.CrossOriginProtection]: the Sec-Fetch-Site header says so, or the Origin
// header names the host of the request. As a proxy may change the host, an Origin that
// is the issuer's will do, too. A GET, HEAD or OPTIONS never is one.
func (s *Server) FromOwnPage(r *http.Request) bool {
	if r.Method != http.MethodPost {
		return false
	}
	if new(http.CrossOriginProtection).Check(r) == nil {
		return true
	}
	return r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == originOf(s.config.Issuer)
}

// originOf is a URL's origin as a browser writes it, empty for what has none.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" && port != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host += ":" + port
	}
	return u.Scheme + "://" + host
}

// Decision returns what a page that shows the request gives back: a digest of the
// user and session, of the client and what it is registered with, of all that was
// found out about the request, and of what else the page shows.
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

// digestOf is a digest of a value that is made of texts.
func digestOf(value any) string {
	text, err := json.Marshal(value)
	if err != nil { // a text is always JSON; whatever else there is, is told apart all the same
		text = fmt.Appendf(nil, "%#v", value)
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// revisionOf is a digest of what a client is registered with.
func revisionOf(client Client) string {
	if described, ok := client.(interface{ GetClientMetadata() models.ClientMetadata }); ok {
		return digestOf(described.GetClientMetadata())
	}
	return ""
}

// IsDecision reports whether the request is the user's decision on a page that would
// be this one now, and whether the user agreed. Only a POST from the program's own
// page can be one.
func (r *Request) IsDecision(page Decision) (decided, agreed bool) {
	given, ok := r.given()
	decided = ok && same(given, string(page))
	return decided, decided && r.HTTP.PostForm.Get(ConfirmField) == confirmed
}

// isDenial reports whether the request is a decision on the page, whoever it was
// shown to: a program that hands over no user says that it was a denial.
func (r *Request) isDenial(page Decision) bool {
	given, decided := r.given()
	asked, _, _ := strings.Cut(string(page), ".")
	givenAsked, _, _ := strings.Cut(given, ".")
	return decided && same(givenAsked, asked)
}

// given is the hidden field of a form that comes from the program's own page.
func (r *Request) given() (decision string, ok bool) {
	if !r.Server.FromOwnPage(r.HTTP) || len(r.HTTP.PostForm[DecisionField]) != 1 {
		return "", false
	}
	return r.HTTP.PostForm.Get(DecisionField), true
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
