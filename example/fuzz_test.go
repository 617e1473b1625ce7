package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzExample has a stranger send anything anywhere: no request is answered with a 5xx,
// leads to an address that no client registered, repeats or logs a secret, or ends up
// with a token of somebody who granted nothing.
func FuzzExample(f *testing.F) {
	for _, seed := range [][4]string{
		{"GET", authorizePath("demo-web"), "", ""}, {"POST", authorizePath("demo-spa") + "&prompt=none", "confirm=yes", ""},
		{"POST", "/oauth/authorize", "response_type=id_token&client_id=demo-hybrid&scope=openid&nonce=n&confirm=yes", ""},
		{"POST", "/oauth/token", "grant_type=client_credentials&scope=profile", "{basic}"}, {"POST", "/oauth/token", "grant_type=password&username=alice&password={secret}", "{basic}"},
		{"POST", "/oauth/token", "grant_type=authorization_code&code=goa_ac_x&client_id=demo-spa", ""}, {"POST", "/oauth/token?client_secret={secret}", "client_secret={secret}&client_secret=x", ""},
		{"POST", "/oauth/register", `{"redirect_uris":["x:y"],"scope":"openid"}`, "Bearer x"}, {"POST", "/oauth/introspect", "token={secret}", "{basic}"},
		{"POST", "/oauth/par", "response_type=code&client_id=demo-web&request={secret}", "{basic}"}, {"POST", "/oauth/device_authorization", "client_id=demo-device", ""},
		{"GET", "/oauth/end_session?id_token_hint=x&state={secret}", "", ""}, {"POST", "/oauth/userinfo", "access_token={secret}", ""}, {"GET", "/login?next=//x&username={secret}", "", ""},
		{"POST", "/login", "username=alice&password={secret}&next=%2F%2Fx", ""}, {"POST", "/consents/revoke", "client_id=x", ""}, {"GET", "/device?user_code=x", "", ""},
		{"GET", "/.well-known/openid-configuration", "", ""}, {"DELETE", "/oauth/register?client_id=demo-web", "", "Bearer {secret}"}, {"GET", "/api/me", "", "DPoP {secret}"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	logged := new(strings.Builder)
	log := slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	db, closeDB, err := openDatabase(f.Context(), filepath.Join(f.TempDir(), "example.db"), log)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(closeDB)
	a, err := newApp(&config{issuer: "http://127.0.0.1:8080", secrets: [][]byte{[]byte(demoSecret)}, noOlderInstances: true, demo: true}, db, log)
	if err != nil {
		f.Fatal(err)
	}
	if err := prepareDatabase(f.Context(), db, true, a.oauth); err != nil {
		f.Fatal(err)
	}
	routes := a.routes()
	const secret = "a-secret-that-nobody-may-repeat"
	basic := "Basic " + "ZGVtby1zZXJ2aWNlOmRlbW8tc2VydmljZS1zZWNyZXQ=" // demo-service:demo-service-secret
	strangers := 0
	f.Fuzz(func(t *testing.T, method, target, body, authorization string) {
		strangers++ // each from elsewhere, since one would soon be told to wait
		if namesAnAddress(target) || namesAnAddress(body) {
			t.Skip("it would be fetched")
		}
		replace := strings.NewReplacer("{secret}", secret, "{basic}", basic).Replace
		u, err := url.ParseRequestURI(replace(target))
		if err != nil || !strings.HasPrefix(u.Path, "/") || u.Host != "" {
			t.Skip("no path")
		}
		for _, contentType := range []string{"application/x-www-form-urlencoded", "application/json"} {
			r, err := http.NewRequestWithContext(t.Context(), method, "/", strings.NewReader(replace(body)))
			if err != nil {
				t.Skip("no method")
			}
			r.URL, r.Host, r.RequestURI = u, "127.0.0.1:8080", u.RequestURI()
			r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", strangers>>16&255, strangers>>8&255, strangers&255)
			r.Header.Set("Content-Type", contentType)
			if authorization != "" {
				r.Header["Authorization"] = []string{replace(authorization)}
			}
			w := httptest.NewRecorder()
			logged.Reset()
			routes.ServeHTTP(w, r)
			// An address and the name of a client are logged, whatever stands there.
			if text := logged.String(); strings.Contains(text, secret) && !strings.Contains(u.Path, secret) && !strings.Contains(target+body, "client_id") {
				t.Fatalf("%s %s: logs a secret: %s", method, target, text)
			}
			if w.Code >= http.StatusInternalServerError {
				t.Fatalf("%s %s: %d: %s", method, target, w.Code, w.Body)
			}
			location := w.Header().Get("Location")
			if !isDemoAddress(location) {
				t.Fatalf("%s %s: led to %q", method, target, location)
			}
			// What is typed into a field, and what a request hands on, comes back to who sent it.
			handedOn := strings.Contains(target+body, "username=") || strings.Contains(target, "state=") || strings.Contains(target, "next=")
			if !handedOn && (strings.Contains(w.Body.String(), secret) || strings.Contains(location, secret) && !strings.HasPrefix(location, "/oauth/")) {
				t.Fatalf("%s %s: repeats a secret: %s %s", method, target, location, w.Body)
			}
		}
		var granted int64
		if err := db.Model(&Token{}).Where("user_id IS NOT NULL").Count(&granted).Error; err != nil || granted != 0 {
			t.Fatalf("%s %s %s: %d tokens that nobody granted, %v", method, target, body, granted, err)
		}
	})
}

// namesAnAddress reports whether a text names an address that the program might fetch.
func namesAnAddress(text string) bool {
	text = strings.ReplaceAll(text, "next=//", "")
	decoded, err := url.QueryUnescape(text)
	return strings.Contains(text, "//") || strings.Contains(decoded, "//") || err != nil
}

// isDemoAddress reports whether a redirect leads to this site or to a demo client.
func isDemoAddress(location string) bool {
	u, err := url.Parse(location)
	return err == nil && (u.Host == "" && u.Scheme == "" || u.Hostname() == "127.0.0.1" && (u.Path == "/callback" || u.Path == "/"))
}
