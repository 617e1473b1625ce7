// Package fapi enforces the FAPI 2.0 Security Profile of the OpenID Foundation, for APIs
// with high-value data: authorization requests are pushed, clients authenticate by a key or
// a certificate, and stolen tokens cannot be used.
//
// [gormoauth.FAPI2SecurityProfile] is an option of gormoauth.New that turns all of it on. A
// server that is built by hand sets the profile in server.Config, registers what it needs,
// and finally registers the profile, which returns an error for everything that violates
// it:
//
//	srv, err := server.New(server.Config{Profile: fapi.SecurityProfile{}, …})
//	…
//	err = srv.Register(fapi.SecurityProfile{})
//
// With resource.Config{Profile: fapi.SecurityProfile{}}, an API accepts only bound tokens,
// signed with the profile's algorithms. [TLSConfig] is for the connections of servers, APIs
// and clients.
//
// [gormoauth.FAPI2SecurityProfile]: https://pkg.go.dev/github.com/gormoauth/gormoauth#FAPI2SecurityProfile
package fapi
