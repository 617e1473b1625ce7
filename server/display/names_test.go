package display_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/display"
)

// scriptedHost is a host that ends a directive of a Content-Security-Policy, and begins
// one of its own.
const scriptedHost = "https://[::1%25%20;script-src%20'unsafe-inline'%20;x]/"

// Names that people read, what is wrong with them, and what a page shows of one that is
// stored all the same.
func TestNames(t *testing.T) {
	for name, row := range map[string]struct{ problem, shown string }{
		"An app":                          {"", "An app"},
		"Café — 東京 (β) №1, “x”":           {"", "Café — 東京 (β) №1, “x”"},
		"تطبيق":                           {"", "تطبيق"},
		"<b>bold</b>":                     {"", "<b>bold</b>"},
		"Rocket 🚀":                        {"", "Rocket 🚀"},
		"Lightning ⚡\ufe0f":               {"", "Lightning ⚡\ufe0f"},
		"Coder 👩\u200d💻":                  {"", "Coder 👩\u200d💻"},
		"Tiếng Việt":                      {"", "Tiếng Việt"},
		"กำลัง":                           {"", "กำลัง"},
		strings.Repeat("é", 100):          {"", strings.Repeat("é", 100)},
		strings.Repeat("é", 101):          {"longer than 100 characters", strings.Repeat("é", 99) + "…"},
		strings.Repeat("a", 5000):         {"longer than 100 characters", strings.Repeat("a", 99) + "…"},
		"a\x00b":                          {"U+0000", "ab"},
		"a\nb":                            {"U+000A", "a b"},
		"a\tb":                            {"U+0009", "a b"},
		"a\x7fb":                          {"U+007F", "ab"},
		"a\u0085b":                        {"U+0085", "a b"},
		"a\u202eb":                        {"U+202E", "ab"},
		"a\u202ab":                        {"U+202A", "ab"},
		"a\u2066b":                        {"U+2066", "ab"},
		"a\u2069b":                        {"U+2069", "ab"},
		"a\u200eb":                        {"U+200E", "ab"},
		"a\u200fb":                        {"U+200F", "ab"},
		"a\u061cb":                        {"U+061C", "ab"},
		"a\u200bb":                        {"U+200B", "ab"},
		"a\u200cb":                        {"U+200C", "ab"},
		"a\u200db":                        {"U+200D", "ab"},
		"a\u2060b":                        {"U+2060", "ab"},
		"a\ufeffb":                        {"U+FEFF", "ab"},
		"a\u00adb":                        {"U+00AD", "ab"},
		"a\u180eb":                        {"U+180E", "ab"},
		"a\u034fb":                        {"U+034F", "ab"},
		"a\ufe0fb":                        {"U+FE0F", "ab"},
		"a\u00a0b":                        {"U+00A0", "a b"},
		"a\u202fb":                        {"U+202F", "a b"},
		"a\u3000b":                        {"U+3000", "a b"},
		"a\u2003b":                        {"U+2003", "a b"},
		"a\u2028b":                        {"U+2028", "a b"},
		"a\u115fb":                        {"U+115F", "ab"},
		"a\u1160b":                        {"U+1160", "ab"},
		"a\u3164b":                        {"U+3164", "ab"},
		"a\uffa0b":                        {"U+FFA0", "ab"},
		"a\u2800b":                        {"U+2800", "ab"},
		"a\U000e0041b":                    {"U+E0041", "ab"},
		"a\U000e0101b":                    {"U+E0101", "ab"},
		"a\U0001d159b":                    {"U+1D159", "ab"},
		"a\ue000b":                        {"U+E000", "ab"},
		"a\U0010ffffb":                    {"U+10FFFF", "ab"},
		"a" + strings.Repeat("\u0301", 5): {"combining marks", "a" + strings.Repeat("\u0301", 4)},
		"   ":                             {"is blank", "the id"},
		"\u3164\u2800":                    {"U+3164", "the id"},
		"\u0301":                          {"is blank", "the id"},
		"":                                {"", "the id"},
	} {
		for _, member := range []string{"client_name", "client_name#ja", "client_name#zh-Hans"} {
			m := new(models.ClientMetadata)
			text, err := json.Marshal(map[string]string{member: name})
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(text, m))
			err = clientmeta.Validate(m)
			if row.problem == "" {
				assert.NoError(t, err, "%s %q", member, name)
			} else {
				require.ErrorContains(t, err, row.problem, "%s %q", member, name)
				assert.Contains(t, err.Error(), member)
			}
		}
		client := &oauthtest.Client{ClientMixin: models.ClientMixin{ClientID: "the id", ClientMetadata: models.ClientMetadata{ClientName: name}}}
		assert.Equal(t, row.shown, display.Name(client), "%q", name)
	}
	assert.Equal(t, "ab", display.Text("a\xffb"), "what is not UTF-8 is left out")
	err := clientmeta.Validate(&models.ClientMetadata{ClientName: "a\u202eb"})
	assert.Contains(t, err.Error(), `"a\u202eb"`, "and is never written as it is")
	for _, m := range []models.ClientMetadata{
		{Contacts: []string{"a\u202eb@app.example"}}, {SoftwareID: "a\u200bb"}, {SoftwareVersion: "1\x002"},
		{Extra: map[string]json.RawMessage{"client_name#ja": json.RawMessage("1")}},
	} {
		assert.Error(t, clientmeta.Validate(&m), "%v", m)
	}
	assert.NoError(t, clientmeta.Validate(&models.ClientMetadata{Contacts: []string{"Ümit <a@app.example>"}, SoftwareID: "4NRB1-0XZABZI9E6-5SM3R", SoftwareVersion: "1.0 β"}))
}

