package server_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/secret"
)

func generator(context.Context, server.TokenInput) (string, error) { return "made by gen", nil }

func TestSettings(t *testing.T) {
	made := func(g server.TokenGenerator) string {
		if g == nil {
			return "built in"
		}
		text, err := g(t.Context(), server.TokenInput{})
		require.NoError(t, err)
		return text
	}
	for _, row := range []struct {
		setting, value string
		check          func(server.Config) bool
	}{
		{"OAUTH2_TOKEN_EXPIRES_IN", `{"authorization_code": 864000, "implicit": 3600}`, func(c server.Config) bool {
			return c.TokenExpiresIn["authorization_code"] == 240*time.Hour && c.TokenExpiresIn["implicit"] == time.Hour && c.TokenExpiresIn["password"] == time.Minute
		}},
		{"OAUTH2_ACCESS_TOKEN_GENERATOR", `"gen"`, func(c server.Config) bool { return made(c.AccessTokenGenerator) == "made by gen" }},
		{"OAUTH2_ACCESS_TOKEN_GENERATOR", `gen`, func(c server.Config) bool { return made(c.AccessTokenGenerator) == "made by gen" }},
		{"OAUTH2_REFRESH_TOKEN_GENERATOR", `"gen"`, func(c server.Config) bool {
			return made(c.RefreshTokenGenerator) == "made by gen" && !c.NoRefreshTokens
		}},
		{"OAUTH2_REFRESH_TOKEN_GENERATOR", `true`, func(c server.Config) bool { return made(c.RefreshTokenGenerator) == "built in" && !c.NoRefreshTokens }},
		{"OAUTH2_REFRESH_TOKEN_GENERATOR", `false`, func(c server.Config) bool { return c.NoRefreshTokens }},
		{"OAUTH2_ERROR_URIS", `[["invalid_client", "https://docs.example/#x"]]`, func(c server.Config) bool { return c.ErrorURIs["invalid_client"] == "https://docs.example/#x" }},
		{"OAUTH2_SCOPES_SUPPORTED", `["profile", "email"]`, func(c server.Config) bool { return len(c.ScopesSupported) == 2 }},
		{"OAUTH2_SCOPES_SUPPORTED", ``, func(c server.Config) bool { return c.ScopesSupported == nil }},
	} {
		config := server.Config{
			Generators:     map[string]server.TokenGenerator{"gen": generator},
			TokenExpiresIn: map[string]time.Duration{"password": time.Minute},
		}
		require.NoError(t, config.Load(lookup(map[string]string{row.setting: row.value})), row.value)
		assert.True(t, row.check(config), "%s=%s", row.setting, row.value)
	}
}

func lookup(values map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { value, ok := values[name]; return value, ok }
}

func TestABadSettingIsAnErrorThatNamesIt(t *testing.T) {
	bad := map[string][]string{
		"OAUTH2_TOKEN_EXPIRES_IN":        {`{`, `[]`, `{"implicit": "an hour"}`, `{"implicit": 0}`, `{"implicit": -1}`, `{"implicit": 1.5}`, `{"implicit": 99999999999999}`},
		"OAUTH2_ACCESS_TOKEN_GENERATOR":  {`"unknown"`, `true`, `7`},
		"OAUTH2_REFRESH_TOKEN_GENERATOR": {`"unknown"`, `1`},
		"OAUTH2_ERROR_URIS":              {`{}`, `[["invalid_client"]]`, `[1]`, `x`},
		"OAUTH2_SCOPES_SUPPORTED":        {`"profile"`, `[1]`},
	}
	for setting, values := range bad {
		for _, value := range values {
			var config server.Config
			err := config.Load(lookup(map[string]string{setting: value, "OAUTH2_SCOPES_SUPPORTED": `["profile"]`, setting + "": value}))
			assert.ErrorContains(t, err, setting, value)
			assert.Nil(t, config.ScopesSupported, "nothing is changed")
		}
	}
	var config server.Config
	err := config.Load(lookup(map[string]string{"OAUTH2_TOKEN_EXPIRES_IN": "x", "OAUTH2_ERROR_URIS": "x"}))
	assert.ErrorContains(t, err, "OAUTH2_TOKEN_EXPIRES_IN")
	assert.ErrorContains(t, err, "OAUTH2_ERROR_URIS", "all at once")
}

func TestSettingsFromAMap(t *testing.T) {
	config := server.Config{Generators: map[string]server.TokenGenerator{"gen": generator}}
	require.NoError(t, config.LoadMap(map[string]any{
		"OAUTH2_TOKEN_EXPIRES_IN":        map[string]int{"password": 60},
		"OAUTH2_REFRESH_TOKEN_GENERATOR": false,
		"OAUTH2_ACCESS_TOKEN_GENERATOR":  "gen",
		"SOMETHING_ELSE":                 1,
	}))
	assert.Equal(t, time.Minute, config.TokenExpiresIn["password"])
	assert.True(t, config.NoRefreshTokens)
	assert.NotNil(t, config.AccessTokenGenerator)
	assert.ErrorContains(t, config.LoadMap(map[string]any{"OAUTH2_ERROR_URIS": func() {}}), "OAUTH2_ERROR_URIS")
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
	config.Secrets = secret.Keyring{[]byte(strings.Repeat("a", 32))}
	assert.Empty(t, found())
	assert.Empty(t, log.String())
	config.Secrets, config.Issuer = nil, "http://127.0.0.1:8080"
	assert.Empty(t, found(), "nobody else reaches it")
}

func TestSecretsAreChecked(t *testing.T) {
	many := func(letter string) []byte { return []byte(strings.Repeat(letter, 32)) }
	config := minimalConfig()
	config.Secrets = [][]byte{many("a"), []byte("short"), many("a")}
	_, err := server.New(config)
	require.ErrorContains(t, err, "Config.Secrets[1] has 5 bytes")
	require.ErrorContains(t, err, "openssl rand 32")
	require.ErrorContains(t, err, "Config.Secrets[2] is listed twice")
	config.Secrets = [][]byte{many("a"), many("b")}
	_, err = server.New(config)
	require.NoError(t, err)
}
