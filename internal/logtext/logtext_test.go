package logtext_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/internal/logtext"
	"github.com/gormoauth/gormoauth/server/secret"
)

func TestGrant(t *testing.T) {
	for id, want := range map[string]string{"": "", "short": "short", "0123456789abcdef": "0123456789abcdef", "0123456789abcdefg": "0123456789abcdef"} {
		assert.Equal(t, want, logtext.Grant(id))
	}
}

func TestBounded(t *testing.T) {
	for text, want := range map[string]string{"": "", "four": "four", "fives": "five…", "abcä": "abc…", "äöü": "äö…"} {
		assert.Equal(t, want, logtext.Bounded(text, 4), text)
	}
}

func TestPrintable(t *testing.T) {
	const length = secret.Length
	for text, want := range map[string]string{
		"a\tb\u202Ec":                 "a\uFFFDb\uFFFDc",
		strings.Repeat("A", length):   "[secret]",
		strings.Repeat("Z", length):   "[secret]",
		strings.Repeat("2", length):   "[secret]",
		strings.Repeat("7", length):   "[secret]",
		strings.Repeat("A", length-1): strings.Repeat("A", length-1),
		strings.Repeat("1", length):   strings.Repeat("1", length),
		strings.Repeat("8", length):   strings.Repeat("8", length),
		strings.Repeat("@", length):   strings.Repeat("@", length),
		strings.Repeat("[", length):   strings.Repeat("[", length),
		strings.Repeat("a", length):   strings.Repeat("a", length),
		"before " + strings.Repeat("A", length) + " between " + strings.Repeat("B", length+9) + " after": "before [secret] between [secret] after",
		"a JWT: eyJhbGciOi.eyJzdWIi.AZaz09-_, it is":                                                     "a JWT: [secret], it is",
		"half: eyJhbGciOi": "half: eyJhbGciOi",
		"no.JWT eyJ":       "no.JWT eyJ",
		"a.b eyJ.c d.e":    "a.b [secret] d.e",
		"AZaz09-_.eyJx":    "[secret]",
		"(eyJ.x)":          "([secret])",
	} {
		assert.Equal(t, want, logtext.Printable(text, 1000), text)
	}
	assert.Equal(t, "[secret]…", logtext.Printable(strings.Repeat("A", length)+"b", 8), "it is cut where no secret is left")
}

// What may be a code, a token or a password is not in a URI that is logged.
func TestURI(t *testing.T) {
	for uri, want := range map[string]string{
		"":                                                    "",
		"client_name#ja":                                      "client_name#ja",
		"https://a.example/cb":                                "https://a.example/cb",
		"https://a.example:8443/cb":                           "https://a.example:8443/cb",
		"https://[::1]/cb":                                    "https://[::1]/cb",
		"https://a.example/cb?":                               "https://a.example/cb?",
		"https://a.example/cb?code=1&state=2":                 "https://a.example/cb?code=…&state=…",
		"https://a.example/cb?code":                           "https://a.example/cb?…",
		"https://a.example/cb?=x":                             "https://a.example/cb?…",
		"https://a.example/cb#token=1":                        "https://a.example/cb#token=…",
		"https://a.example/cb#token":                          "https://a.example/cb#…",
		"https://a.example/cb?code=1#token=1":                 "https://a.example/cb?code=…#token=…",
		"https://user:pass@a.example/cb":                      "https://…@a.example/cb",
		"https://user@a.example/cb":                           "https://…@a.example/cb",
		"https:user:pass@a.example/cb":                        "https:…@a.example/cb",
		`https:\\user:pass@a.example\cb`:                      `https:\\…@a.example\cb`,
		"https:/user:pass@a.example/cb":                       "https:/…@a.example/cb",
		"//user:pass@a.example/cb":                            "//…@a.example/cb",
		"user:pass@a.example/cb":                              "user:…@a.example/cb",
		"a@b.example/":                                        "a@b.example/",
		"https://a.example:pass/x@y":                          "https://…@y",
		"https://a.example:pass/x":                            "https://a.example:…/x",
		"https://a.example:/x":                                "https://a.example:/x",
		"app:/cb":                                             "app:/cb",
		"app:callback":                                        "app:callback",
		"https://a.example/https://u:p@b.example/":            "https://a.example/https://…@b.example/",
		"https%3A%2F%2Fa.example%2Fcb%3Fcode%3D1":             "https://a.example/cb?code=…",
		"https%253A%252F%252Fa.example%252Fcb%253Fcode%253D1": "https://a.example/cb?code=…",
		"a%20b?c=d":                                           "a%20b?c=…",
		"%3A//a?b=c":                                          "%3A//a?b=…",
	} {
		assert.Equal(t, want, logtext.URI(uri), uri)
	}
}

func TestURIs(t *testing.T) {
	for text, want := range map[string]string{
		"plain text, without any":                               "plain text, without any",
		"https://a.example/?a=b c":                              "https://a.example/?a=…",
		"the redirect_uri 'https://a.example/?code=1 2' is not": "the redirect_uri 'https://a.example/?code=…' is not",
		`the "a?b=c" and "d#e=f"`:                               `the "a?b=…" and "d#e=…"`,
		"see https://u:p@a.example/ and a?b=c  there":           "see https://…@a.example/ and a?b=…  there",
		"it's a 'b' ?c=d":                                       "it's a 'b' ?c=…",
		"50% of it":                                             "50% of it",
	} {
		assert.Equal(t, want, logtext.URIs(text), text)
	}
	assert.Equal(t, "see a?b=… c…", logtext.Loggable("see a?b=secret c and more", len("see a?b=… c")), "all of it")
}
