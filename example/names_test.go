package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// consentFor is the consent page of a client that asks to be answered at the URI.
func consentFor(b *visitor, clientID, redirectURI string) answer {
	return b.get("/oauth/authorize?" + form("response_type", "code", "client_id", clientID, "redirect_uri", redirectURI,
		"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method", "S256").Encode())
}

// People see where they return to in letters that look like no others.
func TestHostsAreShownInPunycode(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	uris := []string{"https://xn--pple-43d.com/cb", "cursor://apple.com/cb", "http://127.0.0.1:8081/cb"}
	id := register(t, p.address, map[string]any{"client_name": "Orchard", "redirect_uris": uris}).text("client_id")
	b := p.signedIn(t, "alice", "wonderland")
	for i, want := range []string{"<dd>xn--pple-43d.com</dd>", "<dd>an app on this device (cursor:)</dd>", "<dd>a program on this device (127.0.0.1:8081)</dd>"} {
		consentFor(b, id, uris[i]).want(t, http.StatusOK, want)
	}
}

// What stands in a row of somebody else's is neither shown nor used as it is.
func TestARowThatIsOlderThanTheRules(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	b := p.signedIn(t, "alice", "wonderland")
	id := b.post("/clients", webClient()).find(t, `id="client-id">([^<]+)<`)
	var client Client
	db := p.database(t)
	if err := db.Where("client_id = ?", id).First(&client).Error; err != nil {
		t.Fatal(err)
	}
	const good, cyrillic = "https://photos.example/callback", "https://аpple.com/cb"
	client.ClientMetadata.ClientName = "Bank\u202e\x00\u3164" + strings.Repeat("x", 5000)
	client.ClientMetadata.RedirectURIs = []string{good, cyrillic, "javascript:alert(1)"}
	if err := db.Save(&client).Error; err != nil {
		t.Fatal(err)
	}
	shown := "<bdi>Bank" + strings.Repeat("x", 95) + "…</bdi>"
	consentFor(b, id, good).want(t, http.StatusOK, shown+" asks for access", "<dd>photos.example</dd>")
	b.get("/").want(t, http.StatusOK, shown, "<code>https://%D0%B0pple.com/cb</code>", "<code>javascript:alert(1)</code>")
	for _, uri := range []string{cyrillic, "javascript:alert(1)"} {
		for _, refused := range []answer{consentFor(b, id, uri), b.post("/oauth/authorize?"+form("response_type", "code", "client_id", id, "redirect_uri", uri,
			"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method", "S256").Encode(), url.Values{"confirm": {"yes"}})} {
			refused.want(t, http.StatusBadRequest, "The client cannot use its")
			if location := refused.header.Get("Location"); location != "" {
				t.Errorf("%s led to %q", uri, location)
			}
		}
	}
}
