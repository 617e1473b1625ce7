// Package server is the engine of an OAuth 2.1 authorization server: plain
// net/http in and out, storage behind functions, and grants, endpoints, client
// authentication methods and extensions that register with it.
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
// # How a request travels
//
// A request is parsed once, into a [Request]. At the token endpoint the client
// authenticates; the grant reads what is its own and names the [Credential]
// that it exchanges; the engine's gate checks what all grants have in common;
// tokens are generated; SaveToken spends the credential and stores the digests
// in one atomic step. At the authorization endpoint the client and its redirect
// URI are checked before anything can be delivered there.
//
// # Extending
//
// A grant is a [TokenGrant], an [AuthorizationGrant] or both. Anything smaller
// is a hook: a value that implements one or more of the small interfaces in
// hooks.go, registered once. The grants and extensions of this module use
// nothing that is not exported here.
//
// # Observing
//
// An [ObserveHook] is told of every request and of its end. An [EventLog] is one,
// and writes a line for each; the module in otel/ has spans and metrics.
//
// # Errors
//
// A client's fault is an [*Error]; any other error is a fault inside, is
// logged, and is answered with server_error and nothing more.
package server
