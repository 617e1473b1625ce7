package clientmeta_test

import (
	"fmt"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/clientmeta"
)

func ExampleValidate() {
	fmt.Println(clientmeta.Validate(&models.ClientMetadata{RedirectURIs: []string{"http://app.example/callback"}}))
	// Output: redirect_uris: "http://app.example/callback" must be https; http is allowed only for loopback addresses
}
