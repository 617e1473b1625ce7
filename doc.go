// Package gormoauth is an OAuth 2.1 and OpenID Connect authorization server that
// lives inside a Go program and in that program's own database.
//
// The program embeds mixins in its GORM models, migrates them, and has a
// server of plain net/http handlers:
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
// [New] is for the common case. The Create… constructors give each part by
// itself, for a program that joins them in its own way with [server.New]; they
// panic, like regexp.MustCompile, when a model is not what it has to be, with a
// sentence that says what to write. The constructors of package gormstore
// return that as an error.
//
// The UserID of Token is a pointer because a token of the client credentials
// grant has no user: its column is NULL then.
//
// [OpenID], as one more part, makes the server an OpenID Provider,
// [FAPI2SecurityProfile] holds it to that profile, and [MCP] is the authorization
// server of an MCP server in one call. [WithAudit] keeps who did what, and [Diagnose]
// names what is wrong.
//
// Packages: models has the mixins, server the engine, server/grant,
// server/endpoint, server/clientauth, server/oidc, server/fapi and server/resource
// what registers with it, server/doctor what looks at the program around it,
// gormstore the queries.
package gormoauth