// What is shown is a name that could be registered, if it has anything to be seen, and
// is shown the same again.
func FuzzDisplayText(f *testing.F) {
	for _, text := range []string{"An app", "a\u202eb", "a\u0301\u0301\u0301\u200b\u0301\u0301\u0301", "⚡\ufe0f", "⚡\u00a0\ufe0f", "👩\u200d\u200b💻", "\xff\x00 \t", "++++\u200d\xe20", strings.Repeat("+", 98) + "\u200d++", strings.Repeat("é ", 80)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shown := display.Text(text)
		assert.Equal(t, shown, display.Text(shown))
		assert.LessOrEqual(t, utf8.RuneCountInString(shown), 100)
		var blank *clientmeta.Error
		if err := clientmeta.Validate(&models.ClientMetadata{ClientName: shown}); errors.As(err, &blank) {
			assert.Contains(t, blank.Error(), "is blank", "%q of %q", shown, text)
		}
	})
}

func TestDisplayName(t *testing.T) {
	client := &oauthtest.Client{ClientMixin: models.ClientMixin{ClientID: "https://app.example/client.json", ClientMetadata: models.ClientMetadata{
		ClientName: "App", Extra: map[string]json.RawMessage{
			"client_name#ja": json.RawMessage(`"アプリ"`), "client_name#zh-Hans": json.RawMessage(`"应\u202e用"`), "client_name#de": json.RawMessage(`"\u200b"`),
			"client_name#fr": json.RawMessage(`1`),
		},
	}}}
	for want, languages := range map[string][]string{"App": {"it", "fr", "de", ""}, "アプリ": {"it", "JA"}, "应用": {"zh-hans", "ja"}} {
		assert.Equal(t, want, display.Name(client, languages...))
	}
	assert.Equal(t, "App", display.Name(client))
	client.ClientMetadata = models.ClientMetadata{}
	assert.Equal(t, "app.example", display.Name(client), "the host of a client id that is an address")
	client.ClientID = strings.Repeat("x", 300)
	assert.Len(t, []rune(display.Name(client)), 100)
	assert.Equal(t, "xn--pple-43d.com:8443", display.Host("https://XN--pple-43d.com:8443/x"))
}

