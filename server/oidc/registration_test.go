package oidc_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server/oidc"
)

// Each member of OpenID Connect Dynamic Client Registration section 2 and of the
// logout specifications, valid and not.
func TestRegistration(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	listed := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if mediaType := map[string]string{"/page": "text/html", "/nothing": ""}; r.URL.Path == "/page" || r.URL.Path == "/nothing" {
			w.Header()["Content-Type"] = []string{mediaType[r.URL.Path]}
			_, _ = w.Write([]byte(`["https://client.example/cb"]`))
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		switch r.URL.Path {
		case "/good":
			_, _ = w.Write([]byte(`["https://client.example/cb","https://other.example/cb"]`))
		case "/bad":
			_, _ = w.Write([]byte(`["https://client.example/another"]`))
		case "/odd":
			_, _ = w.Write([]byte(`{}`))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	_, set := encryptionKeys(t, "ECDH-ES")
	for _, row := range []struct {
		rule, members string
		// refused is the member that is named, empty for what is valid.
		refused string
	}{
		{"a web application", `"application_type":"web"`, ""},
		{"an odd kind", `"application_type":"toaster"`, "application_type"},
		{"a native application", `"application_type":"native","redirect_uris":["http://127.0.0.1/cb","com.example:/cb","https://app.example/cb"]`, ""},
		{"a native one with plain http", `"application_type":"native","redirect_uris":["http://app.example/cb"]`, "redirect_uris"},
		{"a native one with https on its own machine", `"application_type":"native","redirect_uris":["https://127.0.0.1/cb"]`, "redirect_uris"},
		{"a web application with plain http on its own machine", `"application_type":"web","redirect_uris":["http://127.0.0.1/cb"]`, ""},
		{"a native one with a scheme of its own alone", `"application_type":"native","redirect_uris":["com.example:/cb"]`, ""},
		{"a native one with https on a host", `"application_type":"native","redirect_uris":["https://app.example/cb"]`, ""},
		{"a kind that is not said, with a scheme of its own", `"redirect_uris":["com.example:/cb"]`, ""},
		{"the implicit grant with https on a person's own machine", `"redirect_uris":["https://127.0.0.1/cb"],"grant_types":["implicit"],"response_types":["id_token"]`, "redirect_uris"},
		{"the implicit grant with a scheme of its own", `"redirect_uris":["com.example:/cb"],"grant_types":["implicit"],"response_types":["id_token"]`, "redirect_uris"},
		{"a web application with a scheme of its own", `"application_type":"web","redirect_uris":["com.example:/cb"]`, "redirect_uris"},
		{"the implicit grant on a person's own machine", `"application_type":"web","redirect_uris":["http://127.0.0.1/cb"],"grant_types":["implicit"],"response_types":["id_token"]`, "redirect_uris"},
		{"the same of what is a web application by default", `"redirect_uris":["http://127.0.0.1/cb"],"grant_types":["implicit"],"response_types":["id_token"]`, "redirect_uris"},
		{"the same of a native application", `"application_type":"native","redirect_uris":["http://127.0.0.1/cb"],"grant_types":["implicit"],"response_types":["id_token"]`, ""},
		{"the implicit grant", `"grant_types":["implicit"],"response_types":["id_token","id_token token"]`, ""},
		{"the hybrid flow", `"grant_types":["authorization_code","implicit"],"response_types":["code id_token","token code id_token"]`, ""},
		{"a pairwise subject", `"subject_type":"pairwise"`, ""},
		{"a pairwise subject of who needs no redirect URI", `"subject_type":"pairwise","grant_types":["authorization_code","urn:ietf:params:oauth:grant-type:device_code"]`, "subject_type"},
		{"a pairwise subject with two hosts", `"subject_type":"pairwise","redirect_uris":["https://client.example/cb","https://other.example/cb"]`, "sector_identifier_uri"},
		{"the same in a sector", `"subject_type":"pairwise","redirect_uris":["https://client.example/cb","https://other.example/cb"],"sector_identifier_uri":"` + listed + `/good"`, ""},
		{"an odd subject", `"subject_type":"secret"`, "subject_type"},
		{"a sector without the redirect URI", `"sector_identifier_uri":"` + listed + `/bad"`, "sector_identifier_uri"},
		{"a sector that is no list", `"sector_identifier_uri":"` + listed + `/odd"`, "sector_identifier_uri"},
		{"a sector that is a page", `"sector_identifier_uri":"` + listed + `/page"`, "sector_identifier_uri"},
		{"a sector of no media type", `"sector_identifier_uri":"` + listed + `/nothing"`, "sector_identifier_uri"},
		{"a sector that is not there", `"sector_identifier_uri":"` + listed + `/none"`, "sector_identifier_uri"},
		{"a sector that is no address", `"sector_identifier_uri":"ftp://x"`, "sector_identifier_uri"},
		{"an algorithm", `"id_token_signed_response_alg":"PS256","userinfo_signed_response_alg":"EdDSA"`, ""},
		{"no signature", `"id_token_signed_response_alg":"none"`, "id_token_signed_response_alg"},
		{"a signature by the secret", `"userinfo_signed_response_alg":"HS256"`, "userinfo_signed_response_alg"},
		{"encryption", `"id_token_encrypted_response_alg":"ECDH-ES","id_token_encrypted_response_enc":"A256GCM","jwks":` + string(set), ""},
		{"encryption, keys at an address", `"userinfo_encrypted_response_alg":"ECDH-ES","jwks_uri":"https://client.example/jwks"`, ""},
		{"encryption without a key", `"id_token_encrypted_response_alg":"ECDH-ES"`, "jwks"},
		{"encryption without a key for it", `"id_token_encrypted_response_alg":"RSA-OAEP-256","jwks":` + string(set), "jwks"},
		{"encryption by what nobody has", `"id_token_encrypted_response_alg":"RSA1_5","jwks":` + string(set), "id_token_encrypted_response_alg"},
		{"encryption by an odd enc", `"userinfo_encrypted_response_alg":"ECDH-ES","userinfo_encrypted_response_enc":"x","jwks":` + string(set), "userinfo_encrypted_response_enc"},
		{"an enc alone", `"id_token_encrypted_response_enc":"A256GCM"`, "id_token_encrypted_response_enc"},
		{"a maximum age", `"default_max_age":3600,"require_auth_time":true,"default_acr_values":["phr"]`, ""},
		{"a negative one", `"default_max_age":-1`, "default_max_age"},
		{"one that is text", `"default_max_age":"x"`, "default_max_age"},
		{"a flag that is none", `"require_auth_time":"yes"`, "require_auth_time"},
		{"values that are no list", `"default_acr_values":"phr"`, "default_acr_values"},
		{"a login that begins here", `"initiate_login_uri":"https://client.example/login"`, ""},
		{"the same by plain http", `"initiate_login_uri":"http://client.example/login"`, "initiate_login_uri"},
		{"where to go after logout", `"post_logout_redirect_uris":["https://client.example/bye","com.example:/bye"]`, ""},
		{"a script after logout", `"post_logout_redirect_uris":["javascript:alert(1)"]`, "post_logout_redirect_uris"},
		{"plain http after logout", `"post_logout_redirect_uris":["http://client.example/bye"]`, "post_logout_redirect_uris"},
		{"a back channel", `"backchannel_logout_uri":"https://client.example/logout","backchannel_logout_session_required":true`, ""},
		{"a back channel with a fragment", `"backchannel_logout_uri":"https://client.example/logout#x"`, "backchannel_logout_uri"},
		{"a back channel that is no address", `"backchannel_logout_uri":"/logout"`, "backchannel_logout_uri"},
		{"a front channel", `"frontchannel_logout_uri":"https://client.example/logout","frontchannel_logout_session_required":true`, ""},
		{"a front channel elsewhere", `"frontchannel_logout_uri":"https://elsewhere.example/logout"`, "frontchannel_logout_uri"},
		{"a front channel by plain http", `"frontchannel_logout_uri":"http://client.example/logout"`, "frontchannel_logout_uri"},
		{"a member that is no text", `"subject_type":1`, "subject_type"},
	} {
		metadata := `{` + row.members + `}`
		if !strings.Contains(row.members, `"redirect_uris"`) {
			metadata = `{"redirect_uris":["https://client.example/cb"],` + row.members + `}`
		}
		a := p.Register(metadata)
		if row.refused == "" {
			require.Equal(t, http.StatusCreated, a.Status, "%s: %s", row.rule, a.Raw)
			var sent, back map[string]json.RawMessage
			require.NoError(t, json.Unmarshal([]byte("{"+row.members+"}"), &sent))
			require.NoError(t, json.Unmarshal([]byte(a.Raw), &back))
			for member, value := range sent {
				assert.JSONEq(t, string(value), string(back[member]), "%s: %s is given back", row.rule, member)
			}
			continue
		}
		assert.Equal(t, http.StatusBadRequest, a.Status, "%s: %s", row.rule, a.Raw)
		assert.Contains(t, []string{"invalid_client_metadata", "invalid_redirect_uri"}, a.Body["error"], row.rule)
		assert.Contains(t, a.Body["error_description"], row.refused+" ", row.rule)
	}
}

// A refusal says what was sent and what to write instead.
func TestRefusalsOfMetadataNameTheRemedy(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	p.oidc.PairwiseSalt = nil
	for members, says := range map[string]string{
		`"subject_type":"secret"`:                                          "subject_type 'secret' is not a supported subject type; choose public.",
		`"subject_type":"pairwise"`:                                        "subject_type 'pairwise' is not a supported subject type; choose public.",
		`"subject_type":1`:                                                 "subject_type '1' must be a string.",
		`"application_type":"desktop"`:                                     "application_type 'desktop' is not an application type; choose web or native.",
		`"default_max_age":"60"`:                                           "default_max_age '60' must be a whole number of seconds, 0 or more, without quotes.",
		`"default_max_age":-1`:                                             "default_max_age '-1' must be a whole number of seconds, 0 or more, without quotes.",
		`"require_auth_time":"yes"`:                                        "require_auth_time 'yes' must be true or false.",
		`"sector_identifier_uri":"https://nobody.invalid/"`:                "sector_identifier_uri 'https://nobody.invalid/' could not be fetched; serve it over https",
		`"application_type":"native","redirect_uris":["https://[::1]/cb"]`: "redirect_uris 'https://[::1]/cb' is not allowed for the application_type native; use http on a loopback address",
		`"application_type":"web","redirect_uris":["com.example:/cb"]`:     "redirect_uris 'com.example:/cb' is not allowed for the application_type web; use https, or register the application_type native.",
		`"frontchannel_logout_uri":"https://elsewhere.example/logout"`:     "frontchannel_logout_uri 'https://elsewhere.example/logout' is not at the scheme, host and port of a redirect URI; use those of one of them.",
	} {
		if !strings.Contains(members, "redirect_uris") {
			members += `,"redirect_uris":["https://client.example/cb"]`
		}
		a := p.Register("{" + members + "}")
		assert.Equal(t, http.StatusBadRequest, a.Status, members)
		assert.Contains(t, a.Body["error_description"], says, members)
	}
}

// A choice of several subject types is a sentence.
func TestARefusedSubjectTypeNamesThoseThatThereAre(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	a := p.Register(`{"redirect_uris":["https://client.example/cb"],"subject_type":"secret"}`)
	assert.Equal(t, http.StatusBadRequest, a.Status)
	assert.Contains(t, a.Body["error_description"], "is not a supported subject type; choose public or pairwise.")
}

// What a provider does not have, no client registers for.
func TestRegistrationAtALesserProvider(t *testing.T) {
	p := newProvider(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(o *oidc.Provider) {
		o.PairwiseSalt, o.Logouts, o.Fetcher, o.Algorithms = nil, nil, nil, nil
	})
	for member, members := range map[string]string{
		"subject_type": `"subject_type":"pairwise"`, "backchannel_logout_uri": `"backchannel_logout_uri":"https://client.example/logout"`,
		"sector_identifier_uri": `"sector_identifier_uri":"https://client.example/x"`, "id_token_signed_response_alg": `"id_token_signed_response_alg":"ES256"`,
		"jwks": `"id_token_encrypted_response_alg":"ECDH-ES","jwks_uri":"https://client.example/x"`,
	} {
		a := p.Register(`{"redirect_uris":["https://client.example/cb"],` + members + `}`)
		assert.Contains(t, a.Body["error_description"], member+" ", a.Raw)
	}
	document := p.Get("/.well-known/openid-configuration").Body
	assert.NotContains(t, document, "backchannel_logout_supported")
	assert.JSONEq(t, `["public"]`, document["subject_types_supported"])
}
