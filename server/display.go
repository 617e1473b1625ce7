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
	// longestName is how many characters a name may have that people read.
	longestName = 100
	// mostMarks is how many combining marks may stand on one letter: more than any
	// language needs, and less than what covers the lines above and below.
	mostMarks = 4
	// joiner is the zero width joiner: it makes one emoji of two symbols.
	joiner = "\u200D"
	// longestExcerpt is how many bytes of what a stranger wrote an error description
	// has.
	longestExcerpt = 100
)

// DisplayName returns the name of a client for people to read: its client_name, in the
// first of the languages (BCP 47 tags, such as "ja") that it has one in, or its client
// id where it has none. It is at most 100 characters, without those that cannot be seen
// or that turn text around, also where the stored name is older than that rule.
//
// A client chooses its name itself: show [DisplayHost] of its redirect URI beside it.
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

// namesOf returns a client's names, the best first.
func namesOf(client Client, languages []string) []string {
	names := inLanguages(client, "client_name", languages)
	if named, ok := client.(interface{ GetClientName() string }); ok {
		names = append(names, named.GetClientName())
	}
	return names
}

// inLanguages returns what a client says in a member of its metadata in each of the
// languages, the best first (RFC 7591 section 2.2).
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

// ClientLinks are the addresses that a client names for people. Each is empty where the
// client names none that may be shown.
type ClientLinks struct {
	Logo   string // its image (logo_uri)
	Home   string // its own pages (client_uri)
	Policy string // what it does with what it learns (policy_uri)
	Terms  string // on what terms it is used (tos_uri)
}

// DisplayLinks returns the addresses that a page shows beside the name of a client when
// it asks for consent (RFC 7591 section 2, OpenID Connect Dynamic Client Registration
// section 2): each in the first of the languages (BCP 47 tags, such as "ja") that the
// client has one in. All of them are what [IsWebAddress] takes, also where the stored
// row is older than that rule.
//
// A client chooses its logo itself, and people believe logos. So a client that
// [RegisteredItself] has one only on the host of the redirect URI, to which the answer
// goes (RFC 7591 section 5). The page's Content-Security-Policy needs the logo's
// [PolicySource] in img-src.
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

// mayShowLogo reports whether a page may have the image of a client, and can.
func mayShowLogo(client Client, logo, redirectURI string) bool {
	return IsWebAddress(logo) && PolicySource(logo) != "" && (!RegisteredItself(client) || IsWebAddress(redirectURI) && DisplayHost(logo) == DisplayHost(redirectURI))
}

// DisplayHost returns in short where a URI of a client leads, for people to read: the
// host in its punycode form, with the port, or the scheme with a colon ("cursor:") where
// that is not http or https. It is empty for a URI that is not valid, which nobody is
// sent to.
func DisplayHost(uri string) string { return weburi.Display(uri) }

// DisplayURI returns a URI of a client for people to read: as it is where it is valid,
// which is ASCII, and as [Excerpt] returns it otherwise.
func DisplayURI(uri string) string {
	if _, err := weburi.Parse(uri); err != nil {
		return Excerpt(uri)
	}
	return uri
}

// DisplayText returns a stranger's text for people to read: on one line, at most 100
// characters, without those that cannot be seen or that turn text around. What was cut
// off ends in "…".
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

// characterFault is what is wrong with a character that people are to read.
type characterFault int

const (
	none characterFault = iota
	invisible
	tooManyMarks
)

// characters walks over a text, with what is wrong with each character.
func characters(text string) iter.Seq2[rune, characterFault] {
	return func(yield func(rune, characterFault) bool) {
		marks, before := 0, rune(0)
		for text != "" {
			c, size := utf8.DecodeRuneInString(text)
			text = text[size:]
			next, nextSize := utf8.DecodeRuneInString(text)
			if next == utf8.RuneError && nextSize <= 1 {
				next = 0 // the end, or a byte that is no character
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

// makesEmoji reports whether a character that cannot be seen makes one emoji of the
// symbols beside it (Unicode Technical Standard 51).
func makesEmoji(before, c, next rune) bool {
	const emojiStyle = '\uFE0F'
	symbol := func(c rune) bool { return !isInvisible(c) && unicode.In(c, unicode.So, unicode.Sm, unicode.Sk) }
	return c == emojiStyle && symbol(before) || string(c) == joiner && (symbol(before) || before == emojiStyle) && symbol(next)
}

// isInvisible reports whether a character cannot be seen or turns text around:
// controls, bidirectional and other format characters, spaces but for the one of ASCII,
// and letters and marks that look like nothing.
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

// hasVisible reports whether a text has something to be seen.
func hasVisible(text string) bool {
	return strings.ContainsFunc(text, func(c rune) bool { return !isInvisible(c) && unicode.In(c, unicode.L, unicode.N, unicode.P, unicode.S) })
}

// nameProblem says why a text cannot be a name that people read, or returns nothing.
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

// textProblem says why a text cannot be shown to people, or returns nothing.
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

// nameFaults returns what is wrong with what people read of a client's metadata, in
// every language.
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

// Excerpt returns what a stranger wrote in a form that an error description may have (RFC
// 6749 section 5.2): some 100 characters of it, in which every byte that is not printable
// ASCII is percent-encoded, and every quotation mark and backslash.
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
