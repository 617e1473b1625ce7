package oidc_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server/generator"
	"github.com/gormoauth/gormoauth/server/oidc"
)

// One switch puts the claims of the scope where some relying parties look for them:
// into the ID tokens of the token endpoint, and into no others.
func TestTheClaimsOfAScopeInTheIDToken(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		profile := []string{"name", "name#ja", "locale", "staff"}
		for _, on := range []bool{false, true} {
			p := newProvider(t, db, func(o *oidc.Provider) { o.ScopeClaimsInIDToken = on })
			client := p.client()
			switched := func(claims ...string) []string {
				if on {
					return claims
				}
				return nil
			}
			has := func(rule, idToken string, want []string) {
				t.Helper()
				require.NotEmpty(t, idToken, rule)
				all, _ := verify(t, idToken)
				var claims []string
				for _, claim := range slices.Sorted(maps.Keys(all)) {
					if name, _, _ := strings.Cut(claim, "#"); slices.Contains([]string{"name", "locale", "staff", "email", "email_verified", "address", "phone_number", "department"}, name) {
						claims = append(claims, claim)
					}
				}
				assert.ElementsMatch(t, want, claims, "switched on: %t: %s", on, rule)
			}
			tokens := p.signIn(client, "scope=openid profile email")
			has("the code flow", tokens["id_token"], switched(append(profile, "email", "email_verified")...))
			has("a refresh", p.Refresh(client, tokens["refresh_token"], "&scope=openid+email").Body["id_token"], switched("email", "email_verified"))
			has("no scope but openid", p.signIn(client)["id_token"], nil)
			has("what was asked for by itself", p.signIn(client, `claims={"id_token":{"phone_number":null}}`)["id_token"], []string{"phone_number"})
			has("beside an access token, in the browser", p.authorize(client, "response_type=id_token token", "scope=openid profile")["id_token"], nil)
			front := p.authorize(client, "response_type=code id_token", "scope=openid profile")
			has("beside a code, in the browser", front["id_token"], nil)
			has("alone, as nothing comes that UserInfo could be asked with", p.authorize(client, "response_type=id_token", "scope=openid profile")["id_token"], profile)
		}
	})
}

// Every claim that the metadata lists exists, and it lists every claim of the users.
func TestEveryClaimOfTheMetadataExists(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for acr, change := range map[string]func(*oidc.Provider){
		"with classes":             func(o *oidc.Provider) { o.ACRValues = []string{"phr"} },
		"without":                  func(*oidc.Provider) {},
		"also without any session": func(o *oidc.Provider) { o.Sessions, o.Logouts = nil, nil },
	} {
		p := newProvider(t, db, change, func(o *oidc.Provider) {
			o.Scopes["profile"], o.Scopes["phone"] = []string{"name", "locale", "staff"}, []string{"phone_number"}
		})
		if p.oidc.ACRValues == nil {
			p.how.ACR = "" // a program that names no class reaches none
		}
		client := p.client()
		found := make(map[string]bool)
		find := func(claims map[string]any) {
			for claim := range claims {
				name, _, _ := strings.Cut(claim, "#")
				found[name] = true
			}
		}
		for _, more := range []string{"response_type=code", "response_type=code id_token"} {
			tokens := p.authorize(client, more, "scope="+scope)
			if idToken := tokens["id_token"]; idToken != "" {
				claims, _ := verify(t, idToken)
				find(claims)
			}
		}
		tokens := p.signIn(client, "scope="+scope)
		claims, _ := verify(t, tokens["id_token"])
		find(claims)
		find(members(t, p.userInfo(tokens["access_token"])))
		var document struct {
			Claims []string `json:"claims_supported"`
		}
		require.NoError(t, json.Unmarshal([]byte(p.Get("/.well-known/openid-configuration").Raw), &document))
		assert.Equal(t, slices.Sorted(maps.Keys(found)), document.Claims, acr)
	}
}

