// Package clientauth has the ways in which a client authenticates, each in the
// file of its name, built on what package server exports.
package clientauth

import "github.com/gormoauth/gormoauth/server"

// Defaults returns client_secret_basic, client_secret_post and none, which
// RFC 6749 section 2.3 and RFC 7591 section 2 name. Which of them a client may
// use, its registration says.
func Defaults() []server.ClientAuthMethod {
	return []server.ClientAuthMethod{ClientSecretBasic{}, ClientSecretPost{}, None{}}
}
