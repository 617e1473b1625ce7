// Package grant has the grants and their extensions, each in a file of its name. They use
// only the exported API of package server.
//
// Grants are registered with Server.RegisterGrant:
//
//   - [AuthorizationCode], [RefreshToken], [ClientCredentials]: RFC 6749
//   - [Implicit], [Password]: RFC 6749; OAuth 2.1 has dropped both
//   - [DeviceCode]: device authorization, RFC 8628
//   - [JWTBearer]: JWT assertions of other issuers, RFC 7523
//   - [TokenExchange]: RFC 8693
//
// Extensions are registered with Server.Register, for every grant:
//
//   - [CodeChallenge]: PKCE, RFC 7636; the authorization code grant brings it
//   - [ResourceIndicators]: RFC 8707
//   - [AuthorizationDetails]: RFC 9396
//   - [RequestObjects]: signed authorization requests, RFC 9101
//   - [JARM]: signed authorization responses
//   - [DPoP]: tokens that are bound to a key, RFC 9449
//   - [CertificateBoundTokens]: RFC 8705 section 3
//   - [RememberedConsent]: remembers what users have allowed
package grant
