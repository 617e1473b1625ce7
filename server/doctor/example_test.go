package doctor_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/doctor"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/storage"
)

// secret is 32 random bytes, which a program reads from where it keeps its secrets.
var secret = make([]byte, 32)

func ExampleProgram() {
	srv, err := server.New(server.Config{
		Issuer: "https://id.example.com", ClientAuthMethods: clientauth.Defaults(),
		QueryClient: findClient, SaveToken: saveToken, Secrets: [][]byte{secret},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := srv.RegisterGrant(&grant.ClientCredentials{}); err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", srv.CreateTokenResponse)

	fmt.Print(srv.Diagnose(context.Background(), doctor.Program{Handler: mux, TLS: true}))
	// Output: grave: https://id.example.com/oauth/token is not served: the handler answers 404 to /oauth/token, so clients that use it fail; remedy: mux.Handle("/oauth/token", …), see Server.Routes; or set Config.EndpointPaths
}

func findClient(context.Context, string) (storage.Client, error) { return nil, nil }

func saveToken(context.Context, storage.Exchange) error { return nil }
