package models_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/models"
)

var now = time.Unix(1_800_000_000, 0)

func client(metadata models.ClientMetadata) *models.ClientMixin {
	return &models.ClientMixin{ClientMetadata: metadata}
}

func TestAllowedScope(t *testing.T) {
	c := client(models.ClientMetadata{Scope: "profile email"})
	for requested, want := range map[string]struct {
		allowed string
		ok      bool
	}{
		"":                     {"", true},
		"profile":              {"profile", true},
		"email profile":        {"email profile", true},
		"  email   profile ":   {"email profile", true},
		"profile admin":        {"profile", true},
		"admin":                {"", false},
		"Profile":              {"", false},
		"prof":                 {"", false},
		"profile email openid": {"profile email", true},
	} {
		allowed, ok := c.GetAllowedScope(requested)
		assert.Equal(t, want.allowed, allowed, requested)
		assert.Equal(t, want.ok, ok, requested)
	}
}

func TestDefaultRedirectURI(t *testing.T) {
	assert.Empty(t, client(models.ClientMetadata{}).GetDefaultRedirectURI())
	assert.Equal(t, "https://a.example", client(models.ClientMetadata{RedirectURIs: []string{"https://a.example"}}).GetDefaultRedirectURI())
	assert.Empty(t, client(models.ClientMetadata{RedirectURIs: []string{"https://a.example", "https://b.example"}}).GetDefaultRedirectURI())
}

func TestRedirectURIsMatchExactlyButForTheLoopbackPort(t *testing.T) {
	c := client(models.ClientMetadata{RedirectURIs: []string{
		"https://app.example/cb", "http://127.0.0.1/cb", "http://[::1]:8080/cb?a=1", "http://localhost:3000", "http://localhost?a=1", "http://127.0.0.1:/cb", "http://localhost:123456/cb", "com.example.app:/cb",
	}})
	for uri, want := range map[string]bool{
		"https://app.example/cb":             true,
		"com.example.app:/cb":                true,
		"http://127.0.0.1/cb":                true,
		"http://127.0.0.1:1/cb":              true,
		"http://127.0.0.1:65535/cb":          true,
		"http://[::1]:9/cb?a=1":              true,
		"http://localhost:4000":              true,
		"":                                   false,
		"https://app.example/cb/":            false,
		"https://app.example/cb?":            false,
		"https://app.example/cb#":            false,
		"https://app.example:443/cb":         false,
		"https://APP.example/cb":             false,
		"https://app.example.evil/cb":        false,
		"https://app.example@evil/cb":        false,
		"https://app.example/%63b":           false,
		"http://127.0.0.1:1/other":           false,
		"http://localhost:4000?a=1":          true,
		"http://127.0.0.1:/cb":               true, // only as it is registered
		"http://localhost:/cb":               false,
		"http://localhost:1/cb":              false,
		"http://127.0.0.1:123456/cb":         false,
		"http://127.0.0.1:80x/cb":            false,
		"http://127.0.0.1.evil.example/cb":   false,
		"http://127.0.0.1:80@evil/cb":        false,
		"http://user@127.0.0.1/cb":           false,
		"http://127.0.0.1\\@evil.example/cb": false,
		"http://127.0.0.10/cb":               false,
		"http://0177.0.0.1/cb":               false,
		"https://127.0.0.1/cb":               false,
		"http://[::1]:9/cb":                  false,
		"http://[::1%25lo]/cb?a=1":           false,
		"http://localhost.evil.example":      false,
		"http://127.0.0.1/cb#f":              false,
	} {
		assert.Equal(t, want, c.CheckRedirectURI(uri), uri)
	}
}

// A host that only begins like a loopback address is not one, even if it is registered.
func TestAHostThatBeginsLikeLoopbackHasItsPort(t *testing.T) {
	for registered, presented := range map[string]string{
		"http://127.0.0.1.evil.example/cb": "http://127.0.0.1:80.evil.example/cb",
		"http://localhost.evil.example/cb": "http://localhost:1.evil.example/cb",
		"http://localhostile.example/cb":   "http://localhost:1ile.example/cb",
		"http://127.0.0.1@evil.example/cb": "http://127.0.0.1:80@evil.example/cb",
	} {
		c := client(models.ClientMetadata{RedirectURIs: []string{registered}})
		assert.True(t, c.CheckRedirectURI(registered))
		assert.False(t, c.CheckRedirectURI(presented), presented)
	}
}

