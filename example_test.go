package gormoauth_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	_ "modernc.org/sqlite"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/on"
	"github.com/gormoauth/gormoauth/server/resource"
)

type User struct {
	ID       uint
	Disabled bool
}

func (u *User) GetUserID() string { return strconv.FormatUint(uint64(u.ID), 10) }

type Client struct {
	ID     uint
	UserID uint // whose client it is; the library does not ask
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
	models.AuthorizationCodeMixin
}

func open() *gorm.DB {
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: ":memory:"}), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		log.Fatal(err)
	}
	pool.SetMaxOpenConns(1) // each connection would be a database of its own
	if err := gormoauth.AutoMigrate(db, &User{}, &Client{}, &Token{}, &AuthorizationCode{}); err != nil {
		log.Fatal(err)
	}
	return db
}

func ExampleNew() {
	db := open()
	srv, err := gormoauth.New(db, server.Config{Issuer: "https://id.example.com"},
		gormoauth.Clients[Client](),
		gormoauth.Tokens[Token](),
		gormoauth.AuthorizationCodes[AuthorizationCode](),
		gormoauth.Users[User]("disabled = ?", false),
	)
	if err != nil {
		log.Fatal(err)
	}
	client := &Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{
		GrantTypes: []string{"client_credentials"}, Scope: "reports",
	}}}
	secret, err := gormoauth.CreateClientFactory[Client](db, srv).Create(context.Background(), client)
	if err != nil {
		log.Fatal(err)
	}

	request := httptest.NewRequest(http.MethodPost, "/oauth/token", strings.NewReader("grant_type=client_credentials&scope=reports"))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(client.ClientID, secret)
	answer := httptest.NewRecorder()
	srv.CreateTokenResponse(answer, request)

	var token server.TokenResponse
	if err := json.Unmarshal(answer.Body.Bytes(), &token); err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Code, token.TokenType, token.ExpiresIn, token.Scope)
	// Output: 200 Bearer 3600 reports
}

// What is wrong is named at the start, with its remedy.
func ExampleDiagnose() {
	db := open()
	models := []any{&User{}, &Client{}, &Token{}, &AuthorizationCode{}} // what AutoMigrate took
	srv, err := gormoauth.New(db, server.Config{Issuer: "https://id.example.com"},
		gormoauth.Clients[Client](), gormoauth.Tokens[Token](), gormoauth.AuthorizationCodes[AuthorizationCode](), gormoauth.Users[User]())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(gormoauth.Diagnose(context.Background(), srv, db, models).Err())

	db.Exec("DROP INDEX idx_tokens_access_token")
	findings := gormoauth.Diagnose(context.Background(), srv, db, models)
	findings.Log(context.Background(), slog.New(slog.DiscardHandler)) // a line for each
	fmt.Println(findings.Err())
	// Output:
	// <nil>
	// grave: table tokens has no unique index on access_token, so what must be unique can be stored twice, and used twice; remedy: CREATE UNIQUE INDEX `idx_tokens_access_token` ON `tokens` (`access_token`)
}

// Every part of the server, joined by hand.
func Example_joined() {
	db := open()
	srv, err := server.New(server.Config{
		Issuer:            "https://id.example.com",
		QueryClient:       gormoauth.CreateQueryClientFunc[Client](db),
		QueryUser:         gormoauth.CreateQueryUserFunc[User](db.Where("disabled = ?", false)),
		SaveToken:         gormoauth.CreateSaveTokenFunc[Token](db),
		RevokeGrant:       gormoauth.CreateRevokeGrantFunc[Token](db),
		ClientAuthMethods: clientauth.Defaults(),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(
		srv.RegisterGrant(gormoauth.CreateAuthorizationCodeGrant[AuthorizationCode](db)),
		srv.RegisterGrant(gormoauth.CreateRefreshTokenGrant[Token](db)),
		srv.RegisterEndpoint(gormoauth.CreateRevocationEndpoint[Token](db)),
		srv.Register(on.TokenIssued(func(_ context.Context, req *server.Request, _ *models.TokenMixin) {
			log.Println("a token for", req.Client.GetClientID())
		})),
	)
	// Output: <nil> <nil> <nil> <nil>
}

func ExampleCreateBearerTokenValidator() {
	db := open()
	protector, err := resource.NewProtector(resource.Config{}, gormoauth.CreateBearerTokenValidator[Token](db))
	if err != nil {
		log.Fatal(err)
	}
	me := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := resource.TokenFromContext(r.Context())
		_, _ = fmt.Fprintln(w, token.UserID, token.Token.(*Token).Scope)
	})

	answer := httptest.NewRecorder()
	protector.Require("profile")(me).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/api/me", http.NoBody))
	fmt.Println(answer.Code, answer.Header().Get("WWW-Authenticate"))
	// Output: 401 Bearer realm="api", scope="profile"
}
