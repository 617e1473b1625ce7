// Package endpoint has the endpoints other than authorization and token, each in a file of
// its name. They use only the exported API of package server.
package endpoint
