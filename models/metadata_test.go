package models_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/models"
)

// Every member is written and read under its name, and those without a field beside them.
func TestEveryMemberIsWrittenAndRead(t *testing.T) {
	const named = `{"redirect_uris":["RedirectURIs"],"token_endpoint_auth_method":"TokenEndpointAuthMethod","grant_types":["GrantTypes"],"response_types":["ResponseTypes"],` +
		`"client_name":"ClientName","client_uri":"ClientURI","logo_uri":"LogoURI","scope":"Scope","contacts":["Contacts"],"tos_uri":"TosURI","policy_uri":"PolicyURI",` +
		`"jwks_uri":"JWKsURI","jwks":"JWKs","software_id":"SoftwareID","software_version":"SoftwareVersion"`
	var all models.ClientMetadata
	fillDeep(reflect.ValueOf(&all).Elem())
	plain := func(of *string) { *of = strings.TrimSuffix(strings.TrimPrefix(*of, `[{"type":"`), `"}]`) }
	for _, text := range []*string{
		&all.TokenEndpointAuthMethod, &all.ClientName, &all.ClientURI, &all.LogoURI, &all.Scope, &all.TosURI, &all.PolicyURI, &all.JWKsURI, &all.SoftwareID, &all.SoftwareVersion,
	} {
		plain(text)
	}
	other := map[string]json.RawMessage{"other": json.RawMessage(`1`)}
	withOther := all
	withOther.Extra = other
	for text, m := range map[string]models.ClientMetadata{
		named + "}": all, named + `,"other":1}`: withOther, `{"other":1}`: {Extra: other}, "{}": {},
	} {
		stored, err := m.Value()
		require.NoError(t, err)
		assert.Equal(t, text, stored)
		var scanned, fromBytes, read models.ClientMetadata
		require.NoError(t, scanned.Scan(text))
		require.NoError(t, fromBytes.Scan([]byte(text)))
		require.NoError(t, json.Unmarshal([]byte(text), &read))
		assert.Equal(t, []models.ClientMetadata{m, m, m}, []models.ClientMetadata{scanned, fromBytes, read})
	}
}

// What is no JSON is not stored.
func TestMetadataThatIsNoJSONIsAnError(t *testing.T) {
	for _, m := range []models.ClientMetadata{
		{JWKs: json.RawMessage(`{`)}, {Extra: map[string]json.RawMessage{"other": json.RawMessage(`{`)}}, {ClientName: "App", Extra: map[string]json.RawMessage{"other": json.RawMessage(`{`)}},
	} {
		_, err := m.Value()
		require.ErrorContains(t, err, "unexpected end of JSON input")
		_, err = m.MarshalJSON()
		require.ErrorContains(t, err, "unexpected end of JSON input")
	}
}

// What is ignored does not end the reading of what comes after it, and is told in one line.
func TestWhatIsIgnoredIsTold(t *testing.T) {
	const text = `{"redirect_uris":null,"grant_types":7,"scope":"a","logo_uri":{},"SCOPE":"admin","client_name":"App"}`
	var m models.ClientMetadata
	require.NoError(t, m.Scan(text))
	assert.Equal(t, models.ClientMetadata{Scope: "a", ClientName: "App"}, m)
	ignored, err := models.IgnoredClientMetadata([]byte(text))
	require.NoError(t, err)
	var told []string
	for _, member := range ignored {
		told = append(told, member.String())
	}
	assert.Equal(t, []string{
		`"SCOPE" is not the name of a known member, but a case-insensitive reader would take it for one`, `"grant_types" has the wrong JSON type or is out of range`, `"logo_uri" has the wrong JSON type or is out of range`,
	}, told)
	assert.Equal(t, `"`+strings.Repeat("x", 100)+`" p`, models.IgnoredMember{Name: strings.Repeat("x", 101), Problem: "p"}.String())
}

