package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func fromSite(site string) http.Header {
	return http.Header{"Sec-Fetch-Site": {site}, "Origin": {"https://evil.example"}}
}

// Nothing is granted, denied or signed out but by the button of the page that asked, by
// the person whom it asked.
func TestOnlyTheButtonOfThePageDecides(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	alice, bob := p.signedIn(t, "alice", "wonderland"), p.signedIn(t, "bob", "builder")
	path := authorizePath("demo-spa")
	action, hidden := alice.get(path).consentForm(t)
	yes := func(more ...string) url.Values {
		values := form(more...)
		for name := range hidden {
			values.Set(name, hidden.Get(name))
		}
		values.Set("confirm", "yes")
		return values
	}
	for rule, send := range map[string]func() answer{
		"no field":              func() answer { return alice.post(action, form("confirm", "yes")) },
		"no field, and a no":    func() answer { return alice.post(action, form("confirm", "no")) },
		"a field that is none":  func() answer { return alice.post(action, form("confirm", "yes", "decision", "x")) },
		"bob with alice's page": func() answer { return bob.post(action, yes()) },
		"another request":       func() answer { return alice.post(strings.Replace(action, "state=a%26b", "state=c", 1), yes()) },
		"all in the address":    func() answer { return alice.post(action+"&"+yes().Encode(), nil) },
		"another site": func() answer {
			return alice.do(http.MethodPost, action, strings.NewReader(yes().Encode()), fromSite("cross-site"))
		},
		"another host of the site": func() answer {
			return alice.do(http.MethodPost, action, strings.NewReader(yes().Encode()), fromSite("same-site"))
		},
		"by GET": func() answer { return alice.get(action + "&" + yes().Encode()) },
		"by HEAD from another site": func() answer {
			return alice.do(http.MethodHead, action+"&"+yes().Encode(), nil, fromSite("cross-site"))
		},
		"by OPTIONS": func() answer {
			return alice.do(http.MethodOptions, action+"&"+yes().Encode(), nil, fromSite("cross-site"))
		},
		"by PUT": func() answer { return alice.do(http.MethodPut, action, strings.NewReader(yes().Encode()), nil) },
	} {
		answer := send()
		if location := answer.header.Get("Location"); location != "" && !strings.HasPrefix(location, "/oauth/authorize?") || strings.Contains(location, "decision") {
			t.Errorf("%s: it leads to %q", rule, location)
		}
		if answer.status == http.StatusOK && answer.body != "" && !strings.Contains(answer.body, "asks for access") {
			t.Errorf("%s: the page is not shown:\n%s", rule, answer.body)
		}
	}
	var codes int64
	if err := p.database(t).Model(&AuthorizationCode{}).Count(&codes).Error; err != nil || codes != 0 {
		t.Fatalf("%d codes, %v", codes, err)
	}
	alice.post(action, form("confirm", "yes")).want(t, http.StatusOK, "This has changed since you were asked", "asks for access")
	if redirected(t, alice.post(action, yes())).Get("code") == "" {
		t.Error("the button of the page does nothing")
	}
}

// A client that changes between the page and the click gets nothing, at whatever address.
func TestAClientThatChangesUnderThePage(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	alice := p.signedIn(t, "alice", "wonderland")
	path := authorizePath("demo-spa")
	// OpenID Connect asks for a redirect_uri; OAuth takes the one that is registered.
	path = strings.NewReplacer("&redirect_uri="+url.QueryEscape(demoRedirectURI), "", "openid+", "").Replace(path)
	action, hidden := alice.get(path).consentForm(t)
	db := p.database(t)
	var client Client
	if err := db.Where("client_id = ?", "demo-spa").First(&client).Error; err != nil {
		t.Fatal(err)
	}
	client.ClientMetadata.RedirectURIs = []string{"https://evil.example/cb"}
	if err := db.Save(&client).Error; err != nil {
		t.Fatal(err)
	}
	hidden.Set("confirm", "yes")
	alice.post(action, hidden).want(t, http.StatusOK, "evil.example", "This has changed since you were asked")
}

// A device is let in by the button of the page as well.
func TestOnlyTheButtonConnectsADevice(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	alice, bob := p.signedIn(t, "alice", "wonderland"), p.signedIn(t, "bob", "builder")
	var codes struct {
		UserCode   string `json:"user_code"`
		DeviceCode string `json:"device_code"`
	}
	answer := alice.post("/oauth/device_authorization", form("client_id", "demo-device", "scope", "profile"))
	if err := json.Unmarshal([]byte(answer.body), &codes); err != nil {
		t.Fatal(err)
	}
	action, hidden := alice.post("/device", form("user_code", codes.UserCode)).consentForm(t)
	hidden.Set("confirm", "yes")
	alice.post("/device", form("user_code", codes.UserCode, "confirm", "yes")).want(t, http.StatusOK, "This has changed since you were asked", "asks for access")
	alice.post("/device", form("user_code", codes.UserCode, "confirm", "no")).want(t, http.StatusOK, "asks for access")
	bob.post(action, hidden).want(t, http.StatusOK, "asks for access")
	alice.do(http.MethodPost, action, strings.NewReader(hidden.Encode()), fromSite("cross-site")).want(t, http.StatusForbidden)
	alice.get("/device?"+hidden.Encode()).want(t, http.StatusOK, "Code on your device")
	poll := form("grant_type", deviceCodeGrantType, "client_id", "demo-device", "device_code", codes.DeviceCode)
	alice.post("/oauth/token", poll).want(t, http.StatusBadRequest, "authorization_pending")
	alice.post(action, hidden).want(t, http.StatusOK, "Your device is connected")
}

