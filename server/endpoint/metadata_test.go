package endpoint_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/jwk"
)

func get(target string) *http.Request {
	return httptest.NewRequest(http.MethodGet, target, http.NoBody)
}

func fmtJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestMetadataListsWhatIsRegistered(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) {
		c.Issuer, c.ScopesSupported = "https://id.example", []string{"profile", "email"}
	})
	a := p.Get("/.well-known/oauth-authorization-server")
	assert.Equal(t, http.StatusOK, a.Status)
	assert.Equal(t, "application/json", a.Header.Get("Content-Type"))
	assert.Equal(t, "public, max-age=300", a.Header.Get("Cache-Control"))
	assert.Empty(t, a.Header.Get("Pragma"))
	document := map[string]any{
		"issuer":                                         "https://id.example",
		"authorization_endpoint":                         "https://id.example/oauth/authorize",
		"token_endpoint":                                 "https://id.example/oauth/token",
		"revocation_endpoint":                            "https://id.example/oauth/revoke",
		"introspection_endpoint":                         "https://id.example/oauth/introspect",
		"response_types_supported":                       []string{"code", "token"},
		"response_modes_supported":                       []string{"form_post", "fragment", "query"},
		"grant_types_supported":                          []string{"authorization_code", "client_credentials", "implicit", "password", "refresh_token"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "client_secret_post", "none"},
		"revocation_endpoint_auth_methods_supported":     []string{"client_secret_basic", "client_secret_post", "none"},
		"introspection_endpoint_auth_methods_supported":  []string{"client_secret_basic", "client_secret_post"},
		"code_challenge_methods_supported":               []string{"S256"},
		"scopes_supported":                               []string{"profile", "email"},
		"authorization_response_iss_parameter_supported": true,
	}
	assert.JSONEq(t, fmtJSON(document), a.Raw)

	require.NoError(t, p.Server.RegisterGrant(&grant.Implicit{}, grant.CodeChallenge{AllowPlain: true}))
	require.NoError(t, p.Server.RegisterEndpoint(&endpoint.Metadata{
		ServiceDocumentation: "https://id.example/docs", OpPolicyURI: "https://id.example/policy", OpTosURI: "https://id.example/tos", UILocalesSupported: []string{"en", "zh"},
	}))
	require.NoError(t, p.Server.Register(ownMember{}))
	document["code_challenge_methods_supported"] = []string{"S256", "plain"}
	document["service_documentation"], document["op_policy_uri"], document["op_tos_uri"] = "https://id.example/docs", "https://id.example/policy", "https://id.example/tos"
	document["ui_locales_supported"], document["own_member"] = []string{"en", "zh"}, true
	assert.JSONEq(t, fmtJSON(document), p.Get("/.well-known/oauth-authorization-server").Raw)

	a = p.Serve(httptest.NewRequest(http.MethodPost, "/.well-known/oauth-authorization-server", http.NoBody))
	assert.Equal(t, http.StatusMethodNotAllowed, a.Status)
	assert.Equal(t, "GET", a.Header.Get("Allow"))
	assert.Equal(t, http.StatusOK, p.Serve(httptest.NewRequest(http.MethodHead, "/.well-known/oauth-authorization-server", http.NoBody)).Status)
}

type ownMember struct{}

func (ownMember) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata["own_member"] = true
}

// RFC 8414 section 3.1: the well-known part stands before the issuer's path.
func TestMetadataOfAnIssuerWithAPath(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) {
		c.Issuer = "https://id.example/tenant/1/"
		c.EndpointPaths = map[string]string{"token": "/t", "revocation": "/forget", "authorization": "/ask"}
	})
	a := p.Get("/.well-known/oauth-authorization-server/tenant/1")
	require.Equal(t, http.StatusOK, a.Status)
	assert.Equal(t, "https://id.example/tenant/1/", a.Body["issuer"])
	assert.Equal(t, "https://id.example/tenant/1/t", a.Body["token_endpoint"])
	assert.Equal(t, "https://id.example/tenant/1/forget", a.Body["revocation_endpoint"])
	assert.Equal(t, "https://id.example/tenant/1/ask", a.Body["authorization_endpoint"])
	assert.Equal(t, http.StatusNotFound, p.Get("/.well-known/oauth-authorization-server").Status)

	var paths []string
	for path := range p.Server.Routes() {
		paths = append(paths, path)
	}
	assert.Equal(t, []string{
		"/tenant/1/oauth/introspect", "/oauth/introspect", "/.well-known/oauth-authorization-server/tenant/1", "/tenant/1/forget", "/forget", "/tenant/1/t", "/t",
	}, paths)
}

