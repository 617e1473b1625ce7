package gormoauth_test

import (
	"fmt"
	"log"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/resource"
)

type PushedRequest struct {
	ID uint
	models.PushedRequestMixin
}

type Replay struct {
	ID uint
	models.ReplayMixin
}

func ExampleFAPI2SecurityProfile() {
	db := open()
	const issuer = "https://id.example.com"
	srv, err := gormoauth.New(db, server.Config{Issuer: issuer}, gormoauth.FAPI2SecurityProfile[PushedRequest, Replay](),
		gormoauth.Clients[Client](), gormoauth.Tokens[Token](), gormoauth.AuthorizationCodes[AuthorizationCode](), gormoauth.Users[User]())
	if err != nil {
		log.Fatal(err)
	}
	// The API is held to the profile, too: tokens are bound to a key.
	tokens := gormoauth.CreateBearerTokenValidator[Token](db)
	_, err = resource.NewProtector(resource.Config{Profile: srv.Profile()}, tokens, gormoauth.CreateDPoPTokenValidator[Replay](db, issuer, tokens))
	if err != nil {
		log.Fatal(err)
	}
	metadata := srv.Metadata()
	fmt.Println(metadata["token_endpoint_auth_methods_supported"], metadata["require_pushed_authorization_requests"], metadata["dpop_signing_alg_values_supported"])
	// Output: [private_key_jwt] true [ES256 EdDSA PS256]
}
