// Package display prepares what a client says about itself for a page: names, addresses and links.
// Clients are strangers, so a page shows nothing else of what they wrote.
package display

import (
	"fmt"
	"strings"

	"github.com/gormoauth/gormoauth/internal/characters"
	"github.com/gormoauth/gormoauth/internal/clientrules"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/models"
)

// longestExcerpt is the maximum length of an excerpt in an error description, in bytes.
const longestExcerpt = 100

// Client is a client as a page shows it, such as a storage.Client. With the method
// AsClientMixin of models.ClientMixin it has names and addresses.
type Client interface{ GetClientID() string }

// Name returns a client's name for display: its client_name, in the first of the languages
// (BCP 47 tags, such as "ja") for which it has one, or its client id if it has no name. The
// result is at most 100 characters long, without characters that are invisible or change the
// direction of text, even if the name was stored before that rule existed.
//
// A client chooses its own name: show [Host] of its redirect URI next to it.
func Name(client Client, languages ...string) string {
	for _, name := range namesOf(client, languages) {
		if text := Text(name); characters.HasVisible(text) {
			return text
		}
	}
	if IsWebAddress(client.GetClientID()) {
		return Text(Host(client.GetClientID()))
	}
	return Text(client.GetClientID())
}

// namesOf returns a client's names, the preferred one first.
func namesOf(client Client, languages []string) []string {
	names := inLanguages(client, "client_name", languages)
	if named, ok := client.(interface{ GetClientName() string }); ok {
		names = append(names, named.GetClientName())
	}
	return names
}

// inLanguages returns the values of a metadata member in each of the languages, the preferred one
// first (RFC 7591 section 2.2).
func inLanguages(client Client, member string, languages []string) (values []string) {
	registered, ok := client.(interface{ AsClientMixin() *models.ClientMixin })
	if !ok {
		return nil
	}
	for _, language := range languages {
		for name, raw := range registered.AsClientMixin().ClientMetadata.Extra {
			var value string
			if strings.EqualFold(name, member+"#"+language) && strictjson.Unmarshal(raw, &value) == nil {
				values = append(values, value)
			}
		}
	}
	return values
}

// Links are the addresses that a client provides for users. Each is empty if the client
// provides none that may be shown.
type Links struct {
	Logo   string // the client's logo (logo_uri)
	Home   string // the client's home page (client_uri)
	Policy string // how it uses personal data (policy_uri)
	Terms  string // its terms of service (tos_uri)
}

// LinksOf returns the addresses to show next to the name of a client on a consent page (RFC
// 7591 section 2, OpenID Connect Dynamic Client Registration section 2), each in the first of the
// languages (BCP 47 tags, such as "ja") for which the client has one. All of them satisfy
// [IsWebAddress], even if the row was stored before that rule existed.
//
// A client chooses its own logo, and users trust logos. So the logo of a client that registered
// itself, or comes from a metadata document, is only returned if it is on the host of the redirect
// URI (RFC 7591 section 5). The page's Content-Security-Policy needs the logo's [PolicySource] in img-src.
func LinksOf(client Client, redirectURI string, languages ...string) Links {
	named, ok := client.(interface {
		GetLogoURI() string
		GetClientURI() string
		GetPolicyURI() string
		GetTosURI() string
	})
	if !ok {
		return Links{}
	}
	first := func(member, plain string, may func(string) bool) string {
		for _, uri := range append(inLanguages(client, member, languages), plain) {
			if may(uri) {
				return uri
			}
		}
		return ""
	}
	return Links{
		Logo:   first("logo_uri", named.GetLogoURI(), func(uri string) bool { return mayShowLogo(client, uri, redirectURI) }),
		Home:   first("client_uri", named.GetClientURI(), IsWebAddress),
		Policy: first("policy_uri", named.GetPolicyURI(), IsWebAddress),
		Terms:  first("tos_uri", named.GetTosURI(), IsWebAddress),
	}
}

// mayShowLogo reports whether a page may show the client's logo, and its Content-Security-Policy
// can allow it.
func mayShowLogo(client Client, logo, redirectURI string) bool {
	return IsWebAddress(logo) && PolicySource(logo) != "" && (!clientrules.RegisteredItself(client) || IsWebAddress(redirectURI) && Host(logo) == Host(redirectURI))
}

// Host returns a short form of a client's URI for display: its host in Punycode, with the
// port, or the scheme with a colon ("cursor:") if it is not http or https. It returns "" for an
// invalid URI, to which nobody is redirected.
func Host(uri string) string { return weburi.Display(uri) }

// URI returns a client's URI for display: unchanged if it is valid, which implies ASCII,
// and as an [Excerpt] otherwise.
func URI(uri string) string {
	if _, err := weburi.Parse(uri); err != nil {
		return Excerpt(uri)
	}
	return uri
}

// Text returns untrusted text for display: on one line, at most 100 characters long,
// without characters that are invisible or change the direction of text. Truncated text ends in
// "…".
func Text(text string) string {
	shown, space := make([]rune, 0, characters.LongestName+2), false
	for c, fault := range characters.In(text) {
		if characters.IsSpace(c) {
			space = len(shown) > 0
			continue
		}
		if fault != characters.None {
			continue
		}
		if space {
			shown, space = append(shown, ' '), false
		}
		if shown = append(shown, c); len(shown) > characters.LongestName {
			return strings.TrimRight(string(shown[:characters.LongestName-1]), " "+characters.Joiner) + "…"
		}
	}
	return string(shown)
}

// Excerpt returns untrusted text in a form that is allowed in an error description (RFC 6749
// section 5.2): about the first 100 characters, with quotation marks, backslashes and every byte
// that is not printable ASCII percent-encoded.
func Excerpt(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if b.Len() >= longestExcerpt {
			return b.String() + "..."
		}
		if c := text[i]; c < 0x20 || c > 0x7e || strings.IndexByte(`"'\`, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// IsWebAddress reports whether a browser may be sent to an address that a client provides, or
// something may be fetched from it: it is https, or http on a loopback address, in the characters
// of RFC 3986, with an ASCII host and without a user name. Call it before showing a client_uri,
// logo_uri, tos_uri or policy_uri.
func IsWebAddress(uri string) bool {
	_, err := weburi.ParseAddress(uri)
	return err == nil
}

// PolicySource returns the source expression of a Content-Security-Policy that allows a client's
// URI, for example in frame-src: its origin, or its scheme with a colon if that is not http or
// https. It returns "" for a URI that cannot be in a policy: an invalid URI, a scheme that starts
// programs or scripts, an IPv6 address. Put nothing else that comes from a client into a header.
func PolicySource(uri string) string { return weburi.Source(uri) }
