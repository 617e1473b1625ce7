// Package endpoint has the endpoints other than authorization and token, each in a file of
// its name. They use only the exported API of package server, and are registered with
// Server.RegisterEndpoint:
//
//   - [Revocation]: RFC 7009
//   - [Introspection]: RFC 7662, with responses as JWTs by RFC 9701
//   - [Metadata]: the server's metadata, RFC 8414
//   - [JWKS]: the server's public keys, RFC 7517
//   - [PushedAuthorizationRequest]: RFC 9126
//   - [DeviceAuthorization]: RFC 8628
//   - [Registration]: client registration, RFC 7591, with software statements, and its
//     management, RFC 7592
package endpoint
