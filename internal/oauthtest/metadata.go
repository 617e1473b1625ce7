package oauthtest

import "strings"

// What no honest client of the tests registers for, so that whoever has it got it by a
// trick.
const (
	EvilScope       = "admin"
	EvilRedirectURI = "https://evil.example/cb"
	EvilGrantType   = "urn:ietf:params:oauth:grant-type:token-exchange"
)

// evilMetadata are members of client metadata by which a client would have all of it.
// The names are as they are written in JSON.
func evilMetadata(grantTypes, scope, redirectURIs string) string {
	return `"` + grantTypes + `":["client_credentials","` + EvilGrantType + `","authorization_code","refresh_token"],"` +
		scope + `":"` + EvilScope + ` profile","` + redirectURIs + `":["` + EvilRedirectURI + `","` + RedirectURI + `"]`
}

// FoldedMetadata returns members of client metadata whose names readers that fold case take
// for grant types, a scope and redirect URIs: they mean nothing. Each stands by how the
// names are written.
func FoldedMetadata() map[string]string {
	return map[string]string{
		"with U+017F":          evilMetadata("grant_type\u017f", "\u017fcope", "redirect_uri\u017f"),
		"with U+017F, escaped": evilMetadata(`grant_type\u017f`, `\u017fcope`, `redirect_uri\u017F`),
		"in capitals":          evilMetadata("Grant_Types", "SCOPE", "redirect_URIs"),
	}
}

// StrangeMetadata returns members with names that look like those, and are others to every
// reader of JSON.
func StrangeMetadata() map[string]string {
	return map[string]string{
		"with NUL":              evilMetadata(`grant_types\u0000`, `scope\u0000`, `\u0000redirect_uris`),
		"with a space":          evilMetadata("grant_types ", " scope", `redirect_uris\u00a0`),
		"with letters combined": evilMetadata(`grant_types\u0301`, `\uff53cope`, `redirect\uff3furis`),
	}
}

// DoubleMetadata returns members that stand behind those of an honest client, with which
// its metadata has two readings, or none: it is refused as a whole.
func DoubleMetadata() map[string]string {
	return map[string]string{
		"twice":                       evilMetadata("grant_types", "scope", "redirect_uris"),
		"twice, once with escapes":    evilMetadata(`grant\u005ftypes`, `\u0073cope`, `redirect_uri\u0073`),
		"a member unknown twice":      `"x":1,"x":2`,
		"twice in a member unknown":   `"x":{"y":[{"z":1,"z":2}]}`,
		"not in UTF-8":                "\"client_name#ja\":\"\xff\"",
		"half a character":            `"client_name#ja":"\ud800"`,
		"deeper than anything can be": `"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40), //nolint:mnd // beyond the limit
	}
}
