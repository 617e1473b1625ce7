package display_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/display"
)

// nameless is a client of a model that says nothing but its id.
type nameless string

func (n nameless) GetClientID() string { return string(n) }

func TestName(t *testing.T) {
	metadata := models.ClientMetadata{ClientName: "Plain", Extra: map[string]json.RawMessage{
		"client_name#ja": []byte(`"日本"`), "client_name#DE": []byte(`"Deutsch"`), "client_name#fr": []byte(`7`), "client_name#it": []byte(`"\u200b"`), "client_uri#ja": []byte(`"x"`),
	}}
	named := &models.ClientMixin{ClientID: "id", ClientMetadata: metadata}
	for _, c := range []struct {
		client    display.Client
		languages []string
		want      string
	}{
		{named, nil, "Plain"},
		{named, []string{"ja", "de"}, "日本"},
		{named, []string{"de", "ja"}, "Deutsch"},
		{named, []string{"fr", "it", "es"}, "Plain"},
		{&models.ClientMixin{ClientID: "id"}, []string{"ja"}, "id"},
		{&models.ClientMixin{ClientID: "id", ClientMetadata: models.ClientMetadata{ClientName: " \u200b"}}, nil, "id"},
		{nameless("id\u202E"), []string{"ja"}, "id"},
		{nameless("https://app.example:8443/client.json"), nil, "app.example:8443"},
	} {
		assert.Equal(t, c.want, display.Name(c.client, c.languages...), c)
	}
}

func TestLinksOf(t *testing.T) {
	all := models.ClientMetadata{
		LogoURI: "https://app.example/logo", ClientURI: "https://app.example/", PolicyURI: "https://app.example/policy", TosURI: "https://app.example/terms",
		Extra: map[string]json.RawMessage{
			"logo_uri#ja": []byte(`"https://app.example/ja/logo"`), "client_uri#ja": []byte(`"https://app.example/ja"`), "policy_uri#ja": []byte(`"https://app.example/ja/policy"`),
			"tos_uri#ja": []byte(`"https://app.example/ja/terms"`), "client_uri#de": []byte(`"javascript:x"`),
		},
	}
	plain := display.Links{Logo: all.LogoURI, Home: all.ClientURI, Policy: all.PolicyURI, Terms: all.TosURI}
	logoless := plain
	logoless.Logo = ""
	const redirectURI = "https://app.example/cb"
	client := func(source string, metadata models.ClientMetadata) display.Client {
		return &models.ClientMixin{ClientSource: source, ClientMetadata: metadata}
	}
	for rule, c := range map[string]struct {
		client      display.Client
		redirectURI string
		languages   []string
		want        display.Links
	}{
		"of a client that registered itself": {client(models.ClientByRegistration, all), redirectURI, nil, plain},
		"the logo of another host":           {client(models.ClientByRegistration, all), "https://other.example/cb", nil, logoless},
		"a redirect URI without a host":      {client(models.ClientByDocument, all), "app:/cb", nil, logoless},
		"the operator's client, anywhere":    {client(models.ClientByHand, all), "https://other.example/cb", nil, plain},
		"in a language":                      {client(models.ClientByHand, all), redirectURI, []string{"ja"}, display.Links{Logo: plain.Logo[:20] + "ja/logo", Home: plain.Home + "ja", Policy: plain.Home + "ja/policy", Terms: plain.Home + "ja/terms"}},
		"in a language with a bad address":   {client(models.ClientByHand, all), redirectURI, []string{"de"}, plain},
		"what is no web address":             {client(models.ClientByHand, models.ClientMetadata{LogoURI: "x", ClientURI: "javascript:x", PolicyURI: "http://a.example", TosURI: "//a"}), redirectURI, nil, display.Links{}},
		"a logo that no policy can allow":    {client(models.ClientByHand, models.ClientMetadata{LogoURI: "http://[::1]/logo"}), redirectURI, nil, display.Links{}},
		"of a model that has none":           {nameless("id"), redirectURI, nil, display.Links{}},
	} {
		assert.Equal(t, c.want, display.LinksOf(c.client, c.redirectURI, c.languages...), rule)
	}
}

func TestWhatAStrangerWroteIsShown(t *testing.T) {
	long := strings.Repeat("a", 100)
	for text, want := range map[string]string{
		"": "", strings.Join([]string{"a", "b", ""}, "\t\n "): "a b", "a\u202Eb\u200B": "ab", long: long, long + "b": long[:99] + "…", long[:98] + " bc": long[:98] + "…", long[:99] + " ": long[:99],
		"e" + strings.Repeat("\u0301", 6): "e" + strings.Repeat("\u0301", 4), "\xff": "",
		long[:97] + "👩\u200D🚀x": long[:97] + "👩…",
	} {
		assert.Equal(t, want, display.Text(text), "%+q", text)
	}
	for text, want := range map[string]string{
		"": "", "a b~": "a b~", `"'\`: "%22%27%5C", "\x1f\x7fä": "%1F%7F%C3%A4", long: long, long + "b": long + "...", long[:99] + "äb": long[:99] + "%C3...",
	} {
		assert.Equal(t, want, display.Excerpt(text), "%+q", text)
	}
	for uri, want := range map[string]string{"https://app.example/cb?a=b": "https://app.example/cb?a=b", "cursor://x": "cursor://x", "https://ä.example/": "https://%C3%A4.example/"} {
		assert.Equal(t, want, display.URI(uri))
	}
}
