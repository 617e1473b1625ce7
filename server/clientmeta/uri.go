package clientmeta

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/characters"
	"github.com/gormoauth/gormoauth/internal/clientrules"
	"github.com/gormoauth/gormoauth/internal/loopback"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/jwk"
)

func sortedFaults(faults []Fault) []Fault {
	slices.SortStableFunc(faults, func(a, b Fault) int { return strings.Compare(a.Member, b.Member) })
	return faults
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
	if len(text) == 0 || strictjson.IsNull(text) {
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

// nameProblem returns why a text cannot be a displayed name, or "".
func nameProblem(name string) string {
	if problem := textProblem(name); problem != "" || name == "" {
		return problem
	}
	switch {
	case !characters.HasVisible(name):
		return "is blank; write a name that people can read, or leave the member out"
	case len([]rune(name)) > characters.LongestName:
		return fmt.Sprintf("is longer than %d characters; shorten it", characters.LongestName)
	}
	return ""
}

// textProblem returns why a text cannot be displayed, or "".
func textProblem(text string) string {
	for c, fault := range characters.In(text) {
		switch fault {
		case characters.Invisible:
			return fmt.Sprintf("has the character %U, which is invisible or changes the direction of text; leave it out", c)
		case characters.TooManyMarks:
			return fmt.Sprintf("has more than %d combining marks on one letter; leave some out", characters.MostMarks)
		}
	}
	return ""
}

// nameFaults returns the faults of the displayed members of a client's metadata, in every
// language.
func nameFaults(m *models.ClientMetadata) (faults []Fault) {
	check := func(member, text string, problem func(string) string) {
		if found := problem(text); found != "" {
			faults = append(faults, Fault{member, text, found})
		}
	}
	check("client_name", m.ClientName, nameProblem)
	for name, raw := range m.Extra {
		if base, _, _ := strings.Cut(name, "#"); base != "client_name" {
			continue
		}
		if words, ok := texts(raw, false); ok {
			check(name, words[0], nameProblem)
		} else {
			faults = append(faults, Fault{name, string(raw), "must be a string"})
		}
	}
	for _, contact := range m.Contacts {
		check("contacts", contact, textProblem)
	}
	check("software_id", m.SoftwareID, textProblem)
	check("software_version", m.SoftwareVersion, textProblem)
	return faults
}

// DefaultPrivateUseSchemes returns the default of Config.PrivateUseSchemes: the schemes of the
// redirect URIs of well-known editors and assistants.
func DefaultPrivateUseSchemes() []string {
	return []string{"claude", "cursor", "kiro", "raycast", "vscode", "vscode-insiders", "vscodium", "warp", "windsurf", "zed"}
}

// URIRules are the rules for the URIs in a client's metadata.
type URIRules struct {
	// privateUse are the allowed private-use schemes without a dot; nil allows every scheme that
	// does not start programs or scripts.
	privateUse []string
}

// RulesOf returns the rules for a client from the source.
func RulesOf(source string, privateUse []string) URIRules {
	if !clientrules.IsOwnChoice(source) {
		return URIRules{}
	}
	return URIRules{append([]string{}, privateUse...)}
}

// RedirectProblem returns why a browser may not be redirected to the URI, or "".
func (r URIRules) RedirectProblem(uri string) string {
	u, err := weburi.Parse(uri)
	switch {
	case strings.Contains(uri, "*"):
		return "has a wildcard; register each redirect URI in full, and a loopback address without a port to allow any port"
	case err != nil:
		return err.Error()
	case strings.Contains(uri, "#"):
		return "has a fragment; remove the # and everything after it"
	case weburi.StartsPrograms(u.Scheme):
		return "has a scheme that starts programs or scripts; use https"
	case u.Scheme == "https", u.Scheme == "http" && loopback.Is(u.Hostname()):
		return ""
	case u.Scheme == "http":
		return "must be https; http is allowed only for loopback addresses"
	case r.privateUse != nil && !strings.Contains(u.Scheme, ".") && !slices.Contains(r.privateUse, u.Scheme):
		return "has a private-use scheme without a dot; use a reversed domain name such as com.example.app, or https, or http on a loopback address"
	}
	return ""
}

// Faults returns what is wrong with the URIs, names and keys of a stored client, as
// server.Server.ValidateClientMetadata reports it on a server with the private-use schemes
// (Config.PrivateUseSchemes). Such a URI is never used, such a name is not shown unchanged, and
// nothing is verified with such keys.
func Faults(client *models.ClientMixin, privateUseSchemes []string) []Fault {
	if privateUseSchemes == nil {
		privateUseSchemes = DefaultPrivateUseSchemes()
	}
	source := client.ClientSource
	if clientrules.RegisteredMixin(client) {
		source = models.ClientByRegistration
	}
	faults := append(RulesOf(source, privateUseSchemes).faults(&client.ClientMetadata), nameFaults(&client.ClientMetadata)...)
	if named, problem := keySetProblem(client.ClientMetadata.JWKs); problem != "" {
		faults = append(faults, Fault{"jwks", named, problem})
	}
	return sortedFaults(faults)
}

// uriMember is a member of a client's metadata that contains one URI or a list of them.
type uriMember struct {
	name string
	list bool
	kind uriKind
}

// uriKind is what a URI is used for.
type uriKind int

const (
	webAddress      uriKind = iota // a page, or a document to fetch
	webEndpoint                    // a URL without a fragment, to which requests are sent
	redirectAddress                // where a browser is redirected with a response
)

// uriMembers returns all members that contain URIs: those of RFC 7591, of OpenID Connect Dynamic
// Client Registration and of the logout specifications.
func uriMembers() []uriMember {
	return []uriMember{
		{"redirect_uris", true, redirectAddress}, {"post_logout_redirect_uris", true, redirectAddress},
		{"backchannel_logout_uri", false, webEndpoint}, {"frontchannel_logout_uri", false, webEndpoint},
		{"initiate_login_uri", false, webAddress}, {"sector_identifier_uri", false, webAddress}, {"request_uris", true, webAddress},
		{"client_uri", false, webAddress}, {"logo_uri", false, webAddress}, {"tos_uri", false, webAddress},
		{"policy_uri", false, webAddress}, {"jwks_uri", false, webAddress},
	}
}

// problem returns why a client may not have the URI, or "".
func (r URIRules) problem(kind uriKind, uri string) string {
	if kind == redirectAddress {
		return r.RedirectProblem(uri)
	}
	_, err := weburi.ParseAddress(uri)
	switch {
	case err != nil:
		return err.Error()
	case kind == webEndpoint && strings.Contains(uri, "#"):
		return "has a fragment; remove the # and everything after it"
	}
	return ""
}

// faults returns what is wrong with the URIs of a client's metadata, in every language.
func (r URIRules) faults(m *models.ClientMetadata) (faults []Fault) {
	named := map[string][]string{
		"redirect_uris": m.RedirectURIs, "client_uri": {m.ClientURI}, "logo_uri": {m.LogoURI}, "tos_uri": {m.TosURI},
		"policy_uri": {m.PolicyURI}, "jwks_uri": {m.JWKsURI},
	}
	check := func(member string, kind uriKind, uris []string) {
		for _, uri := range uris {
			if uri == "" && kind != redirectAddress {
				continue
			}
			if problem := r.problem(kind, uri); problem != "" {
				faults = append(faults, Fault{member, uri, problem})
			}
		}
	}
	for _, member := range uriMembers() {
		check(member.name, member.kind, named[member.name])
		for name, raw := range m.Extra {
			if base, _, _ := strings.Cut(name, "#"); base != member.name {
				continue
			}
			uris, ok := texts(raw, member.list)
			if !ok {
				faults = append(faults, Fault{name, string(raw), "must be a " + map[bool]string{true: "list of strings", false: "string"}[member.list]})
			}
			check(name, member.kind, uris)
		}
	}
	return faults
}

// texts decodes a JSON string, or a list of them.
func texts(raw json.RawMessage, list bool) (values []string, ok bool) {
	if list {
		err := strictjson.Unmarshal(raw, &values)
		return values, err == nil
	}
	var value string
	if strictjson.Unmarshal(raw, &value) != nil {
		return nil, false
	}
	return []string{value}, true
}
