package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

// Every claim that the metadata lists exists, of each demo user and for each client
// that may ask for it.
func TestEveryClaimOfTheMetadataExists(t *testing.T) {
	t.Parallel()
	address := startProgram(t).address
	document := ask(t, http.DefaultClient, http.MethodGet, address+"/.well-known/openid-configuration", "").body
	classes := document["acr_values_supported"].([]any)
	for username, password := range map[string]string{"alice": "wonderland", "bob": "builder"} {
		b := newBrowser(t, address)
		b.open(address + "/login")
		b.signIn(username, password)
		for id, secret := range map[string]string{"demo-web": "demo-web-secret", "demo-post": "demo-post-secret", "demo-spa": ""} {
			conf := clientConfig(address, id, secret, oauth2.AuthStyleInHeader)
			if id != "demo-web" {
				conf.Endpoint.AuthStyle = oauth2.AuthStyleInParams
			}
			conf.Scopes = []string{"openid", "profile", "email", "address", "phone", "offline_access"}
			verifier := oauth2.GenerateVerifier()
			b.open(conf.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("nonce", "n")))
			if b.at.Path == "/oauth/authorize" && b.status == http.StatusOK {
				assert.Contains(t, b.page, "See where you live")
				assert.Contains(t, b.page, "See your telephone number")
			}
			b.consent()
			token, err := conf.Exchange(t.Context(), b.at.Query().Get("code"), oauth2.VerifierOption(verifier))
			require.NoError(t, err)
			idToken, _ := token.Extra("id_token").(string)
			found := unverified(t, idToken)
			assert.Equal(t, classes[0], found["acr"], "the class of a password")
			info := ask(t, http.DefaultClient, http.MethodGet, address+"/oauth/userinfo", "", "Authorization", "Bearer "+token.AccessToken).body
			for _, claim := range []string{ // OpenID Connect Core section 5.1
				"sub", "name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website", "email", "email_verified",
				"gender", "birthdate", "zoneinfo", "locale", "phone_number", "phone_number_verified", "address", "updated_at",
			} {
				assert.True(t, info[claim] != nil && info[claim] != "", "%s learns no %s of %s", id, claim, username)
			}
			for _, member := range []string{"formatted", "street_address", "locality", "region", "postal_code", "country"} { // section 5.1.1
				assert.NotEmpty(t, info["address"].(map[string]any)[member], member)
			}
			for claim, value := range info {
				found[claim] = value
			}
			for claim, value := range ofTheHybridFlow(t, b, address) {
				found[claim] = value
			}
			for _, claim := range document["claims_supported"].([]any) {
				assert.Contains(t, found, claim, "%s %s", id, username)
			}
		}
	}
	registered := register(t, address, map[string]any{"redirect_uris": []string{callback}})
	assert.Subset(t, strings.Fields(registered.text("scope")), []string{"address", "phone"}, "what registers itself may ask for them, too")
}

// ofTheHybridFlow returns the claims of an ID token that comes beside a code.
func ofTheHybridFlow(t *testing.T, b *browser, address string) map[string]any {
	t.Helper()
	b.open(address + "/oauth/authorize?" + form(
		"response_type", "code id_token", "client_id", "demo-hybrid", "redirect_uri", callback, "scope", "openid", "state", "s", "nonce", "n",
	).Encode())
	b.consent()
	fragment, err := url.ParseQuery(b.at.EscapedFragment())
	require.NoError(t, err)
	return unverified(t, fragment.Get("id_token"))
}

// unverified returns the claims of a JWT.
func unverified(t *testing.T, token string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &claims))
	return claims
}
