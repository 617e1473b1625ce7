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
	onward := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, end+"/?"+r.URL.RawQuery, http.StatusFound)
	}
	web := site(t, map[string]http.HandlerFunc{"/callback": onward, "/bye": onward})
	address := startExample(t)
	for name, client := range map[string]struct{ redirectURI, bye, arrives string }{
		"a private scheme":               {"cursor://anysphere.cursor-mcp/oauth/callback", "cursor://anysphere.cursor-mcp/bye", "cursor://anysphere.cursor-mcp/"},
		"a client that leads on further": {web + "/callback", web + "/bye", end + "/?"},
	} {
		t.Run(name, func(t *testing.T) {
			browser := newBrowser(t)
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
			signInAs := []chromedp.Action[chromedp.Void]{
				chromedp.WaitVisible(`#password`), chromedp.SendKeys(`#username`, "alice"), chromedp.SendKeys(`#password`, "wonderland"), chromedp.Click(signIn),
			}
			press := func(button string) []chromedp.Action[chromedp.Void] {
				return []chromedp.Action[chromedp.Void]{chromedp.WaitVisible(button), chromedp.Click(button)}
			}
			// Each form is on a tab of its own: on the last one Chromium may still ask
			// whether to open the app, and takes no clicks meanwhile.
			leads := func(to, from string, steps ...[]chromedp.Action[chromedp.Void]) {
				t.Helper()
				tab, closeTab := chromedp.NewContext(browser)
				defer closeTab()
				requests := make(chan string, 100)
				require.NoError(t, chromedp.Do(tab, chromedp.Navigate("about:blank")))
				require.NoError(t, chromedp.Listen(tab, func(event any) {
					if sent, ok := event.(*network.EventRequestWillBeSent); ok && strings.HasPrefix(sent.Request.URL, client.arrives) {
						requests <- sent.Request.URL
					}
				}))
				require.NoError(t, chromedp.Do(tab, chromedp.Navigate(from)))
				for _, step := range steps {
					require.NoError(t, chromedp.Do(tab, step...))
				}
				select {
				case request := <-requests:
					require.Contains(t, request, to)
				case <-time.After(10 * time.Second):
					t.Fatal("the form does not lead to the client")
				}
			}
			allow, deny, account := press(`button[value=yes]`), press(`button[value=no]`), press(`form[action="/accounts"] button`)
			leads("error=access_denied", authorize(""), signInAs, deny)
			leads("code=", authorize(""), allow)
			// What was allowed is not asked again, so these forms lead straight there.
			leads("code=", authorize("&prompt=select_account"), account)
			leads("code=", authorize("&prompt=login"), signInAs)
			leads("state=out", address+"/oauth/end_session?"+url.Values{"client_id": {registration.ID}, "post_logout_redirect_uri": {client.bye}, "state": {"out"}}.Encode(), allow)
		})
	}
}
