package oauthtest

import (
	"encoding/json"
	"strings"
)

// KeysNotUnderstood returns keys that a set may have beside those that count (RFC 7517
// section 5), each by what it is.
func KeysNotUnderstood() map[string]string {
	const zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" // 32 bytes
	return map[string]string{
		"AKP":                `{"kty":"AKP","alg":"ML-DSA-44","kid":"a","pub":"AAAA"}`,
		"unknown kty":        `{"kty":"FUTURE","kid":"b","use":"sig"}`,
		"X25519":             `{"kty":"OKP","crv":"X25519","kid":"c","use":"enc","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}`,
		"X448":               `{"kty":"OKP","crv":"X448","x":"AAAA"}`,
		"secp256k1":          `{"kty":"EC","crv":"secp256k1","x":"AAAA","y":"AAAA"}`,
		"empty":              `{}`,
		"a member missing":   `{"kty":"RSA","e":"AQAB"}`,
		"kty is a number":    `{"kty":1}`,
		"not on the curve":   `{"kty":"EC","crv":"P-256","x":"` + zeros + `","y":"` + zeros + `"}`,
		"no certificate":     `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","x5c":["AAAA"]}`,
		"a key set":          `{"keys":[]}`,
		"no object":          `"key"`,
		"null":               `null`,
		"a list":             `[]`,
		"kty by case":        `{"Kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"kty by folded case": `{"\u212Aty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
	}
}

// WithKey returns a key set with one more key in front of the others.
func WithKey(keySet json.RawMessage, key string) json.RawMessage {
	return json.RawMessage(strings.Replace(string(keySet), `[`, `[`+key+`,`, 1))
}
