package resource_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

func TestProtector(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(nil)
		issue := func() string { return p.Redeem(client, p.Code(client, "scope=profile")).Body["access_token"] }
		good, revoked, expired := issue(), issue(), issue()
		p.Revoke(client, "token="+revoked)
		require.NoError(t, db.Model(&oauthtest.Token{}).Where("access_token = ?", secret.Digest(expired)).Update("expires_in", 1).Error)
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
				realm + `, error="insufficient_scope", error_description="The access token does not have the required scope.", scope="profile email"`},
			{"no token: no error at all", nil, nil, 401, "", realm},
			{"another scheme: none", []string{"Basic eDp5"}, nil, 401, "", realm},
			{"an unknown token", []string{"Bearer unknown"}, nil, 401, "invalid_token", invalid("The access token is unknown.")},
			{"a revoked token", []string{"Bearer " + revoked}, nil, 401, "invalid_token", invalid("The access token was revoked.")},
			{"an expired token", []string{"Bearer " + expired}, nil, 401, "invalid_token", invalid("The access token has expired.")},
			{"a refresh token", []string{"Bearer " + refresh}, nil, 401, "invalid_token", invalid("The access token is unknown.")},
			{"the digest is no token", []string{"Bearer " + secret.Digest(good)}, nil, 401, "invalid_token", invalid("The access token is unknown.")},
			{"nothing behind the scheme", []string{"Bearer "}, nil, 400, "invalid_request", realm + `, error="invalid_request", error_description="The 'Authorization' header has no well-formed token."`},
			{"a header without a scheme", []string{""}, nil, 401, "", realm},
			{"a token with the scheme glued to it", []string{"Bearer" + good}, nil, 401, "", realm},
			{"no alternative is met", []string{"Bearer " + good}, []string{"email", "admin"}, 403, "insufficient_scope",
				realm + `, error="insufficient_scope", error_description="The access token does not have the required scope.", scope="email"`},
			{"a scope is compared as a whole", []string{"Bearer " + good}, []string{"prof"}, 403, "insufficient_scope",
				realm + `, error="insufficient_scope", error_description="The access token does not have the required scope.", scope="prof"`},
			{"a comma", []string{"Bearer " + good + ", Basic eDp5"}, nil, 400, "invalid_request", realm + `, error="invalid_request", error_description="The 'Authorization' header has no well-formed token."`},
			{"two tokens", []string{"Bearer " + good + " " + good}, nil, 400, "invalid_request", realm + `, error="invalid_request", error_description="The 'Authorization' header has no well-formed token."`},
			{"two headers", []string{"Bearer " + good, "Bearer " + good}, nil, 400, "invalid_request", realm + `, error="invalid_request", error_description="The request has more than one 'Authorization' header."`},
			{"a huge token", []string{"Bearer " + strings.Repeat("x", 9000)}, nil, 400, "invalid_request", realm + `, error="invalid_request", error_description="The 'Authorization' header has no well-formed token."`},
		} {
			for _, optional := range []bool{false, true} {
				r := httptest.NewRequest(http.MethodGet, "/api", http.NoBody)
				r.Header["Authorization"] = row.header
				reached := false
				middleware := p.Protector.Require(row.scopes...)
				if optional {
					middleware = p.Protector.Optional(row.scopes...)
				}
				w := p.Record(middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					reached = true
					token, ok := resource.TokenFromContext(r.Context())
					assert.Equal(t, row.status == http.StatusOK, ok, row.rule)
					if ok {
						assert.Equal(t, p.User.GetUserID(), token.UserID)
						assert.Equal(t, client.ClientID, token.Token.(*oauthtest.Token).ClientID)
					}
				})), r)
				if optional && row.header == nil {
					assert.True(t, reached, "optional: who brings no token passes")
					continue
				}
				assert.Equal(t, row.status == http.StatusOK, reached, row.rule)
				assert.Equal(t, row.status, w.Code, row.rule)
				assert.Equal(t, row.challenge, w.Header().Get("WWW-Authenticate"), row.rule)
				switch {
				case row.code != "":
					assert.Contains(t, w.Body.String(), `"error":"`+row.code+`"`, row.rule)
				case row.status != http.StatusOK:
					assert.Equal(t, "{}", w.Body.String(), "%s: RFC 6750 section 3.1", row.rule)
				}
			}
		}
	})
}

func noToken(context.Context, storage.TokenQuery) (*storage.StoredToken, error) { return nil, nil }

// macValidator is a validator of another token type.
type macValidator struct{ resource.BearerTokenValidator }

func (*macValidator) TokenType() string { return "MAC" }

func (*macValidator) AuthenticateToken(context.Context, string) (*storage.StoredToken, error) {
	return &storage.StoredToken{Token: &oauthtest.Token{}, UserID: "7"}, nil
}

func (*macValidator) ValidateToken(*storage.StoredToken, []string, *http.Request, time.Time) error {
	return nil
}