// What is not on is not listed, but for what RFC 8414 requires of everybody.
func TestMetadataOfABareServer(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	bare, err := server.New(p.BareConfig())
	require.NoError(t, err)
	assert.JSONEq(t, `{"issuer":"`+oauthtest.Issuer+`","response_types_supported":[],"authorization_response_iss_parameter_supported":true}`, fmtJSON(bare.Metadata()))
	assert.Empty(t, bare.EndpointURL("token"))
	assert.Empty(t, bare.EndpointURL("authorization"))
	assert.Empty(t, bare.EndpointURL("revocation"))
	for path := range bare.Routes() {
		t.Error(path)
	}
	require.NoError(t, bare.RegisterGrant(&grant.ClientCredentials{}))
	assert.JSONEq(t, fmtJSON(map[string]any{
		"issuer": oauthtest.Issuer, "token_endpoint": bare.EndpointURL("token"), "grant_types_supported": []string{"client_credentials"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post", "none"},
		"response_types_supported":              []string{}, "authorization_response_iss_parameter_supported": true,
	}), fmtJSON(bare.Metadata()))
}

// What is given for the metadata is in it, and what is not is left out.
func TestWhatTheProgramSaysInItsMetadata(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	for _, member := range []string{"service_documentation", "op_policy_uri", "op_tos_uri", "ui_locales_supported"} {
		assert.NotContains(t, p.Server.Metadata(), member)
	}
	require.NoError(t, p.Server.RegisterEndpoint(&endpoint.Metadata{
		ServiceDocumentation: "https://id.example/docs", OpPolicyURI: "https://id.example/policy", OpTosURI: "https://id.example/tos", UILocalesSupported: []string{"de"},
	}))
	metadata := p.Server.Metadata()
	assert.Equal(t, []any{"https://id.example/docs", "https://id.example/policy", "https://id.example/tos", []string{"de"}},
		[]any{metadata["service_documentation"], metadata["op_policy_uri"], metadata["op_tos_uri"], metadata["ui_locales_supported"]})
}

func TestSignedMetadata(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})
	require.NoError(t, p.Server.RegisterEndpoint(&endpoint.Metadata{Keys: keys}))
	read := func() (signed string, claims map[string]any) {
		var document map[string]any
		require.NoError(t, json.Unmarshal([]byte(p.Get("/.well-known/oauth-authorization-server").Raw), &document))
		signed = document["signed_metadata"].(string)
		delete(document, "signed_metadata")
		claims = verifiedBy(t, keys, p, signed, "JWT")
		document["iat"], document["iss"] = claims["iat"], oauthtest.Issuer
		assert.Equal(t, document, claims, "it says the same")
		return signed, claims
	}
	first, claims := read()
	assert.InDelta(t, p.Now.Unix(), claims["iat"], 0)
	p.Now = p.Now.Add(5*time.Minute - time.Second)
	again, _ := read()
	assert.Equal(t, first, again, "nobody can have the server sign as often as they like")
	p.Now = p.Now.Add(time.Second)
	later, _ := read()
	assert.NotEqual(t, first, later)
}

// verifiedBy reads a JWT that the server signed.
func verifiedBy(t *testing.T, keys jwk.SigningKeys, p *oauthtest.Provider, text, typ string) (claims map[string]any) {
	t.Helper()
	signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.ES256})
	require.NoError(t, err)
	assert.Equal(t, typ, signed.Signatures[0].Header.ExtraHeaders[jose.HeaderType])
	set, err := keys.PublicKeys(t.Context(), p.Now)
	require.NoError(t, err)
	payload, err := signed.Verify(set)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(payload, &claims))
	return claims
}
