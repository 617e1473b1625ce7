package gormstore_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/resource"
)

func TestMain(m *testing.M) { testdb.Main(m) }

type User struct {
	ID       uint
	Disabled bool
}

func (u *User) GetUserID() string { return strconv.FormatUint(uint64(u.ID), 10) }

type Client struct {
	ID uint
	models.ClientMixin
}

type Token struct {
	ID     uint
	UserID *uint
	User   *User
	models.TokenMixin
}

type AuthorizationCode struct {
	ID     uint
	UserID uint
	User   User
	models.AuthorizationCodeMixin
}

var allModels = []any{&User{}, &Client{}, &Token{}, &AuthorizationCode{}}

const (
	redirectURI = "https://app.example/callback"
	verifier    = "a-verifier-that-is-at-least-forty-three-characters-long"
)

// provider is a whole server on one database, with one user and one public
// client.
type provider struct {
	t         *testing.T
	db        *gorm.DB
	srv       *server.Server
	protector *resource.Protector
	user      *User
	clientID  string
}

func newProvider(t *testing.T, db *gorm.DB) *provider {
	t.Helper()
	p := (&provider{t: t}).on(db)
	p.user = &User{}
	require.NoError(t, db.Create(p.user).Error)
	client := &Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{
		TokenEndpointAuthMethod: models.None,
		RedirectURIs:            []string{redirectURI},
		ResponseTypes:           []string{"code"},
		GrantTypes:              []string{"authorization_code", "refresh_token"},
		Scope:                   "profile email",
	}}}
	_, err := gormoauth.CreateClientFactory[Client](db).Create(t.Context(), client)
	require.NoError(t, err)
	p.clientID = client.ClientID
	return p
}

// on is the same provider on another handle of its database.
func (p *provider) on(db *gorm.DB) *provider {
	t := p.t
	t.Helper()
	srv, err := gormoauth.New(db, server.Config{Issuer: "https://id.example"},
		gormoauth.Clients[Client](), gormoauth.Tokens[Token](),
		gormoauth.AuthorizationCodes[AuthorizationCode](), gormoauth.Users[User]("disabled = ?", false))
	require.NoError(t, err)
	protector, err := resource.NewProtector(resource.Config{})
	require.NoError(t, err)
	protector.RegisterTokenValidator(gormoauth.CreateBearerTokenValidator[Token](db))

	return &provider{t, db, srv, protector, p.user, p.clientID}
}

// authorize has the user grant the client a code.
func (p *provider) authorize(scope string) url.Values {
	p.t.Helper()
	sum := sha256.Sum256([]byte(verifier))
	query := url.Values{
		"response_type": {"code"}, "client_id": {p.clientID}, "scope": {scope},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/oauth/authorize?"+query.Encode(), http.NoBody)
	p.srv.CreateAuthorizationResponse(w, r, p.user)
	location, err := url.Parse(w.Header().Get("Location"))
	require.NoError(p.t, err)
	return location.Query()
}

func (p *provider) code(scope string) string {
	p.t.Helper()
	code := p.authorize(scope).Get("code")
	require.NotEmpty(p.t, code)
	return code
}

type answer struct {
	Status       int
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope"`
	Error        string `json:"error"`
	Description  string `json:"error_description"`
	RetryAfter   string `json:"-"`
}

// token posts to the token endpoint. It may be called by many goroutines.
func (p *provider) token(form url.Values) answer {
	form.Set("client_id", p.clientID)
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/oauth/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p.srv.CreateTokenResponse(w, r)
	a := answer{Status: w.Code, RetryAfter: w.Header().Get("Retry-After")}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		p.t.Errorf("the answer is not JSON: %s", w.Body)
	}
	return a
}

func (p *provider) redeem(code string) answer {
	return p.token(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier}})
}

func (p *provider) refresh(refreshToken string) answer {
	return p.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}})
}

// valid reports whether an access token opens an API.
func (p *provider) valid(accessToken string) bool {
	r := httptest.NewRequest(http.MethodGet, "/api", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+accessToken)
	_, err := p.protector.AcquireToken(r)
	return err == nil
}
