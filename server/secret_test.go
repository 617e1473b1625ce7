package server_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/server"
)

func TestGeneratedSecrets(t *testing.T) {
	token := server.GenerateSecret("acme", server.AccessTokenKind)
	assert.Regexp(t, `^acme_at_[A-Z2-7]{59}$`, token, "260 random bits and a checksum")
	assert.NotEqual(t, token, server.GenerateSecret("acme", server.AccessTokenKind))
	assert.False(t, server.Malformed(token, server.AccessTokenKind))
	for rule, malformed := range map[string]string{
		"cut short":         token[:len(token)-1],
		"longer":            token + "A",
		"mistyped":          strings.Replace(token, token[20:21], "1", 1),
		"another prefix":    "evil" + token[4:],
		"in small letters":  strings.ToLower(token),
		"of another kind":   server.GenerateSecret("acme", server.ClientSecretKind),
		"with nothing else": "acme_at_",
	} {
		assert.True(t, server.Malformed(malformed, server.AccessTokenKind), rule)
	}
	for _, foreign := range []string{"", "a", "a.b.c", "WCqdi2YIYVRfTkJcdkW4qkwD0X0xJ1b5EA9k9EQ1fX", "a_b", "a_b_c"} {
		assert.False(t, server.Malformed(foreign, server.AccessTokenKind), "another program may have made %q", foreign)
	}
}

func FuzzPresent(f *testing.F) {
	f.Add(server.GenerateSecret("goa", server.AccessTokenKind))
	f.Add("_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, secret string) {
		p := server.Present(secret)
		if len(p.Digest) != 64 {
			t.Fatalf("digest %q", p.Digest)
		}
		for _, kind := range []server.SecretKind{server.AccessTokenKind, server.RefreshTokenKind, server.AuthorizationCodeKind} {
			server.Malformed(secret, kind)
		}
	})
}
