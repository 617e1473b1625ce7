package grant_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// anyMember has one member, of any type.
type anyMember struct {
	A any `json:"a"`
}

// FuzzAuthorizationDetails asks for any details: what is granted is a list of the
// type that there is, and of no other.
func FuzzAuthorizationDetails(f *testing.F) {
	for _, seed := range []string{`[{"type":"x"}]`, `[{"type":"x","a":[1e400]},{"type":"y"}]`, `[{"type":"x","a":{"b":1,"b":2}}]`, `[{"type":"x","A":1}]`, `[{"type":"x","a":[{"b":1.10}],"recurring":1}]`, `{}`, `[null]`, `[{"type":{}}]`, `[{"type":"x","type":"y"}]`, strings.Repeat("[", 5000), ""} {
		f.Add(seed)
	}
	p := oauthtest.New(f, testdb.Open(f, testdb.SQLiteGo, oauthtest.Models()...))
	anything := func(context.Context, *server.Request, grant.AuthorizationDetail) error { return nil }
	if err := p.Server.Register(&grant.AuthorizationDetails{Types: map[string]grant.AuthorizationDetailType{"x": {Members: anyMember{}, Check: anything, Remembered: true}}},
		&grant.RememberedConsent{Storage: gormoauth.CreateConsentStorage[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](p.DB)}); err != nil {
		f.Fatal(err)
	}
	client := p.NewClient(nil)
	f.Fuzz(func(t *testing.T, details string) {
		p.T = t
		a := p.Grant(oauthtest.AuthorizeQuery(client, "authorization_details="+url.QueryEscape(details)))
		if a.Status >= http.StatusInternalServerError || a.Status == http.StatusFound && a.To != oauthtest.RedirectURI {
			t.Fatalf("%d %s %s", a.Status, a.To, a.Raw)
		}
		if a.Query.Get("code") == "" {
			return
		}
		tokens := p.Redeem(client, a.Query.Get("code"))
		granted, err := grant.ParseAuthorizationDetails(tokens.Body["authorization_details"])
		if tokens.Status != http.StatusOK || err != nil {
			t.Fatalf("%s %v", tokens.Raw, err)
		}
		for _, detail := range granted {
			_, given := detail["a"]
			if detail.Type() != "x" || len(detail) > 2 || len(detail) == 2 && !given || !json.Valid([]byte(details)) {
				t.Fatalf("%q got %s", details, tokens.Body["authorization_details"])
			}
		}
	})
}

// FuzzUserCode types any code: none finds a device but its own, however it is written.
func FuzzUserCode(f *testing.F) {
	for _, seed := range []string{"BBBB-BBBB", "bbbbbbbb", " b b-b\u00a0", "", "\x00", strings.Repeat("B", 5000)} {
		f.Add(seed)
	}
	d := newDevices(f, testdb.Open(f, testdb.SQLiteGo, oauthtest.Models()...), func(e *endpoint.DeviceAuthorization) {
		e.Attempts, e.PublicRequests = ratelimit.Unlimited{}, ratelimit.Unlimited{}
	})
	client := d.NewClient(television)
	codes := d.Post("/oauth/device_authorization", client, "scope=profile").Body
	letters := func(code string) string {
		return strings.Map(func(c rune) rune {
			if strings.ContainsRune("BCDFGHJKLMNPQRSTVWXZ", c) { // RFC 8628 section 6.1
				return c
			}
			return -1
		}, strings.ToUpper(code))
	}
	f.Fuzz(func(t *testing.T, code string) {
		d.T = t
		_, err := d.consent(code, d.User)
		if err == nil && letters(code) != letters(codes["user_code"]) {
			t.Fatalf("%q found the device of %q", code, codes["user_code"])
		}
		if err != nil && server.AsError(err).Status >= http.StatusInternalServerError {
			t.Fatal(err)
		}
	})
}
