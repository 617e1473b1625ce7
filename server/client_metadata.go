package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/jwk"
)

// ClientMetadataError lists what is wrong with a client's metadata.
type ClientMetadataError struct{ Faults []ClientMetadataFault }

// ClientMetadataFault is one fault of a client's metadata.
type ClientMetadataFault struct {
	// Member is the member's name, such as "redirect_uris".
	Member string
	// Value is the member's value as it was sent, if that helps to find the fault; see [Excerpt].
	Value string
	// Problem says what is wrong and how to fix it, for the person who registers the client. It
	// contains nothing of what was sent.
	Problem string
}

// String returns the fault as one line that begins with the member's name.
func (f ClientMetadataFault) String() string {
	if f.Value == "" {
		return f.Member + ": " + f.Problem
	}
	return f.Member + ": " + strconv.Quote(bounded(f.Value, longestExcerpt)) + " " + f.Problem
}

// Error returns the faults, one per line.
func (e *ClientMetadataError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, fault := range e.Faults {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// InvalidMember returns a [*ClientMetadataError] about one member, for a
// [ClientMetadataHook]; see [ClientMetadataFault].
func InvalidMember(member, value, problem string) error {
	return &ClientMetadataError{[]ClientMetadataFault{{member, value, problem}}}
}

// clientError returns the first fault as an answer to the client (RFC 7591 section 3.2.2).
func (e *ClientMetadataError) clientError() *Error {
	fault := e.Faults[0]
	code := InvalidClientMetadata
	if fault.Member == "redirect_uris" {
		code = InvalidRedirectURI
	}
	member := Excerpt(fault.Member)
	if fault.Value != "" {
		member += " '" + Excerpt(fault.Value) + "'"
	}
	return NewError(code, "The client metadata is not valid: %s %s.", member, fault.Problem)
}

// AsksFor reports whether a boolean member of a client's metadata, such as
// dpop_bound_access_tokens, is true.
func AsksFor(client Client, member string) bool {
	registered, ok := client.(RegisteredClient)
	return ok && string(registered.AsClientMixin().ClientMetadata.Extra[member]) == "true"
}

// CheckBoolMember returns an error if the member of the metadata is neither true nor false. A
// missing member is valid.
func CheckBoolMember(metadata *models.ClientMetadata, member string) error {
	var value bool
	if raw, ok := metadata.Extra[member]; ok && strictjson.Unmarshal(raw, &value) != nil {
		return InvalidMember(member, string(raw), "must be true or false")
	}
	return nil
}

// maxMember is the maximum length of a metadata member, in bytes.
const maxMember = 2048

// ValidateClientMetadata returns every fault in the metadata of a client that the operator
// creates (RFC 7591 section 2, RFC 9700 section 2.1) as a [*ClientMetadataError], or nil. Call it
// when the client is created; at a request the engine checks again what it relies on. For a
// client that registers itself, use [Server.ValidateClientMetadata].
func ValidateClientMetadata(m *models.ClientMetadata) error {
	return validateClientMetadata(m, uriRulesOf(models.ClientByHand, nil))
}

// ValidateClientMetadata is like the function [ValidateClientMetadata], for a client from the
// given source: [models.ClientByHand], [models.ClientByRegistration] or
// [models.ClientByDocument]. A client that chose its own metadata may only use the private-use
// schemes without a dot that are in Config.PrivateUseSchemes (RFC 8252 section 7.1).
func (s *Server) ValidateClientMetadata(m *models.ClientMetadata, source string) error {
	return validateClientMetadata(m, uriRulesOf(source, s.config.PrivateUseSchemes))
}

func validateClientMetadata(m *models.ClientMetadata, uris uriRules) error {
	var faults []ClientMetadataFault
	fault := func(member, value, problem string) {
		faults = append(faults, ClientMetadataFault{member, value, problem})
	}
	for member, values := range textMembers(m) {
		for _, value := range values {
			if !wellFormed(value) || len(value) > maxMember {
				fault(member, value, "must be UTF-8 text without NUL, at most "+strconv.Itoa(maxMember)+" bytes long")
			}
		}
	}
	faults = append(append(faults, uris.faults(m)...), nameFaults(m)...)
	if !wellFormedScope(m.Scope) {
		fault("scope", m.Scope, "has a character that is not allowed in a scope; separate its words by single spaces")
	}
	if m.TokenEndpointAuthMethod == models.None && slices.Contains(m.GrantTypes, "client_credentials") {
		fault("grant_types", "client_credentials", fmt.Sprintf(notForAuthMethod, models.None))
	}
	if len(m.ResponseTypes) > 0 && len(m.RedirectURIs) == 0 {
		fault("redirect_uris", "", "is missing, but a client with a response_type needs one; register the address that its users return to")
	}
	for _, pair := range responseTypesOf() {
		if slices.ContainsFunc(m.ResponseTypes, issues(pair[0])) != slices.Contains(m.GrantTypes, pair[1]) {
			fault("response_types", pair[0], "belongs to the grant type "+pair[1]+"; register both or neither")
		}
	}
	if len(m.JWKs) > 0 && !isNull(m.JWKs) && m.JWKsURI != "" {
		fault("jwks", "", "is given together with jwks_uri; leave one of them out")
	}
	if named, problem := keySetProblem(m.JWKs); problem != "" {
		fault("jwks", named, problem)
	}
	if len(faults) == 0 {
		return nil
	}
	return &ClientMetadataError{sortedFaults(faults)}
}

func sortedFaults(faults []ClientMetadataFault) []ClientMetadataFault {
	slices.SortStableFunc(faults, func(a, b ClientMetadataFault) int { return strings.Compare(a.Member, b.Member) })
	return faults
}

// responseTypesOf returns pairs of what a response type issues and the grant type that belongs to
// it.
func responseTypesOf() [][2]string {
	return [][2]string{{"code", "authorization_code"}, {"token", "implicit"}}
}

// issues returns a function that reports whether a response type includes what: a code, or a
// token of either kind, which belong to the implicit grant (OpenID Connect Dynamic Client
// Registration section 2).
func issues(what string) func(responseType string) bool {
	return func(responseType string) bool {
		words := strings.Fields(responseType)
		return slices.Contains(words, what) || what == "token" && slices.Contains(words, "id_token")
	}
}

func textMembers(m *models.ClientMetadata) map[string][]string {
	return map[string][]string{
		"redirect_uris": m.RedirectURIs, "grant_types": m.GrantTypes, "response_types": m.ResponseTypes, "contacts": m.Contacts,
		"client_name": {m.ClientName}, "client_uri": {m.ClientURI}, "logo_uri": {m.LogoURI}, "scope": {m.Scope}, "tos_uri": {m.TosURI},
		"policy_uri": {m.PolicyURI}, "jwks_uri": {m.JWKsURI}, "software_id": {m.SoftwareID}, "software_version": {m.SoftwareVersion},
		"token_endpoint_auth_method": {m.TokenEndpointAuthMethod},
	}
}

// keySetProblem returns what is wrong with a set of public keys (RFC 7517), and the names of the
// keys concerned. Both are empty if nothing is.
func keySetProblem(text json.RawMessage) (named, problem string) {
	if len(text) == 0 || isNull(text) {
		return "", ""
	}
	raw, err := jwk.RawKeys(text)
	if err != nil {
		return "", "is not a JSON Web Key Set; register an object whose member keys is a list"
	}
	isPublic := func(key json.RawMessage) bool { return !holdsSecret(key) }
	if secret := slices.DeleteFunc(slices.Clone(raw), isPublic); len(secret) > 0 {
		return namesOfKeys(secret), "has a private or symmetric key; register only public keys, and replace the ones that were sent"
	}
	if keys, err := jwk.ParseSet(text); err != nil || len(keys.Keys) == 0 {
		return namesOfKeys(raw), "has no key that the server supports; register an RSA, EC or Ed25519 key"
	}
	return "", ""
}

// holdsSecret reports whether a key has a private or symmetric part, even if it is not supported
// (RFC 7518 section 6, RFC 8037 section 2).
func holdsSecret(key []byte) bool {
	members, _ := strictjson.Object(key) // if it is not an object, it is not a key
	for _, name := range []string{"d", "k", "priv"} {
		if _, given := members[name]; given {
			return true
		}
	}
	return false
}

// keyNames lists the keys of a JWK Set for the person who registers it: each by its kid or,
// without one, by its type.
func keyNames(text []byte) string {
	raw, _ := jwk.RawKeys(text) // if it is not a key set, there are no keys
	return namesOfKeys(raw)
}

func namesOfKeys(raw []json.RawMessage) string {
	names := make([]string, len(raw))
	for i, one := range raw {
		var key struct {
			ID    string `json:"kid"`
			Type  string `json:"kty"`
			Curve string `json:"crv"`
		}
		_ = strictjson.Unmarshal(one, &key) // if it is not a key, it has no name
		names[i] = cmp.Or(key.ID, strings.TrimSpace(key.Type+" "+key.Curve), "a key without a kid")
	}
	return strings.Join(names, ", ")
}

// CheckSigningKeys returns an error if a client's key set (jwks) has no key that can sign with
// any of the algorithms, in which case the client could never sign anything. The error names the
// keys. A key set at a jwks_uri is only checked when it is used.
func CheckSigningKeys(metadata *models.ClientMetadata, algorithms []jose.SignatureAlgorithm) error {
	if len(metadata.JWKs) == 0 {
		return nil
	}
	fault := ClientMetadataFault{Member: "jwks", Value: keyNames(metadata.JWKs)}
	keys, err := jwk.ParseSet(metadata.JWKs)
	signs := func(key jose.JSONWebKey) bool {
		return !strings.EqualFold(key.Use, "enc") && slices.ContainsFunc(algorithms, func(algorithm jose.SignatureAlgorithm) bool {
			return (key.Algorithm == "" || key.Algorithm == string(algorithm)) && jwk.IsKeyFor(key, algorithm)
		})
	}
	switch {
	case err == nil && len(keys.Keys) > jwk.MaxKeys:
		fault.Problem = fmt.Sprintf("has more than %d keys", jwk.MaxKeys)
	case err != nil || !slices.ContainsFunc(keys.Keys, signs):
		fault.Problem = fmt.Sprintf("cannot sign with any of %v; register a key that can", algorithms)
	default:
		return nil
	}
	return &ClientMetadataError{[]ClientMetadataFault{fault}}
}