// What a client posts and is too long for an address travels on, also through sign-in,
// as a request_uri.
func TestALongRequestByPOST(t *testing.T) {
	t.Parallel()
	b := startProgram(t).visit(t)
	path, query, _ := strings.Cut(authorizePath("demo-spa"), "?")
	request, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	state := strings.Repeat("{}", 2500)
	request.Set("state", state)
	sent := b.do(http.MethodPost, path, strings.NewReader(request.Encode()), fromSite("cross-site"))
	sent.want(t, http.StatusSeeOther)
	address := sent.header.Get("Location")
	if !strings.HasPrefix(address, path+"?client_id=demo-spa&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3A") || len(address) > 300 {
		t.Fatalf("it leads to %q", address)
	}
	b.get(address).wantRedirect(t, "/login?next="+url.QueryEscape(address))
	b.post("/login", form("username", "alice", "password", "wonderland", "next", address)).wantRedirect(t, address)
	if granted := redirected(t, b.decide(address, form("confirm", "yes"))); granted.Get("code") == "" || granted.Get("state") != state {
		t.Errorf("granted %.200v", granted)
	}
	b.get(address).want(t, http.StatusBadRequest, "was already used or has expired") // who goes back is told so
}

// Choosing an account is no sign-in.
func TestChoosingAnAccountIsNoSignIn(t *testing.T) {
	t.Parallel()
	b := startProgram(t).signedIn(t, "alice", "wonderland")
	path := authorizePath("demo-spa") + "&prompt=login"
	toLogin := "/login?" + url.Values{"again": {""}, "next": {path}}.Encode()
	b.get(path).wantRedirect(t, toLogin)
	b.post("/accounts", form("next", path)).wantRedirect(t, path)
	b.get(path).wantRedirect(t, toLogin)
}

// Nobody is led to a client that registered itself, be it by an error or by a sign-out.
func TestNobodyIsLedToARegisteredClient(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	b := p.visit(t)
	answer := b.do(http.MethodPost, "/oauth/register", strings.NewReader(`{"client_name":"Lure","redirect_uris":["https://lure.example/cb"],
		"post_logout_redirect_uris":["https://lure.example/bye"],"token_endpoint_auth_method":"none","scope":"openid"}`), http.Header{"Content-Type": {"application/json"}})
	answer.want(t, http.StatusCreated)
	id := answer.find(t, `"client_id":"([^"]+)"`)
	lure := strings.NewReplacer("demo-spa", id, url.QueryEscape(demoRedirectURI), url.QueryEscape("https://lure.example/cb"), "openid+profile", "openid").Replace(authorizePath("demo-spa"))
	b.get(lure+"&response_type=x").want(t, http.StatusBadRequest)
	b.get(strings.Replace(lure, "response_type=code", "response_type=magic", 1)).
		want(t, http.StatusBadRequest, "This request cannot be answered", `<a class="button" href="https://lure.example/cb?error=unsupported_response_type&amp;`, "Back to lure.example")
	b.get(lure+"&id_token_hint=x").want(t, http.StatusBadRequest)
	if location := b.get(lure + "&prompt=none").header.Get("Location"); !strings.HasPrefix(location, "https://lure.example/cb?error=login_required&") {
		t.Errorf("prompt=none leads to %q", location)
	}

	out := "/oauth/end_session?" + form("client_id", id, "post_logout_redirect_uri", "https://lure.example/bye").Encode()
	b.get(out).want(t, http.StatusOK, "You are signed out", `href="https://lure.example/bye"`, "Continue to lure.example")
	alice := p.signedIn(t, "alice", "wonderland")
	page := alice.get(out + "&id_token_hint=garbage&confirm=yes")
	page.want(t, http.StatusOK, "Sign out?", "Lure")
	action, hidden := page.consentForm(t)
	alice.post(action, form("confirm", "yes")).want(t, http.StatusOK, "Sign out?")
	alice.do(http.MethodPost, action, strings.NewReader("confirm=yes&decision="+url.QueryEscape(hidden.Get("decision"))), fromSite("cross-site")).
		want(t, http.StatusSeeOther)
	alice.get("/").want(t, http.StatusOK, "Hello, Alice Liddell")
	hidden.Set("confirm", "yes")
	alice.post(action, hidden).wantRedirect(t, "https://lure.example/bye")
	alice.get("/activity").wantRedirect(t, "/login")
}
