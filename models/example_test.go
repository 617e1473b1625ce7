package models_test

import (
	"fmt"
	"strings"

	"github.com/gormoauth/gormoauth/models"
)

// TenantClient accepts only redirect URIs on the domain of its tenant.
type TenantClient struct {
	ID     uint
	Domain string
	models.ClientMixin
}

// CheckRedirectURI overrides the mixin's method: the engine calls this one.
func (c *TenantClient) CheckRedirectURI(uri string) bool {
	return strings.HasPrefix(uri, "https://"+c.Domain+"/") && c.ClientMixin.CheckRedirectURI(uri)
}

func ExampleClientMixin_overriding() {
	client := &TenantClient{Domain: "acme.example"}
	client.SetClientMetadata(models.ClientMetadata{RedirectURIs: []string{"https://acme.example/cb", "https://old.example/cb"}})
	fmt.Println(client.CheckRedirectURI("https://acme.example/cb"), client.CheckRedirectURI("https://old.example/cb"))
	// Output: true false
}

func ExampleHashClientSecret() {
	fmt.Println(models.HashClientSecret("a generated secret")[:15] + "…")
	// Output: $sha256$e4a32d2…
}
