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
// # The common case
//
// [AutoMigrate] creates the tables and adds what they lack. [New] returns the server. Its parts
// name the models:
//
//   - [Clients], [Tokens] and [Users] are required, unless the configuration has their functions.
//   - [AuthorizationCodes] adds the authorization code grant.
//   - [OpenID] makes the server an OpenID Provider. It needs Config.Secrets, or
//     [KeysReadableInDatabase].
//   - [Registration] lets clients register themselves.
//   - [FAPI2SecurityProfile] enforces that profile.
//
// [MCP] creates the authorization server of an MCP server in one call. [CreateClientFactory]
// creates clients. [CreateBearerTokenValidator] validates tokens at an API, see package resource.
// The authorization endpoint is Server.AuthorizationHandler, with the program's pages.
//
// The UserID of Token is a pointer because a token of the client credentials grant has no user:
// the column is then NULL.
//
// # Operating it
//
// [Diagnose] reports problems; call it at every start. [CreatePruneFunc] removes what has
// expired. [CreateRevokeClientFunc] and [CreateRevokeUserFunc] end all grants of a client or a
// user, and [CreateEraseFunc] removes everything about a user. [WithAudit] records who did what.
// [SchemaSQL] returns the statements that create the tables, for a tool that migrates.
//
// # Everything else
//
// The other Create… constructors return each part by itself, for a program that combines them in
// its own way with [server.New]. Like regexp.MustCompile, they panic if a model is not suitable,
// with a message that says what to write. The constructors of package gormstore return an error
// instead.
//
// The mixins are in package models, the engine is in server, and what registers with it is in
// server/grant, server/endpoint, server/clientauth, server/generator, server/oidc, server/fapi
// and server/resource. server/doctor checks the program around the server, and gormstore contains
// the queries. The docs directory of the repository has a page for each topic.
package gormoauth
