package resource_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/resource"
)

func TestProtector(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(nil)
		issue := func() string { return p.Redeem(client, p.Code(client, "scope=profile")).Body["access_token"] }
		good, revoked, expired := issue(), issue(), issue()
		p.Revoke(client, "token="+revoked)
		require.NoError(t, db.Model(&oauthtest.Token{}).Where("access_token = ?", server.Digest(expired)).Update("expires_in", 1).Error)
		p.Now = p.Now.Add(time.Second)
		refresh := p.Redeem(client, p.Code(client, "")).Body["refresh_token"]

		const realm = `Bearer realm="api"`
		invalid := func(description string) string {
			return realm + `, error="invalid_token", error_description="` + description + `"`
		}
		for _, row := range []struct {
			rule      string
			header    []string
			scopes    []string
			status    int
			code      string
			challenge string
		}{
			{"a valid token", []string{"Bearer " + good}, nil, 200, "", ""},
			{"the scheme is case-insensitive", []string{"bearer " + good}, nil, 200, "", ""},
			{"with the scope", []string{"Bearer " + good}, []string{"profile"}, 200, "", ""},
			{"one alternative is enough", []string{"Bearer " + good}, []string{"email", "profile"}, 200, "", ""},
			{"all words of one are needed", []string{"Bearer " + good}, []string{"profile email"}, 403, "insufficient_scope",
				realm + `, error="insufficient_scope", error_description="The access token does not have the scope that this needs.", scope="profile email"`},
			{"no token: no error in the challenge", nil, nil, 401, "missing_authorization", realm},
			{"another scheme: neither", []string{"Basic eDp5"}, nil, 401, "unsupported_token_type", realm},
			{"an unknown token", []string{"Bearer unknown"}, nil, 401, "invalid_token", invalid("The access token is unknown.")},
			{"a revoked token", []string{"Bearer " + revoked}, nil, 401, "invalid_token", invalid("The access token was revoked.")},
			{"an expired token", []string{"Bearer " + expired}, nil, 401, "invalid_token", invalid("The access token has expired.")},
			{"a refresh token", []string{"Bearer " + refresh}, nil, 401, "invalid_token", invalid("The access token is unknown.")},
			{"the digest is no token", []string{"Bearer " + server.Digest(good)}, nil, 401, "invalid_token", invalid("The access token is unknown.")},
			{"nothing behind the scheme", []string{"Bearer "}, nil, 400, "invalid_request", realm + `, error="invalid_request", error_description="The 'Authorization' header has no well-formed token."`},
			{"two tokens", []string{"Bearer " + good + " " + good}, nil, 400, "invalid_request", realm + `, error="invalid_request", error_description="The 'Authorization' header has no well-formed token."`},
			{"two headers", []string{"Bearer " + good, "Bearer " + good}, nil, 400, "invalid_request", realm + `, error="invalid_request", error_description="The request has more than one 'Authorization' header."`},
			{"a huge token", []string{"Bearer " + strings.Repeat("x", 9000)}, nil, 400, "invalid_request", realm + `, error="invalid_request", error_description="The 'Authorization' header has no well-formed token."`},
		} {
			for _, optional := range []bool{false, true} {
				r := httptest.NewRequest(http.MethodGet, "/api", http.NoBody)
				r.Header["Authorization"] = row.header
				w := httptest.NewRecorder()
				reached := false
				middleware := p.Protector.Require(row.scopes...)
				if optional {
					middleware = p.Protector.Optional(row.scopes...)
				}
				middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					reached = true
					token, ok := resource.TokenFromContext(r.Context())
					assert.Equal(t, row.status == http.StatusOK, ok, row.rule)
					if ok {
						assert.Equal(t, p.User.GetUserID(), token.UserID)
						assert.Equal(t, client.ClientID, token.Token.(*oauthtest.Token).ClientID)
					}
				})).ServeHTTP(w, r)
				if optional && row.header == nil {
					assert.True(t, reached, "optional: who brings no token passes")
					continue
				}
				assert.Equal(t, row.status == http.StatusOK, reached, row.rule)
				assert.Equal(t, row.status, w.Code, row.rule)
				assert.Equal(t, row.challenge, w.Header().Get("WWW-Authenticate"), row.rule)
				if row.code != "" {
					assert.Contains(t, w.Body.String(), `"error":"`+row.code+`"`, row.rule)
				}
			}
		}
	})
}

// macValidator is a validator of another token type.
type macValidator struct{ resource.BearerTokenValidator }

func (*macValidator) TokenType() string { return "MAC" }

func (*macValidator) AuthenticateToken(context.Context, string) (*server.StoredToken, error) {
	return &server.StoredToken{Token: &oauthtest.Token{}, UserID: "7"}, nil
}

func (*macValidator) ValidateToken(*server.StoredToken, []string, *http.Request, time.Time) error {
	return nil
}

func TestSeveralTokenTypes(t *testing.T) {
	protector, err := resource.NewProtector(resource.Config{Realm: "things"})
	require.NoError(t, err)
	protector.RegisterTokenValidator(&resource.BearerTokenValidator{QueryToken: func(context.Context, server.TokenQuery) (*server.StoredToken, error) {
		return nil, errors.New("the disk is on fire")
	}})
	protector.RegisterTokenValidator(&macValidator{})
	var told []string
	protector.Register(resource.OnTokenAuthenticated(func(_ context.Context, _ *http.Request, token *server.StoredToken) {
		told = append(told, token.UserID)
	}))
	call := func(authorization string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		protector.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		return w
	}
	assert.Equal(t, []string{`Bearer realm="things"`, `MAC realm="things"`}, call("").Header()["Www-Authenticate"], "one challenge each")
	assert.Equal(t, http.StatusOK, call("mac x").Code)
	assert.Equal(t, []string{"7"}, told)

	w := call("Bearer x")
	assert.Equal(t, http.StatusInternalServerError, w.Code, "a storage failure is not the client's")
	assert.Empty(t, w.Header().Get("WWW-Authenticate"))
	assert.NotContains(t, w.Body.String(), "fire")
	w = call("Bearer goa_at_short")
	assert.Equal(t, http.StatusUnauthorized, w.Code, "a malformed token is refused without a query")

	_, err = resource.NewProtector(resource.Config{Realm: `a"b`})
	assert.ErrorContains(t, err, "Config.Realm")
}

func TestDescriptionsAreTranslatedInTheBodyAlone(t *testing.T) {
	protector, err := resource.NewProtector(resource.Config{ErrorURIs: map[string]string{"missing_authorization": "https://docs.example/"}})
	require.NoError(t, err)
	protector.RegisterTokenValidator(&resource.BearerTokenValidator{})
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("Accept-Language", "zh-CN")
	w := httptest.NewRecorder()
	protector.Require()(http.NotFoundHandler()).ServeHTTP(w, r)
	assert.Contains(t, w.Body.String(), "请求缺少")
	assert.Contains(t, w.Body.String(), "https://docs.example/")
	assert.Equal(t, `Bearer realm="api"`, w.Header().Get("WWW-Authenticate"))
}
