package secret_test

import (
	"fmt"

	"github.com/gormoauth/gormoauth/server/secret"
)

// A mistyped secret is found without a query, as is one of another kind.
func ExampleMalformed() {
	token := secret.Generate("acme", secret.AccessToken)
	fmt.Println(secret.Malformed(token, secret.AccessToken))
	fmt.Println(secret.Malformed(token+"x", secret.AccessToken))
	fmt.Println(secret.Malformed(token, secret.ClientSecret))
	// Output:
	// false
	// true
	// true
}
