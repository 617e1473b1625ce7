package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// A form that ends at a client leads wherever the client leads on to: Chromium holds
// form-action against every hop, so these pages have none. Each form is followed to an
// app's private scheme, and to a client that sends the browser on to another origin.
func TestFormsThatEndAtAClient(t *testing.T) {
	end := site(t, map[string]http.HandlerFunc{"/": page("<h1>the end</h1>")})
	onward := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, end+"/?"+r.URL.RawQuery, http.StatusFound) }
	web := site(t, map[string]http.HandlerFunc{"/callback": onward, "/bye": onward})
	address := startExample(t)
	for name, client := range map[string]struct{ redirectURI, bye, arrives string }{
		"a private scheme":               {"cursor://anysphere.cursor-mcp/oauth/callback", "cursor://anysphere.cursor-mcp/bye", "cursor://anysphere.cursor-mcp/"},
		"a client that leads on further": {web + "/callback", web + "/bye", end + "/?"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := newBrowser(t)
			requests := make(chan string, 1000)
			require.NoError(t, chromedp.Listen(ctx, func(event any) {
				if sent, ok := event.(*network.EventRequestWillBeSent); ok && strings.HasPrefix(sent.Request.URL, client.arrives) {
					requests <- sent.Request.URL
				}
			}))
			registration := register(t, address, map[string]any{
				"redirect_uris": []string{client.redirectURI}, "post_logout_redirect_uris": []string{client.bye},
				"application_type": "native", "token_endpoint_auth_method": "client_secret_basic",
			})
			authorize := func(more string) string {
				return address + "/oauth/authorize?" + url.Values{
					"response_type": {"code"}, "client_id": {registration.ID}, "redirect_uri": {client.redirectURI}, "scope": {"openid profile"}, "state": {"xyz"},
					"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
				}.Encode() + more
			}
			arrives := func(with string) {
				t.Helper()
				select {
				case request := <-requests:
					require.Contains(t, request, with)
				case <-time.After(10 * time.Second):
					t.Fatal("the form does not lead to the client")
				}
			}
			signInAs := func() []chromedp.Action[chromedp.Void] {
				return []chromedp.Action[chromedp.Void]{
					chromedp.WaitVisible(`#password`), chromedp.SendKeys(`#username`, "alice"), chromedp.SendKeys(`#password`, "wonderland"), chromedp.Click(signIn),
				}
			}
			do := func(actions ...chromedp.Action[chromedp.Void]) {
				t.Helper()
				require.NoError(t, chromedp.Do(ctx, actions...))
			}

			do(chromedp.Navigate(authorize("")))
			do(signInAs()...)
			do(chromedp.WaitVisible(`button[value=no]`), chromedp.Click(`button[value=no]`))
			arrives("error=access_denied")
			do(chromedp.Navigate(authorize("")), chromedp.WaitVisible(`button[value=yes]`), chromedp.Click(`button[value=yes]`))
			arrives("code=")

			// Consent is remembered, so the form of the account choice leads straight there,
			do(chromedp.Navigate(authorize("&prompt=select_account")), chromedp.WaitVisible(`form[action="/accounts"] button`), chromedp.Click(`form[action="/accounts"] button`))
			arrives("code=")
			// and so does the form of the sign-in.
			do(chromedp.Navigate(authorize("&prompt=login")))
			do(signInAs()...)
			arrives("code=")

			do(
				chromedp.Navigate(address+"/oauth/end_session?"+url.Values{"client_id": {registration.ID}, "post_logout_redirect_uri": {client.bye}, "state": {"out"}}.Encode()),
				chromedp.WaitVisible(`button[value=yes]`), chromedp.Click(`button[value=yes]`),
			)
			arrives("state=out")
		})
	}
}
