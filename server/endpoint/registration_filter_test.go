package endpoint_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
)

// newOffering is a registrar of a server that has more than it lets clients register for.
func newOffering(t *testing.T, db *gorm.DB) registrar {
	t.Helper()
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.ScopesSupported = []string{"openid", "profile", "email", "offline_access", "tools"}
	})
	e := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	e.Open, e.DefaultScope = true, "profile tools"
	require.NoError(t, p.Server.RegisterEndpoint(e))
	return registrar{p, e}
}

// What editors and assistants send, each as it does, is registered, and they sign in.
func TestEditorsRegister(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		r := newOffering(t, db)
		for name, row := range map[string]struct {
			body, redirectURI string // where it has itself called back
			scope             string // that it gets
		}{
			"VS Code": {`{"client_name":"Visual Studio Code","client_uri":"https://code.visualstudio.com",
				"grant_types":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"],"response_types":["code"],
				"redirect_uris":["https://insiders.vscode.dev/redirect","https://vscode.dev/redirect","http://127.0.0.1/","http://127.0.0.1:33418/"],
				"scope":"tools user:read","token_endpoint_auth_method":"none","application_type":"native"}`, "http://127.0.0.1:33418/", "tools"},
			"Cursor": {`{"client_name":"Cursor","redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback","https://www.cursor.com/agents/mcp/oauth/callback","http://localhost:8787/callback"],
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`, "cursor://anysphere.cursor-mcp/oauth/callback", "profile tools offline_access"},
			"Claude": {`{"client_name":"Claude","redirect_uris":["https://claude.ai/api/mcp/auth_callback"],"grant_types":["authorization_code","refresh_token"],
				"response_types":["code"],"token_endpoint_auth_method":"none","scope":"claudeai"}`, "https://claude.ai/api/mcp/auth_callback", "profile tools offline_access"},
			"Claude Code": {`{"client_name":"Claude Code (tools)","redirect_uris":["http://localhost:54545/callback"],"grant_types":["authorization_code","refresh_token"],
				"response_types":["code"],"token_endpoint_auth_method":"none"}`, "http://localhost:61234/callback", "profile tools offline_access"},
			"MCP Inspector": {`{"redirect_uris":["http://localhost:6274/oauth/callback","http://localhost:6274/oauth/callback/debug"],"token_endpoint_auth_method":"none",
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"client_name":"MCP Inspector","client_uri":"https://github.com/modelcontextprotocol/inspector","scope":"tools admin:org"}`,
				"http://localhost:6274/oauth/callback/debug", "tools"},
			"one that names the resource": {`{"client_name":"turnstone","redirect_uris":["http://127.0.0.1:8976/callback"],"token_endpoint_auth_method":"none","resource":"https://mcp.example/mcp"}`,
				"http://127.0.0.1:1/callback", "profile tools"},
			"FastMCP": {`{"client_name":"FastMCP Client","redirect_uris":["http://localhost:*/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none","scope":""}`,
				"http://localhost:49152/callback", "profile tools offline_access"},
		} {
			a, told := r.register(row.body)
			require.Equal(t, http.StatusCreated, a.Status, "%s: %s", name, a.Raw)
			assert.Equal(t, row.scope, a.Body["scope"], name)
			assert.NotContains(t, a.Body["grant_types"], "device_code", "%s: the server has no such grant", name)
			assert.NotContains(t, a.Raw, `"resource"`, name)
			assert.NotContains(t, a.Raw, "application_type", name)
			client := told.client(models.ClientMetadata{TokenEndpointAuthMethod: models.None})
			sent := "scope=tools&redirect_uri=" + escape(row.redirectURI)
			token := r.Token(client, "grant_type=authorization_code&code_verifier="+oauthtest.Verifier+"&redirect_uri="+escape(row.redirectURI)+"&code="+r.Code(client, sent))
			assert.Equal(t, "tools", token.Body["scope"], "%s: %s", name, token.Raw)
		}
	})
}

func escape(text string) string { return strings.NewReplacer(":", "%3A", "/", "%2F").Replace(text) }

