package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func webClient() url.Values {
	return form("client_name", "Photo album", "type", "web", "redirect_uris", "https://photos.example/callback\r\nhttp://127.0.0.1/cb", "scope", "openid", "scope", "profile")
}

func TestClientIsCreatedAndItsSecretShownOnce(t *testing.T) {
	t.Parallel()
	b := startProgram(t).signedIn(t, "alice", "wonderland")
	created := b.post("/clients", webClient())
	created.want(t, http.StatusCreated, "Photo album", "Copy the secret now.")
	id, secret := created.find(t, `id="client-id">([^<]+)<`), created.find(t, `id="client-secret"[^>]*>([^<]+)<`)

	home := b.get("/")
	home.want(t, http.StatusOK, id, "Photo album", "https://photos.example/callback", "http://127.0.0.1/cb", "client_secret_basic", "openid profile")
	if strings.Contains(home.body, secret) {
		t.Error("the secret is shown again")
	}
	// The right secret gets as far as the code; the wrong one does not.
	exchange := form("grant_type", "authorization_code", "code", "x")
	b.tokenRequest(id, secret, exchange).want(t, http.StatusBadRequest, "invalid_grant")
	b.tokenRequest(id, "wrong", exchange).want(t, http.StatusUnauthorized, "invalid_client")

	rotated := b.post("/clients/"+id+"/secret", nil)
	rotated.want(t, http.StatusOK, "New client secret")
	b.tokenRequest(id, secret, exchange).want(t, http.StatusUnauthorized, "invalid_client")
	secret = rotated.find(t, `id="client-secret"[^>]*>([^<]+)<`)
	b.tokenRequest(id, secret, exchange).want(t, http.StatusBadRequest, "invalid_grant")
}

func TestPublicClientAndService(t *testing.T) {
	t.Parallel()
	b := startProgram(t).signedIn(t, "alice", "wonderland")
	public := b.post("/clients", form("client_name", "Phone app", "type", "public", "redirect_uris", "com.example.app:/callback"))
	public.want(t, http.StatusCreated, "it has no secret")
	if strings.Contains(public.body, "client-secret") {
		t.Error("a public client has a secret")
	}
	id := public.find(t, `id="client-id">([^<]+)<`)
	b.post("/clients/"+id+"/secret", nil).want(t, http.StatusNotFound)

	service := b.post("/clients", form("client_name", "Nightly job", "type", "service", "scope", "profile"))
	service.want(t, http.StatusCreated)
	id, secret := service.find(t, `id="client-id">([^<]+)<`), service.find(t, `id="client-secret"[^>]*>([^<]+)<`)
	credentials := form("grant_type", "client_credentials", "scope", "profile")
	token := b.token(t, id, secret, credentials)
	call := func() answer {
		return b.do(http.MethodGet, "/api/me", nil, http.Header{"Authorization": {"Bearer " + token}})
	}
	call().want(t, http.StatusOK, id)

	// Deleting the client takes its tokens with it.
	b.post("/clients/"+id+"/delete", nil).wantRedirect(t, "/")
	b.get("/").want(t, http.StatusOK, "Nightly job” was deleted")
	if strings.Contains(b.get("/").body, "Nightly job") {
		t.Error("the client, or the notice of its end, is still there")
	}
	call().want(t, http.StatusUnauthorized)
	b.tokenRequest(id, secret, credentials).want(t, http.StatusUnauthorized)
}

func TestOnlyTheOwnerTouchesAClient(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	alice, bob := p.signedIn(t, "alice", "wonderland"), p.signedIn(t, "bob", "builder")
	id := alice.post("/clients", webClient()).find(t, `id="client-id">([^<]+)<`)
	if strings.Contains(bob.get("/").body, id) {
		t.Error("bob sees a client of alice")
	}
	for _, of := range []string{id, "demo-web", "nobody", "a%00b", "%ff", strings.Repeat("a", 5000)} {
		bob.post("/clients/"+of+"/secret", nil).want(t, http.StatusNotFound)
		bob.post("/clients/"+of+"/delete", nil).want(t, http.StatusNotFound)
	}
	alice.get("/").want(t, http.StatusOK, id)
}

func TestClientFormFaults(t *testing.T) {
	t.Parallel()
	b := startProgram(t).signedIn(t, "alice", "wonderland")
	for name, tt := range map[string]struct {
		field, value, want string
	}{
		"no name":           {"client_name", " ", "Give the application a name."},
		"long name":         {"client_name", strings.Repeat("ä", 101), "longer than 100 characters"},
		"invisible":         {"client_name", "Bank\u202ekcab", "is invisible"},
		"no type":           {"type", "", "what kind of application"},
		"odd type":          {"type", "admin", "what kind of application"},
		"no redirect URI":   {"redirect_uris", " \n ", "at least one redirect URI"},
		"relative":          {"redirect_uris", "/callback", "is not an absolute URI"},
		"plain http":        {"redirect_uris", "http://photos.example/", "must be https"},
		"script":            {"redirect_uris", "javascript:alert(1)", "starts programs or scripts"},
		"fragment":          {"redirect_uris", "https://photos.example/#x", "has a fragment"},
		"wildcard":          {"redirect_uris", "https://*.photos.example/", "wildcard"},
		"long redirect URI": {"redirect_uris", "https://photos.example/" + strings.Repeat("a", 2000), "2000 characters at most"},
		"many":              {"redirect_uris", strings.Repeat("https://photos.example/\n", 11), "10 redirect URIs at most"},
		"unknown scope":     {"scope", "admin", "no such permission"},
	} {
		t.Run(name, func(t *testing.T) {
			values := webClient()
			values.Set(tt.field, tt.value)
			answer := b.post("/clients", values)
			answer.want(t, http.StatusUnprocessableEntity, "The client was not created", tt.want)
			if tt.field != "client_name" {
				answer.want(t, http.StatusUnprocessableEntity, `value="Photo album"`) // what was typed is kept
			}
		})
	}
	b.post("/clients", form("client_name", "x", "type", "service", "redirect_uris", "https://photos.example/")).
		want(t, http.StatusUnprocessableEntity, "A service has no redirect URIs")
	b.post("/clients", form("client_name", "a\x00b")).want(t, http.StatusBadRequest)
	b.get("/").want(t, http.StatusOK, "You have no clients yet.")
}

func TestNamesAreEscaped(t *testing.T) {
	t.Parallel()
	b := startProgram(t).signedIn(t, "alice", "wonderland")
	values := webClient()
	values.Set("client_name", `<img src=x onerror="x">`)
	id := b.post("/clients", values).find(t, `id="client-id">([^<]+)<`)
	consent := b.get("/oauth/authorize?" + form("client_id", id, "response_type", "code", "redirect_uri", "https://photos.example/callback",
		"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method", "S256").Encode())
	consent.want(t, http.StatusOK, "&lt;img src=x", "photos.example")
	for _, answer := range []answer{consent, b.get("/")} {
		if strings.Contains(answer.body, "<img src=x") {
			t.Errorf("a client's name is HTML:\n%s", answer.body)
		}
	}
}
