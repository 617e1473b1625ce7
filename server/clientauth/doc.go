// Package clientauth has the client authentication methods, each in a file of its name.
// They use only the exported API of package server.
package clientauth

import "github.com/gormoauth/gormoauth/server"

// Defaults returns client_secret_basic, client_secret_post and none (RFC 6749 section 2.3,
// RFC 7591 section 2). A client may use the method that it is registered for.
func Defaults() []server.ClientAuthMethod {
	return []server.ClientAuthMethod{ClientSecretBasic{}, ClientSecretPost{}, None{}}
}
