package e2e

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// relyingParty is an application that takes part in sign-in and sign-out, and notes
// who comes along.
func relyingParty(t *testing.T) (site string, callbacks, logouts <-chan url.Values) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	called, ended := make(chan url.Values, 10), make(chan url.Values, 10)
	mux := http.NewServeMux()
	mux.HandleFunc("/callback", func(w http.ResponseWriter, r *http.Request) {
		called <- r.URL.Query()
		_, _ = io.WriteString(w, "<h1>the client</h1>")
	})
	mux.HandleFunc("/frontchannel", func(w http.ResponseWriter, r *http.Request) {
		ended <- r.URL.Query()
		_, _ = io.WriteString(w, "ended")
	})
	mux.HandleFunc("/bye", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<h1>good bye</h1>") })
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: mux}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String(), called, ended
}

// Sign-in, account choice, consent, consent that is remembered, and sign-out that the
// applications learn of, as a person sees them.
func TestOpenIDInABrowser(t *testing.T) {
	ctx := newBrowser(t)
	site, callbacks, logouts := relyingParty(t)
	address := startExample(t)
	client := register(t, address, map[string]any{
		"client_name": "Mad Tea Party", "redirect_uris": []string{site + "/callback"},
		"post_logout_redirect_uris": []string{site + "/bye"}, "frontchannel_logout_uri": site + "/frontchannel", "frontchannel_logout_session_required": true,
	})
	authorize := func(more string) string {
		query := url.Values{
			"response_type": {"code"}, "client_id": {client.ID}, "redirect_uri": {site + "/callback"}, "scope": {"openid profile"}, "state": {"xyz"}, "nonce": {"n"},
			"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
		}
		return address + "/oauth/authorize?" + query.Encode() + more
	}
	const theClient = `//h1[text()="the client"]`
	arrived := func() url.Values {
		t.Helper()
		select {
		case query := <-callbacks:
			return query
		case <-time.After(10 * time.Second):
			t.Fatal("the browser does not come back")
			return nil
		}
	}
	page := func() string {
		t.Helper()
		text, err := chromedp.Run(ctx, chromedp.Text(`main`))
		require.NoError(t, err)
		return text
	}

	// Sign-in with a hint, and consent with a claim that no scope covers.
	require.NoError(t, chromedp.Do(ctx,
		chromedp.Navigate(authorize("&login_hint=alice&claims="+url.QueryEscape(`{"userinfo":{"email":null}}`))),
		chromedp.WaitVisible(`#password`), screenshot("openid-sign-in"),
	))
	name, err := chromedp.Run(ctx, chromedp.Value(`#username`))
	require.NoError(t, err)
	assert.Equal(t, "alice", name)
	require.NoError(t, chromedp.Do(ctx,
		chromedp.SendKeys(`#password`, "wonderland"), chromedp.Click(signIn),
		chromedp.WaitVisible(`button[value=yes]`), screenshot("openid-consent"),
	))
	assert.Contains(t, page(), "Mad Tea Party asks for access")
	assert.Contains(t, page(), "Know your email")
	require.NoError(t, chromedp.Do(ctx, chromedp.Click(`button[value=yes]`), chromedp.WaitVisible(theClient)))
	assert.NotEmpty(t, arrived().Get("code"))

	// What was allowed is not asked about again; more is.
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(authorize("")), chromedp.WaitVisible(theClient)))
	assert.NotEmpty(t, arrived().Get("code"), "at once")
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(authorize("&prompt=consent")), chromedp.WaitVisible(`button[value=no]`)))

	// Account choice: go on with the one that is signed in, or with another.
	require.NoError(t, chromedp.Do(ctx,
		chromedp.Navigate(authorize("&prompt=select_account")),
		chromedp.WaitVisible(`form[action="/accounts"] button`), screenshot("openid-accounts"),
		chromedp.Click(`form[action="/accounts"] button`), chromedp.WaitVisible(theClient),
	))
	assert.NotEmpty(t, arrived().Get("code"))
	require.NoError(t, chromedp.Do(ctx,
		chromedp.Navigate(authorize("&prompt=select_account&x=y")),
		chromedp.WaitVisible(`form[action="/login"] button`), chromedp.Click(`form[action="/login"] button`),
		chromedp.WaitVisible(`#password`), chromedp.SendKeys(`#username`, "bob"), chromedp.SendKeys(`#password`, "builder"), chromedp.Click(signIn),
		chromedp.WaitVisible(`button[value=yes]`),
	))
	assert.Contains(t, page(), "Bob Baumeister", "who has not consented yet")
	require.NoError(t, chromedp.Do(ctx, chromedp.Click(`button[value=yes]`), chromedp.WaitVisible(theClient)))
	assert.NotEmpty(t, arrived().Get("code"))

	// What was allowed, on the person's page.
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(address+"/"), chromedp.WaitVisible(`#permissions`), screenshot("openid-home")))
	assert.Contains(t, page(), "Mad Tea Party")

	// Sign-out, as a link of the application's asks for it. Nobody has shown that the
	// link is the application's, so the person is asked; in a frame it then learns of it.
	require.NoError(t, chromedp.Do(ctx,
		chromedp.Navigate(address+"/oauth/end_session?"+url.Values{"client_id": {client.ID}, "post_logout_redirect_uri": {site + "/bye"}}.Encode()),
		chromedp.WaitVisible(`button[value=yes]`), screenshot("openid-sign-out"),
	))
	assert.Contains(t, page(), "Mad Tea Party asks you to sign out")
	require.NoError(t, chromedp.Do(ctx, chromedp.Click(`button[value=yes]`), chromedp.WaitVisible(`//h1[text()="good bye"]`)))
	select {
	case query := <-logouts:
		assert.Equal(t, address, query.Get("iss"))
		assert.Len(t, query.Get("sid"), 43)
	case <-time.After(10 * time.Second):
		t.Fatal("the application was not told")
	}
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(authorize("&prompt=none")), chromedp.WaitVisible(theClient)))
	assert.Equal(t, "login_required", arrived().Get("error"))
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(address+"/oauth/end_session"), chromedp.WaitVisible(`//h1[text()="You are signed out"]`), screenshot("openid-signed-out")))
}