// What a page shows of a client beside its name are addresses that a browser may go to,
// in the person's language; the logo of a client that registered itself is one of the
// host that the answer goes to.
func TestDisplayLinks(t *testing.T) {
	const callback = "https://app.example/cb"
	client := func(source string, m models.ClientMetadata) *oauthtest.Client {
		return &oauthtest.Client{ClientMixin: models.ClientMixin{ClientID: "id", ClientSource: source, ClientMetadata: m}}
	}
	own := models.ClientMetadata{
		LogoURI: "https://APP.example/logo.png", ClientURI: "https://www.app.example/", PolicyURI: "https://legal.example/privacy", TosURI: "https://legal.example/terms",
		Extra: map[string]json.RawMessage{
			"policy_uri#de": json.RawMessage(`"https://legal.example/datenschutz"`), "policy_uri#ja": json.RawMessage(`"javascript:alert(1)"`),
			"logo_uri#de": json.RawMessage(`"https://cdn.example/logo.png"`), "tos_uri#de": json.RawMessage(`1`),
		},
	}
	all := display.Links{Logo: own.LogoURI, Home: own.ClientURI, Policy: own.PolicyURI, Terms: own.TosURI}
	german := all
	german.Policy = "https://legal.example/datenschutz"
	for _, source := range []string{models.ClientByHand, models.ClientByRegistration, models.ClientByDocument} {
		c := client(source, own)
		assert.Equal(t, all, display.LinksOf(c, callback), source)
		assert.Equal(t, all, display.LinksOf(c, callback, "ja", "fr"), "%s: a bad address in a language is none", source)
		german.Logo = map[bool]string{true: "https://cdn.example/logo.png", false: own.LogoURI}[source == models.ClientByHand]
		assert.Equal(t, german, display.LinksOf(c, callback, "DE"), source)
		assert.Equal(t, all, (&server.ConsentGrant{Client: c, RedirectURI: callback}).Links())

		for _, elsewhere := range []string{"https://app.example:8443/cb", "https://app.example.evil.example/cb", "com.example.app:/cb", "https:app.example", ""} {
			links := display.LinksOf(c, elsewhere)
			assert.Equal(t, source == models.ClientByHand, links.Logo != "", "%s %q", source, elsewhere)
			assert.Equal(t, all.Policy, links.Policy)
		}
		for _, bad := range []string{"javascript:alert(1)", "data:image/png,x", "http://app.example/", "https://user@app.example/", "https://аpp.example/", "//app.example/", ""} {
			assert.Equal(t, display.Links{}, display.LinksOf(client(source, models.ClientMetadata{LogoURI: bad, ClientURI: bad, PolicyURI: bad, TosURI: bad}), callback), "%s %q", source, bad)
		}
		assert.Empty(t, display.LinksOf(client(source, models.ClientMetadata{LogoURI: "https://[2001:db8::1]/logo.png"}), "https://[2001:db8::1]/cb").Logo, "which no policy can have")
	}
}

func TestPolicySource(t *testing.T) {
	assert.Equal(t, "https://app.example", display.PolicySource("https://app.example/x"))
	assert.Equal(t, "cursor:", display.PolicySource("cursor://x/y"))
	assert.Empty(t, display.PolicySource(scriptedHost))
	assert.Empty(t, display.PolicySource("javascript:x"))
}

// A description names what was sent, in characters that it may have.
func TestExcerpt(t *testing.T) {
	for text, want := range map[string]string{
		"https://app.example/%20": "https://app.example/%20", "а": "%D0%B0", "\x00\"'\\\u202e": "%00%22%27%5C%E2%80%AE", "": "",
		strings.Repeat("x", 200): strings.Repeat("x", 100) + "...",
	} {
		assert.Equal(t, want, display.Excerpt(text))
	}
	fault := clientmeta.Fault{Member: "redirect_uris", Value: strings.Repeat("x", 5000), Problem: "is bad"}
	assert.Less(t, len(fault.String()), 200)
}
