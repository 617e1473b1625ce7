package gormoauth

import (
	"errors"
	"net/http"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/fapi"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/resource"
)

// FAPI2SecurityProfile holds the server to the FAPI 2.0 Security Profile:
// authorization requests are pushed (RFC 9126), in the model P; clients
// authenticate by private_key_jwt (RFC 7523), and tokens are bound to a key of
// theirs (RFC 9449), with what was presented in the model R. What is registered
// afterwards is held to the profile, too; [fapi.SecurityProfile] says what that is.
//
// For mutual TLS (RFC 8705), list the methods in Config.ClientAuthMethods and
// register grant.CertificateBoundTokens afterwards. APIs take such tokens by
// [CreateDPoPTokenValidator], and are held to the profile by resource.Config.Profile.
// TLS is that of [fapi.TLSConfig].
func FAPI2SecurityProfile[P, R any, PP gormstore.PushedRequestModel[P], PR gormstore.ReplayModel[R]]() Part {
	return func(a *assembly) error {
		a.begin("FAPI2SecurityProfile")
		a.need("FAPI2SecurityProfile", "AuthorizationCodes")
		if a.config.Profile == nil {
			a.config.Profile = fapi.SecurityProfile{}
		}
		pushed, pushedErr := gormstore.NewPushedRequests[P, PP](a.db)
		presented, presentedErr := gormstore.NewReplays[R, PR](a.db)
		requests := orStandIn[server.PushedRequestStorage](pushed, struct{ server.PushedRequestStorage }{}, pushedErr)
		replays := orStandIn[server.ReplayStorage](presented, struct{ server.ReplayStorage }{}, presentedErr)
		a.proofs = &server.DPoPProofs{Replays: replays}
		if a.config.ClientAuthMethods == nil {
			a.config.ClientAuthMethods = []server.ClientAuthMethod{
				&clientauth.PrivateKeyJWT{Replays: replays, Fetcher: fetch.New(fetch.Options{Transport: &http.Transport{TLSClientConfig: fapi.TLSConfig()}})},
			}
		}
		a.endpoints = append(a.endpoints, &endpoint.PushedAuthorizationRequest{Storage: requests, Required: true})
		a.hooks = append(a.hooks, &grant.DPoP{Proofs: *a.proofs}, fapi.SecurityProfile{})
		return errors.Join(pushedErr, presentedErr)
	}
}

// validators are those of an API in the same program, at an address.
func (a *assembly) validators(address string) []resource.TokenValidator {
	tokens := &resource.BearerTokenValidator{QueryToken: a.tokens, Issuers: append([]string{a.config.Issuer}, a.config.FormerIssuers...)}
	if a.proofs == nil {
		return []resource.TokenValidator{tokens}
	}
	u, err := weburi.ParseAddress(address)
	if err != nil {
		return []resource.TokenValidator{tokens} // the address is refused elsewhere
	}
	return []resource.TokenValidator{tokens, &resource.DPoPTokenValidator{Tokens: tokens, Proofs: *a.proofs, BaseURL: u.Scheme + "://" + u.Host}}
}
