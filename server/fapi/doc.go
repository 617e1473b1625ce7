// Package fapi holds a server to the FAPI 2.0 Security Profile of the OpenID
// Foundation, for APIs whose data is worth an attack: requests are pushed, clients
// prove who they are by a key or a certificate, and no token is of use to a thief.
//
// [gormoauth.FAPI2SecurityProfile] is a part of gormoauth.New that turns all of it
// on. A server that is put together by hand names the profile in server.Config,
// registers what it needs, and then the profile, which names everything that breaks it:
//
//	srv, err := server.New(server.Config{Profile: fapi.SecurityProfile{}, …})
//	…
//	err = srv.Register(fapi.SecurityProfile{})
//
// An API takes bound tokens alone, signed as the profile says, with
// resource.Config{Profile: fapi.SecurityProfile{}}. [TLSConfig] is for the connections
// of all of them.
//
// [gormoauth.FAPI2SecurityProfile]: https://pkg.go.dev/github.com/gormoauth/gormoauth#FAPI2SecurityProfile
package fapi
