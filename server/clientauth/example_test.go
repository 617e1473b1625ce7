package clientauth_test

import (
	"fmt"

	"github.com/gormoauth/gormoauth/server/clientauth"
)

func ExampleDefaults() {
	for _, method := range clientauth.Defaults() {
		fmt.Println(method.AuthMethod())
	}
	// Output:
	// client_secret_basic
	// client_secret_post
	// none
}
