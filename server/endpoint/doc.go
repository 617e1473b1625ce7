// Package endpoint has the endpoints beside authorization and token, each in
// the file of its name, built on what package server exports.
package endpoint
