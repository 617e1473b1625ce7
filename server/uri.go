package server

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/loopback"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/models"
)

// DefaultPrivateUseSchemes returns the default of Config.PrivateUseSchemes: the schemes of the
// redirect URIs of well-known editors and assistants.
func DefaultPrivateUseSchemes() []string {
	return []string{"claude", "cursor", "kiro", "raycast", "vscode", "vscode-insiders", "vscodium", "warp", "windsurf", "zed"}
}

// RegisteredItself reports whether a client chose its own metadata, by registration (RFC 7591) or
// by a metadata document. It returns false for a client that the operator or a user created by
// hand.
func RegisteredItself(client Client) bool {
	registered, ok := client.(RegisteredClient)
	return ok && registeredItself(registered.AsClientMixin())
}

func registeredItself(client *models.ClientMixin) bool {
	return isOwnChoice(client.ClientSource) || client.ClientSource == "" && client.RegistrationAccessToken != ""
}

func isOwnChoice(source string) bool {
	return source == models.ClientByRegistration || source == models.ClientByDocument
}

// uriRules are the rules for the URIs in a client's metadata.
type uriRules struct {
	// privateUse are the allowed private-use schemes without a dot; nil allows every scheme that
	// does not start programs or scripts.
	privateUse []string
}

// uriRulesOf returns the rules for a client from the source.
func uriRulesOf(source string, privateUse []string) uriRules {
	if !isOwnChoice(source) {
		return uriRules{}
	}
	return uriRules{append([]string{}, privateUse...)}
}

func (s *Server) uriRules(client Client) uriRules {
	if RegisteredItself(client) {
		return uriRulesOf(models.ClientByRegistration, s.config.PrivateUseSchemes)
	}
	return uriRulesOf(models.ClientByHand, nil)
}

// redirectProblem returns why a browser may not be redirected to the URI, or "".
func (r uriRules) redirectProblem(uri string) string {
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

// MayRedirect returns nil if a browser may be redirected to the client at the URI, and otherwise
// an error that says why not. It is called whenever a registered URI is used, because a row may
// be older than the rules, or may have been written by something else.
func (s *Server) MayRedirect(client Client, uri string) error {
	if problem := s.uriRules(client).redirectProblem(uri); problem != "" {
		return errors.New(problem)
	}
	return nil
}

// IsWebAddress reports whether a browser may be sent to an address that a client provides, or
// something may be fetched from it: it is https, or http on a loopback address, in the characters
// of RFC 3986, with an ASCII host and without a user name. Call it before showing a client_uri,
// logo_uri, tos_uri or policy_uri.
func IsWebAddress(uri string) bool {
	_, err := weburi.ParseAddress(uri)
	return err == nil
}

// ClientFaults returns what is wrong with the URIs, names and keys of a stored client, as
// [Server.ValidateClientMetadata] reports it on a server with the private-use schemes
// (Config.PrivateUseSchemes). Such a URI is never used, such a name is not shown unchanged, and
// nothing is verified with such keys.
func ClientFaults(client *models.ClientMixin, privateUseSchemes []string) []ClientMetadataFault {
	if privateUseSchemes == nil {
		privateUseSchemes = DefaultPrivateUseSchemes()
	}
	source := client.ClientSource
	if registeredItself(client) {
		source = models.ClientByRegistration
	}
	faults := append(uriRulesOf(source, privateUseSchemes).faults(&client.ClientMetadata), nameFaults(&client.ClientMetadata)...)
	if named, problem := keySetProblem(client.ClientMetadata.JWKs); problem != "" {
		faults = append(faults, ClientMetadataFault{"jwks", named, problem})
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
func (r uriRules) problem(kind uriKind, uri string) string {
	if kind == redirectAddress {
		return r.redirectProblem(uri)
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
func (r uriRules) faults(m *models.ClientMetadata) (faults []ClientMetadataFault) {
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
				faults = append(faults, ClientMetadataFault{member, uri, problem})
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
				faults = append(faults, ClientMetadataFault{name, string(raw), "must be a " + map[bool]string{true: "list of strings", false: "string"}[member.list]})
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

// PolicySource returns the source expression of a Content-Security-Policy that allows a client's
// URI, for example in frame-src: its origin, or its scheme with a colon if that is not http or
// https. It returns "" for a URI that cannot be in a policy: an invalid URI, a scheme that starts
// programs or scripts, an IPv6 address. Put nothing else that comes from a client into a header.
func PolicySource(uri string) string { return weburi.Source(uri) }