// What a stored secret is, and whether it verifies as what it was made from.
func TestEveryFormOfAStoredSecret(t *testing.T) {
	const (
		bcrypt = "$2a$04$sKZnReK3Ld7qK1VLa3jCU.ZUx0SSZPZhcwsvCVN1eclRSqLkMKwQy"
		argon  = "$argon2id$v=19$m=64,t=1,p=1$mQymzhIm8c8$YxFU0rDo0o4XRphVwLrMPA"
	)
	for _, c := range []struct {
		stored                            string
		hashed, derived, plaintext, isHex bool
		verifies                          string // a secret that verifies
	}{
		{"", true, false, false, false, ""},
		{models.HashClientSecret("right"), true, false, false, false, "right"},
		{models.HashClientSecret(""), true, false, false, false, ""},
		{bcrypt, true, false, false, false, "right"},
		{argon, true, false, false, false, "right"},
		{models.DerivedClientSecret("nonce"), true, true, false, false, ""},
		{models.DerivedClientSecretBy("id", "nonce"), true, true, false, false, ""},
		{"right", false, false, true, false, "right"},
		{"with a $ in it", false, false, true, false, "with a $ in it"},
		{"$argon2i$v=19$m=64", false, false, false, false, ""},
		{"$sha1$da39a3ee", false, false, false, false, ""},
		{"{bcrypt}xyz", false, false, false, false, ""},
		{"pbkdf2_sha256$600000$x", false, false, false, false, ""},
		{"scrypt:32768:8:1$x", false, false, false, false, ""},
		{strings.Repeat("0a", 16), false, false, false, true, ""},
		{strings.Repeat("0A", 20), false, false, false, true, ""},
		{strings.Repeat("0", 64), false, false, false, true, ""},
		{strings.Repeat("0", 96), false, false, false, true, ""},
		{strings.Repeat("0", 128), false, false, false, true, ""},
		{strings.Repeat("0", 65), false, false, true, false, strings.Repeat("0", 65)},
	} {
		assert.Equal(t, []bool{c.hashed, c.derived, c.plaintext, c.isHex}, []bool{
			models.IsHashedClientSecret(c.stored), models.IsDerivedClientSecret(c.stored), models.IsPlaintextClientSecret(c.stored), models.IsBareHexadecimalSecret(c.stored),
		}, c.stored)
		client := &models.ClientMixin{ClientSecret: c.stored}
		for _, presented := range []string{"", "right", "wrong", "nonce", "mutant", c.stored, c.verifies} {
			assert.Equal(t, c.verifies != "" && presented == c.verifies, client.CheckClientSecret(presented, now), "%q for %q", presented, c.stored)
		}
	}
}

func TestADerivedSecretSaysWhatItIsDerivedFrom(t *testing.T) {
	for stored, want := range map[string]struct {
		secretID, nonce string
		ok              bool
	}{
		"$derived$nonce":                           {"", "nonce", true},
		models.DerivedClientSecret("nonce"):        {"", "nonce", true},
		"$derived$id$nonce":                        {"id", "nonce", true},
		models.DerivedClientSecretBy("id", "a$b$"): {"id", "a$b$", true},
		"$derived$":                                {"", "", true},
	} {
		secretID, nonce, ok := models.ReadDerivedClientSecret(stored)
		assert.Equal(t, want, struct {
			secretID, nonce string
			ok              bool
		}{secretID, nonce, ok}, stored)
	}
	for _, other := range []string{"", "nonce", "id$nonce", models.HashClientSecret("x")} {
		_, _, ok := models.ReadDerivedClientSecret(other)
		assert.False(t, ok, other)
	}
}

// Which client authentication methods have a secret: RFC 7591 section 2, RFC 8705.
func TestWhichMethodsHaveASecret(t *testing.T) {
	for method, want := range map[string]bool{
		models.None: false, models.PrivateKeyJWT: false, models.TLSClientAuth: false, models.SelfSignedTLSClientAuth: false,
		models.ClientSecretBasic: true, models.ClientSecretPost: true, models.ClientSecretJWT: true, "": true, "of-the-program": true,
	} {
		assert.Equal(t, want, models.UsesClientSecret(method), method)
	}
}
