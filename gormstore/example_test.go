package gormstore_test

import (
	"context"
	"fmt"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

func ExampleNewTokens() {
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: ":memory:"}), &gorm.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = gormstore.NewTokens[userlessToken](db)
	fmt.Println(err)
	// Output: gormstore: model gormstore_test.userlessToken has no field UserID; add UserID *uint, with the type of your users' ids in place of uint
}

// The handle is all that a program changes to know who did what.
func ExampleWithAudit() {
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: "file:trail?mode=memory&cache=shared"}), &gorm.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := gormstore.AutoMigrate(db, oauthtest.Models()...); err != nil {
		fmt.Println(err)
		return
	}
	if db, err = gormstore.WithAudit[oauthtest.Audit](db); err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	srv, err := gormoauth.New(db, server.Config{Issuer: "https://id.example.com"}, gormoauth.Clients[oauthtest.Client](),
		gormoauth.Tokens[oauthtest.Token](), gormoauth.Users[oauthtest.User]())
	if err != nil {
		fmt.Println(err)
		return
	}
	clients, err := gormstore.NewClientFactory[oauthtest.Client](db, srv)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &oauthtest.Client{ClientMixin: models.ClientMixin{ClientID: "backup", ClientMetadata: models.ClientMetadata{GrantTypes: []string{"client_credentials"}}}}
	if _, err := clients.Create(ctx, client); err != nil {
		fmt.Println(err)
		return
	}
	audits, err := gormstore.NewAudits[oauthtest.Audit](db, gormstore.AuditOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	entries, err := audits.Query(ctx, gormstore.AuditQuery{ClientID: "backup"})
	for _, entry := range entries {
		fmt.Println(entry.Event, entry.GetClientID())
	}
	fmt.Println(err)
	// Output:
	// client_registered backup
	// <nil>
}
