package gormoauth

import (
	"errors"
	"net/http"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/dpop"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/fapi"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/par"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/storage"
)

// FAPI2SecurityProfile makes the server conform to the FAPI 2.0 Security Profile: authorization
// requests are pushed (RFC 9126) and stored in the model P, clients authenticate by
// private_key_jwt (RFC 7523), and tokens are bound to a key of the client (RFC 9449). The model R
// stores what may be presented only once. Whatever is registered afterwards must conform to the
// profile as well; see [fapi.SecurityProfile].
//
// For mutual TLS (RFC 8705), list the methods in Config.ClientAuthMethods and register
// grant.CertificateBoundTokens afterwards. APIs accept such tokens with
// [CreateDPoPTokenValidator], and enforce the profile with resource.Config.Profile. Use the TLS
// settings of [fapi.TLSConfig].
func FAPI2SecurityProfile[P, R any, PP gormstore.PushedRequestModel[P], PR gormstore.ReplayModel[R]]() Part {
	return func(a *assembly) error {
		a.begin("FAPI2SecurityProfile")
		a.need("FAPI2SecurityProfile", "AuthorizationCodes")
		if a.config.Profile == nil {
			a.config.Profile = fapi.SecurityProfile{}
		}
		pushed, pushedErr := gormstore.NewPushedRequests[P, PP](a.db)
		presented, presentedErr := gormstore.NewReplays[R, PR](a.db)
		requests := orStandIn[par.Storage](pushed, struct{ par.Storage }{}, pushedErr)
		replays := orStandIn[storage.Replays](presented, struct{ storage.Replays }{}, presentedErr)
		a.proofs = &dpop.Proofs{Replays: replays}
		if a.config.ClientAuthMethods == nil {
			a.config.ClientAuthMethods = []server.ClientAuthMethod{
				&clientauth.PrivateKeyJWT{Replays: replays, Fetcher: a.fetcher()},
			}
		}
		a.endpoints = append(a.endpoints, &endpoint.PushedAuthorizationRequest{Storage: requests, Required: true})
		a.hooks = append(a.hooks, &grant.DPoP{Proofs: *a.proofs}, fapi.SecurityProfile{})
		return errors.Join(pushedErr, presentedErr)
	}
}

// fetcher returns what fetches the documents that clients name, by the rules for TLS of a security
// profile if there is one.
func (a *assembly) fetcher() *fetch.Fetcher {
	var options fetch.Options
	if a.config.Profile != nil {
		options.Transport = &http.Transport{TLSClientConfig: fapi.TLSConfig()}
	}
	return fetch.New(options)
}

// validators returns the token validators of an API in the same program, at the address.
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
