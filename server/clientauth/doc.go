// Package clientauth has the client authentication methods, each in a file of its name. They
// use only the exported API of package server, and are registered with
// Server.RegisterClientAuthMethod:
//
//   - [ClientSecretBasic], [ClientSecretPost], [None]: RFC 6749, RFC 7591; see [Defaults]
//   - [PrivateKeyJWT], [ClientSecretJWT]: client assertions, RFC 7523
//   - [TLSClientAuth], [SelfSignedTLSClientAuth]: client certificates, RFC 8705
//
// [MetadataDocuments], which is registered with Server.Register, supports clients that are
// identified by the URL of their metadata
// (draft-ietf-oauth-client-id-metadata-document).
package clientauth

import "github.com/gormoauth/gormoauth/server"

// Defaults returns client_secret_basic, client_secret_post and none (RFC 6749 section 2.3,
// RFC 7591 section 2). A client may use the method that it is registered for.
func Defaults() []server.ClientAuthMethod {
	return []server.ClientAuthMethod{ClientSecretBasic{}, ClientSecretPost{}, None{}}
}
