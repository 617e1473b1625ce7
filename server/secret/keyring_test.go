package secret_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/server/secret"
)

func secretOf(letter string) []byte { return []byte(strings.Repeat(letter, 32)) }

// What one secret made says so, and is read as long as that secret is among them.
func TestSecretsReadWhatTheyMade(t *testing.T) {
	old := secret.Keyring{secretOf("o")}
	rotated := secret.Keyring{secretOf("n"), secretOf("o")}
	sealed, err := old.Seal(secret.ForSigningKeys, []byte("plain"))
	require.NoError(t, err)
	assert.NotContains(t, sealed, "plain")
	assert.Equal(t, old.Newest(), secret.SealedBy(sealed))
	assert.Regexp(t, "^[0-9a-f]{8}$", old.Newest())
	for _, secrets := range []secret.Keyring{old, rotated} {
		plain, err := secrets.Open(secret.ForSigningKeys, sealed)
		require.NoError(t, err)
		assert.Equal(t, "plain", string(plain))
		_, err = secrets.Open(secret.ForPairwiseSalt, sealed)
		require.Error(t, err, "a use cannot read what is another's")
	}
	for _, secrets := range []secret.Keyring{nil, rotated[:1]} {
		_, err = secrets.Open(secret.ForSigningKeys, sealed)
		var missing *secret.MissingError
		require.ErrorAs(t, err, &missing)
		assert.Equal(t, old.Newest(), missing.ID)
		assert.ErrorContains(t, err, old.Newest(), "it is named")
	}
	again, err := rotated.Seal(secret.ForSigningKeys, []byte("plain"))
	require.NoError(t, err)
	assert.Equal(t, rotated.Newest(), secret.SealedBy(again), "the newest makes what is new")
	none, err := secret.Keyring(nil).Seal(secret.ForSigningKeys, nil)
	require.Error(t, err)
	assert.Empty(t, none+secret.Keyring(nil).Newest())
	for _, other := range []string{"", "{}", "a.b.c.d.e", "eyJhbGciOiJub25lIn0.e30."} {
		assert.Empty(t, secret.SealedBy(other), other)
		_, err := old.Open(secret.ForSigningKeys, other)
		assert.Error(t, err, other)
	}
}

func TestKeysOfSecretsAreApart(t *testing.T) {
	secrets := secret.Keyring{secretOf("a"), secretOf("b")}
	seen := map[string]bool{string(secrets[0]): true, string(secrets[1]): true}
	for _, use := range []secret.Use{secret.ForSigningKeys, secret.ForPairwiseSalt, secret.ForNonces, secret.ForClientSecrets} {
		for i, id := range secrets.IDs() {
			key, err := secrets.Key(id, use)
			require.NoError(t, err)
			assert.Len(t, key, 32)
			assert.False(t, seen[string(key)], "%s of %s", use, id)
			seen[string(key)] = true
			assert.Equal(t, key, secrets.Keys(use)[i])
		}
	}
}

// What is printed by accident tells nobody a secret.
func TestSecretsAreNotPrinted(t *testing.T) {
	secrets := secret.Keyring{secretOf("s")}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("settings", "secrets", secrets)
	printed := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		assert.Equal(t, "["+secrets.Newest()+"]", fmt.Sprintf(verb, secrets), verb)
		printed += fmt.Sprintf(verb, struct{ Secrets secret.Keyring }{secrets})
	}
	assert.Contains(t, printed, "["+secrets.Newest()+"]")
	for _, plain := range []string{"ssss", "7373", "115 115", "115, 115", "c3Nz", "0x73"} {
		assert.NotContains(t, printed, plain)
	}
}