func TestClientSecret(t *testing.T) {
	c := &models.ClientMixin{ClientSecret: models.HashClientSecret("secret")}
	assert.True(t, c.CheckClientSecret("secret", now))
	assert.False(t, c.CheckClientSecret("Secret", now))
	assert.False(t, c.CheckClientSecret("", now))
	assert.False(t, c.CheckClientSecret(c.ClientSecret, now))
	c.ClientSecretExpiresAt = now.Unix() + 1
	assert.True(t, c.CheckClientSecret("secret", now))
	assert.False(t, c.CheckClientSecret("secret", now.Add(time.Second)))
	assert.False(t, (&models.ClientMixin{}).CheckClientSecret("", now), "no secret is not an empty one")
	assert.True(t, (&models.ClientMixin{ClientSecret: "old plaintext"}).CheckClientSecret("old plaintext", now))
	for _, broken := range []string{"$argon2id$", "$argon2id$v=19$m=x$y$z", "$2b$10$" + strings.Repeat("x", 53), "$sha256$", "$sha256$zz"} {
		assert.False(t, (&models.ClientMixin{ClientSecret: broken}).CheckClientSecret("x", now), broken)
		assert.False(t, (&models.ClientMixin{ClientSecret: broken}).CheckClientSecret(broken, now), broken)
	}
}

