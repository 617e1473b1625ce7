package oidc_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
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
