package assertion_test

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/secret"
)

const ours = "https://id.example"

var now = time.Unix(1_800_000_000, 0)

// reasonOf writes why, with what it is about; empty for nil.
func reasonOf(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var why *reason.Reason
	require.ErrorAs(t, err, &why)
	return why.Text + " " + slog.GroupValue(why.Values...).String()
}

func signed(t *testing.T, header map[jose.HeaderKey]any, more ...any) string {
	t.Helper()
	return oauthtest.SignJWT(t, make([]byte, 32), jose.HS256, header, oauthtest.Claims(map[string]any{
		"iss": "issuer", "sub": "subject", "aud": ours, "jti": "1", "exp": now.Unix() + 60,
	}, more...))
}

func parse(t *testing.T, text string) *assertion.Assertion {
	t.Helper()
	a, err := assertion.Parse(text, []jose.SignatureAlgorithm{jose.HS256})
	require.NoError(t, err)
	return a
}

// An assertion is for this server alone, says who says what of whom, and is valid for an
// hour at most, with half a minute for clocks.
func TestAnAssertionIsForThisServerNow(t *testing.T) {
	in := func(seconds int64) int64 { return now.Unix() + seconds }
	for _, c := range []struct {
		claims []any
		why    string
	}{
		{nil, ""},
		{[]any{"aud", []string{ours}}, ""},
		{[]any{"aud", "other"}, "the 'aud' of the JWT does not name this server alone [audience=other]"},
		{[]any{"aud", []string{ours, "other"}}, "the 'aud' of the JWT does not name this server alone [audience=" + ours + " other]"},
		{[]any{"aud", ""}, "the 'aud' of the JWT does not name this server alone [audience=]"},
		{[]any{"aud", nil}, "the 'aud' of the JWT does not name this server alone [audience=]"},
		{[]any{"iss", ""}, "the JWT has no 'iss' []"},
		{[]any{"sub", nil}, "the JWT has no 'sub' []"},
		{[]any{"jti", nil}, "the JWT has no 'jti' []"},
		{[]any{"jti", string(make([]byte, 512))}, ""},
		{[]any{"jti", string(make([]byte, 513))}, "the 'jti' of the JWT is too long []"},
		{[]any{"exp", in(-29)}, ""},
		{[]any{"exp", in(-30)}, "the JWT has expired [exp=1799999970]"},
		{[]any{"exp", in(3600)}, ""},
		{[]any{"exp", in(3601)}, "the JWT has no 'exp' within the hour [exp=1800003601]"},
		{[]any{"exp", nil}, "the JWT has no 'exp' within the hour [exp=0]"},
		{[]any{"iat", in(30), "nbf", in(30)}, ""},
		{[]any{"iat", in(31)}, "the JWT is not valid yet [nbf=0 iat=1800000031]"},
		{[]any{"nbf", in(31)}, "the JWT is not valid yet [nbf=1800000031 iat=0]"},
		{[]any{"iat", in(60 - 3630)}, ""},
		{[]any{"iat", in(60 - 3631)}, "the JWT is valid for more than an hour [exp=1800000060 iat=1799996429]"},
		{[]any{"nbf", in(60 - 3631)}, "the JWT is valid for more than an hour [exp=1800000060 nbf=1799996429]"},
	} {
		a := parse(t, signed(t, nil, c.claims...))
		assert.Equal(t, c.why, reasonOf(t, a.CheckFor(now, ours, "")), "%v", c.claims)
	}
	null := parse(t, oauthtest.SignJWT(t, make([]byte, 32), jose.HS256, nil, map[string]any{"exp": json.RawMessage("null"), "iat": json.RawMessage("null")}))
	assert.Equal(t, "the JWT has expired [exp=0]", reasonOf(t, null.CheckTimely(now)))
	assert.False(t, null.Has("exp"))
	without := parse(t, oauthtest.SignJWT(t, make([]byte, 32), jose.HS256, nil, map[string]any{"sub": "s"}))
	assert.NoError(t, without.CheckTimely(now), "which states no times")
	assert.True(t, without.Has("sub"))
}

// The reason says what is wrong with a text, and never what it contains.
func TestWhyAnAssertionIsMalformed(t *testing.T) {
	for text, why := range map[string]string{
		string(make([]byte, 16<<10)):                     "the JWT is malformed [fault=illegal base64 data at input byte 0]",
		string(make([]byte, 16<<10+1)):                   "the JWT is too long []",
		signed(t, map[jose.HeaderKey]any{"crit": "b64"}): `the JWT has a critical header parameter that is not supported [crit="b64"]`,
		signed(t, nil, "exp", "soon"):                    "a claim of the JWT is malformed [claim=exp]",
		signed(t, nil, "aud", 1):                         "a claim of the JWT is malformed [claim=aud]",
	} {
		_, err := assertion.Parse(text, []jose.SignatureAlgorithm{jose.HS256})
		assert.Equal(t, why, reasonOf(t, err))
	}
	_, err := assertion.Parse(signed(t, nil), nil)
	assert.Equal(t, "the signature algorithm of the JWT is not accepted [algorithm=HS256]", reasonOf(t, err), "a secret is not among the default")
}