func TestRegisteredTypes(t *testing.T) {
	c := client(models.ClientMetadata{GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code id_token"}})
	assert.True(t, c.CheckGrantType("authorization_code"))
	assert.False(t, c.CheckGrantType("authorization"))
	assert.True(t, c.CheckResponseType("id_token code"), "the order does not matter")
	assert.False(t, c.CheckResponseType("code"))
	assert.False(t, client(models.ClientMetadata{}).CheckGrantType("authorization_code"), "nothing is registered by default")
	assert.True(t, client(models.ClientMetadata{}).CheckEndpointAuthMethod("client_secret_basic", "token"), "but basic, RFC 7591 section 2")
	assert.False(t, client(models.ClientMetadata{}).CheckEndpointAuthMethod("none", "token"))
	assert.True(t, client(models.ClientMetadata{TokenEndpointAuthMethod: "none"}).CheckEndpointAuthMethod("none", "revocation"))
}

func TestGettersReadTheMetadata(t *testing.T) {
	c := &models.ClientMixin{ClientID: "id", ClientIDIssuedAt: 1, ClientSecretExpiresAt: 2}
	c.SetClientMetadata(models.ClientMetadata{
		RedirectURIs: []string{"a"}, TokenEndpointAuthMethod: "none", GrantTypes: []string{"b"}, ResponseTypes: []string{"c"}, ClientName: "d",
		ClientURI: "e", LogoURI: "f", Scope: "g", Contacts: []string{"h"}, TosURI: "i", PolicyURI: "j", JWKsURI: "k", JWKs: json.RawMessage(`{}`),
		SoftwareID: "l", SoftwareVersion: "m",
	})
	assert.Equal(t, []any{"id", []string{"a"}, "none", []string{"b"}, []string{"c"}, "d", "e", "f", "g", []string{"h"}, "i", "j", "k", "l", "m"}, []any{
		c.GetClientID(), c.GetRedirectURIs(), c.GetTokenEndpointAuthMethod(), c.GetGrantTypes(), c.GetResponseTypes(), c.GetClientName(), c.GetClientURI(),
		c.GetLogoURI(), c.GetScope(), c.GetContacts(), c.GetTosURI(), c.GetPolicyURI(), c.GetJWKsURI(), c.GetSoftwareID(), c.GetSoftwareVersion(),
	})
	assert.JSONEq(t, `{}`, string(c.GetJWKs()))
	assert.Equal(t, models.ClientInfo{ClientID: "id", ClientIDIssuedAt: 1, ClientSecretExpiresAt: 2}, c.GetClientInfo())
	assert.Equal(t, "d", c.GetClientMetadata().ClientName)
}

func TestClientMetadataKeepsWhatItDoesNotKnow(t *testing.T) {
	const text = `{"client_name":"App","client_name#ja":"アプリ","redirect_uris":["https://a.example"],"x":{"y":[1,2]}}`
	var m models.ClientMetadata
	require.NoError(t, m.Scan(text))
	assert.Equal(t, "App", m.ClientName)
	stored, err := m.Value()
	require.NoError(t, err)
	assert.JSONEq(t, text, stored.(string))

	m.Extra["client_name"] = json.RawMessage(`"Evil"`)
	stored, err = m.Value()
	require.NoError(t, err)
	assert.JSONEq(t, text, stored.(string), "an extra member never replaces a named one")

	m.Extra["scope"] = json.RawMessage(`"admin"`)
	stored, err = m.Value()
	require.NoError(t, err)
	assert.JSONEq(t, text, stored.(string), "nor one that is empty")

	for _, nothing := range []any{nil, "", []byte{}, "null"} {
		require.NoError(t, m.Scan(nothing))
		assert.Equal(t, models.ClientMetadata{}, m)
	}
	assert.ErrorContains(t, m.Scan(`not JSON`), "client_metadata")
	assert.ErrorContains(t, m.Scan(7), "is a int")
}

// lookalikes are names that a case-insensitive reader takes for members.
var lookalikes = []string{"grant_type\u017f", "\u017fcope", "redirect_uri\u017f", "Scope", "GRANT_TYPES", "jw\u212As", "JWKS", "token_endpoint_auth_method\u0000"}

func TestANameIsAMemberOnlyAsItIsWritten(t *testing.T) {
	for _, name := range lookalikes {
		members, err := json.Marshal(map[string]any{"client_name": "App", name: []string{"client_credentials"}})
		require.NoError(t, err)
		var m models.ClientMetadata
		require.NoError(t, json.Unmarshal(members, &m), name)
		if strings.Contains(name, "\x00") {
			assert.Contains(t, m.Extra, name, "it is a different name to every reader")
			delete(m.Extra, name)
		}
		assert.Equal(t, "App", m.ClientName)
		assert.Empty(t, m.Extra, "%q: what is not understood is ignored (RFC 7591 section 2), and never comes back", name)

		m.Extra = map[string]json.RawMessage{name: json.RawMessage(`"admin"`), "x": json.RawMessage(`1`)}
		stored, err := m.Value()
		require.NoError(t, err)
		var loose struct {
			GrantTypes   any `json:"grant_types"`
			Scope        any `json:"scope"`
			RedirectURIs any `json:"redirect_uris"`
			JWKS         any `json:"jwks"`
		}
		require.NoError(t, json.Unmarshal([]byte(stored.(string)), &loose), "as an older release of this program reads the row")
		assert.Zero(t, loose, "%q", name)
	}
}

func TestWhatOthersWriteHasOneReading(t *testing.T) {
	for rule, text := range map[string]string{
		"twice":                     `{"scope":"a","scope":"admin"}`,
		"twice in a member unknown": `{"x":{"y":[{"z":1,"z":2}]}}`,
		"twice in a key":            `{"jwks":{"keys":[{"kty":"EC","kty":"RSA"}]}}`,
		"no UTF-8":                  "{\"client_name\":\"\xff\"}",
		"half a character":          `{"client_name":"\ud800"}`,
		"no object":                 `["scope"]`,
		"null":                      `null`,
		"another type":              `{"redirect_uris":"https://a.example"}`,
		"another type within":       `{"redirect_uris":["https://a.example",7]}`,
		"too deep":                  `{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
	} {
		m := models.ClientMetadata{Scope: "of before"}
		assert.Error(t, m.UnmarshalJSON([]byte(text)), rule)
		assert.Equal(t, models.ClientMetadata{Scope: "of before"}, m, rule)
	}
	var m models.ClientMetadata
	assert.ErrorContains(t, m.UnmarshalJSON([]byte(`{"redirect_uris":["https://a.example",7]}`)), "redirect_uris")
}

func TestAMemberThatIsNullIsLeftOut(t *testing.T) {
	const text = `{"jwks":null,"scope":null,"redirect_uris":null,"request_uris":null}`
	var read, stored models.ClientMetadata
	require.NoError(t, json.Unmarshal([]byte(text), &read))
	require.NoError(t, stored.Scan(text))
	assert.Zero(t, read)
	assert.Zero(t, stored)
}

// A row may be older than the strict rules: the client keeps working without the
// ambiguous members.
func TestAStoredMemberWithTwoReadingsIsIgnored(t *testing.T) {
	ignored := func(names ...string) []string { return names }
	const good = `"client_name":"App","redirect_uris":["https://a.example"]`
	for text, names := range map[string][]string{
		`{` + good + `}`:                      nil,
		`{` + good + `,"x":null,"jwks":null}`: nil,
		`{` + good + `,"grant_type\u017f":["client_credentials"],"Scope":"admin"}`:      ignored("Scope", "grant_type\u017f"),
		`{` + good + `,"\u017fcope":"admin"}`:                                           ignored("\u017fcope"),
		`{` + good + `,"scope":"a","scope":"admin"}`:                                    ignored("scope"),
		`{` + good + `,"scope":7}`:                                                      ignored("scope"),
		`{` + good + `,"grant_types":"client_credentials"}`:                             ignored("grant_types"),
		`{` + good + `,"x":{"y":1,"y":2}}`:                                              ignored("x"),
		"{" + good + ",\"scope\":\"\xff\"}":                                             ignored("scope"),
		`{` + good + `,"jwks":{"keys":[{"kty":"EC","kty":"RSA"}]}}`:                     ignored("jwks"),
		`{` + good + `,"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`:  ignored("x"),
		`{` + good + `,"scope":7,"\u017fcope":"admin","scope":"admin","scope":"admin"}`: ignored("scope", "\u017fcope"),
	} {
		var m models.ClientMetadata
		require.NoError(t, m.Scan(text), text)
		assert.Equal(t, models.ClientMetadata{ClientName: "App", RedirectURIs: []string{"https://a.example"}}, m, text)
		members, err := models.IgnoredClientMetadata([]byte(text))
		require.NoError(t, err)
		var told []string
		for _, member := range members {
			told = append(told, member.Name)
			assert.NotEmpty(t, member.Problem)
		}
		assert.Equal(t, names, told, text)
	}
	for _, nothing := range []string{"", "{}"} {
		members, err := models.IgnoredClientMetadata([]byte(nothing))
		require.NoError(t, err)
		assert.Empty(t, members)
	}
	_, err := models.IgnoredClientMetadata([]byte(`{"scope":`))
	assert.Error(t, err, "this cannot be read at all")
}

// Stored authorization details may be older than the strict rules as well: ambiguous ones
// grant nothing, nor does anything that is not an array.
func TestStoredDetailsHaveOneReading(t *testing.T) {
	for text, want := range map[string]string{
		"": "", `[{"type":"a"}]`: `[{"type":"a"}]`, `[{"type":"a"},{"type":"b","type":"c"}]`: `[{"type":"a"}]`, `[{"type":"b","x":{"y":1,"y":2}}]`: "", "[{\"type\":\"\xff\"}]": "",
		`{"type":"a"}`: "", `null`: "", `["a"]`: "", `not JSON`: "", `[{"type":"a"}] `: `[{"type":"a"}] `,
	} {
		token := &models.TokenMixin{AuthorizationDetails: text, GrantedAuthorizationDetails: text}
		for of, got := range map[string]string{
			"a token": token.GetAuthorizationDetails(), "a grant": token.GetGrantedAuthorizationDetails(),
			"a code":        (&models.AuthorizationCodeMixin{AuthorizationDetails: text}).GetAuthorizationDetails(),
			"a device code": (&models.DeviceCodeMixin{AuthorizationDetails: text}).GetAuthorizationDetails(),
			"a consent":     (&models.ConsentMixin{AuthorizationDetails: text}).GetAuthorizationDetails(),
		} {
			assert.Equal(t, want, got, "%s: %s", of, text)
		}
	}
}

func TestTokenState(t *testing.T) {
	digest := "d"
	token := &models.TokenMixin{Authorization: models.Authorization{ClientID: "c"}, IssuedAt: now.Unix(), ExpiresIn: 60, RefreshToken: &digest, RefreshTokenExpiresAt: now.Unix() + 120}
	assert.False(t, token.IsExpired(now.Add(59*time.Second)))
	assert.True(t, token.IsExpired(now.Add(60*time.Second)))
	assert.Equal(t, now.Unix()+60, token.GetExpiresAt())
	assert.False(t, token.IsRefreshTokenExpired(now.Add(119*time.Second)))
	assert.True(t, token.IsRefreshTokenExpired(now.Add(120*time.Second)))
	endless := &models.TokenMixin{IssuedAt: 1}
	assert.False(t, endless.IsExpired(now))
	assert.False(t, endless.IsRefreshTokenExpired(now))
	assert.Zero(t, endless.GetExpiresAt())

	assert.True(t, token.CheckClient("c"))
	assert.False(t, token.CheckClient("C"))
	assert.False(t, endless.CheckClient(""), "a token without a client belongs to no client")
	assert.True(t, token.CheckRefreshToken("d"))
	assert.False(t, token.CheckRefreshToken("e"))
	assert.False(t, endless.CheckRefreshToken(""))

	token.AccessTokenRevokedAt = 1
	assert.True(t, token.IsRevoked())
	assert.False(t, token.IsRefreshTokenRevoked(), "an access token may be revoked alone")
	token.AccessTokenRevokedAt, token.RefreshTokenRevokedAt = 0, 1
	assert.True(t, token.IsRevoked(), "a grant that was revoked takes its access token with it")
	assert.True(t, token.IsRefreshTokenRevoked())
}

func TestAuthorizationCodeState(t *testing.T) {
	code := &models.AuthorizationCodeMixin{Authorization: models.Authorization{ClientID: "c"}, ExpiresAt: now.Unix()}
	assert.False(t, code.IsExpired(now.Add(-time.Second)))
	assert.True(t, code.IsExpired(now))
	assert.True(t, (&models.AuthorizationCodeMixin{}).IsExpired(now), "a row of an older program")
	assert.False(t, code.IsRedeemed())
	code.RedeemedAt = 1
	assert.True(t, code.IsRedeemed())
	assert.True(t, code.CheckClient("c"))
	assert.False(t, (&models.AuthorizationCodeMixin{}).CheckClient(""))
}

func TestTheJSONOfAModelHasNoDigests(t *testing.T) {
	digest := "digest"
	text, err := json.Marshal(struct {
		ID uint
		models.TokenMixin
	}{7, models.TokenMixin{Authorization: models.Authorization{GrantID: digest}, AccessToken: digest, RefreshToken: &digest, Scope: "profile"}})
	require.NoError(t, err)
	assert.NotContains(t, string(text), digest)
	assert.Contains(t, string(text), `"ID":7`)
	assert.Contains(t, string(text), `"scope":"profile"`)
}

func TestGettersOfATokenReadItsColumns(t *testing.T) {
	token := &models.TokenMixin{
		AuthTime:      3,
		Authorization: models.Authorization{ClientID: "a", GrantID: "e"}, TokenType: "b", Scope: "c", GrantedScope: "d", ExpiresIn: 1, IssuedAt: 2, RotatedAt: 4,
	}
	assert.Equal(t, []any{"a", "b", "c", "d", "e", int64(1), int64(2), int64(3), int64(4), int64(3)}, []any{
		token.GetClientID(), token.GetTokenType(), token.GetScope(), token.GetGrantedScope(), token.GetGrantID(),
		token.GetExpiresIn(), token.GetIssuedAt(), token.GetAuthorization().AuthTime, token.GetRotatedAt(), token.GetExpiresAt(),
	})
	assert.Same(t, token, token.AsTokenMixin())
}

func TestGettersOfACodeReadItsColumns(t *testing.T) {
	code := &models.AuthorizationCodeMixin{
		AuthTime:      1,
		Authorization: models.Authorization{ClientID: "a", GrantID: "e", ACR: "g", AMR: "h"}, RedirectURI: "b", ResponseType: "c", Scope: "d", Nonce: "f",
		CodeChallenge: "i", CodeChallengeMethod: "j",
	}
	assert.Equal(t, []any{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", int64(1)}, []any{
		code.GetClientID(), code.GetRedirectURI(), code.GetResponseType(), code.GetScope(), code.GetGrantID(), code.GetNonce(),
		code.GetACR(), code.GetAMR(), code.GetCodeChallenge(), code.GetCodeChallengeMethod(), code.GetAuthorization().AuthTime,
	})
	assert.Same(t, code, code.AsAuthorizationCodeMixin())
	c := new(models.ClientMixin)
	assert.Same(t, c, c.AsClientMixin())
	assert.Equal(t, "client_secret_basic", c.GetTokenEndpointAuthMethod(), "RFC 7591 section 2")
}

func TestWhichSecretsAreDigests(t *testing.T) {
	for stored, want := range map[string]bool{
		"":                                  true, // holds nothing that could leak
		models.HashClientSecret("x"):        true,
		"$2b$10$" + strings.Repeat("x", 53): true,
		"$2y$10$" + strings.Repeat("x", 53): true,
		"$argon2id$v=19$m=64,t=1,p=1$c2FsdA$aGFzaA": true,
		"plain":             false,
		"$2b$10$short":      false,
		"$argon2i$v=19$m=6": false,
		"$sha1$da39a3ee":    false,
		"$SHA256$x":         false,
	} {
		assert.Equal(t, want, models.IsHashedClientSecret(stored), stored)
	}
}

// A stored digest never verifies as its own plaintext, whatever the scheme: reading the
// table does not give a thief a secret.
func TestADigestIsNotItsOwnSecret(t *testing.T) {
	for scheme, stored := range map[string]string{
		"sha256":   models.HashClientSecret("secret"),
		"bcrypt":   "$2a$04$zVHmKQtGGQob.b/Nc7l9NO8UlrYcW05FiuCj/SxsFO/ZtiN9.mNzy",
		"argon2id": "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
	} {
		assert.False(t, (&models.ClientMixin{ClientSecret: stored}).CheckClientSecret(stored, now), scheme)
	}
}

func TestADerivedSecretIsNotSent(t *testing.T) {
	c := models.ClientMixin{ClientSecret: models.DerivedClientSecret("nonce")}
	for _, presented := range []string{c.ClientSecret, "nonce", ""} {
		assert.False(t, c.CheckClientSecret(presented, time.Now()), presented)
	}
	assert.True(t, models.IsHashedClientSecret(c.ClientSecret), "there is nothing to be replaced")
}

func TestAClientIDOfAnyLengthFits(t *testing.T) {
	for _, id := range []string{"short", strings.Repeat("x", 48), strings.Repeat("x", 49), "https://client.example/" + strings.Repeat("x", 1000)} {
		key, long := models.SplitClientID(id)
		c := models.ClientMixin{ClientID: key, LongClientID: long}
		assert.LessOrEqual(t, len(key), 48)
		assert.Equal(t, id, c.GetClientID())
		assert.Equal(t, id, c.GetClientInfo().ClientID)
		token := models.TokenMixin{Authorization: models.Authorization{ClientID: key, LongClientID: long}}
		assert.True(t, token.CheckClient(id))
		assert.False(t, token.CheckClient(id+"x"))
		assert.Equal(t, key, models.ClientKey(id))
	}
}

func TestASecretThatHasExpiredIsNone(t *testing.T) {
	for _, stored := range []string{models.HashClientSecret("x"), "x"} {
		c := &models.ClientMixin{ClientSecret: stored, ClientSecretExpiresAt: now.Unix()}
		assert.True(t, c.CheckClientSecret("x", now.Add(-time.Second)))
		assert.False(t, c.CheckClientSecret("x", now), "at the second that it names")
	}
}

// The current and the previous secret each have a time of their own, and one that ended is
// told from one that is wrong.
func TestEachSecretHasItsTime(t *testing.T) {
	c := &models.ClientMixin{
		ClientSecret: models.HashClientSecret("new"), ClientSecretExpiresAt: now.Unix() + 20,
		PreviousClientSecret: models.HashClientSecret("old"), PreviousClientSecretExpiresAt: now.Unix() + 10,
	}
	for after, want := range map[int64]struct{ oldIs, newIs string }{9: {"right", "right"}, 10: {"expired", "right"}, 19: {"expired", "right"}, 20: {"expired", "expired"}} {
		is := func(secret string) string {
			at := now.Add(time.Duration(after) * time.Second)
			switch right, expired := c.CheckClientSecret(secret, at), c.HasExpiredClientSecret(secret, at); {
			case right && !expired:
				return "right"
			case expired && !right:
				return "expired"
			default:
				return "wrong"
			}
		}
		assert.Equal(t, want.oldIs, is("old"), after)
		assert.Equal(t, want.newIs, is("new"), after)
		for _, wrong := range []string{"", "other"} {
			assert.Equal(t, "wrong", is(wrong), after)
		}
	}
	without := new(models.ClientMixin)
	assert.False(t, without.CheckClientSecret("", now))
	assert.False(t, without.HasExpiredClientSecret("", now))
}

// A secret of as many characters as a bcrypt digest is none.
func TestASecretOfTheLengthOfADigestIsASecret(t *testing.T) {
	for _, stored := range []string{"!! $" + strings.Repeat("x", 56), "$2" + strings.Repeat("x", 58), strings.Repeat("x", 60)} {
		c := &models.ClientMixin{ClientSecret: stored}
		assert.Equal(t, models.IsPlaintextClientSecret(stored), c.CheckClientSecret(stored, now), stored)
	}
	assert.True(t, models.IsPlaintextClientSecret("!! $"+strings.Repeat("x", 56)))
}

// What a credential keeps when it is spent tells a replay by its grant, and nothing else.
func TestWhatASpentCredentialKeeps(t *testing.T) {
	type described interface{ DescribeTable() models.Table }
	for name, c := range map[string]struct {
		mixin described
		kept  []string
	}{
		"code": {new(models.AuthorizationCodeMixin), []string{
			"AuthTime", "ClientGeneration", "ClientID", "Code", "ExpiresAt", "GrantID", "IssuedAt", "Issuer", "LongClientID", "RedeemedAt", "SessionID", "UserGeneration"}},
		"device code": {new(models.DeviceCodeMixin), []string{
			"ApprovedAt", "AuthTime", "ClientGeneration", "ClientID", "DeniedAt", "DeviceCode", "ExpiresAt", "GrantID", "IssuedAt", "Issuer", "LastPolledAt", "LongClientID",
			"PollInterval", "RedeemedAt", "SessionID", "UserCode", "UserGeneration"}},
	} {
		var kept []string
		for _, field := range reflect.VisibleFields(reflect.TypeOf(c.mixin).Elem()) {
			if !field.Anonymous && !slices.Contains(c.mixin.DescribeTable().Unspent, field.Name) {
				kept = append(kept, field.Name)
			}
		}
		slices.Sort(kept)
		assert.Equal(t, c.kept, kept, name)
	}
}

// Members that mean nothing are named in their order, and are written back by nobody.
func TestIgnoredMembersAreInOrder(t *testing.T) {
	ignored, err := models.IgnoredClientMetadata([]byte(`{"z":"\ud800","b":1,"a":1,"a":2,"b":2,"c":3}`))
	require.NoError(t, err)
	var names []string
	for _, one := range ignored {
		names = append(names, one.Name)
	}
	assert.Equal(t, []string{"a", "b", "z"}, names)
	for _, extra := range []string{`{"Client_Name":"x"}`, `{"client_name":"x"}`, `{}`} {
		metadata := models.ClientMetadata{ClientName: "name"}
		require.NoError(t, json.Unmarshal([]byte(extra), &metadata.Extra))
		text, err := json.Marshal(metadata)
		require.NoError(t, err, extra)
		assert.JSONEq(t, `{"client_name":"name"}`, string(text), extra)
	}
}

// A string that matches a registered loopback URI differs from it only in the port.
func FuzzCheckRedirectURI(f *testing.F) {
	for _, seed := range []string{"http://127.0.0.1:8081/cb", "http://127.0.0.1:80@evil/cb", "http://127.0.0.1\\@evil/cb", "http://[::1]/cb"} {
		f.Add(seed)
	}
	c := client(models.ClientMetadata{RedirectURIs: []string{"http://127.0.0.1/cb"}})
	f.Fuzz(func(t *testing.T, uri string) {
		if !c.CheckRedirectURI(uri) {
			return
		}
		port := strings.TrimSuffix(strings.TrimPrefix(uri, "http://127.0.0.1"), "/cb")
		if strings.Trim(port, ":0123456789") != "" || "http://127.0.0.1"+port+"/cb" != uri {
			t.Fatalf("%q matched", uri)
		}
	})
}

func FuzzClientMetadata(f *testing.F) {
	for _, text := range []string{
		`{"client_name":"a","x":null}`, `{"\u017fcope":"admin","Scope":"a"}`, `{"scope":"a","scope":"b"}`, `{"x":{"y":1,"y":2}}`, `{"jwks":{"keys":[{}]},"x":1}`, `{"scope":7}`, "{\"\xff\":1}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var m, again models.ClientMetadata
		if m.Scan(text) != nil {
			return
		}
		stored, err := m.Value()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Scan(stored); err != nil {
			t.Fatalf("%q was stored as %q, which cannot be read: %v", text, stored, err)
		}
		if !reflect.DeepEqual(m, again) && string(mustJSON(t, m)) != string(mustJSON(t, again)) {
			t.Fatalf("%q was stored as %q, which is read as something else", text, stored)
		}
		ignored, err := models.IgnoredClientMetadata([]byte(stored.(string)))
		if err != nil || len(ignored) > 0 {
			t.Fatalf("%q was stored as %q, of which %v is ignored: %v", text, stored, ignored, err)
		}
		var loose struct {
			Scope string `json:"scope"`
		}
		if json.Unmarshal([]byte(stored.(string)), &loose) != nil || loose.Scope != m.Scope {
			t.Fatalf("%q was stored as %q, which is read as something else by who folds case", text, stored)
		}
	})
}

func mustJSON(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Each table has its own columns for the extent of a grant and for what a grant has in
// common, and nothing is lost between them.
func TestWhatWasGrantedTravelsWhole(t *testing.T) {
	var all models.Granted
	fill(reflect.ValueOf(&all).Elem())
	var authorization models.Authorization
	fill(reflect.ValueOf(&authorization).Elem())
	for name, record := range map[string]interface {
		GetGranted() models.Granted
		SetGranted(granted models.Granted)
		GetAuthorization() models.Authorization
		SetAuthorization(authorization models.Authorization)
	}{"token": &models.TokenMixin{}, "code": &models.AuthorizationCodeMixin{}, "device": &models.DeviceCodeMixin{}} {
		record.SetGranted(all)
		assert.Equal(t, all, record.GetGranted(), name)
		record.SetAuthorization(authorization)
		assert.Equal(t, authorization, record.GetAuthorization(), name)
		// A field without its own column would be lost in the database.
		columns := reflect.ValueOf(record).Elem()
		columns.FieldByName("Authorization").FieldByName("AuthTime").SetZero()
		assert.Equal(t, authorization, record.GetAuthorization(), name)
	}
	token := &models.TokenMixin{}
	token.SetGranted(all)
	assert.Empty(t, token.Scope+token.Audience+token.AuthorizationDetails, "which are the one access token's")
}

// fill gives every field of a struct a value.
func fill(fields reflect.Value) {
	for i := range fields.NumField() {
		switch field := fields.Field(i); field.Kind() {
		case reflect.String:
			field.SetString(`[{"type":"` + fields.Type().Field(i).Name + `"}]`)
		case reflect.Int64:
			field.SetInt(int64(i + 1))
		case reflect.Pointer:
			field.Set(reflect.New(field.Type().Elem()))
			switch of := field.Elem(); of.Kind() {
			case reflect.String:
				of.SetString(fields.Type().Field(i).Name)
			default:
				of.SetInt(int64(i + 1))
			}
		default:
			panic(field.Kind())
		}
	}
}
