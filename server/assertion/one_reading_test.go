package assertion_test

import (
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/jwk"
)

func parsed(t *testing.T, text string) *assertion.Assertion {
	t.Helper()
	a, err := assertion.Parse(text, nil)
	require.NoError(t, err)
	return a
}

func TestAKeyThatIsNotUnderstoodIsIgnored(t *testing.T) {
	signing := oauthtest.NewKey(t)
	assertion := parsed(t, oauthtest.SignJWT(t, signing, jose.ES256, nil, map[string]any{"iss": "i"}))
	for name, key := range oauthtest.KeysNotUnderstood() {
		t.Run(name, func(t *testing.T) {
			set := oauthtest.WithKey(oauthtest.KeySet(t, signing), key)
			keys, err := jwk.ParseSet(set)
			require.NoError(t, err)
			require.Len(t, keys.Keys, 1)
			assert.Equal(t, "1", keys.Keys[0].KeyID)
			assert.NoError(t, assertion.VerifyBy(set))

			alone, err := jwk.ParseSet([]byte(`{"keys":[` + key + `]}`))
			require.NoError(t, err)
			assert.Empty(t, alone.Keys)
			assert.Error(t, assertion.VerifyBy([]byte(`{"keys":[`+key+`]}`)))
		})
	}
}

func TestWhatIsNoKeySet(t *testing.T) {
	for _, text := range []string{
		``, `null`, `[]`, `{}`, `"keys"`, `{"keys":null}`, `{"keys":{}}`, `{"keys":"a"}`, `{"Keys":[]}`, `{"\u212Aeys":[]}`, `{"keyſ":[]}`,
		`{"keys":[],"keys":[]}`, `{"keys":[{"kty":"OKP","kty":"OKP"}]}`, `{"keys":[{"x":{"y":1,"y":2}}]}`, `{"keys":[]}x`, "{\"keys\":[\"\xff\"]}",
	} {
		_, err := jwk.ParseSet([]byte(text))
		assert.Error(t, err, text)
	}
	keys, err := jwk.ParseSet([]byte(`{"keys":[],"more":1}`))
	require.NoError(t, err)
	assert.Empty(t, keys.Keys)
}

// go-jose is lenient here: two readers of a header could see two things.
func TestAHeaderHasOneReading(t *testing.T) {
	key := oauthtest.NewKey(t)
	for rule, header := range map[string]string{
		"twice":               `{"alg":"ES256","kid":"1","kid":"1"}`,
		"twice within":        `{"alg":"ES256","x":{"y":1,"y":2}}`,
		"twice within a jwk":  `{"alg":"ES256","jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","more":{"y":1,"y":2}}}`,
		"no UTF-8":            "{\"alg\":\"ES256\",\"kid\":\"\xff\"}",
		"too deep":            `{"alg":"ES256","x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
		"something behind it": `{"alg":"ES256"}{}`,
		"by another case":     `{"Alg":"ES256"}`,
	} {
		signed := oauthtest.SignRaw(t, key, header, `{"iss":"i"}`)
		_, err := assertion.Parse(signed, nil)
		assert.Error(t, err, rule)
	}
	signed := parsed(t, oauthtest.SignRaw(t, key, `{"alg":"ES256","Kid":"2","ſub":{"x":[]}}`, `{"iss":"i"}`))
	assert.NoError(t, signed.VerifyBy(oauthtest.KeySet(t, key)))
}

func TestAnAssertionHasOneReading(t *testing.T) {
	key := oauthtest.NewKey(t)
	parse := func(payload string) *assertion.Assertion {
		a, _ := assertion.Parse(oauthtest.SignRaw(t, key, `{"alg":"ES256"}`, payload), nil)
		return a
	}
	for _, payload := range []string{
		`{"iss":"i","iss":"j"}`, `{"iss":"i","x":[{"y":1,"y":1}]}`, "{\"iss\":\"\xff\"}", `{"iss":"\ud800"}`, `{"iss":1}`, `{"aud":[1]}`, `{"aud":{}}`, `{"exp":"1"}`, `{"exp":1e400}`,
		`{"nbf":-1}`, `{"iat":1e300}`, `[]`, `null`, `{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
	} {
		assert.Nil(t, parse(payload), payload)
	}
	folded := parse(`{"ſub":"1","Iss":"i","AUD":"a","Exp":1}`)
	require.NotNil(t, folded)
	assert.Empty(t, folded.Subject+folded.Issuer+strings.Join(folded.Audience(), ""))
	assert.Zero(t, folded.ExpiresAt.Unix())

	for payload, want := range map[string]string{`{"aud":"a"}`: "a", `{"aud":["a","b"]}`: "a b", `{"aud":[]}`: "", `{"aud":null}`: "", `{}`: ""} {
		assert.Equal(t, want, strings.Join(parse(payload).Audience(), " "), payload)
	}
	dated := parse(`{"exp":1800000000.5,"iat":1.8e9,"nbf":1799999999.25}`)
	require.NotNil(t, dated)
	assert.EqualValues(t, 1_800_000_000, dated.ExpiresAt.Unix())
	assert.NoError(t, dated.CheckCurrent(time.Unix(1_799_999_990, 0)))
}
