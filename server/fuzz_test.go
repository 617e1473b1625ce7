package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
)

// FuzzRequests sends anything to the three endpoints: no request is answered
// with a 5xx, or leads to an address that is not the client's.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		"response_type=code&client_id={id}&scope=profile&code_challenge=" + oauthtest.Challenge + "&code_challenge_method=S256",
		"response_type=token&client_id={id}&redirect_uri=http://127.0.0.1:1/cb",
		"grant_type=authorization_code&code=goa_ac_x&code_verifier=x&redirect_uri=x",
		"grant_type=refresh_token&refresh_token=x&scope=%00", "grant_type=password&username=\xff&password=x", "token=x&token_type_hint=y", "%", ";",
	} {
		f.Add(seed, "Basic YTpi")
	}
	p := oauthtest.New(f, testdb.Open(f, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.NewClient(oauthtest.Public)
	f.Fuzz(func(t *testing.T, params, authorization string) {
		params = strings.ReplaceAll(params, "{id}", client.ClientID)
		for _, serve := range []func(http.ResponseWriter, *http.Request){
			p.Server.CreateTokenResponse,
			p.Server.EndpointHandler("revocation"),
			func(w http.ResponseWriter, r *http.Request) { p.Server.CreateAuthorizationResponse(w, r, p.User) },
		} {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(params))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header["Authorization"] = []string{authorization}
			w := httptest.NewRecorder()
			serve(w, r)
			if w.Code >= http.StatusInternalServerError {
				t.Fatalf("%d: %s", w.Code, w.Body)
			}
			if location := w.Header().Get("Location"); location != "" {
				u, err := url.Parse(location)
				if err != nil || u.Scheme+"://"+u.Host+u.Path != oauthtest.RedirectURI {
					t.Fatalf("led to %q", location)
				}
			}
		}
	})
}

// FuzzLoad reads any setting: it is taken or refused, and what is refused
// changes nothing.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{`{"password": 1}`, `[["a","b"]]`, `["profile"]`, "true", `"gen"`, "{", "null", "1e99", "\x00"} {
		f.Add(seed)
	}
	names := []string{
		server.SettingTokenExpiresIn, server.SettingAccessTokenGenerator, server.SettingRefreshTokenGenerator,
		server.SettingErrorURIs, server.SettingScopesSupported,
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, name := range names {
			config := server.Config{Issuer: oauthtest.Issuer}
			err := config.Load(lookup(map[string]string{name: value}))
			if err != nil && !strings.Contains(err.Error(), name) {
				t.Fatalf("%s=%q: %v", name, value, err)
			}
			if err != nil && !reflect.DeepEqual(config, server.Config{Issuer: oauthtest.Issuer}) {
				t.Fatalf("%s=%q: changed %+v", name, value, config)
			}
			for grantType, lifetime := range config.TokenExpiresIn {
				if lifetime < time.Second {
					t.Fatalf("%s=%q: %s lives %v", name, value, grantType, lifetime)
				}
			}
		}
	})
}

// FuzzDescribe asks for any language: there is always a description.
func FuzzDescribe(f *testing.F) {
	for _, seed := range []string{"", "zh-CN", "en;q=2", "*", "zh-Hans-CN-u-co-pinyin,de", "\xff", "x-x-x"} {
		f.Add(seed, seed)
	}
	translator, err := server.NewTranslator(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, locales, accept string) {
		r := get("/?ui_locales=" + queryEscape(locales))
		r.Header.Set("Accept-Language", accept)
		if translator.Describe(r, server.NewError("x", "The request has no 'code'.")) == "" {
			t.Fatalf("nothing to say in %q, %q", locales, accept)
		}
	})
}
