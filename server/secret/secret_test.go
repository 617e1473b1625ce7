package secret_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/server/secret"
)

func TestGeneratedSecrets(t *testing.T) {
	token := secret.Generate("acme", secret.AccessToken)
	assert.Regexp(t, `^acme_at_[A-Z2-7]{59}$`, token, "260 random bits and a checksum")
	assert.NotEqual(t, token, secret.Generate("acme", secret.AccessToken))
	assert.False(t, secret.Malformed(token, secret.AccessToken))
	for rule, malformed := range map[string]string{
		"cut short":         token[:len(token)-1],
		"longer":            token + "A",
		"mistyped":          strings.Replace(token, token[20:21], "1", 1),
		"another prefix":    "evil" + token[4:],
		"in small letters":  strings.ToLower(token),
		"of another kind":   secret.Generate("acme", secret.ClientSecret),
		"with nothing else": "acme_at_",
	} {
		assert.True(t, secret.Malformed(malformed, secret.AccessToken), rule)
	}
	for _, foreign := range []string{"", "a", "a.b.c", "WCqdi2YIYVRfTkJcdkW4qkwD0X0xJ1b5EA9k9EQ1fX", "a_b", "a_b_c", "goa_at", "goa_at_b.c.d", "goa_at_" + strings.Repeat("A", 58) + "."} {
		assert.False(t, secret.Malformed(foreign, secret.AccessToken), "another program may have made %q", foreign)
	}
}

// A successor is derived in the same way by each release: what one derived, the next one finds.
func TestADerivedSuccessor(t *testing.T) {
	presented := secret.Present("goa_rt_presented")
	key := []byte("0123456789abcdef0123456789abcdef")
	assert.Equal(t, "goa_rt_SAVCSNWOJ2NFBBRSGPBPYQV7QWAKKU6E523IHE5Q6D6ZAGQUJD42", presented.Derive(key, "goa", secret.RefreshToken))
	assert.NotEqual(t, presented.Derive(key, "goa", secret.RefreshToken)[7:], presented.Derive(key, "goa", secret.AccessToken)[7:])
}

func FuzzPresent(f *testing.F) {
	f.Add(secret.Generate("goa", secret.AccessToken))
	f.Add("_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, clear string) {
		p := secret.Present(clear)
		if len(p.Digest) != 64 {
			t.Fatalf("digest %q", p.Digest)
		}
		for _, kind := range []secret.Kind{secret.AccessToken, secret.RefreshToken, secret.AuthorizationCode} {
			secret.Malformed(clear, kind)
		}
	})
}
