package fapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/jwt"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// SecurityProfile is the FAPI 2.0 Security Profile. It is the Config.Profile of the
// server and of its APIs. Register it with the server as well, after everything else:
// what is missing then, or breaks it, is refused, and what is registered later is held
// to it, too.
//
// It has codes end after a minute and pushed requests within ten, takes client
// assertions for the issuer alone, and lets a refresh token stay as it is when it
// is used, since its client proves who it is.
type SecurityProfile struct{}

// Lifetimes (sections 5.3.2.1 and 5.3.2.2).
const (
	maxCodeLife          = 60 * time.Second
	maxPushedRequestLife = 599 * time.Second // less than 600 seconds
)

// SignatureAlgorithms returns [Algorithms].
func (SecurityProfile) SignatureAlgorithms() []jose.SignatureAlgorithm { return Algorithms() }

// RequiresBoundTokens returns true (section 5.3.4).
func (SecurityProfile) RequiresBoundTokens() bool { return true }

// Algorithms are those by which anything may be signed (section 5.4.1).
func Algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.PS256, jose.ES256, jose.EdDSA}
}

// CheckRegistration refuses a server that breaks the profile by what it says of
// itself.
func (SecurityProfile) CheckRegistration(s *server.Server) error {
	var faults []error
	metadata := s.Metadata()
	for _, r := range rules() {
		if !r.holds(s, metadata) {
			faults = append(faults, fmt.Errorf("fapi: SecurityProfile: FAPI 2.0 section %s: %s", r.section, r.remedy))
		}
	}
	for _, member := range signingAlgorithms(metadata) {
		faults = append(faults, fmt.Errorf("fapi: SecurityProfile: FAPI 2.0 section 5.4.1: %s has other algorithms than %v: set Algorithms to fapi.Algorithms(), or to some of them", member, Algorithms()))
	}
	return errors.Join(faults...)
}

// rule is what has to be true of a server.
type rule struct {
	section string
	remedy  string
	holds   func(s *server.Server, metadata server.Metadata) bool
}

func rules() []rule {
	return []rule{
		{
			"5.4.1", "the server takes and makes signatures by other algorithms: set Config.Profile to fapi.SecurityProfile{}",
			func(s *server.Server, _ server.Metadata) bool {
				return server.CheckAlgorithms(SecurityProfile{}, "", s.SignatureAlgorithms(nil)...) == nil
			},
		},
		{
			"5.3.2.1", "clients find no metadata document: register endpoint.Metadata or oidc.Provider",
			func(s *server.Server, _ server.Metadata) bool {
				return s.EndpointURL("metadata") != "" || s.EndpointURL("openid_configuration") != ""
			},
		},
		{
			"5.3.2.1", "the password grant is registered: leave it out",
			func(_ *server.Server, m server.Metadata) bool {
				return !slices.Contains(list(m, "grant_types_supported"), "password")
			},
		},
		{
			"5.3.2.1", "clients may authenticate by a secret, or not at all: let Config.ClientAuthMethods be private_key_jwt, tls_client_auth and self_signed_tls_client_auth, or some of them",
			func(_ *server.Server, m server.Metadata) bool {
				return isSome(list(m, "token_endpoint_auth_methods_supported"), models.PrivateKeyJWT, models.TLSClientAuth, models.SelfSignedTLSClientAuth)
			},
		},
		{
			"5.3.2.1", "no token can be bound to its client: register grant.DPoP or grant.CertificateBoundTokens",
			func(_ *server.Server, m server.Metadata) bool {
				return len(list(m, "dpop_signing_alg_values_supported")) > 0 || m["tls_client_certificate_bound_access_tokens"] == true
			},
		},
		{
			"5.3.2.2", "the only response type is code: leave the implicit and hybrid flows out, and register grant.AuthorizationCode",
			func(_ *server.Server, m server.Metadata) bool {
				return slices.Equal(list(m, "response_types_supported"), []string{"code"})
			},
		},
		{
			"5.3.2.2", "authorization requests need not be pushed: register endpoint.PushedAuthorizationRequest with Required",
			func(_ *server.Server, m server.Metadata) bool {
				return m["require_pushed_authorization_requests"] == true
			},
		},
		{
			"5.3.2.2", "a code challenge must be by S256: register grant.AuthorizationCode with a grant.CodeChallenge that does not allow plain",
			func(_ *server.Server, m server.Metadata) bool {
				return isSome(list(m, "code_challenge_methods_supported"), "S256")
			},
		},
	}
}

// signingAlgorithms returns the members that name an algorithm which the profile
// does not have.
func signingAlgorithms(metadata server.Metadata) (members []string) {
	var names []string
	for _, algorithm := range Algorithms() {
		names = append(names, string(algorithm))
	}
	for member := range metadata {
		if strings.HasSuffix(member, "_signing_alg_values_supported") && !isSome(list(metadata, member), names...) {
			members = append(members, member)
		}
	}
	slices.Sort(members)
	return members
}

