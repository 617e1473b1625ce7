package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	zitadel "github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"
)

// registered is a client that registered itself.
type registered struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
}

// register makes a client known. more are members of its metadata.
func register(t *testing.T, address string, more map[string]any) (client registered) {
	t.Helper()
	metadata := map[string]any{"client_name": "Relying party", "scope": "openid profile email offline_access", "grant_types": []string{"authorization_code", "refresh_token"}}
	for name, value := range more {
		metadata[name] = value
	}
	body, err := json.Marshal(metadata)
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/oauth/register", bytes.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	require.Equal(t, http.StatusCreated, answer.StatusCode)
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&client))
	return client
}

const (
	callback = "http://127.0.0.1:8081/callback"
	bye      = "http://127.0.0.1:8081/callback/bye"
)

// code has the person sign in and agree.
func code(t *testing.T, p *person, address, state string) string {
	t.Helper()
	location, err := url.Parse(p.agree(address))
	require.NoError(t, err)
	require.Equal(t, state, location.Query().Get("state"), location)
	require.NotEmpty(t, location.Query().Get("code"), location)
	return location.Query().Get("code")
}

// github.com/coreos/go-oidc signs in, refreshes, asks UserInfo and signs out, with
// each algorithm by which the server signs.
func TestGoOIDC(t *testing.T) {
	address := startExample(t)
	for _, algorithm := range []string{oidc.RS256, oidc.ES256, oidc.EdDSA} {
		t.Run(algorithm, func(t *testing.T) {
			ctx, p := t.Context(), newPerson(t)
			client := register(t, address, map[string]any{
				"redirect_uris": []string{callback}, "post_logout_redirect_uris": []string{bye}, "id_token_signed_response_alg": algorithm, "subject_type": "pairwise",
			})
			provider, err := oidc.NewProvider(ctx, address)
			require.NoError(t, err)
			conf := oauth2.Config{ClientID: client.ID, ClientSecret: client.Secret, RedirectURL: callback, Endpoint: provider.Endpoint(), Scopes: []string{"openid", "profile", "email"}}
			verifier := oauth2.GenerateVerifier()
			token, err := conf.Exchange(ctx, code(t, p, conf.AuthCodeURL("state", oidc.Nonce("nonce"), oauth2.S256ChallengeOption(verifier)), "state"), oauth2.VerifierOption(verifier))
			require.NoError(t, err)
			check := func(token *oauth2.Token) (raw string, idToken *oidc.IDToken) {
				raw, _ = token.Extra("id_token").(string)
				idToken, err := provider.Verifier(&oidc.Config{ClientID: client.ID}).Verify(ctx, raw)
				require.NoError(t, err)
				require.NoError(t, idToken.VerifyAccessToken(token.AccessToken), "at_hash")
				return raw, idToken
			}
			raw, idToken := check(token)
			assert.Equal(t, "nonce", idToken.Nonce)
			assert.Len(t, idToken.Subject, 43, "a pairwise subject")
			info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
			require.NoError(t, err)
			assert.Equal(t, []any{idToken.Subject, "alice@example.com"}, []any{info.Subject, info.Email})

			expired := *token
			expired.Expiry = time.Now().Add(-time.Hour)
			token, err = conf.TokenSource(ctx, &expired).Token()
			require.NoError(t, err)
			_, refreshed := check(token)
			assert.Equal(t, idToken.Subject, refreshed.Subject)

			var endpoints struct {
				EndSession string `json:"end_session_endpoint"`
			}
			require.NoError(t, provider.Claims(&endpoints))
			location := p.agree(endpoints.EndSession + "?" + url.Values{"id_token_hint": {raw}, "post_logout_redirect_uri": {bye}, "state": {"over"}}.Encode())
			assert.Equal(t, bye+"?state=over", location)
			_, err = provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
			require.Error(t, err, "what was granted without offline_access ends with the session")
			denied, err := url.Parse(p.agree(conf.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("prompt", "none"))))
			require.NoError(t, err)
			assert.Equal(t, "login_required", denied.Query().Get("error"))
		})
	}
}

// The relying party of github.com/zitadel/oidc does the same.
func TestZitadelOIDC(t *testing.T) {
	address := startExample(t)
	ctx, p := t.Context(), newPerson(t)
	client := register(t, address, map[string]any{
		"redirect_uris": []string{callback}, "post_logout_redirect_uris": []string{bye}, "token_endpoint_auth_method": "client_secret_post",
	})
	party, err := rp.NewRelyingPartyOIDC(ctx, address, client.ID, client.Secret, callback, []string{"openid", "profile", "email", "offline_access"},
		rp.WithSigningAlgsFromDiscovery(), rp.WithVerifierOpts(rp.WithNonce(func(context.Context) string { return "nonce" }), rp.WithAuthTimeMaxAge(time.Hour)))
	require.NoError(t, err)
	verifier := oauth2.GenerateVerifier()
	address = rp.AuthURL("state", party, rp.WithCodeChallenge(oauth2.S256ChallengeFromVerifier(verifier)), rp.AuthURLOpt(rp.WithURLParam("nonce", "nonce")))
	tokens, err := rp.CodeExchange[*zitadel.IDTokenClaims](ctx, code(t, p, address, "state"), party, rp.WithCodeVerifier(verifier))
	require.NoError(t, err)
	assert.EqualValues(t, []string{"pwd"}, tokens.IDTokenClaims.AuthenticationMethodsReferences)
	info, err := rp.Userinfo[*zitadel.UserInfo](ctx, tokens.AccessToken, tokens.TokenType, tokens.IDTokenClaims.Subject, party)
	require.NoError(t, err)
	assert.Equal(t, []string{"Alice Liddell", "alice", "alice@example.com"}, []string{info.Name, info.PreferredUsername, info.Email})

	party, err = rp.NewRelyingPartyOIDC(ctx, party.Issuer(), client.ID, client.Secret, callback, nil, rp.WithSigningAlgsFromDiscovery())
	require.NoError(t, err) // which does not ask for a nonce, that a refreshed ID token does not have
	refreshed, err := rp.RefreshTokens[*zitadel.IDTokenClaims](ctx, party, tokens.RefreshToken, "", "")
	require.NoError(t, err)
	assert.Equal(t, tokens.IDTokenClaims.Subject, refreshed.IDTokenClaims.Subject)
	// Nobody is signed in where the application itself asks: only in the person's browser
	// does a sign-out lead on to it.
	location, err := rp.EndSession(ctx, party, refreshed.IDToken, bye, "over", "", nil)
	require.NoError(t, err)
	assert.Nil(t, location)
	assert.Equal(t, bye+"?state=over", p.agree(party.GetEndSessionEndpoint()+"?"+url.Values{
		"id_token_hint": {refreshed.IDToken}, "post_logout_redirect_uri": {bye}, "state": {"over"},
	}.Encode()))
	_, err = rp.Userinfo[*zitadel.UserInfo](ctx, refreshed.AccessToken, tokens.TokenType, tokens.IDTokenClaims.Subject, party)
	require.NoError(t, err, "offline_access outlives the session")
}
