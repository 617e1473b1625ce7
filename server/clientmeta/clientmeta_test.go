package clientmeta_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/jwk"
)

func metadataOf(t *testing.T, text string) *models.ClientMetadata {
	t.Helper()
	metadata := new(models.ClientMetadata)
	require.NoError(t, json.Unmarshal([]byte(text), metadata), text)
	return metadata
}

// What is wrong is said in these words, which people read, and nothing else is.
func TestEachFault(t *testing.T) {
	const blank, long = "\u200b", "aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbb"
	const invisible, fragment = "has the character U+200B, which is invisible or changes the direction of text; leave it out", "has a fragment; remove the # and everything after it"
	for text, want := range map[string]string{
		`{}`: "",
		`{"redirect_uris":["https://a.example/cb"],"grant_types":["authorization_code"],"response_types":["code"],"scope":"a b","client_name":"A"}`: "",
		`{"redirect_uris":["https://a.example/"],"grant_types":["implicit"],"response_types":["id_token"]}`:                                         "",
		`{"scope":"a\"b"}`: `scope: "a\"b" has a character that is not allowed in a scope; separate its words by single spaces`,
		`{"token_endpoint_auth_method":"none","grant_types":["client_credentials"]}`:                `grant_types: "client_credentials" is not allowed for a client whose token_endpoint_auth_method is none; choose another method, or leave this grant type out`,
		`{"token_endpoint_auth_method":"client_secret_basic","grant_types":["client_credentials"]}`: "",
		`{"grant_types":["authorization_code"],"response_types":["code"]}`:                          "redirect_uris: is missing, but a client with a response_type needs one; register the address that its users return to",
		`{"redirect_uris":["https://a.example/"],"response_types":["code"]}`:                        `response_types: "code" belongs to the grant type authorization_code; register both or neither`,
		`{"grant_types":["authorization_code"]}`:                                                    `response_types: "code" belongs to the grant type authorization_code; register both or neither`,
		`{"grant_types":["implicit"]}`:                                                              `response_types: "token" belongs to the grant type implicit; register both or neither`,
		`{"jwks":{"keys":[]},"jwks_uri":"https://a.example/"}`:                                      "jwks: is given together with jwks_uri; leave one of them out\njwks: has no key that the server supports; register an RSA, EC or Ed25519 key",
		`{"jwks":[]}`: "jwks: is not a JSON Web Key Set; register an object whose member keys is a list",
		`{"jwks":{"keys":[{"kty":"oct","k":"AA","kid":"one"},{"kty":"EC","crv":"P-256","d":"AA"},{"priv":1},{"kty":"RSA"}]}}`: `jwks: "one, EC P-256, a key without a kid" has a private or symmetric key; register only public keys, and replace the ones that were sent`,
		`{"jwks":{"keys":[{"kty":"future"},7]}}`: `jwks: "future, a key without a kid" has no key that the server supports; register an RSA, EC or Ed25519 key`,
		`{"jwks":{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}}`: "",
		`{"client_name":"` + blank + `"}`:                   `client_name: "\u200b" ` + invisible,
		`{"client_name":" "}`:                               `client_name: " " is blank; write a name that people can read, or leave the member out`,
		`{"client_name":"` + long + `"}`:                    "",
		`{"client_name":"` + long + `a"}`:                   `client_name: "` + long + `…" is longer than 100 characters; shorten it`,
		`{"client_name":"e\u0301\u0301\u0301\u0301\u0301"}`: "client_name: \"e\u0301\u0301\u0301\u0301\u0301\" has more than 4 combining marks on one letter; leave some out",
		`{"client_name#ja":"` + blank + `"}`:                `client_name#ja: "\u200b" ` + invisible,
		`{"client_name#ja":7}`:                              `client_name#ja: "7" must be a string`,
		`{"contacts":["a","` + blank + `"]}`:                `contacts: "\u200b" ` + invisible,
		`{"software_id":"` + blank + `"}`:                   `software_id: "\u200b" ` + invisible,
		`{"software_version":"` + blank + `"}`:              `software_version: "\u200b" ` + invisible,
		`{"redirect_uris":["https://*.example/"]}`:          `redirect_uris: "https://*.example/" has a wildcard; register each redirect URI in full, and a loopback address without a port to allow any port`,
		`{"redirect_uris":["https://a.example/#"]}`:         `redirect_uris: "https://a.example/#" ` + fragment,
		`{"redirect_uris":["javascript:x"]}`:                `redirect_uris: "javascript:x" has a scheme that starts programs or scripts; use https`,
		`{"redirect_uris":["http://a.example/"]}`:           `redirect_uris: "http://a.example/" must be https; http is allowed only for loopback addresses`,
		`{"redirect_uris":["http://[::1]/","http://localhost/","http://127.0.0.1/","cursor:x","com.example.app:/cb"]}`: "",
		`{"redirect_uris":[""]}`: `redirect_uris: is not an absolute URI; begin with a scheme such as https://`,
		`{"client_uri":"https://a.example/#top","backchannel_logout_uri":"https://a.example/"}`: "",
		`{"backchannel_logout_uri":"https://a.example/#a"}`:                                     `backchannel_logout_uri: "https://a.example/#a" ` + fragment,
		`{"frontchannel_logout_uri":"https://a.example/#a"}`:                                    `frontchannel_logout_uri: "https://a.example/#a" ` + fragment,
		`{"request_uris":"https://a.example/"}`:                                                 `request_uris: "\"https://a.example/\"" must be a list of strings`,
		`{"initiate_login_uri":7}`:                                                              `initiate_login_uri: "7" must be a string`,
	} {
		err := clientmeta.Validate(metadataOf(t, text))
		got := ""
		if err != nil {
			got = err.Error()
		}
		assert.Equal(t, want, got, text)
	}
}