func list(metadata server.Metadata, member string) []string {
	values, _ := metadata[member].([]string)
	return values
}

// isSome reports whether values are some of those allowed, and not none.
func isSome(values []string, allowed ...string) bool {
	return len(values) > 0 && !slices.ContainsFunc(values, func(value string) bool { return !slices.Contains(allowed, value) })
}

// CheckAuthorizationRequest holds a request to section 5.3.2.2.
func (SecurityProfile) CheckAuthorizationRequest(_ context.Context, req *server.Request) error {
	switch {
	case req.ResponseType == "": // which no browser answers
		return nil
	case !req.Params.Has("redirect_uri"):
		return server.NewError(server.InvalidRequest, "The request has no 'redirect_uri'.")
	case !encrypted(req.RedirectURI):
		return server.NewError(server.InvalidRequest, "The 'redirect_uri' must be https, or a loopback address of a native app.").With(slog.String("redirect_uri", server.LoggedURI(req.RedirectURI)))
	}
	return nil
}

// RequiresCodeChallenge has every client use PKCE (section 5.3.2.2).
func (SecurityProfile) RequiresCodeChallenge() bool { return true }

// HoldsRequestObjectsStrictly has request objects be what FAPI 2.0 Message Signing
// section 5.3.1 asks for.
func (SecurityProfile) HoldsRequestObjectsStrictly() bool { return true }

// encrypted reports whether nobody else can read a response on its way to a redirect URI.
// Section 5.3.2.2 forbids http but for the loopback address of a native app, and says
// nothing of private-use schemes (RFC 8252 section 7.1). They are refused as well: any
// program on the device may claim one, and what the operating system hands to another
// program has not come to the client alone. A native app has https addresses that it
// claimed (section 7.2).
func encrypted(redirectURI string) bool {
	_, err := weburi.ParseAddress(redirectURI)
	return err == nil
}

// ClientMetadataMembers returns none: the profile has no members of its own.
func (SecurityProfile) ClientMetadataMembers() []string { return nil }

// CheckClientMetadata refuses a redirect URI that no request could have.
func (SecurityProfile) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	for _, uri := range metadata.RedirectURIs {
		if !encrypted(uri) {
			return server.InvalidMember("redirect_uris", uri, "is not for the FAPI 2.0 Security Profile; use https, or http on a loopback address")
		}
	}
	return nil
}

// PrepareAuthorizationCode has a code end within a minute.
func (SecurityProfile) PrepareAuthorizationCode(_ context.Context, req *server.Request, record *models.AuthorizationCodeMixin) error {
	record.ExpiresAt = min(record.ExpiresAt, req.Time.Add(maxCodeLife).Unix())
	return nil
}

// PreparePushedRequest has a pushed request end within ten minutes.
func (SecurityProfile) PreparePushedRequest(_ context.Context, req *server.Request, record *models.PushedRequestMixin) error {
	record.ExpiresAt = min(record.ExpiresAt, req.Time.Add(maxPushedRequestLife).Unix())
	return nil
}

// CheckAssertion takes an assertion whose audience is the issuer, as a text.
func (SecurityProfile) CheckAssertion(req *server.Request, assertion *server.Assertion) error {
	var audience string
	if strictjson.Unmarshal(assertion.Claims["aud"], &audience) != nil || audience != req.Server.Issuer() {
		return server.NewReason("the 'aud' of the JWT is not the issuer, as a text", slog.String("audience", strings.Join(assertion.Audience(), " ")))
	}
	return nil
}

// CheckIssuance keeps a refresh token: to rotate it would be of no use, since its
// client proves who it is, and would lose it where an answer is lost (section
// 5.3.2.1).
func (SecurityProfile) CheckIssuance(_ context.Context, _ *server.Request, issuance *server.Issuance) error {
	if issuance.Credential != nil {
		issuance.Credential.Keep = true
	}
	return nil
}

// PrepareToken refuses a token that is bound to nothing.
func (SecurityProfile) PrepareToken(_ context.Context, _ *server.Request, record *models.TokenMixin) error {
	if record.Confirmation == "" {
		return server.NewError(server.InvalidRequest, "Access tokens are bound to their client: the request needs a DPoP proof or a client certificate.")
	}
	return nil
}

// PrepareTokenResponse refuses to hand out a JWT that is signed by another
// algorithm, for which a generator of the program's own is to blame.
func (SecurityProfile) PrepareTokenResponse(_ context.Context, _ *server.Request, _ *models.TokenMixin, response *server.TokenResponse) error {
	every := append(server.SignatureAlgorithms(), jose.HS256, jose.HS384, jose.HS512)
	if _, err := jwt.ParseSigned(response.AccessToken, every); err != nil {
		return nil // it is no JWT
	}
	if _, err := jwt.ParseSigned(response.AccessToken, Algorithms()); err != nil {
		return fmt.Errorf("fapi: SecurityProfile: FAPI 2.0 section 5.4.1: the access token is signed by another algorithm than %v: choose generator.JWTAccessToken.Algorithm among them", Algorithms())
	}
	return nil
}
