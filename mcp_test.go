package gormoauth_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
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
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/storage"
)

func ExampleMCP() {
	db := open()
	mcp, err := gormoauth.MCP(db, gormoauth.MCPConfig{
		Server:   server.Config{Issuer: "https://id.example.com"},
		Resource: "https://id.example.com/mcp",
		Scopes:   []string{"tools"},
	}, gormoauth.Clients[Client](), gormoauth.Tokens[Token](), gormoauth.AuthorizationCodes[AuthorizationCode](), gormoauth.Users[User]())
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	for path, handler := range mcp.Routes() {
		mux.Handle(path, handler)
	}
	tools := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/mcp", mcp.Protector.Require("tools")(tools))

	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/mcp", http.NoBody))
	fmt.Println(answer.Code, answer.Header().Get("WWW-Authenticate"))
	// Output: 401 Bearer realm="api", resource_metadata="https://id.example.com/.well-known/oauth-protected-resource/mcp", scope="tools"
}

// A client that knows nothing but the address of the MCP server.
func TestMCP(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		user := &oauthtest.User{}
		require.NoError(t, db.Create(user).Error)
		mux := http.NewServeMux()
		s := httptest.NewServer(mux)
		t.Cleanup(s.Close)
		mcp, err := gormoauth.MCP(db, gormoauth.MCPConfig{
			Server: server.Config{Issuer: s.URL}, Resource: s.URL + "/mcp", Scopes: []string{"tools", "prompts"},
			Fetcher: fetch.New(fetch.Options{AllowPrivateAddresses: true}), API: "mcp-server",
		}, gormoauth.Clients[oauthtest.Client](), gormoauth.Tokens[oauthtest.Token](), gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode](),
			gormoauth.Users[oauthtest.User]("disabled = ?", false), gormoauth.Registration[oauthtest.Client, oauthtest.Token]())
		require.NoError(t, err)
		for path, handler := range mcp.Routes() {
			mux.Handle(path, handler)
		}
		factory, secrets := gormoauth.CreateClientFactory[oauthtest.Client](db, mcp.Server), make(map[string]string)
		for _, id := range []string{"mcp-server", "another"} {
			secrets[id], err = factory.Create(t.Context(), &oauthtest.Client{ClientMixin: models.ClientMixin{ClientID: id, ClientMetadata: models.ClientMetadata{GrantTypes: []string{}}}})
			require.NoError(t, err)
		}
		mux.Handle("/mcp", mcp.Protector.Require("tools")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		mux.Handle("/oauth/authorize", mcp.AuthorizationHandler(server.AuthorizationPages{
			User:   func(*http.Request) (storage.User, error) { return user, nil },
			SignIn: func(http.ResponseWriter, *http.Request, *server.ConsentGrant) {},
			Consent: func(w http.ResponseWriter, _ *http.Request, consent *server.ConsentGrant) {
				_, _ = io.WriteString(w, string(consent.Decision))
			},
		}))
		clientID := s.URL + "/app/client.json"
		mux.HandleFunc("/app/client.json", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"client_id":%q,"client_name":"An app","redirect_uris":["http://127.0.0.1/cb"],"grant_types":["authorization_code","refresh_token"]}`, clientID)
		})

		challenge := send(t, http.MethodPost, s.URL+"/mcp", "", nil)
		require.Equal(t, http.StatusUnauthorized, challenge.status)
		about := regexp.MustCompile(`resource_metadata="([^"]+)"`).FindStringSubmatch(challenge.header.Get("WWW-Authenticate"))
		require.Len(t, about, 2)
		resource := send(t, http.MethodGet, about[1], "", nil).body
		assert.Equal(t, s.URL+"/mcp", resource["resource"])
		issuer := resource["authorization_servers"].([]any)[0].(string)
		metadata := send(t, http.MethodGet, issuer+"/.well-known/oauth-authorization-server", "", nil).body
		assert.Equal(t, true, metadata["client_id_metadata_document_supported"])
		assert.Equal(t, true, metadata["authorization_response_iss_parameter_supported"])
		assert.Equal(t, []any{"S256"}, metadata["code_challenge_methods_supported"])

		registered := send(t, http.MethodPost, metadata["registration_endpoint"].(string), "application/json",
			strings.NewReader(`{"token_endpoint_auth_method":"none","redirect_uris":["http://127.0.0.1/cb"],"grant_types":["authorization_code","refresh_token"]}`))
		require.Equal(t, http.StatusCreated, registered.status, registered.raw)
		for kind, id := range map[string]string{"by its document": clientID, "by registration": registered.body["client_id"].(string)} {
			ask := url.Values{
				"response_type": {"code"}, "client_id": {id}, "redirect_uri": {"http://127.0.0.1:4711/cb"}, "scope": {"tools"}, "resource": {s.URL + "/mcp"},
				"code_challenge": {oauthtest.Challenge}, "code_challenge_method": {"S256"}, "state": {"s"},
			}
			address := metadata["authorization_endpoint"].(string) + "?" + ask.Encode()
			decision := url.Values{"confirm": {"yes"}, "decision": {send(t, http.MethodGet, address, "", nil).raw}}
			back, err := url.Parse(send(t, http.MethodPost, address, "application/x-www-form-urlencoded", strings.NewReader(decision.Encode())).header.Get("Location"))
			require.NoError(t, err)
			assert.Equal(t, issuer, back.Query().Get("iss"), kind)
			form := url.Values{
				"grant_type": {"authorization_code"}, "client_id": {id}, "code": {back.Query().Get("code")}, "code_verifier": {oauthtest.Verifier},
				"redirect_uri": {"http://127.0.0.1:4711/cb"}, "resource": {s.URL + "/mcp"},
			}
			tokens := send(t, http.MethodPost, metadata["token_endpoint"].(string), "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
			require.Equal(t, http.StatusOK, tokens.status, "%s: %s", kind, tokens.raw)
			assert.NotEmpty(t, tokens.body["refresh_token"], kind)
			call := send(t, http.MethodPost, s.URL+"/mcp", "Bearer "+tokens.body["access_token"].(string), nil)
			assert.Equal(t, http.StatusOK, call.status, kind)
			for client, active := range map[string]bool{"mcp-server": true, "another": false} {
				about := introspect(t, metadata["introspection_endpoint"].(string), client, secrets[client], tokens.body["access_token"].(string))
				assert.Equal(t, active, about["active"], "%s, as %s asks", kind, client)
				if active {
					assert.Equal(t, []any{s.URL + "/mcp"}, about["aud"])
					assert.Equal(t, id, about["client_id"])
					assert.Equal(t, "tools", about["scope"])
				}
			}
			ask.Del("resource") // a client that does not name it
			form.Del("resource")
			address = metadata["authorization_endpoint"].(string) + "?" + ask.Encode()
			decision.Set("decision", send(t, http.MethodGet, address, "", nil).raw)
			back, err = url.Parse(send(t, http.MethodPost, address, "application/x-www-form-urlencoded", strings.NewReader(decision.Encode())).header.Get("Location"))
			require.NoError(t, err)
			form.Set("code", back.Query().Get("code"))
			tokens = send(t, http.MethodPost, metadata["token_endpoint"].(string), "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
			require.Equal(t, http.StatusOK, tokens.status, "%s: %s", kind, tokens.raw)
			assert.Equal(t, http.StatusOK, send(t, http.MethodPost, s.URL+"/mcp", "Bearer "+tokens.body["access_token"].(string), nil).status, "%s: the token is for the MCP server by default", kind)
			byDefault := introspect(t, metadata["introspection_endpoint"].(string), "mcp-server", secrets["mcp-server"], tokens.body["access_token"].(string))
			assert.Equal(t, []any{s.URL + "/mcp"}, byDefault["aud"], kind)
			ask.Set("resource", "https://elsewhere.example")
			refused := send(t, http.MethodGet, metadata["authorization_endpoint"].(string)+"?"+ask.Encode(), "", nil)
			assert.Equal(t, server.InvalidTarget, refused.body["error"], "%s: here, as nobody has decided", kind)
		}
	})
}

