package generator_test

import (
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/generator"
	"github.com/gormoauth/gormoauth/server/jwk"
)

func ExampleJWTAccessToken() {
	var keys jwk.SigningKeys // see gormoauth.CreateSigningKeys
	signed := &generator.JWTAccessToken{Keys: keys, Audience: "https://api.example.com"}

	config := server.Config{AccessTokenGenerator: signed.Generate} // every access token
	_ = config

	var srv server.Server // or only those of one grant type, or for one resource
	srv.RegisterTokenGenerator("client_credentials", signed.Generate)
	srv.RegisterResourceTokenGenerator("https://api.example.com", signed.Generate)
	// Output:
}
