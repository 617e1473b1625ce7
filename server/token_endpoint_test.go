package server_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
)

func TestTokenRequest(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(oauthtest.Grants("client_credentials"))
		const form = "application/x-www-form-urlencoded"
		const body = "grant_type=client_credentials"
		for _, row := range []struct {
			rule, method, target, media, body string
			status                            int
			code                              string
		}{
			{"a form by POST", "POST", "/t", form, body, 200, ""},
			{"a charset does no harm", "POST", "/t", form + "; charset=utf-8", body, 200, ""},
			{"the query is not looked at", "POST", "/t?grant_type=magic&scope=admin", form, body, 200, ""},
			{"GET is not allowed", "GET", "/t?" + body, form, "", 405, "invalid_request"},
			{"nor is PUT", "PUT", "/t", form, body, 405, "invalid_request"},
			{"JSON is not a form", "POST", "/t", "application/json", `{"grant_type":"client_credentials"}`, 400, "invalid_request"},
			{"nor is a body without a type", "POST", "/t", "", body, 400, "invalid_request"},
			{"grant_type is needed", "POST", "/t", form, "", 400, "invalid_request"},
			{"with a value", "POST", "/t", form, "grant_type=", 400, "invalid_request"},
			{"the grant type must exist", "POST", "/t", form, "grant_type=magic", 400, "unsupported_grant_type"},
			{"a parameter comes once", "POST", "/t", form, body + "&" + body, 400, "invalid_request"},
			{"an unknown one, too", "POST", "/t", form, body + "&x=1&x=2", 400, "invalid_request"},
			{"a broken escape", "POST", "/t", form, "grant_type=%zz", 400, "invalid_request"},
			{"a NUL", "POST", "/t", form, body + "&scope=a%00", 400, "invalid_request"},
			{"no UTF-8", "POST", "/t", form, body + "&scope=%ff", 400, "invalid_request"},
			{"a huge body", "POST", "/t", form, body + "&x=" + strings.Repeat("x", 70000), 413, "invalid_request"},
			{"many parameters", "POST", "/t", form, body + "&" + numbered(200), 400, "invalid_request"},
		} {
			r := httptest.NewRequest(row.method, row.target, strings.NewReader(row.body))
			r.Header.Set("Content-Type", row.media)
			r.SetBasicAuth(client.ClientID, client.Secret)
			w := p.Record(http.HandlerFunc(p.Server.CreateTokenResponse), r)
			assert.Equal(t, row.status, w.Code, "%s: %s", row.rule, w.Body)
			assert.Equal(t, "no-store", w.Header().Get("Cache-Control"), row.rule)
			assert.Equal(t, "application/json", w.Header().Get("Content-Type"), row.rule)
			if row.code != "" {
				assert.Contains(t, w.Body.String(), `"error":"`+row.code+`"`, row.rule)
			}
			if row.status == http.StatusMethodNotAllowed {
				assert.Equal(t, "POST", w.Header().Get("Allow"))
			}
		}
	})
}

func TestAnEndpointThatIsNotRegisteredIsNotFound(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	a := p.Do(p.Server.EndpointHandler("magic"), get("/"))
	assert.Equal(t, http.StatusNotFound, a.Status)
}

func TestATokenResponseIsOneObject(t *testing.T) {
	for name, c := range map[string]struct {
		response server.TokenResponse
		want     string
	}{
		"what there is nothing of is left out": {
			server.TokenResponse{AccessToken: "a", TokenType: "Bearer", ExpiresIn: 5},
			`{"access_token":"a","token_type":"Bearer","expires_in":5}`,
		},
		"all members": {
			server.TokenResponse{AccessToken: "a", TokenType: "Bearer", ExpiresIn: 5, RefreshToken: "r", Scope: "s", AuthorizationDetails: json.RawMessage(`[{"type":"t"}]`)},
			`{"access_token":"a","token_type":"Bearer","expires_in":5,"refresh_token":"r","scope":"s","authorization_details":[{"type":"t"}]}`,
		},
		"further members, and nothing of what is left out": {
			server.TokenResponse{AccessToken: "a", TokenType: "Bearer", ExpiresIn: 5, Extra: map[string]any{"id_token": "i", "n": 1}},
			`{"access_token":"a","token_type":"Bearer","expires_in":5,"id_token":"i","n":1}`,
		},
		"a further member takes no other's place": {
			server.TokenResponse{
				AccessToken: "a", TokenType: "Bearer", ExpiresIn: 5, RefreshToken: "r", Scope: "s", AuthorizationDetails: json.RawMessage(`[{"type":"t"}]`),
				Extra: map[string]any{"access_token": "x", "token_type": "x", "expires_in": "x", "refresh_token": "x", "scope": "x", "authorization_details": "x"},
			},
			`{"access_token":"a","token_type":"Bearer","expires_in":5,"refresh_token":"r","scope":"s","authorization_details":[{"type":"t"}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			further := maps.Clone(c.response.Extra)
			text, err := json.Marshal(&c.response)
			require.NoError(t, err)
			assert.JSONEq(t, c.want, string(text))
			assert.Equal(t, further, c.response.Extra, "which stay what they are")
		})
	}
}
