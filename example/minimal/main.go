// Command minimal is the shortest program that is a whole authorization server. It creates a
// client, prints a curl command that gets a token, and serves until it is interrupted.
//
//	go run ./example/minimal
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	_ "modernc.org/sqlite"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

var address = "127.0.0.1:9096"

// User is a person who can sign in.
type User struct{ ID uint }

// GetUserID returns the user id that the other tables store.
func (u *User) GetUserID() string { return fmt.Sprint(u.ID) }

// Client is an application.
type Client struct {
	ID uint
	models.ClientMixin
}

// Token is an access token with its refresh token.
type Token struct {
	ID     uint
	UserID *uint // NULL for a client that acts for itself
	models.TokenMixin
}

// AuthorizationCode is exchanged for a token.
type AuthorizationCode struct {
	ID, UserID uint
	models.AuthorizationCodeMixin
}

func main() {
	db := must(gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: "oauth.db"}), &gorm.Config{}))
	must(0, gormoauth.AutoMigrate(db, &User{}, &Client{}, &Token{}, &AuthorizationCode{}))
	srv := must(gormoauth.New(db, server.Config{Issuer: "http://" + address}, gormoauth.Users[User](),
		gormoauth.Clients[Client](), gormoauth.Tokens[Token](), gormoauth.AuthorizationCodes[AuthorizationCode]()))
	client := &Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{GrantTypes: []string{"client_credentials"}}}}
	secret := must(gormoauth.CreateClientFactory[Client](db, srv).Create(context.Background(), client))
	fmt.Printf("curl -u %s:%s -d grant_type=client_credentials http://%s/oauth/token\n", client.ClientID, secret, address)
	for path, handler := range srv.Routes() { // token, revocation, introspection, metadata
		http.Handle(path, handler)
	}
	web := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(web.ListenAndServe())
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