func TestMCPNeedsItsParts(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	config := gormoauth.MCPConfig{Server: server.Config{Issuer: "https://id.example"}, Resource: "https://id.example/mcp"}
	_, err := gormoauth.MCP(db, config)
	require.ErrorContains(t, err, "Clients[Client]()")
	config.Resource = "mcp"
	_, err = gormoauth.MCP(db, config, gormoauth.Clients[oauthtest.Client](), gormoauth.Tokens[oauthtest.Token](), gormoauth.Users[oauthtest.User]())
	require.ErrorContains(t, err, "Resource")
}

// introspect asks as a client what a token stands for.
func introspect(t *testing.T, endpoint, clientID, secret, token string) map[string]any {
	t.Helper()
	form := url.Values{"token": {token}, "client_id": {clientID}, "client_secret": {secret}}
	a := send(t, http.MethodPost, endpoint, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	require.Equal(t, http.StatusOK, a.status, a.raw)
	return a.body
}

type answered struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

// send sends a request, with a media type or, when it begins with "Bearer", a
// token. It follows no redirect.
func send(t *testing.T, method, address, headed string, body io.Reader) (a answered) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, body)
	require.NoError(t, err)
	name := "Content-Type"
	if strings.HasPrefix(headed, "Bearer ") {
		name = "Authorization"
	}
	r.Header.Set(name, headed)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	require.NoError(t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	a = answered{status: response.StatusCode, header: response.Header, raw: string(text)}
	_ = json.Unmarshal(text, &a.body) // not all of them have one
	return a
}
