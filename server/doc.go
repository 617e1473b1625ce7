// Package server is the engine of an OAuth 2.1 authorization server: plain
// net/http in and out, storage behind functions, and grants, endpoints, client
// authentication methods and extensions that register with it.
//
// Most programs begin with gormoauth.New, which makes a server from GORM models. This is how one is
// put together by hand:
//
//	srv, err := server.New(server.Config{
//		Issuer:            "https://id.example.com",
//		QueryClient:       gormoauth.CreateQueryClientFunc[Client](db),
//		SaveToken:         gormoauth.CreateSaveTokenFunc[Token](db),
//		RevokeGrant:       gormoauth.CreateRevokeGrantFunc[Token](db),
//		ClientAuthMethods: clientauth.Defaults(),
//	})
//	err = srv.RegisterGrant(&grant.ClientCredentials{})
//	for path, handler := range srv.Routes() {
//		mux.Handle(path, handler)
//	}
//
// # How a request is processed
//
// A request is parsed once, into a [Request]. At the token endpoint the client
// authenticates; the grant reads its own parameters and returns the [Credential]
// to exchange; the engine checks what all grants have in common; tokens are
// generated; SaveToken spends the credential and stores the digests of the tokens
// in one atomic step. At the authorization endpoint the client and its redirect
// URI are checked before anything is delivered to it.
//
// # Extending
//
// A grant is a [TokenGrant], an [AuthorizationGrant] or both. Anything smaller
// is a hook: a value that implements one or more of the small interfaces in
// hooks.go, registered once. The grants and extensions of this module only use
// what this package exports.
//
// # Packages around it
//
// What the engine asks of the database is package storage: clients, users, tokens and codes as it
// sees them, and the functions that look them up and store them.
//
// Values that the engine, its extensions and programs share are in packages of their own: secret
// and jwk (secrets and keys), assertion, cnf and indicator (what requests and tokens name), reason
// and finding (what the log and the doctor say), clientmeta and display (what clients say of
// themselves), forwarded, budget, cache, logging and locale. What an extension stores or checks is
// beside it: device, par, dpop, eventlog, on, and the packages grant, endpoint and clientauth.
//
// # Observing
//
// An [ObserveHook] is told when a request begins and ends. eventlog.Log is one that
// writes a line for each request; the module in otel/ provides spans and metrics.
//
// # Errors
//
// An [*Error] is returned to the client. Any other error is internal: it is logged,
// and the client only gets server_error, or temporarily_unavailable for an
// [storage.ErrUnavailable].
package server