// What a client asks for and the server does not have is left out, and the answer says what
// was registered (RFC 7591 section 3.2.1).
func TestRegistrationFilters(t *testing.T) {
	r := newOffering(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	r.endpoint.GrantTypes = []string{"authorization_code", "refresh_token", "implicit", "client_credentials"}
	for _, row := range []struct{ rule, members, grantTypes, responseTypes, scope string }{
		{"nothing is said", ``, "authorization_code", "code", "profile tools"},
		{"with refresh tokens", `"grant_types":["authorization_code","refresh_token"]`, "authorization_code refresh_token", "code", "profile tools offline_access"},
		{"an unknown grant type", `"grant_types":["authorization_code","magic"]`, "authorization_code", "code", "profile tools"},
		{"one that the operator keeps", `"grant_types":["password","authorization_code"]`, "authorization_code", "code", "profile tools"},
		{"one that a public client may not have", `"grant_types":["authorization_code","client_credentials"],"token_endpoint_auth_method":"none"`, "authorization_code", "code", "profile tools"},
		{"and a confidential one may", `"grant_types":["authorization_code","client_credentials"]`, "authorization_code client_credentials", "code", "profile tools"},
		{"an unknown response type", `"response_types":["code","code magic"]`, "authorization_code", "code", "profile tools"},
		{"nothing but unknown ones", `"response_types":["magic"]`, "authorization_code", "code", "profile tools"},
		{"no response type", `"response_types":[]`, "authorization_code", "code", "profile tools"},
		{"one whose grant type is missing", `"response_types":["code","token"]`, "authorization_code", "code", "profile tools"},
		{"a grant type without its response type", `"grant_types":["authorization_code","implicit"],"response_types":["code"]`, "authorization_code", "code", "profile tools"},
		{"both", `"grant_types":["authorization_code","implicit"],"response_types":["code","token"]`, "authorization_code implicit", "code token", "profile tools"},
		{"a grant type says which", `"grant_types":["implicit"]`, "implicit", "token", "profile tools"},
		{"no redirect", `"grant_types":["client_credentials"]`, "client_credentials", "", "profile tools"},
		{"an unknown scope", `"scope":"tools admin"`, "authorization_code", "code", "tools"},
		{"no known one", `"scope":"admin root"`, "authorization_code", "code", "profile tools"},
		{"an empty one", `"scope":""`, "authorization_code", "code", "profile tools"},
		{"unknown members", `"x":1,"client_secret_jwt":"y","user_id":7,"demo":true,"scope#ja":"z"`, "authorization_code", "code", "profile tools"},
		{"what demands nothing", `"require_pushed_authorization_requests":false,"dpop_bound_access_tokens":false,"require_auth_time":null`, "authorization_code", "code", "profile tools"},
	} {
		body := `{` + webClient
		if row.members != "" {
			body += `,` + row.members
		}
		a, _ := r.register(body + `}`)
		require.Equal(t, http.StatusCreated, a.Status, "%s: %s", row.rule, a.Raw)
		list := func(member string) string {
			var values []string
			if a.Body[member] != "" {
				require.NoError(t, json.Unmarshal([]byte(a.Body[member]), &values))
			}
			return strings.Join(values, " ")
		}
		assert.Equal(t, []string{row.grantTypes, row.responseTypes, row.scope}, []string{list("grant_types"), list("response_types"), a.Body["scope"]}, row.rule)
		var row2 oauthtest.Client
		require.NoError(t, r.DB.Where("client_id = ?", a.Body["client_id"]).First(&row2).Error)
		assert.Empty(t, row2.ClientMetadata.Extra, row.rule)
	}
}

// keysWithAPrivateOne has a public key, a private one and a symmetric one.
const keysWithAPrivateOne = `{"keys":[
	{"kty":"EC","crv":"P-256","kid":"theirs","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
	{"kty":"EC","crv":"P-256","kid":"mine","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"},
	{"k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}]}`

// What a client would rely on is refused, with the value and what to do about it.
func TestRegistrationRefusesWhatItCannotGive(t *testing.T) {
	r := newOffering(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	for _, row := range []struct{ rule, members, code, named, remedy string }{
		{"no grant type is left", `"grant_types":["password","magic"]`, server.InvalidClientMetadata, "grant_types 'password magic'", "choose from authorization_code"},
		{"a refresh token is of another grant", `"grant_types":["refresh_token","magic"]`, server.InvalidClientMetadata, "grant_types 'magic'", "choose from"},
		{"a refresh token alone", `"grant_types":["refresh_token"]`, server.InvalidClientMetadata, "grant_types 'refresh_token' is not enough by itself, because a refresh token comes from another grant", "add one of authorization_code."},
		{"nothing at all", `"grant_types":[]`, server.InvalidClientMetadata, "grant_types", "choose from authorization_code."},
		{"nothing but what is not there", `"grant_types":["magic"],"response_types":["token"]`, server.InvalidClientMetadata, "grant_types 'magic'", "choose from authorization_code."},
		{"no redirect URI", `"redirect_uris":[]`, server.InvalidRedirectURI, "redirect_uris is missing, but a client with a response_type needs one", "register the address that its users return to"},
		{"a private key among public ones", `"jwks":` + keysWithAPrivateOne, server.InvalidClientMetadata, "jwks 'mine, a key without a kid' has a private or symmetric key", "register only public keys"},
		{"two places of keys", `"jwks":{"keys":[{"kty":"EC","crv":"P-256","kid":"p","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]},"jwks_uri":"https://app.example/jwks"`, server.InvalidClientMetadata, "jwks is given together with jwks_uri", "leave one of them out"},
		{"a host that is not in punycode", `"redirect_uris":["https://xn--a/cb"]`, server.InvalidRedirectURI, "redirect_uris 'https://xn--a/cb'", "punycode"},
		{"a method", `"token_endpoint_auth_method":"tls_client_auth"`, server.InvalidClientMetadata, "token_endpoint_auth_method 'tls_client_auth'", "choose one of client_secret_basic"},
		{"pushed requests", `"require_pushed_authorization_requests":true`, server.InvalidClientMetadata, "require_pushed_authorization_requests", "leave it out"},
		{"signed requests", `"require_signed_request_object":true`, server.InvalidClientMetadata, "require_signed_request_object", "leave it out"},
		{"the time of sign-in", `"require_auth_time":true`, server.InvalidClientMetadata, "require_auth_time", "leave it out"},
		{"whatever is invented next", `"require_quantum_signatures":"yes"`, server.InvalidClientMetadata, "require_quantum_signatures", "leave it out"},
		{"tokens bound to a key", `"dpop_bound_access_tokens":true`, server.InvalidClientMetadata, "dpop_bound_access_tokens", "leave it out"},
		{"tokens bound to a certificate", `"tls_client_certificate_bound_access_tokens":true`, server.InvalidClientMetadata, "tls_client_certificate_bound_access_tokens", "leave it out"},
		{"encrypted answers", `"introspection_encrypted_response_alg":"RSA-OAEP-256"`, server.InvalidClientMetadata, "introspection_encrypted_response_alg", "leave it out"},
		{"a member that nobody can print", `"require_\u0000\"é":true`, server.InvalidClientMetadata, "require_%00%22%C3%A9", "leave it out"},
		{"a redirect URI", `"redirect_uris":["http://app.example/cb"]`, server.InvalidRedirectURI, "redirect_uris 'http://app.example/cb'", "https"},
		{"a wildcard elsewhere", `"redirect_uris":["http://localhost:*@evil.example/cb"]`, server.InvalidRedirectURI, "redirect_uris", "wildcard"},
		{"a scope that is none", `"scope":"a\"b"`, server.InvalidClientMetadata, "scope", "character"},
	} {
		body := `{` + row.members + `}`
		if !strings.Contains(row.members, "redirect_uris") {
			body = `{` + webClient + `,` + row.members + `}`
		}
		a, _ := r.register(body)
		assert.Equal(t, http.StatusBadRequest, a.Status, "%s: %s", row.rule, a.Raw)
		assert.Equal(t, row.code, a.Body["error"], row.rule)
		assert.Contains(t, a.Body["error_description"], row.named, row.rule)
		assert.Contains(t, a.Body["error_description"], row.remedy, row.rule)
	}
	assert.Zero(t, r.Rows(&oauthtest.Client{}))

	// A server that has it registers it, and keeps to it.
	require.NoError(t, r.Server.Register(gormoauth.CreateDPoP[oauthtest.Replay](r.DB), &grant.CertificateBoundTokens{}))
	require.NoError(t, r.Server.RegisterEndpoint(gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](r.DB)))
	a, _ := r.register(`{` + webClient + `,"dpop_bound_access_tokens":true,"tls_client_certificate_bound_access_tokens":true,"require_pushed_authorization_requests":true}`)
	require.Equal(t, http.StatusCreated, a.Status, a.Raw)
	assert.Equal(t, "true", a.Body["dpop_bound_access_tokens"])
}

// An extension of a grant that understands members of metadata is asked as well.
func TestExtensionsOfGrantsCheckMetadata(t *testing.T) {
	r := newOffering(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	codes := gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](r.DB)
	require.NoError(t, r.Server.RegisterGrant(codes, &ownMetadata{}))
	a, _ := r.register(`{` + webClient + `,"colour":"red"}`)
	assert.Equal(t, "red", a.Body["colour"], a.Raw)
	a, _ = r.register(`{` + webClient + `,"colour":"blue"}`)
	assert.Equal(t, server.InvalidClientMetadata, a.Body["error"], a.Raw)
}
