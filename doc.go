// Package gormoauth is an OAuth 2.1 and OpenID Connect authorization server that runs inside a Go
// program and uses that program's own database.
//
// The program embeds mixins in its GORM models, migrates them, and gets a server of plain
// net/http handlers:
//
//	type Client struct {
//		ID     uint
//		UserID uint
//		models.ClientMixin
//	}
//
//	type Token struct {
//		ID     uint
//		UserID *uint
//		models.TokenMixin
//	}
//
//	srv, err := gormoauth.New(db, server.Config{Issuer: "https://id.example.com"},
//		gormoauth.Clients[Client](),
//		gormoauth.Tokens[Token](),
//		gormoauth.AuthorizationCodes[AuthorizationCode](),
//		gormoauth.Users[User](),
//	)
//
// [New] covers the common case. The Create… constructors return each part by itself, for a
// program that combines them in its own way with [server.New]. Like regexp.MustCompile, they
// panic if a model is not suitable, with a message that says what to write. The constructors of
// package gormstore return an error instead.
//
// The UserID of Token is a pointer because a token of the client credentials grant has no user:
// the column is then NULL.
//
// [OpenID], as one more part, makes the server an OpenID Provider, [FAPI2SecurityProfile]
// enforces that profile, and [MCP] creates the authorization server of an MCP server in one call.
// [WithAudit] records who did what, and [Diagnose] reports problems.
//
// The mixins are in package models, the engine is in server, and what registers with it is in
// server/grant, server/endpoint, server/clientauth, server/oidc, server/fapi and server/resource.
// server/doctor checks the program around the server, and gormstore contains the queries.
package gormoauth