// Each text can be stored.
func TestEachTextCanBeStored(t *testing.T) {
	for _, member := range []string{
		"redirect_uris", "grant_types", "response_types", "contacts", "client_name", "client_uri", "logo_uri", "scope", "tos_uri", "policy_uri", "jwks_uri",
		"software_id", "software_version", "token_endpoint_auth_method",
	} {
		for value, refused := range map[string]bool{`a\u0000b`: true, strings.Repeat("a", 2049): true, strings.Repeat("a", 2048): false} {
			text := `"` + value + `"`
			if strings.HasSuffix(member, "s") {
				text = "[" + text + "]"
			}
			err := clientmeta.Validate(metadataOf(t, fmt.Sprintf(`{%q:%s}`, member, text)))
			assert.Equal(t, refused, err != nil && strings.Contains(err.Error(), "must be UTF-8 text without NUL, at most 2048 bytes long"), "%s %.20s", member, value)
		}
	}
}

// Each member that holds addresses is held to what it is used for, in each language.
func TestEachAddress(t *testing.T) {
	for _, member := range []string{
		"redirect_uris", "post_logout_redirect_uris", "request_uris",
		"backchannel_logout_uri", "frontchannel_logout_uri", "initiate_login_uri", "sector_identifier_uri", "client_uri", "logo_uri", "tos_uri", "policy_uri", "jwks_uri",
	} {
		for _, name := range []string{member, member + "#ja"} {
			text := `"javascript:x"`
			if strings.HasSuffix(member, "s") {
				text = "[" + text + "]"
			}
			err := clientmeta.Validate(metadataOf(t, fmt.Sprintf(`{%q:%s}`, name, text)))
			assert.ErrorContains(t, err, name+`: "javascript:x" `, name)
		}
	}
}