func TestSeveralTokenTypes(t *testing.T) {
	protector, err := resource.NewProtector(resource.Config{Realm: "things"}, &resource.BearerTokenValidator{QueryToken: func(context.Context, storage.TokenQuery) (*storage.StoredToken, error) {
		return nil, errors.New("the disk is on fire")
	}}, &macValidator{})
	require.NoError(t, err)
	var told []string
	protector.Register(resource.OnTokenAuthenticated(func(_ context.Context, _ *http.Request, token *storage.StoredToken) {
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
	assert.ErrorContains(t, err, "NewProtector needs at least one validator: write gormoauth.CreateBearerTokenValidator[Token](db)")
	_, err = resource.NewProtector(resource.Config{})
	assert.ErrorContains(t, err, "needs at least one validator")
}

func TestDescriptionsAreTranslatedInTheBodyAlone(t *testing.T) {
	protector, err := resource.NewProtector(resource.Config{ErrorURIs: map[string]string{"invalid_request": "https://docs.example/"}},
		&resource.BearerTokenValidator{QueryToken: noToken})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("Accept-Language", "zh-CN")
	r.Header.Set("Authorization", "Bearer ")
	w := httptest.NewRecorder()
	protector.Require()(http.NotFoundHandler()).ServeHTTP(w, r)
	assert.Contains(t, w.Body.String(), "格式正确的令牌")
	assert.Contains(t, w.Body.String(), "https://docs.example/")
	assert.Equal(t, `Bearer realm="api", error="invalid_request", error_description="The 'Authorization' header has no well-formed token.", error_uri="https://docs.example/"`, w.Header().Get("WWW-Authenticate"))
}

// RFC 6750 section 2.3: a token in an address leaks, so none is taken there,
// nor from a body.
func TestATokenComesInTheHeaderAlone(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	token := p.Redeem(client, p.Code(client, "")).Body["access_token"]
	r := httptest.NewRequest(http.MethodPost, "/api?access_token="+token, strings.NewReader("access_token="+token))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	p.Protector.Require()(http.NotFoundHandler()).ServeHTTP(w, r)
	assert.Equal(t, http.StatusUnauthorized, w.Code)
	assert.Equal(t, `Bearer realm="api"`, w.Header().Get("WWW-Authenticate"))
}

func TestOneLookUpATokenAndNoneForAMalformedOne(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	tokens := p.Redeem(client, p.Code(client, "")).Body
	good := tokens["access_token"]
	for rule, c := range map[string]struct {
		token  string
		tables []string
	}{
		"a valid token":        {good, []string{"tokens"}},
		"an unknown one":       {"unknown", []string{"tokens"}},
		"one that was cut":     {good[:len(good)-1], nil},
		"one in small letters": {strings.ToLower(good), nil},
		"a refresh token":      {tokens["refresh_token"], nil},
		"a code":               {p.Code(client, ""), nil},
		"two words":            {good + " x", nil},
		"no word":              {"", nil},
		"of quotes":            {`""`, []string{"tokens"}},
		"that is no UTF-8":     {"\xff", []string{"tokens"}},
		"longer than any one":  {strings.Repeat("x", 9000), nil},
	} {
		status := 0
		assert.Equal(t, c.tables, p.Queried(func() { status = p.Call(c.token).Status }), rule)
		assert.Equal(t, rule == "a valid token", status == http.StatusOK, rule)
		assert.Less(t, status, http.StatusInternalServerError, rule)
	}
}

func TestAFailureInsideOpensNothingAndTellsNothing(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(nil)
		token := p.Redeem(client, p.Code(client, "")).Body["access_token"]
		var log bytes.Buffer
		p.Protector = p.NewProtector(resource.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, gormoauth.CreateBearerTokenValidator[oauthtest.Token](db))
		require.NoError(t, db.Migrator().DropTable(&oauthtest.Token{}))
		a := p.Call(token)
		assert.Equal(t, http.StatusInternalServerError, a.Status)
		assert.Equal(t, "server_error", a.Body["error"])
		assert.NotContains(t, a.Raw, "tokens", "nothing from inside leaks")
		assert.Empty(t, a.Header.Get("WWW-Authenticate"))
		assert.Contains(t, log.String(), "level=ERROR")
		assert.NotContains(t, log.String(), token)
	})
}

func TestATokenOfAnotherTypeIsNoBearerToken(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	token := p.Redeem(client, p.Code(client, "")).Body["access_token"]
	require.NoError(t, db.Model(&oauthtest.Token{}).Where("1 = 1").Update("token_type", "DPoP").Error)
	assert.Equal(t, "invalid_token", p.Call(token).Body["error"], "a bound token is not for whoever bears it")
}

func TestHasScope(t *testing.T) {
	for _, row := range []struct {
		scope        string
		alternatives []string
		want         bool
	}{
		{"", nil, true},
		{"a b", nil, true},
		{"a b", []string{"a"}, true},
		{"a b", []string{"b a"}, true},
		{"a b", []string{"a c"}, false},
		{"a b", []string{"c", "b"}, true},
		{"a b", []string{"A"}, false},
		{"ab", []string{"a"}, false},
		{"", []string{"a"}, false},
	} {
		assert.Equal(t, row.want, resource.HasScope(row.scope, row.alternatives), "%q %q", row.scope, row.alternatives)
	}
}

// FuzzAuthorizationHeader sends any header: what is not the token opens
// nothing and breaks nothing.
func FuzzAuthorizationHeader(f *testing.F) {
	for _, seed := range []string{"", "Bearer", "Bearer ", "bearer goa_at_x", "Bearer a b", "Bearer \x00", "Basic eDp5", "Bearer \xff\xfe", "  Bearer x"} {
		f.Add(seed)
	}
	p := oauthtest.New(f, testdb.Open(f, testdb.SQLiteGo, oauthtest.Models()...))
	client := p.NewClient(nil)
	token := p.Redeem(client, p.Code(client, "")).Body["access_token"]
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header["Authorization"] = []string{header}
		w := httptest.NewRecorder()
		p.Protector.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError || w.Code == http.StatusOK && !strings.Contains(header, token) {
			t.Fatalf("%q: %d %s", header, w.Code, w.Body)
		}
	})
}
