package server_test

import (
	"context"
	"crypto"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/dpop"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/locale"
	"github.com/gormoauth/gormoauth/server/ratelimit"
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
	p := oauthtest.New(f, testdb.Open(f, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) { c.FailedAuthentications = ratelimit.Unlimited{} })
	client := p.NewClient(oauthtest.Public)
	f.Fuzz(func(t *testing.T, params, authorization string) {
		params = strings.ReplaceAll(params, "{id}", client.ClientID)
		for _, serve := range []func(http.ResponseWriter, *http.Request){
			p.Server.CreateTokenResponse,
			p.Server.EndpointHandler("revocation"),
			func(w http.ResponseWriter, r *http.Request) { p.Server.CreateAuthorizationResponse(w, r, p.User) },
			func(w http.ResponseWriter, _ *http.Request) { decide(p, w, params) },
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
				here := err == nil && w.Code == http.StatusSeeOther && u.Host == "" && u.Path == "/"
				if err != nil || !here && u.Scheme+"://"+u.Host+u.Path != oauthtest.RedirectURI {
					t.Fatalf("led to %q", location)
				}
			}
		}
	})
}

// decide has the user look at the page of a request, and agree.
func decide(p *oauthtest.Provider, w http.ResponseWriter, params string) {
	page := get("/")
	page.URL.RawQuery = params
	consent, err := p.Server.GetConsentGrant(page, p.User)
	if err != nil {
		p.Server.WriteError(w, page, err)
		return
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("confirm=yes&decision="+string(consent.Decision)))
	r.URL.RawQuery = params
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p.Server.CreateAuthorizationResponse(w, r, p.User)
}

// FuzzLoad reads any setting: it is taken or refused, and what is refused
// changes nothing.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{`{"password": 1}`, `{"password": 1, "password": 2}`, `[["a","b"]]`, `["profile"]`, "true", `"gen"`, "{", "null", "1e99", "\x00"} {
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
	translator, err := locale.NewTranslator(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, locales, accept string) {
		r := get("/?ui_locales=" + queryEscape(locales))
		r.Header.Set("Accept-Language", accept)
		if translator.Describe(r, "The request has no 'code'.") == "" {
			t.Fatalf("nothing to say in %q, %q", locales, accept)
		}
	})
}

// FuzzParseAssertion reads any JWT: none is verified by keys that did not sign it.
func FuzzParseAssertion(f *testing.F) {
	key := oauthtest.NewKey(f)
	signed := oauthtest.SignJWT(f, key, "ES256", nil, map[string]any{"iss": "i", "sub": "s", "aud": []string{"a"}, "exp": 1_800_000_060, "jti": "j"})
	raw := func(header, claims string) string { return oauthtest.SignRaw(f, key, header, claims) }
	ours := []string{
		signed, raw(`{"alg":"ES256"}`, `{"iss":"i","ſub":"s","exp":1800000000.5}`), raw(`{"alg":"ES256","x":{"y":1,"y":2}}`, `{"iss":"i"}`),
		raw(`{"alg":"ES256"}`, `{"iss":"i","iss":"j"}`),
	}
	for _, seed := range ours {
		f.Add(seed, string(oauthtest.WithKey(oauthtest.KeySet(f, key), `{"kty":"AKP"}`)))
	}
	for _, seed := range []string{signed, signed[:len(signed)-4] + "AAAA", "eyJhbGciOiJub25lIn0.e30.", "a.b.c", "..", strings.Repeat("a", 20_000)} {
		f.Add(seed, `{"keys":[{"kty":"oct","k":"AAAA"}]}`)
	}
	f.Fuzz(func(t *testing.T, text, keySet string) {
		parsed, err := assertion.Parse(text, nil)
		if err != nil {
			return
		}
		if parsed.VerifyBy(oauthtest.KeySet(t, key)) == nil && !slices.Contains(ours, text) && !slices.Contains(ours, strings.TrimSpace(text)) {
			t.Fatalf("verified %q", text)
		}
		_ = parsed.VerifyBy([]byte(keySet))
		_ = parsed.VerifyWith([]byte(keySet))
		_, _, _, _ = parsed.Type(), parsed.KeyID(), parsed.ReplayKey(), parsed.CheckCurrent(time.Unix(1_800_000_000, 0))
	})
}

