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
	"github.com/gormoauth/gormoauth/internal/logtext"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/reason"
)

// SecurityProfile is the FAPI 2.0 Security Profile. Set it as the Config.Profile of the
// server and of its APIs. Also register it with the server, after everything else:
// registration fails if something is missing or violates the profile, and what is
// registered later must comply too.
//
// Under it, codes expire after one minute and pushed requests within ten, client assertions
// must have only the issuer as their audience, and refresh tokens are not rotated, since
// their clients authenticate.
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

// Algorithms returns the signature algorithms that the profile allows (section 5.4.1).
func Algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.PS256, jose.ES256, jose.EdDSA}
}

// CheckRegistration returns an error for each rule of the profile that the server's
// metadata violates.
func (SecurityProfile) CheckRegistration(s *server.Server) error {
	var faults []error
	metadata := s.Metadata()
	for _, r := range rules() {
		if !r.holds(s, metadata) {
			faults = append(faults, fmt.Errorf("fapi: SecurityProfile: FAPI 2.0 section %s: %s", r.section, r.remedy))
		}
	}
	for _, member := range signingAlgorithms(metadata) {
		faults = append(faults, fmt.Errorf("fapi: SecurityProfile: FAPI 2.0 section 5.4.1: %s has algorithms other than %v: set Algorithms to fapi.Algorithms(), or to some of them", member, Algorithms()))
	}
	return errors.Join(faults...)
}

// rule is a requirement for a server.
type rule struct {
	section string
	remedy  string
	holds   func(s *server.Server, metadata server.Metadata) bool
}

func rules() []rule {
	return []rule{
		{
			"5.4.1", "the server accepts and makes signatures with other algorithms: set Config.Profile to fapi.SecurityProfile{}",
			func(s *server.Server, _ server.Metadata) bool {
				return jwk.CheckAlgorithms(SecurityProfile{}, "", s.SignatureAlgorithms(nil)...) == nil
			},
		},
		{
			"5.3.2.1", "clients cannot find a metadata document: register endpoint.Metadata or oidc.Provider",
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
			"5.3.2.1", "clients may authenticate by a secret, or not at all: limit Config.ClientAuthMethods to private_key_jwt, tls_client_auth and self_signed_tls_client_auth",
			func(_ *server.Server, m server.Metadata) bool {
				return isSome(list(m, "token_endpoint_auth_methods_supported"), models.PrivateKeyJWT, models.TLSClientAuth, models.SelfSignedTLSClientAuth)
			},
		},
		{
			"5.3.2.1", "tokens cannot be bound to their client: register grant.DPoP or grant.CertificateBoundTokens",
			func(_ *server.Server, m server.Metadata) bool {
				return len(list(m, "dpop_signing_alg_values_supported")) > 0 || m["tls_client_certificate_bound_access_tokens"] == true
			},
		},
		{
			"5.3.2.2", "the only response type must be code: leave out the implicit and hybrid flows, and register grant.AuthorizationCode",
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
			"5.3.2.2", "the code challenge method must be S256: register grant.AuthorizationCode with a grant.CodeChallenge that does not allow plain",
			func(_ *server.Server, m server.Metadata) bool {
				return isSome(list(m, "code_challenge_methods_supported"), "S256")
			},
		},
	}
}

// signingAlgorithms returns the metadata members that list an algorithm that the profile
// does not allow.
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

// isSome reports whether values is not empty and all of them are allowed.
func isSome(values []string, allowed ...string) bool {
	return len(values) > 0 && !slices.ContainsFunc(values, func(value string) bool { return !slices.Contains(allowed, value) })
}

// CheckAuthorizationRequest checks a request according to section 5.3.2.2.
func (SecurityProfile) CheckAuthorizationRequest(_ context.Context, req *server.Request) error {
	switch {
	case req.ResponseType == "": // a request that does not come through a browser
		return nil
	case !req.Params.Has("redirect_uri"):
		return server.NewError(server.InvalidRequest, "The request has no 'redirect_uri'.")
	case !encrypted(req.RedirectURI):
		return server.NewError(server.InvalidRequest, "The 'redirect_uri' must be https, or a loopback address of a native app.").With(slog.String("redirect_uri", logtext.URI(req.RedirectURI)))
	}
	return nil
}