// What a row says in two ways of the claims that were granted asks for nothing: the token,
// the code and the grant go on without it.
func TestStoredClaimsWithTwoReadings(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newProvider(t, db)
		client := p.client()
		for text, want := range map[string][2][]string{ // of UserInfo and of the ID token
			`{"userinfo":{"email":null},"id_token":{"phone_number":null}}`:                                      {{"email"}, {"phone_number"}},
			`{"userinfo":{"email":null},"userinfo":{"phone_number":null}}`:                                      {},
			`{"userinfo":{"email":null,"email":null},"id_token":{"phone_number":null}}`:                         {nil, {"phone_number"}},
			`{"userinfo":{"email":{"value":1,"value":2}},"id_token":{"phone_number":null}}`:                     {nil, {"phone_number"}},
			`{"u\u017ferinfo":{"email":null},"ID_Token":{"phone_number":null}}`:                                 {},
			`{"userinfo":{"\u017faddress":null,"Email":null,"email\u0000":null},"id_token":{"PHONE_NUMBER":1}}`: {},
			`{"userinfo":"email","id_token":{"phone_number":null}}`:                                             {nil, {"phone_number"}},
			"{\"userinfo\":{\"email\":{\"value\":\"\xef\xbf\xbd\"}},\"x\":{\"y\":1,\"y\":2}}":                   {{"email"}, nil},
			`{"userinfo":{"email":null},"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`:         {{"email"}, nil},
			`["email"]`: {}, `"email"`: {}, `null`: {}, `7`: {}, `{`: {}, `not JSON`: {}, ` `: {},
		} {
			check := func(tokens map[string]string, where string) {
				t.Helper()
				assertKeys(t, members(t, p.userInfo(tokens["access_token"])), append(want[0], "sub")...)
				all, _ := verify(t, tokens["id_token"])
				assert.Equal(t, want[1] != nil, all["phone_number"] != nil, "%s: %s", text, where)
				assert.Nil(t, all["email"], "%s: %s", text, where)
			}
			code := p.authorize(client, `claims={"userinfo":{"email":null,"phone_number":null},"id_token":{"email":null,"phone_number":null}}`)["code"]
			require.NoError(t, db.Model(&oauthtest.AuthorizationCode{}).Where("1 = 1").UpdateColumn("claims", text).Error)
			a := p.Token(client, "grant_type=authorization_code&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)+"&code="+code)
			require.Equal(t, http.StatusOK, a.Status, "%s: %s", text, a.Raw)
			check(a.Body, "a code")
			require.NoError(t, db.Model(&oauthtest.Token{}).Where("1 = 1").UpdateColumn("claims", text).Error)
			again := p.Refresh(client, a.Body["refresh_token"], "")
			require.Equal(t, http.StatusOK, again.Status, "%s: %s", text, again.Raw)
			check(again.Body, "a refresh")
		}
	})
}

// A claim of the program's own that has the name of one of the protocol, or its lookalike,
// is left out wherever claims go, and the log has which.
func TestClaimsThatCollideWithTheProtocol(t *testing.T) {
	own := map[string]any{
		"sub": "mine", "\u017fub": "mine", "SCOPE": "mine", "client_id": "mine", "Iss#ja": "mine", "nonce": "mine", "\u017fid": "mine", "amr": "mine", "cnf": "mine", "roles": "kept", "nickname": "Al",
	}
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	provider := &oidc.Provider{Keys: signingKeys(), Claims: func(_ context.Context, input *oidc.ClaimsInput) error {
		maps.Copy(input.Claims, own)
		return nil
	}}
	require.NoError(t, provider.Register(p.Server, p.Protector))
	client := p.NewClient(func(c *oauthtest.Client) { c.ClientMetadata.Scope = "openid profile" })
	callback := "redirect_uri=" + url.QueryEscape(oauthtest.RedirectURI)
	signIn := func() oauthtest.Answer {
		code := p.Code(client, "scope=openid+profile&"+callback)
		return p.Token(client, "grant_type=authorization_code&code_verifier="+oauthtest.Verifier+"&code="+code+"&"+callback)
	}
	tokens := signIn()
	idToken, _ := verify(t, tokens.Body["id_token"])
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/userinfo", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+tokens.Body["access_token"])
	told := p.Serve(r)
	userInfo := members(t, told)
	p.Server.RegisterTokenGenerator("authorization_code", (&generator.JWTAccessToken{Keys: signingKeys(), Algorithm: "RS256", Audience: "https://api.example", Claims: provider.AccessTokenClaims}).Generate)
	access, _ := verify(t, signIn().Body["access_token"])
	for where, claims := range map[string]map[string]any{"the ID token": idToken, "UserInfo": userInfo, "the access token": access} {
		assert.Equal(t, "kept", claims["roles"], where)
		assert.Equal(t, p.User.GetUserID(), claims["sub"], where)
		for name, value := range claims {
			assert.NotEqual(t, "mine", value, "%s: %s", where, name)
		}
	}
	var left []string
	for name, whose := range own {
		if whose == "mine" {
			left = append(left, name)
		}
	}
	from := make(map[string]string)
	for _, line := range append(tokens.Log(), told.Log()...) {
		assert.Equal(t, slog.LevelDebug, line.Level)
		from[line.Keys["endpoint"]+" "+line.Keys["from"]] = line.Keys["claims"]
	}
	assert.ElementsMatch(t, left, strings.Fields(from["token oidc.Provider.Claims"]))
	assert.ElementsMatch(t, left, strings.Fields(from["userinfo oidc.Provider.Claims"]))
	assert.Equal(t, "iss", from["userinfo User.GetClaims"])
}