// FuzzParseKeySet reads any key set: a key that nobody understands changes nothing.
func FuzzParseKeySet(f *testing.F) {
	for _, key := range oauthtest.KeysNotUnderstood() {
		f.Add(`{"keys":[` + key + `]}`)
	}
	f.Add(string(oauthtest.KeySet(f, oauthtest.NewKey(f))))
	f.Add(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQ"},{"kty":"oct","k":"AAAA"}],"keys":[]}`)
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := jwk.ParseSet([]byte(text))
		if err != nil {
			return
		}
		for _, key := range keys.Keys {
			if !key.Valid() {
				t.Fatalf("%q has a key that is not valid", text)
			}
			_, _ = key.Thumbprint(crypto.SHA256)
		}
		more, err := jwk.ParseSet(oauthtest.WithKey([]byte(text), `{}`))
		if err == nil && len(more.Keys) != len(keys.Keys) {
			t.Fatalf("%q: %d keys, and %d beside one that is not understood", text, len(keys.Keys), len(more.Keys))
		}
	})
}

// everythingIsNew remembers nothing.
type everythingIsNew struct{}

func (everythingIsNew) FirstUse(context.Context, string, time.Time) (bool, error) { return true, nil }

// FuzzDPoPProof reads any proof: none is good but for the request that it was made for,
// by the key that it shows.
func FuzzDPoPProof(f *testing.F) {
	p := oauthtest.Provider{T: f, Now: time.Unix(1_800_000_000, 0)}
	const target = "https://id.example/oauth/token"
	key := oauthtest.NewKey(f)
	good := p.DPoP(key, http.MethodPost, target)
	for _, seed := range []string{good, p.DPoP(key, http.MethodGet, target), p.DPoP(key, http.MethodPost, "https://x.example/"), p.DPoP(key, http.MethodPost, target, "iat", 1), "a.b.c", ""} {
		f.Add(seed)
	}
	proofs := dpop.Proofs{Replays: everythingIsNew{}}
	f.Fuzz(func(t *testing.T, proof string) {
		r := httptest.NewRequest(http.MethodPost, target, http.NoBody)
		r.Header["Dpop"] = []string{proof}
		thumbprint, err := proofs.Check(r, target, "", p.Now)
		if err == nil {
			signed, parseErr := jose.ParseSignedCompact(proof, jwk.SignatureAlgorithms())
			if parseErr != nil {
				t.Fatalf("%q is no proof: %v", proof, parseErr)
			}
			shown := signed.Signatures[0].Header.JSONWebKey
			if _, verifyErr := signed.Verify(shown); verifyErr != nil {
				t.Fatalf("%q is signed by another key: %v", proof, verifyErr)
			}
			if sum, _ := shown.Thumbprint(crypto.SHA256); base64.RawURLEncoding.EncodeToString(sum) != thumbprint {
				t.Fatalf("%q is a proof of another key", proof)
			}
		}
		if err != nil && server.AsError(err).Status >= http.StatusInternalServerError {
			t.Fatal(err)
		}
	})
}

// FuzzScope asks for any scope: what is granted is what was asked for and registered.
func FuzzScope(f *testing.F) {
	for _, seed := range []string{"profile", "profile email", "profile  profile", "\"", "a\x00b", "é", strings.Repeat("profile ", 2000)} {
		f.Add(seed)
	}
	p := oauthtest.New(f, testdb.Open(f, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.NewClient(oauthtest.Grants("client_credentials"))
	f.Fuzz(func(t *testing.T, scope string) {
		p.T = t
		a := p.Token(client, "grant_type=client_credentials&scope="+url.QueryEscape(scope))
		if a.Status >= http.StatusInternalServerError {
			t.Fatalf("%d %s", a.Status, a.Raw)
		}
		for word := range strings.FieldsSeq(a.Body["scope"]) {
			if word != "profile" && word != "email" || !slices.Contains(strings.Fields(scope), word) {
				t.Fatalf("%q got %q", scope, a.Body["scope"])
			}
		}
	})
}
