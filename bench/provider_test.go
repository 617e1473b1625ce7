package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// providesRight checks the operations that not every contestant has.
func providesRight(t *testing.T, c *caller) {
	t.Helper()
	introspectsRight(t, c)
	signsRight(t, c)
	bindsRight(t, c)
	pollsRight(t, c)
	identifiesRight(t, c)
}

func introspectsRight(t *testing.T, c *caller) {
	t.Helper()
	granted, err := c.newGrants(1)
	require.NoError(t, err)
	for access, active := range map[string]bool{granted[0].Access: true, granted[0].Access + "x": false, "unknown": false} {
		form := url.Values{"token": {access}}
		status, text, err := c.do(http.MethodPost, introspectPath, form, nil)
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, status)
		var answer map[string]any
		require.NoError(t, json.Unmarshal(text, &answer))
		assert.Equal(t, active, answer["active"])
		if active {
			assert.Equal(t, "1", answer["sub"])
			assert.Equal(t, clientID, answer["client_id"])
			assert.Equal(t, "profile", answer["scope"])
		} else {
			assert.Len(t, answer, 1)
		}
		refusesWrongSecret(t, c, introspectPath, form)
	}
}

func signsRight(t *testing.T, c *caller) {
	t.Helper()
	issued, err := c.mustToken(jwtTokenPath, credentialsForm())
	require.NoError(t, err)
	claims := verifiedClaims(t, c, issued.Access, accessTokenType)
	assert.Equal(t, issuer, claims["iss"])
	assert.Equal(t, []any{apiAudience}, claims["aud"])
	assert.Equal(t, clientID, claims["sub"])
	assert.InDelta(t, tokenLife.Seconds(), claims["exp"].(float64)-claims["iat"].(float64), 0)
	assert.NoError(t, c.mustAPI(jwtAPIPath, "Bearer", issued.Access, ""))

	other, err := c.mustToken(jwtTokenPath, credentialsForm())
	require.NoError(t, err)
	signed, signature := splitSignature(issued.Access)
	_, othersSignature := splitSignature(other.Access)
	codes, err := c.seeds(openIDSeed, 1)
	require.NoError(t, err)
	identified, err := c.mustToken(providerPath, codeForm(codes[0]))
	require.NoError(t, err)
	for what, access := range map[string]string{
		"nothing": "", "no JWT": "unknown", "another's signature": signed + "." + othersSignature, "no signature": signed + ".",
		"more than was signed": "A" + signed + "." + signature, "an ID token": identified.ID,
	} {
		status, err := c.api(jwtAPIPath, "Bearer", access, "")
		require.NoError(t, err)
		assert.GreaterOrEqual(t, status, http.StatusBadRequest, what)
		assert.Less(t, status, http.StatusInternalServerError, what)
	}
	refusesWrongSecret(t, c, jwtTokenPath, credentialsForm())
}

func splitSignature(text string) (signed, signature string) {
	i := strings.LastIndex(text, ".")
	return text[:i], text[i+1:]
}

// verifiedClaims are those of a JWT that the contestant's published key signed.
func verifiedClaims(t *testing.T, c *caller, text, typ string) (claims map[string]any) {
	t.Helper()
	status, body, err := c.do(http.MethodGet, jwksPath, nil, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	var keys jose.JSONWebKeySet
	require.NoError(t, json.Unmarshal(body, &keys))
	signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.ES256})
	require.NoError(t, err)
	header := signed.Signatures[0].Header
	assert.Equal(t, typ, header.ExtraHeaders[jose.HeaderType])
	require.Len(t, keys.Key(header.KeyID), 1)
	payload, err := signed.Verify(keys.Key(header.KeyID)[0])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(payload, &claims))
	return claims
}

func bindsRight(t *testing.T, c *caller) {
	t.Helper()
	d, err := newDriver(c, operation{name: validateDPoP, prepare: (*driver).issueSomeBound}, 1)
	require.NoError(t, err)
	access := d.access(0)
	prove := func(p *prover, method, target, access string) string {
		text, err := p.prove(method, target, access)
		require.NoError(t, err)
		return text
	}
	good := prove(d.prover, http.MethodGet, apiTarget, access)
	require.NoError(t, c.mustAPI(dpopAPIPath, "DPoP", access, good))
	thief, err := newProver()
	require.NoError(t, err)
	for what, proof := range map[string]string{
		"no proof": "", "a proof that was used": good, "a proof of another key": prove(thief, http.MethodGet, apiTarget, access),
		"a proof for another token": prove(d.prover, http.MethodGet, apiTarget, d.access(1)), "a proof for another method": prove(d.prover, http.MethodPost, apiTarget, access),
		"a proof for another address": prove(d.prover, http.MethodGet, tokenTarget, access),
	} {
		status, err := c.api(dpopAPIPath, "DPoP", access, proof)
		require.NoError(t, err)
		assert.Equal(t, http.StatusUnauthorized, status, what)
	}

	used := prove(d.prover, http.MethodPost, tokenTarget, "")
	_, err = c.mustToken(providerPath, credentialsForm(), used)
	require.NoError(t, err)
	for what, proof := range map[string]string{"a proof that was used": used, "a proof for another address": prove(d.prover, http.MethodPost, apiTarget, ""), "no JWT": "unknown"} {
		_, status, err := c.token(providerPath, credentialsForm(), proof)
		require.NoError(t, err)
		assert.Equal(t, http.StatusBadRequest, status, what)
	}
	refusesWrongSecret(t, c, providerPath, credentialsForm())
}

func pollsRight(t *testing.T, c *caller) {
	t.Helper()
	codes, err := c.seeds(deviceSeed, 1)
	require.NoError(t, err)
	poll := func(code string) string {
		status, text, err := c.do(http.MethodPost, providerPath, deviceForm(code), nil)
		require.NoError(t, err)
		assert.Equal(t, http.StatusBadRequest, status)
		return errorCode(text)
	}
	assert.Equal(t, "authorization_pending", poll(codes[0]))
	require.Eventually(t, func() bool { return poll(codes[0]) == "slow_down" }, 5*time.Second, 200*time.Millisecond)
	assert.Equal(t, "invalid_grant", poll("unknown"))
}

func identifiesRight(t *testing.T, c *caller) {
	t.Helper()
	codes, err := c.seeds(openIDSeed, 1)
	require.NoError(t, err)
	granted, err := c.mustToken(providerPath, codeForm(codes[0]))
	require.NoError(t, err)
	assert.NotEmpty(t, granted.Refresh)
	claims := verifiedClaims(t, c, granted.ID, "JWT")
	assert.Equal(t, issuer, claims["iss"])
	assert.Equal(t, clientID, claims["aud"])
	assert.Equal(t, "1", claims["sub"])
	assert.Equal(t, nonce, claims["nonce"])
	assert.NotEmpty(t, claims["at_hash"])
	assert.NotZero(t, claims["auth_time"])
	_, status, err := c.token(providerPath, codeForm(codes[0]))
	require.NoError(t, err)
	assert.Equal(t, http.StatusBadRequest, status, "a code that is used")
}
