package endpoint_test

import (
	"fmt"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
)

func ExampleRevocation() {
	revocation := &endpoint.Revocation{} // gormoauth.CreateRevocationEndpoint[Token](db) fills it
	fmt.Println(revocation.EndpointName())
	fmt.Println(revocation.CheckConfig(&server.Config{}))
	// Output:
	// revocation
	// endpoint: Revocation has a nil function: write gormoauth.CreateRevocationEndpoint[Token](db)
}