// No two issuers share what is remembered, with an id or without.
func TestWhatIsRememberedOfAnAssertion(t *testing.T) {
	a := parse(t, signed(t, nil))
	assert.Equal(t, `assertion "issuer" "1"`, a.ReplayKey())
	assert.Equal(t, now.Add(90*time.Second), a.RememberUntil())
	claims := map[string]any{"iss": "issuer"}
	text, err := json.Marshal(claims)
	require.NoError(t, err)
	without := parse(t, oauthtest.SignJWT(t, make([]byte, 32), jose.HS256, nil, claims))
	assert.Equal(t, `assertion "issuer" without an id `+secret.Digest(string(text)), without.ReplayKey())
	assert.True(t, a.IsAddressedTo(ours))
	assert.False(t, a.IsAddressedTo("other"))
	assert.Equal(t, []string{ours}, a.Audience())
}

func TestTheTypeOfAnAssertion(t *testing.T) {
	for typ, why := range map[string]string{
		"": "", "JWT": "", "jwt": "", "application/JWT": "", "own+jwt": "", "application/OWN+jwt": "",
		"at+jwt": "the JWT has the wrong 'typ' [typ=at+jwt]", "logout+jwt": "the JWT has the wrong 'typ' [typ=logout+jwt]",
	} {
		var header map[jose.HeaderKey]any
		if typ != "" {
			header = map[jose.HeaderKey]any{jose.HeaderType: typ}
		}
		assert.Equal(t, why, reasonOf(t, parse(t, signed(t, header)).CheckType("application/own+jwt")), typ)
	}
}

// Only a key that is meant for it verifies a signature.
func TestWhichKeyVerifies(t *testing.T) {
	key, other := oauthtest.NewKey(t), oauthtest.NewKey(t)
	for rule, c := range map[string]struct {
		keyID string
		keys  []jose.JSONWebKey
		ok    bool
	}{
		"the key":                        {"", []jose.JSONWebKey{{Key: key.Public()}}, true},
		"by its id":                      {"1", []jose.JSONWebKey{{Key: other.Public(), KeyID: "2"}, {Key: key.Public(), KeyID: "1"}}, true},
		"by another id":                  {"1", []jose.JSONWebKey{{Key: key.Public(), KeyID: "2"}}, false},
		"without an id":                  {"1", []jose.JSONWebKey{{Key: key.Public()}}, true},
		"for its algorithm":              {"", []jose.JSONWebKey{{Key: key.Public(), Algorithm: "ES256", Use: "sig"}}, true},
		"for another algorithm":          {"", []jose.JSONWebKey{{Key: key.Public(), Algorithm: "ES384"}}, false},
		"to encrypt":                     {"", []jose.JSONWebKey{{Key: key.Public(), Use: "enc"}}, false},
		"to encrypt, by its algorithm":   {"", []jose.JSONWebKey{{Key: key.Public(), Algorithm: "ES256", Use: "ENC"}}, false},
		"after another":                  {"", []jose.JSONWebKey{{Key: other.Public()}, {Key: key.Public()}}, true},
		"another":                        {"", []jose.JSONWebKey{{Key: other.Public()}}, false},
		"none":                           {"", []jose.JSONWebKey{}, false},
		"for another algorithm, and use": {"", []jose.JSONWebKey{{Key: key.Public(), Algorithm: "ES384", Use: "sig"}}, false},
	} {
		header := map[jose.HeaderKey]any{}
		if c.keyID != "" {
			header["kid"] = c.keyID
		}
		a, err := assertion.Parse(oauthtest.SignJWT(t, key, jose.ES256, header, map[string]any{"iss": "i"}), nil)
		require.NoError(t, err)
		assert.Equal(t, c.keyID, a.KeyID())
		assert.Equal(t, "ES256", a.Algorithm())
		err = a.VerifyByKeys(&jose.JSONWebKeySet{Keys: c.keys})
		assert.Equal(t, c.ok, err == nil, "%s: %v", rule, err)
		text, marshalled := json.Marshal(jose.JSONWebKeySet{Keys: c.keys})
		require.NoError(t, marshalled)
		assert.Equal(t, reasonOf(t, err), reasonOf(t, a.VerifyBy(text)), rule)
	}
	a := parse(t, signed(t, nil))
	assert.NoError(t, a.VerifyWith(make([]byte, 32)))
	assert.Error(t, a.VerifyWith([]byte("another secret, of thirty-two bytes")))
	assert.Equal(t, "there are no keys []", reasonOf(t, a.VerifyByKeys(nil)))
	assert.Equal(t, "the key set has too many keys [keys=21]", reasonOf(t, a.VerifyByKeys(&jose.JSONWebKeySet{Keys: make([]jose.JSONWebKey, 21)})))
	assert.Contains(t, reasonOf(t, a.VerifyByKeys(&jose.JSONWebKeySet{Keys: make([]jose.JSONWebKey, 20)})), "has no key")
	assert.Contains(t, reasonOf(t, a.VerifyBy([]byte("x"))), "the key set is malformed [fault=")
}
