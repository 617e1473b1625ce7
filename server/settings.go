package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// Names of the settings that [Config.Load] reads.
const (
	SettingTokenExpiresIn        = "OAUTH2_TOKEN_EXPIRES_IN"
	SettingAccessTokenGenerator  = "OAUTH2_ACCESS_TOKEN_GENERATOR"
	SettingRefreshTokenGenerator = "OAUTH2_REFRESH_TOKEN_GENERATOR"
	SettingErrorURIs             = "OAUTH2_ERROR_URIS"
	SettingScopesSupported       = "OAUTH2_SCOPES_SUPPORTED"
)

// Load sets the fields that the OAUTH2_* settings name. lookup is os.LookupEnv or a similar
// function; see [Config.LoadMap] for a map. Values are JSON:
//
//	OAUTH2_TOKEN_EXPIRES_IN         {"authorization_code": 864000}      seconds, by grant type
//	OAUTH2_ACCESS_TOKEN_GENERATOR   "name"                              one of Config.Generators
//	OAUTH2_REFRESH_TOKEN_GENERATOR  "name", true or false
//	OAUTH2_ERROR_URIS               [["invalid_client", "https://…"]]
//	OAUTH2_SCOPES_SUPPORTED         ["profile", "email"]
//
// A setting that is missing or empty changes nothing. Load returns one error for each invalid
// value, naming its setting, and then changes no field.
func (c *Config) Load(lookup func(name string) (string, bool)) error {
	loaded := *c
	var faults []error
	for _, setting := range []struct {
		name string
		load func(*Config, []byte) error
	}{
		{SettingTokenExpiresIn, (*Config).loadTokenExpiresIn},
		{SettingAccessTokenGenerator, (*Config).loadAccessTokenGenerator},
		{SettingRefreshTokenGenerator, (*Config).loadRefreshTokenGenerator},
		{SettingErrorURIs, (*Config).loadErrorURIs},
		{SettingScopesSupported, (*Config).loadScopesSupported},
	} {
		value, ok := lookup(setting.name)
		if !ok || value == "" {
			continue
		}
		if err := setting.load(&loaded, []byte(value)); err != nil {
			faults = append(faults, fmt.Errorf("server: %s: %w", setting.name, err))
		}
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	*c = loaded
	return nil
}

// LoadMap is like Load for settings that are already decoded, for example from a configuration
// file: the same values under the same names.
func (c *Config) LoadMap(settings map[string]any) error {
	encoded := make(map[string]string, len(settings))
	for name, value := range settings {
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("server: %s: %w", name, err)
		}
		encoded[name] = string(text)
	}
	return c.Load(func(name string) (string, bool) { value, ok := encoded[name]; return value, ok })
}

func (c *Config) loadTokenExpiresIn(value []byte) error {
	var seconds map[string]int64
	if strictjson.Unmarshal(value, &seconds) != nil {
		return errors.New(`want a JSON object of whole seconds by grant type, such as {"authorization_code": 864000}`)
	}
	lifetimes := maps.Clone(c.TokenExpiresIn)
	if lifetimes == nil {
		lifetimes = make(map[string]time.Duration, len(seconds))
	}
	for grantType, n := range seconds {
		if n < 1 || n > int64(1<<63-1)/int64(time.Second) {
			return fmt.Errorf("%q: %d seconds is not a valid lifetime", grantType, n)
		}
		lifetimes[grantType] = time.Duration(n) * time.Second
	}
	c.TokenExpiresIn = lifetimes
	return nil
}

func (c *Config) loadAccessTokenGenerator(value []byte) error {
	generator, err := c.generatorNamed(value)
	if err == nil {
		c.AccessTokenGenerator = generator
	}
	return err
}

func (c *Config) loadRefreshTokenGenerator(value []byte) error {
	var on *bool
	if strictjson.Unmarshal(value, &on) == nil && on != nil {
		c.NoRefreshTokens, c.RefreshTokenGenerator = !*on, nil
		return nil
	}
	generator, err := c.generatorNamed(value)
	if err == nil {
		c.NoRefreshTokens, c.RefreshTokenGenerator = false, generator
	}
	return err
}

// generatorNamed accepts the name with or without JSON quotes, because nobody writes them in an
// environment variable.
func (c *Config) generatorNamed(value []byte) (TokenGenerator, error) {
	var name string
	if strictjson.Unmarshal(value, &name) != nil {
		name = string(value)
	}
	if generator := c.Generators[name]; generator != nil {
		return generator, nil
	}
	return nil, fmt.Errorf("there is no generator %q in Config.Generators, which has %q", name, slices.Sorted(maps.Keys(c.Generators)))
}

func (c *Config) loadErrorURIs(value []byte) error {
	var pairs [][]string
	if strictjson.Unmarshal(value, &pairs) != nil || slices.ContainsFunc(pairs, func(p []string) bool { return len(p) != 2 }) {
		return errors.New(`want a JSON list of pairs, such as [["invalid_client", "https://example.com/errors#invalid_client"]]`)
	}
	uris := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		uris[pair[0]] = pair[1]
	}
	c.ErrorURIs = uris
	return nil
}

func (c *Config) loadScopesSupported(value []byte) error {
	var scopes []string
	if strictjson.Unmarshal(value, &scopes) != nil {
		return errors.New(`want a JSON list of scopes, such as ["profile", "email"]`)
	}
	c.ScopesSupported = scopes
	return nil
}
