// Package clientmeta has the rules for the metadata of clients (RFC 7591 section 2): what is wrong with
// it, in words for the person who registers the client.
package clientmeta

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/characters"
	"github.com/gormoauth/gormoauth/internal/clientrules"
	"github.com/gormoauth/gormoauth/internal/logtext"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/jwk"
)

// IsClientID reports whether text can be a client id: non-empty printable ASCII (RFC 6749
// appendix A.1).
func IsClientID(text string) bool {
	for i := range len(text) {
		if text[i] < 0x20 || text[i] > 0x7e {
			return false
		}
	}
	return text != ""
}

// RequireAuthMethod is a member of a client's metadata, true or false. If true, the client
// must authenticate by its token_endpoint_auth_method even if Config.StrictClientSecretMethod is
// not set.
const RequireAuthMethod = "require_token_endpoint_auth_method"

// Error lists what is wrong with a client's metadata.
type Error struct{ Faults []Fault }

// longestValue is the maximum length of a value in the text of a fault, in bytes.
const longestValue = 100

// Fault is one fault of a client's metadata.
type Fault struct {
	// Member is the member's name, such as "redirect_uris".
	Member string
	// Value is the member's value as it was sent, if that helps to find the fault; see display.Excerpt.
	Value string
	// Problem says what is wrong and how to fix it, for the person who registers the client. It
	// contains nothing of what was sent.
	Problem string
}

// String returns the fault as one line that begins with the member's name.
func (f Fault) String() string {
	if f.Value == "" {
		return f.Member + ": " + f.Problem
	}
	return f.Member + ": " + strconv.Quote(logtext.Bounded(f.Value, longestValue)) + " " + f.Problem
}

// Error returns the faults, one per line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, fault := range e.Faults {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// Invalid returns a [*Error] about one member, for a server.ClientMetadataHook; see [Fault].
func Invalid(member, value, problem string) error {
	return &Error{[]Fault{{member, value, problem}}}
}

// AsksFor reports whether a boolean member of a client's metadata, such as
// dpop_bound_access_tokens, is true.
func AsksFor(client any, member string) bool {
	registered, ok := client.(interface{ AsClientMixin() *models.ClientMixin })
	return ok && string(registered.AsClientMixin().ClientMetadata.Extra[member]) == "true"
}

// CheckBool returns an error if the member of the metadata is neither true nor false. A
// missing member is valid.
func CheckBool(metadata *models.ClientMetadata, member string) error {
	var value bool
	if raw, ok := metadata.Extra[member]; ok && strictjson.Unmarshal(raw, &value) != nil {
		return Invalid(member, string(raw), "must be true or false")
	}
	return nil
}

// maxMember is the maximum length of a metadata member, in bytes.
const maxMember = 2048

// Validate returns every fault in the metadata of a client that the operator
// creates (RFC 7591 section 2, RFC 9700 section 2.1) as a [*Error], or nil. Call it
// when the client is created; at a request the engine checks again what it relies on. For a
// client that registers itself, use server.Server.ValidateClientMetadata.
func Validate(m *models.ClientMetadata) error {
	return ValidateBy(m, RulesOf(models.ClientByHand, nil))
}

// ValidateBy returns every fault in the metadata of a client, by the rules for its URIs, as a
// [*Error], or nil.
func ValidateBy(m *models.ClientMetadata, uris URIRules) error {
	var faults []Fault
	fault := func(member, value, problem string) {
		faults = append(faults, Fault{member, value, problem})
	}
	for member, values := range textMembers(m) {
		for _, value := range values {
			if !characters.AreStorable(value) || len(value) > maxMember {
				fault(member, value, "must be UTF-8 text without NUL, at most "+strconv.Itoa(maxMember)+" bytes long")
			}
		}
	}
	faults = append(append(faults, uris.faults(m)...), nameFaults(m)...)
	if !clientrules.IsScope(m.Scope) {
		fault("scope", m.Scope, "has a character that is not allowed in a scope; separate its words by single spaces")
	}
	if m.TokenEndpointAuthMethod == models.None && slices.Contains(m.GrantTypes, "client_credentials") {
		fault("grant_types", "client_credentials", fmt.Sprintf(clientrules.NotForAuthMethod, models.None))
	}
	if len(m.ResponseTypes) > 0 && len(m.RedirectURIs) == 0 {
		fault("redirect_uris", "", "is missing, but a client with a response_type needs one; register the address that its users return to")
	}
	for _, pair := range clientrules.ResponseTypes() {
		if slices.ContainsFunc(m.ResponseTypes, clientrules.Issues(pair[0])) != slices.Contains(m.GrantTypes, pair[1]) {
			fault("response_types", pair[0], "belongs to the grant type "+pair[1]+"; register both or neither")
		}
	}
	if len(m.JWKs) > 0 && !strictjson.IsNull(m.JWKs) && m.JWKsURI != "" {
		fault("jwks", "", "is given together with jwks_uri; leave one of them out")
	}
	if named, problem := keySetProblem(m.JWKs); problem != "" {
		fault("jwks", named, problem)
	}
	if len(faults) == 0 {
		return nil
	}
	return &Error{sortedFaults(faults)}
}

// CheckSigningKeys returns an error if a client's key set (jwks) has no key that can sign with
// any of the algorithms, in which case the client could never sign anything. The error names the
// keys. A key set at a jwks_uri is only checked when it is used.
func CheckSigningKeys(metadata *models.ClientMetadata, algorithms []jose.SignatureAlgorithm) error {
	if len(metadata.JWKs) == 0 {
		return nil
	}
	fault := Fault{Member: "jwks", Value: keyNames(metadata.JWKs)}
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
	return &Error{[]Fault{fault}}
}

// CheckAPIResources returns an error that names the first resource for which no token can be
// issued. A resource must be an absolute URI without a fragment (RFC 8707 section 2), or a name
// as in the "audience" of a token exchange (RFC 8693 section 2.1).
func CheckAPIResources(resources []string) error {
	for _, resource := range resources {
		_, err := weburi.Parse(resource)
		switch {
		case strings.Contains(resource, "#"):
			err = errors.New("has a fragment; leave it out")
		case !strings.Contains(resource, ":") && IsClientID(resource) && !strings.Contains(resource, " "):
			err = nil // a name
		}
		if err != nil {
			return fmt.Errorf("server: the API resource %q %w", resource, err)
		}
	}
	return nil
}