// What a stored client may have depends on where it comes from.
func TestFaultsOfAStoredClient(t *testing.T) {
	metadata := models.ClientMetadata{RedirectURIs: []string{"cursor:x", "mine:x", "com.mine:x"}, ClientName: " ", JWKs: []byte(`[]`)}
	const mine = `redirect_uris: "mine:x" has a private-use scheme without a dot; use a reversed domain name such as com.example.app, or https, or http on a loopback address`
	const cursor = `redirect_uris: "cursor:x" has a private-use scheme without a dot; use a reversed domain name such as com.example.app, or https, or http on a loopback address`
	const name, keys = `client_name: " " is blank; write a name that people can read, or leave the member out`, "jwks: is not a JSON Web Key Set; register an object whose member keys is a list"
	for rule, c := range map[string]struct {
		client  models.ClientMixin
		schemes []string
		want    []string
	}{
		"made by hand":            {models.ClientMixin{ClientSource: models.ClientByHand}, nil, []string{name, keys}},
		"of an older program":     {models.ClientMixin{}, nil, []string{name, keys}},
		"registered":              {models.ClientMixin{ClientSource: models.ClientByRegistration}, nil, []string{name, keys, mine}},
		"registered before":       {models.ClientMixin{RegistrationAccessToken: "a"}, nil, []string{name, keys, mine}},
		"of a document":           {models.ClientMixin{ClientSource: models.ClientByDocument}, nil, []string{name, keys, mine}},
		"with schemes of its own": {models.ClientMixin{ClientSource: models.ClientByDocument}, []string{"mine"}, []string{name, keys, cursor}},
		"with no scheme whatever": {models.ClientMixin{ClientSource: models.ClientByDocument}, []string{}, []string{name, keys, cursor, mine}},
	} {
		c.client.ClientMetadata = metadata
		var got []string
		for _, fault := range clientmeta.Faults(&c.client, c.schemes) {
			got = append(got, fault.String())
		}
		assert.Equal(t, c.want, got, rule)
	}
}

func TestIsClientID(t *testing.T) {
	for text, want := range map[string]bool{"": false, "a": true, "!~": true, "a\x1f": false, "a\x7f": false, "ä": false} {
		assert.Equal(t, want, clientmeta.IsClientID(text), "%q", text)
	}
}

func TestAsksFor(t *testing.T) {
	client := &models.ClientMixin{ClientMetadata: *metadataOf(t, `{"yes":true,"no":false,"text":"true"}`)}
	for member, want := range map[string]bool{"yes": true, "no": false, "text": false, "missing": false} {
		assert.Equal(t, want, clientmeta.AsksFor(client, member), member)
		assert.Equal(t, member == "text", clientmeta.CheckBool(&client.ClientMetadata, member) != nil, member)
	}
	assert.False(t, clientmeta.AsksFor("no client", "yes"))
}

// keySet is a key set of Ed25519 keys with more members.
func keySet(members ...string) []byte {
	for i := range members {
		members[i] = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"` + members[i] + `}`
	}
	return []byte(`{"keys":[` + strings.Join(members, ",") + `]}`)
}

func TestCheckSigningKeys(t *testing.T) {
	many := make([]string, jwk.MaxKeys+1)
	const useless = "cannot sign with any of [EdDSA RS256]; register a key that can"
	for rule, c := range map[string]struct {
		keys []byte
		want string
	}{
		"none":                    {nil, ""},
		"one":                     {keySet(""), ""},
		"one of two":              {keySet(`,"use":"enc"`, `,"use":"sig","alg":"EdDSA"`), ""},
		"for encryption":          {keySet(`,"kid":"a","use":"ENC"`), `jwks: "a" ` + useless},
		"of another algorithm":    {keySet(`,"alg":"ES256"`), `jwks: "OKP Ed25519" ` + useless},
		"no set":                  {[]byte(`[]`), "jwks: " + useless},
		"as many as there may be": {keySet(make([]string, jwk.MaxKeys)...), ""},
		"one more":                {keySet(many...), fmt.Sprintf("jwks: %q has more than %d keys", strings.Repeat("OKP Ed25519, ", 8)[:100]+"…", jwk.MaxKeys)},
	} {
		err := clientmeta.CheckSigningKeys(&models.ClientMetadata{JWKs: c.keys}, []jose.SignatureAlgorithm{jose.EdDSA, jose.RS256})
		if c.want == "" {
			assert.NoError(t, err, rule)
		} else {
			assert.EqualError(t, err, c.want, rule)
		}
	}
}

func TestCheckAPIResources(t *testing.T) {
	for resource, want := range map[string]string{
		"https://api.example/": "", "urn:api": "", "api": "",
		"https://api.example/#": `server: the API resource "https://api.example/#" has a fragment; leave it out`,
		"an api":                `server: the API resource "an api" has a character that is not allowed in a URI; percent-encode it`,
		"":                      `server: the API resource "" is not an absolute URI; begin with a scheme such as https://`,
	} {
		if err := clientmeta.CheckAPIResources([]string{"api", resource, ""}[:2]); want == "" {
			assert.NoError(t, err, resource)
		} else {
			assert.EqualError(t, err, want, resource)
		}
	}
}