// RequiresCodeChallenge returns true: every client must use PKCE (section 5.3.2.2).
func (SecurityProfile) RequiresCodeChallenge() bool { return true }

// HoldsRequestObjectsStrictly returns true: request objects must meet FAPI 2.0 Message
// Signing section 5.3.1.
func (SecurityProfile) HoldsRequestObjectsStrictly() bool { return true }

// encrypted reports whether a response to a redirect URI cannot be read by others on the
// way. Section 5.3.2.2 forbids http except for the loopback address of a native app, and
// says nothing about private-use schemes (RFC 8252 section 7.1). They are refused too: any
// program on the device may claim one, and then the operating system may hand the response
// to another program. A native app can use claimed https URIs instead (section 7.2).
func encrypted(redirectURI string) bool {
	_, err := weburi.ParseAddress(redirectURI)
	return err == nil
}

// ClientMetadataMembers returns nil: the profile has no members of its own.
func (SecurityProfile) ClientMetadataMembers() []string { return nil }

// CheckClientMetadata refuses redirect URIs that the profile does not allow in a request.
func (SecurityProfile) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	for _, uri := range metadata.RedirectURIs {
		if !encrypted(uri) {
			return clientmeta.Invalid("redirect_uris", uri, "is not allowed by the FAPI 2.0 Security Profile; use https, or http on a loopback address")
		}
	}
	return nil
}

// PrepareAuthorizationCode limits the lifetime of a code to one minute.
func (SecurityProfile) PrepareAuthorizationCode(_ context.Context, req *server.Request, record *models.AuthorizationCodeMixin) error {
	record.ExpiresAt = min(record.ExpiresAt, req.Time.Add(maxCodeLife).Unix())
	return nil
}

// PreparePushedRequest limits the lifetime of a pushed request to less than ten minutes.
func (SecurityProfile) PreparePushedRequest(_ context.Context, req *server.Request, record *models.PushedRequestMixin) error {
	record.ExpiresAt = min(record.ExpiresAt, req.Time.Add(maxPushedRequestLife).Unix())
	return nil
}

// CheckAssertion refuses an assertion whose audience is not the issuer, as a single string.
func (SecurityProfile) CheckAssertion(req *server.Request, assertion *assertion.Assertion) error {
	var audience string
	if strictjson.Unmarshal(assertion.Claims["aud"], &audience) != nil || audience != req.Server.Issuer() {
		return reason.New("the 'aud' of the JWT is not the issuer as a string", slog.String("audience", strings.Join(assertion.Audience(), " ")))
	}
	return nil
}

// CheckIssuance prevents the rotation of a refresh token: rotation is of no use, since the
// client authenticates, and would lose the token if a response is lost (section 5.3.2.1).
func (SecurityProfile) CheckIssuance(_ context.Context, _ *server.Request, issuance *server.Issuance) error {
	if issuance.Credential != nil {
		issuance.Credential.Keep = true
	}
	return nil
}

// PrepareToken refuses to issue a token that is not bound to a key or a certificate.
func (SecurityProfile) PrepareToken(_ context.Context, _ *server.Request, record *models.TokenMixin) error {
	if record.Confirmation == "" {
		return server.NewError(server.InvalidRequest, "Access tokens must be bound to their client: the request needs a DPoP proof or a client certificate.")
	}
	return nil
}

// PrepareTokenResponse returns an internal error for an access token that is a JWT signed
// with another algorithm, which a custom token generator can cause.
func (SecurityProfile) PrepareTokenResponse(_ context.Context, _ *server.Request, _ *models.TokenMixin, response *server.TokenResponse) error {
	every := append(jwk.SignatureAlgorithms(), jose.HS256, jose.HS384, jose.HS512)
	if _, err := jwt.ParseSigned(response.AccessToken, every); err != nil {
		return nil // not a JWT
	}
	if _, err := jwt.ParseSigned(response.AccessToken, Algorithms()); err != nil {
		return fmt.Errorf("fapi: SecurityProfile: FAPI 2.0 section 5.4.1: the access token is signed with an algorithm other than %v: set generator.JWTAccessToken.Algorithm to one of them", Algorithms())
	}
	return nil
}
