// Package generator makes access tokens of kinds other than the default opaque ones:
//
//   - [JWTAccessToken]: signed JWTs, RFC 9068
//
// Set one in server.Config.AccessTokenGenerator for all tokens, or register it for a grant type
// with Server.RegisterTokenGenerator, or for a resource with
// Server.RegisterResourceTokenGenerator.
package generator
