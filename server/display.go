package server

import (
	"fmt"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/models"
)

const (
	// longestName is the maximum length of a displayed name, in characters.
	longestName = 100
	// mostMarks is the maximum number of combining marks on one letter: more than any language
	// needs, and too few to cover the lines above and below.
	mostMarks = 4
	// joiner is the zero width joiner, which combines two symbols into one emoji.
	joiner = "\u200D"
	// longestExcerpt is the maximum length of an excerpt in an error description, in bytes.
	longestExcerpt = 100
)

// DisplayName returns a client's name for display: its client_name, in the first of the languages
// (BCP 47 tags, such as "ja") for which it has one, or its client id if it has no name. The
// result is at most 100 characters long, without characters that are invisible or change the
// direction of text, even if the name was stored before that rule existed.
//
// A client chooses its own name: show [DisplayHost] of its redirect URI next to it.
func DisplayName(client Client, languages ...string) string {
	for _, name := range namesOf(client, languages) {
		if text := DisplayText(name); hasVisible(text) {
			return text
		}
	}
	if IsWebAddress(client.GetClientID()) {
		return DisplayText(DisplayHost(client.GetClientID()))
	}
	return DisplayText(client.GetClientID())
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
	registered, ok := client.(RegisteredClient)
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

// ClientLinks are the addresses that a client provides for users. Each is empty if the client
// provides none that may be shown.
type ClientLinks struct {
	Logo   string // the client's logo (logo_uri)
	Home   string // the client's home page (client_uri)
	Policy string // how it uses personal data (policy_uri)
	Terms  string // its terms of service (tos_uri)
}

// DisplayLinks returns the addresses to show next to the name of a client on a consent page (RFC
// 7591 section 2, OpenID Connect Dynamic Client Registration section 2), each in the first of the
// languages (BCP 47 tags, such as "ja") for which the client has one. All of them satisfy
// [IsWebAddress], even if the row was stored before that rule existed.
//
// A client chooses its own logo, and users trust logos. So the logo of a client that
// [RegisteredItself] is only returned if it is on the host of the redirect URI (RFC 7591 section
// 5). The page's Content-Security-Policy needs the logo's [PolicySource] in img-src.
func DisplayLinks(client Client, redirectURI string, languages ...string) ClientLinks {
	named, ok := client.(interface {
		GetLogoURI() string
		GetClientURI() string
		GetPolicyURI() string
		GetTosURI() string
	})
	if !ok {
		return ClientLinks{}
	}
	first := func(member, plain string, may func(string) bool) string {
		for _, uri := range append(inLanguages(client, member, languages), plain) {
			if may(uri) {
				return uri
			}
		}
		return ""
	}
	return ClientLinks{
		Logo:   first("logo_uri", named.GetLogoURI(), func(uri string) bool { return mayShowLogo(client, uri, redirectURI) }),
		Home:   first("client_uri", named.GetClientURI(), IsWebAddress),
		Policy: first("policy_uri", named.GetPolicyURI(), IsWebAddress),
		Terms:  first("tos_uri", named.GetTosURI(), IsWebAddress),
	}
}

// mayShowLogo reports whether a page may show the client's logo, and its Content-Security-Policy
// can allow it.
func mayShowLogo(client Client, logo, redirectURI string) bool {
	return IsWebAddress(logo) && PolicySource(logo) != "" && (!RegisteredItself(client) || IsWebAddress(redirectURI) && DisplayHost(logo) == DisplayHost(redirectURI))
}

// DisplayHost returns a short form of a client's URI for display: its host in Punycode, with the
// port, or the scheme with a colon ("cursor:") if it is not http or https. It returns "" for an
// invalid URI, to which nobody is redirected.
func DisplayHost(uri string) string { return weburi.Display(uri) }

// DisplayURI returns a client's URI for display: unchanged if it is valid, which implies ASCII,
// and as an [Excerpt] otherwise.
func DisplayURI(uri string) string {
	if _, err := weburi.Parse(uri); err != nil {
		return Excerpt(uri)
	}
	return uri
}

// DisplayText returns untrusted text for display: on one line, at most 100 characters long,
// without characters that are invisible or change the direction of text. Truncated text ends in
// "…".
func DisplayText(text string) string {
	shown, space := make([]rune, 0, longestName+2), false
	for c, fault := range characters(text) {
		if isSpace(c) {
			space = len(shown) > 0
			continue
		}
		if fault != none {
			continue
		}
		if space {
			shown, space = append(shown, ' '), false
		}
		if shown = append(shown, c); len(shown) > longestName {
			return strings.TrimRight(string(shown[:longestName-1]), " "+joiner) + "…"
		}
	}
	return string(shown)
}

// characterFault is what is wrong with a character of displayed text.
type characterFault int

const (
	none characterFault = iota
	invisible
	tooManyMarks
)

// characters iterates over the characters of a text, with what is wrong with each.
func characters(text string) iter.Seq2[rune, characterFault] {
	return func(yield func(rune, characterFault) bool) {
		marks, before := 0, rune(0)
		for text != "" {
			c, size := utf8.DecodeRuneInString(text)
			text = text[size:]
			next, nextSize := utf8.DecodeRuneInString(text)
			if next == utf8.RuneError && nextSize <= 1 {
				next = 0 // the end, or an invalid byte
			}
			fault := none
			switch {
			case isSpace(c) && c != ' ':
				fault, before, marks = invisible, ' ', 0
			case isInvisible(c) && !makesEmoji(before, c, next), c == utf8.RuneError && size == 1:
				fault = invisible
			case !unicode.IsMark(c):
				before, marks = c, 0
			case marks == mostMarks:
				fault = tooManyMarks
			default:
				before, marks = c, marks+1
			}
			if !yield(c, fault) {
				return
			}
		}
	}
}

// isSpace reports whether a character is a space or a line break of any kind.
func isSpace(c rune) bool { return unicode.IsSpace(c) || unicode.Is(unicode.Z, c) }

// makesEmoji reports whether an invisible character combines the symbols next to it into one
// emoji (Unicode Technical Standard 51).
func makesEmoji(before, c, next rune) bool {
	const emojiStyle = '\uFE0F'
	symbol := func(c rune) bool { return !isInvisible(c) && unicode.In(c, unicode.So, unicode.Sm, unicode.Sk) }
	return c == emojiStyle && symbol(before) || string(c) == joiner && (symbol(before) || before == emojiStyle) && symbol(next)
}

// isInvisible reports whether a character is invisible or changes the direction of text:
// controls, bidirectional and other format characters, spaces other than the ASCII space, and
// letters and marks that render as blank.
func isInvisible(c rune) bool {
	const (
		brailleBlank  = '\u2800'
		nullNotehead  = '\U0001D159'
		khitanFiller  = '\U00016FE4'
		mongolianFVS4 = '\u180F'
	)
	switch c {
	case brailleBlank, nullNotehead, khitanFiller, mongolianFVS4:
		return true
	}
	return !unicode.IsPrint(c) || unicode.In(c, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// hasVisible reports whether a text has at least one visible character.
func hasVisible(text string) bool {
	return strings.ContainsFunc(text, func(c rune) bool { return !isInvisible(c) && unicode.In(c, unicode.L, unicode.N, unicode.P, unicode.S) })
}

// nameProblem returns why a text cannot be a displayed name, or "".
func nameProblem(name string) string {
	if problem := textProblem(name); problem != "" || name == "" {
		return problem
	}
	switch {
	case !hasVisible(name):
		return "is blank; write a name that people can read, or leave the member out"
	case len([]rune(name)) > longestName:
		return fmt.Sprintf("is longer than %d characters; shorten it", longestName)
	}
	return ""
}

// textProblem returns why a text cannot be displayed, or "".
func textProblem(text string) string {
	for c, fault := range characters(text) {
		switch fault {
		case invisible:
			return fmt.Sprintf("has the character %U, which is invisible or changes the direction of text; leave it out", c)
		case tooManyMarks:
			return fmt.Sprintf("has more than %d combining marks on one letter; leave some out", mostMarks)
		}
	}
	return ""
}

// nameFaults returns the faults of the displayed members of a client's metadata, in every
// language.
func nameFaults(m *models.ClientMetadata) (faults []ClientMetadataFault) {
	check := func(member, text string, problem func(string) string) {
		if found := problem(text); found != "" {
			faults = append(faults, ClientMetadataFault{member, text, found})
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
			faults = append(faults, ClientMetadataFault{name, string(raw), "must be a string"})
		}
	}
	for _, contact := range m.Contacts {
		check("contacts", contact, textProblem)
	}
	check("software_id", m.SoftwareID, textProblem)
	check("software_version", m.SoftwareVersion, textProblem)
	return faults
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
