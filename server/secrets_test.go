package server_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/server"
)

func secretOf(letter string) []byte { return []byte(strings.Repeat(letter, 32)) }

// What one secret made says so, and is read as long as that secret is among them.
func TestSecretsReadWhatTheyMade(t *testing.T) {
	old := server.Secrets{secretOf("o")}
	rotated := server.Secrets{secretOf("n"), secretOf("o")}
	sealed, err := old.Seal(server.SigningKeySecret, []byte("plain"))
	require.NoError(t, err)
	assert.NotContains(t, sealed, "plain")
	assert.Equal(t, old.Newest(), server.SealedBy(sealed))
	assert.Regexp(t, "^[0-9a-f]{8}$", old.Newest())
	for _, secrets := range []server.Secrets{old, rotated} {
		plain, err := secrets.Open(server.SigningKeySecret, sealed)
		require.NoError(t, err)
		assert.Equal(t, "plain", string(plain))
		_, err = secrets.Open(server.PairwiseSaltSecret, sealed)
		require.Error(t, err, "a use cannot read what is another's")
	}
	for _, secrets := range []server.Secrets{nil, rotated[:1]} {
		_, err = secrets.Open(server.SigningKeySecret, sealed)
		var missing *server.MissingSecretError
		require.ErrorAs(t, err, &missing)
		assert.Equal(t, old.Newest(), missing.ID)
		assert.ErrorContains(t, err, old.Newest(), "it is named")
	}
	again, err := rotated.Seal(server.SigningKeySecret, []byte("plain"))
	require.NoError(t, err)
	assert.Equal(t, rotated.Newest(), server.SealedBy(again), "the newest makes what is new")
	_, err = server.Secrets(nil).Seal(server.SigningKeySecret, nil)
	require.Error(t, err)
	for _, other := range []string{"", "{}", "a.b.c.d.e", "eyJhbGciOiJub25lIn0.e30."} {
		assert.Empty(t, server.SealedBy(other), other)
		_, err := old.Open(server.SigningKeySecret, other)
		assert.Error(t, err, other)
	}
}

func TestKeysOfSecretsAreApart(t *testing.T) {
	secrets := server.Secrets{secretOf("a"), secretOf("b")}
	seen := map[string]bool{string(secrets[0]): true, string(secrets[1]): true}
	for _, use := range []server.SecretUse{server.SigningKeySecret, server.PairwiseSaltSecret, server.NonceSecret, server.DerivedClientSecret} {
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

func TestSecretsAreChecked(t *testing.T) {
	config := minimalConfig()
	config.Secrets = [][]byte{secretOf("a"), []byte("short"), secretOf("a")}
	_, err := server.New(config)
	require.ErrorContains(t, err, "Config.Secrets[1] has 5 bytes")
	require.ErrorContains(t, err, "openssl rand 32")
	require.ErrorContains(t, err, "Config.Secrets[2] is listed twice")
	config.Secrets = [][]byte{secretOf("a"), secretOf("b")}
	_, err = server.New(config)
	require.NoError(t, err)
}

// What is printed by accident tells nobody a secret.
func TestSecretsAreNotPrinted(t *testing.T) {
	secrets := server.Secrets{secretOf("s")}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("settings", "secrets", secrets)
	printed := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		printed += fmt.Sprintf(verb, secrets) + fmt.Sprintf(verb, struct{ Secrets server.Secrets }{secrets})
	}
	assert.Contains(t, printed, secrets.Newest())
	for _, plain := range []string{"ssss", "7373", "115 115", "115, 115", "c3Nz", "0x73"} {
		assert.NotContains(t, printed, plain)
	}
}

// A server without secrets works, and says at the start and to the doctor what is off.
func TestWhatIsOffWithoutSecretsIsSaid(t *testing.T) {
	var log bytes.Buffer
	config := minimalConfig()
	config.Logger = slog.New(slog.NewTextHandler(&log, nil))
	found := func() (checks []string) {
		srv, err := server.New(config)
		require.NoError(t, err)
		for _, finding := range srv.Diagnose(t.Context()).Without("grants") {
			checks = append(checks, finding.Check)
			assert.NotEmpty(t, finding.Remedy)
		}
		return checks
	}
	assert.Equal(t, []string{"secrets"}, found())
	assert.Equal(t, 1, strings.Count(log.String(), "\n"), "one line")
	assert.Contains(t, log.String(), "Config.Secrets is empty")
	assert.Contains(t, log.String(), "client_secret_jwt")
	log.Reset()
	config.Secrets = server.Secrets{secretOf("a")}
	assert.Empty(t, found())
	assert.Empty(t, log.String())
	config.Secrets, config.Issuer = nil, "http://127.0.0.1:8080"
	assert.Empty(t, found(), "nobody else reaches it")
}
