package jwt_test

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/jwt"
)

// A header that two readers may read differently is refused, signed or encrypted, and the
// reason is told.
func TestAHeaderHasOneReading(t *testing.T) {
	for header, why := range map[string]string{
		`{"alg":"HS256","crit":["b64"],"b64":false}`: `the JWT has critical header parameters that are not understood: ["b64"]`,
		`{"alg":"HS256","alg":"HS256"}`:              "is given twice",
		`[]`:                                         "wrong JSON type",
		`{`:                                          "not JSON",
	} {
		text := base64.RawURLEncoding.EncodeToString([]byte(header))
		_, err := jwt.ParseSigned(text+".e30.AA", []jose.SignatureAlgorithm{jose.HS256})
		require.ErrorContains(t, err, why, header)
		_, err = jwt.ParseEncrypted(text+"....", []jose.KeyAlgorithm{jose.DIRECT}, []jose.ContentEncryption{jose.A256GCM})
		require.ErrorContains(t, err, why, header)
	}
	_, err := jwt.ParseSigned("!.e30.AA", []jose.SignatureAlgorithm{jose.HS256})
	require.Error(t, err)
}

func TestAudience(t *testing.T) {
	for text, want := range map[string]jwt.Audience{`"a"`: {"a"}, `["a","b"]`: {"a", "b"}, `[]`: {}, `null`: nil, `""`: {""}} {
		var got jwt.Audience
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{`1`, `{}`, `[1]`, `true`} {
		require.Error(t, new(jwt.Audience).UnmarshalJSON([]byte(text)), text)
	}
}

func TestNumericDate(t *testing.T) {
	for text, want := range map[string]jwt.NumericDate{"null": 0, "0": 0, "1800000000.9": 1_800_000_000, "1.8e9": 1_800_000_000, "253402300799": 253402300799} {
		got := jwt.NumericDate(7)
		require.NoError(t, got.UnmarshalJSON([]byte(text)), text)
		assert.Equal(t, want, got, text)
		assert.EqualValues(t, want, got.Time().Unix())
	}
	for _, text := range []string{"-1", "253402300800", `"1"`, "true", "1e400", "{}"} {
		require.Error(t, new(jwt.NumericDate).UnmarshalJSON([]byte(text)), text)
	}
	text, err := json.Marshal(jwt.NumericDate(1_800_000_000))
	require.NoError(t, err)
	assert.Equal(t, "1800000000", string(text))
}

func TestType(t *testing.T) {
	for typ, want := range map[any]string{"JWT": "jwt", "application/at+JWT": "at+jwt", "at+jwt": "at+jwt", 1: "1"} {
		assert.Equal(t, want, jwt.Type(jose.Header{ExtraHeaders: map[jose.HeaderKey]any{jose.HeaderType: typ}}))
	}
	assert.Empty(t, jwt.Type(jose.Header{}))
}
