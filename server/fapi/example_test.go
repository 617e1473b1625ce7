package fapi_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/fapi"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/storage"
)

// A server that is built by hand registers the profile last: it reports what violates it.
func ExampleSecurityProfile() {
	srv, err := server.New(server.Config{
		Issuer:            "https://id.example.com",
		Profile:           fapi.SecurityProfile{},
		QueryClient:       func(context.Context, string) (storage.Client, error) { return nil, nil }, // see gormoauth.CreateQueryClientFunc
		SaveToken:         func(context.Context, storage.Exchange) error { return nil },              // see gormoauth.CreateSaveTokenFunc
		ClientAuthMethods: []server.ClientAuthMethod{&clientauth.SelfSignedTLSClientAuth{}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = srv.RegisterGrant(&grant.Password{
		AuthenticateUser: func(context.Context, *server.Request, string, string) (storage.User, error) { return nil, nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(srv.Register(fapi.SecurityProfile{}))
	// Output:
	// fapi: SecurityProfile: FAPI 2.0 section 5.3.2.1: clients cannot find a metadata document: register endpoint.Metadata or oidc.Provider
	// fapi: SecurityProfile: FAPI 2.0 section 5.3.2.1: the password grant is registered: leave it out
	// fapi: SecurityProfile: FAPI 2.0 section 5.3.2.1: tokens cannot be bound to their client: register grant.DPoP or grant.CertificateBoundTokens
	// fapi: SecurityProfile: FAPI 2.0 section 5.3.2.2: the only response type must be code: leave out the implicit and hybrid flows, and register grant.AuthorizationCode
	// fapi: SecurityProfile: FAPI 2.0 section 5.3.2.2: authorization requests need not be pushed: register endpoint.PushedAuthorizationRequest with Required
	// fapi: SecurityProfile: FAPI 2.0 section 5.3.2.2: the code challenge method must be S256: register grant.AuthorizationCode with a grant.CodeChallenge that does not allow plain
}

func ExampleTLSConfig() {
	web := &http.Server{TLSConfig: fapi.TLSConfig()}
	fmt.Println(tls.VersionName(web.TLSConfig.MinVersion), len(web.TLSConfig.CipherSuites), "cipher suites")
	// Output: TLS 1.2 4 cipher suites
}
