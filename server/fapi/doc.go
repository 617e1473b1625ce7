// Package fapi holds a server to the FAPI 2.0 Security Profile of the OpenID
// Foundation, for APIs whose data is worth an attack: requests are pushed, clients
// prove who they are by a key or a certificate, and no token is of use to a thief.
//
// [gormoauth.FAPI2SecurityProfile] is a part of gormoauth.New that turns all of it
// on. A server that is put together by hand registers what the profile needs, and
// then the profile:
//
//	err := srv.Register(fapi.SecurityProfile{})
//
// which names everything that breaks it. APIs take bound tokens alone with
// resource.Config.BoundTokensOnly.
//
// [gormoauth.FAPI2SecurityProfile]: https://pkg.go.dev/github.com/gormoauth/gormoauth#FAPI2SecurityProfile
package fapi
