package jwk_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/server/jwk"
)

// fixed has one key, or fails.
type fixed struct {
	key   *jose.JSONWebKey
	err   error
	fresh int // how often the keys were read again
}

func (f *fixed) SigningKey(context.Context, jose.SignatureAlgorithm, time.Time) (*jose.JSONWebKey, error) {
	return f.key, f.err
}

func (f *fixed) PublicKeys(context.Context, time.Time) (*jose.JSONWebKeySet, error) {
	if f.err != nil {
		return nil, f.err
	}
	return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{*f.key}}, nil
}

func (f *fixed) FreshPublicKeys(ctx context.Context, now time.Time) (*jose.JSONWebKeySet, error) {
	f.fresh++
	return f.PublicKeys(ctx, now)
}

func (f *fixed) SignatureAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.ES256}
}

// What cannot be signed is no JWT.
func TestWhatCannotBeSigned(t *testing.T) {
	key := &jose.JSONWebKey{Key: oauthtest.NewKey(t), KeyID: "1"}
	claims := map[string]any{"sub": "s"}
	for rule, c := range map[string]struct {
		keys      *fixed
		algorithm jose.SignatureAlgorithm
		claims    map[string]any
	}{
		"there is no key":          {&fixed{err: errors.New("no key")}, jose.ES256, claims},
		"the key is of a curve":    {&fixed{key: key}, jose.ES384, claims},
		"the key is of a kind":     {&fixed{key: key}, jose.RS256, claims},
		"the algorithm is none":    {&fixed{key: key}, "none", claims},
		"a claim is not JSON":      {&fixed{key: key}, jose.ES256, map[string]any{"sub": func() {}}},
		"the algorithm is unknown": {&fixed{key: &jose.JSONWebKey{Key: []byte("x")}}, "X", claims},
	} {
		text, err := jwk.SignJWT(t.Context(), c.keys, c.algorithm, time.Unix(1, 0), "JWT", c.claims)
		require.Error(t, err, rule)
		assert.Empty(t, text, rule)
	}
	text, err := jwk.SignJWT(t.Context(), &fixed{key: key}, jose.ES256, time.Unix(1, 0), "JWT", claims)
	require.NoError(t, err)
	again, err := jwk.SignJWT(t.Context(), &fixed{key: key}, jose.ES256, time.Unix(2, 0), "JWT", claims)
	require.NoError(t, err)
	assert.Equal(t, text, again)
}

// Keys are read again only for a key id that is not among those that are known.
func TestKeysAreReadAgainForAnUnknownOne(t *testing.T) {
	keys := &fixed{key: &jose.JSONWebKey{Key: oauthtest.NewKey(t).Public(), KeyID: "1"}}
	for _, c := range []struct {
		keyID string
		fresh int
	}{{"1", 0}, {"", 0}, {"2", 1}} {
		set, err := jwk.PublicKeysFor(t.Context(), keys, c.keyID, time.Now())
		require.NoError(t, err)
		assert.Len(t, set.Keys, 1)
		assert.Equal(t, c.fresh, keys.fresh, c.keyID)
	}
	keys.err = errors.New("no keys")
	for _, keyID := range []string{"", "1", "2"} {
		set, err := jwk.PublicKeysFor(t.Context(), keys, keyID, time.Now())
		require.ErrorIs(t, err, keys.err)
		assert.Nil(t, set)
	}
}

// What is no key set is refused with a reason.
func TestWhatIsNoKeySet(t *testing.T) {
	for text, why := range map[string]string{
		"x": "not JSON", "[]": "wrong JSON type", "{}": `must have the member "keys", a list`, `{"keys":null}`: `must have the member "keys", a list`, `{"keys":{}}`: "wrong JSON type",
	} {
		_, err := jwk.RawKeys([]byte(text))
		require.ErrorContains(t, err, why, text)
		_, err = jwk.ParseSet([]byte(text))
		require.ErrorContains(t, err, why, text)
	}
}

// What is signed is verified by its public key, says what it is, and is the same each time,
// except with the PS algorithms.
func TestWhatIsSignedIsVerified(t *testing.T) {
	for _, algorithm := range jwk.SignatureAlgorithms() {
		key := &jose.JSONWebKey{Key: oauthtest.NewKeyFor(t, algorithm), KeyID: "the key"}
		public := key.Public()
		require.True(t, jwk.IsKeyFor(public, algorithm), algorithm)
		var texts []string
		for range 20 { // among which are short numbers
			claims := map[string]any{"sub": "s", "n": len(texts) / 2}
			text, err := jwk.SignJWT(t.Context(), &fixed{key: key}, algorithm, time.Unix(1, 0), "at+jwt", claims)
			require.NoError(t, err, algorithm)
			signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{algorithm})
			require.NoError(t, err, algorithm)
			payload, err := signed.Verify(public)
			require.NoError(t, err, algorithm)
			assert.JSONEq(t, fmt.Sprintf(`{"sub":"s","n":%d}`, len(texts)/2), string(payload))
			assert.Equal(t, "at+jwt", signed.Signatures[0].Protected.ExtraHeaders[jose.HeaderType])
			assert.Equal(t, "the key", signed.Signatures[0].Protected.KeyID)
			texts = append(texts, text)
		}
		assert.Equal(t, !strings.HasPrefix(string(algorithm), "PS"), texts[0] == texts[1], algorithm)
	}
}

// A set without keys is written with an empty list.
func TestAKeySetWithoutKeys(t *testing.T) {
	set, err := jwk.ParseSet([]byte(`{"keys":[{"kty":"future"},7]}`))
	require.NoError(t, err)
	assert.Equal(t, &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}, set)
}

func TestIsEncryptionKeyFor(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	ofRSA, elliptic := []jose.KeyAlgorithm{jose.RSA_OAEP, jose.RSA_OAEP_256}, []jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A128KW, jose.ECDH_ES_A256KW}
	for rule, row := range map[string]struct {
		key  any
		want []jose.KeyAlgorithm
	}{
		"RSA":           {oauthtest.NewKeyFor(t, jose.RS256).Public(), ofRSA},
		"a short key":   {short.Public(), nil},
		"elliptic":      {oauthtest.NewKeyFor(t, jose.ES384).Public(), elliptic},
		"Ed25519":       {oauthtest.NewKeyFor(t, jose.EdDSA).Public(), nil},
		"a private key": {oauthtest.NewKey(t), nil},
		"no key":        {nil, nil},
	} {
		for _, algorithm := range append(append(ofRSA, elliptic...), jose.DIRECT, jose.A128KW, jose.RSA1_5, "") {
			assert.Equal(t, slices.Contains(row.want, algorithm), jwk.IsEncryptionKeyFor(jose.JSONWebKey{Key: row.key}, algorithm), "%s by %q", rule, algorithm)
		}
	}
}
