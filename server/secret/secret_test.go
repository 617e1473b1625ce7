package secret_test

import (
	"encoding/hex"
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

// What is stored, or given to clients, stays readable for as long as there are rows and clients:
// a later release has to make the same of the same.
func TestWhatIsStoredStaysReadable(t *testing.T) {
	const own, grant = "goa_rt_ABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOPQRST", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	bound := secret.Bind(own, grant)
	presented := secret.Present(bound)
	ring := secret.Keyring{[]byte("0123456789abcdef0123456789abcdef")}
	assert.Equal(t, map[string]string{
		"a digest":                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"a digest of a long text": "d9f5aeb06abebb3be3f38adec9a2e3b94228d52193be923eb4e24c9b56ee0930",
		"a checksum":              "goa_at_ABCTLQV6LY",
		"a refresh token":         own + "_" + grant + "5CS6LQI",
		"its digest":              "33c62f5bd9914bf358463300c9c6e8b4c7d9ab4c00e1061f5b33abd8dd2ceb3e",
		"its grant":               "d6ec6898de87ddac6e5b3611708a7aa1c2d298293349cc1a6c299a1db7149d38",
		"its grant's secret":      grant,
		"its successor":           "goa_rt_6KJBJBNH47SI6OEIEIRIGNKEYCC6YK7WYHRTKSC2TZNYV6I2LBRO",
		"the id of a secret":      "e3f69083",
		"a key":                   "9a080682f9b94267bdf9a68fd3ae78bd5c54e69a1bd13d90a246b425fc899d92",
	}, map[string]string{
		"a digest":                secret.Digest("abc"),
		"a digest of a long text": secret.Digest(strings.Repeat("abc", 100)),
		"a checksum":              secret.Seal("goa_at_ABC"),
		"a refresh token":         bound,
		"its digest":              presented.Digest,
		"its grant":               presented.GrantID,
		"its grant's secret":      presented.GrantSecret(),
		"its successor":           presented.Derive([]byte("key"), "goa", secret.RefreshToken),
		"the id of a secret":      ring.Newest(),
		"a key":                   hex.EncodeToString(ring.Keys(secret.ForSigningKeys)[0]),
	})
}
