package e2e

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

// startExample builds and runs the example on a free port.
func startExample(t *testing.T, args ...string) (address string) {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "example")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./example")
	build.Dir = ".."
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))

	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, append(args, "-addr", "127.0.0.1:0", "-db", filepath.Join(dir, "example.db"))...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		assert.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		assert.NoError(t, cmd.Wait())
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(line)
	require.NotEmpty(t, address, line)
	return address
}

// newBrowser starts Chromium. Without it the test is skipped, unless
// GORMOAUTH_TEST_REQUIRE has the word chromium.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil && strings.Contains(os.Getenv("GORMOAUTH_TEST_REQUIRE"), "chromium") {
		t.Fatal("chromium is not installed")
	}
	if err != nil {
		t.Skip("chromium is not installed")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(1280, 844)))
	// Only now: a time limit on the first call would end the browser with it.
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// listen is the client's redirect URI. It passes on the query of each visit.
func listen(t *testing.T) (callback string, visits <-chan url.Values) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	queries := make(chan url.Values, 10)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/callback" {
			queries <- r.URL.Query()
		}
		_, _ = io.WriteString(w, "<h1>the client</h1>")
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String() + "/callback", queries
}

// screenshot keeps pictures of the page, to be looked at, in the folder that
// GORMOAUTH_SCREENSHOTS names or else among the temporary files.
func screenshot(name string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		dir := cmp.Or(os.Getenv("GORMOAUTH_SCREENSHOTS"), filepath.Join(os.TempDir(), "gormoauth-screenshots"))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		for size, width := range map[string]int64{"desktop": 1280, "phone": 390} {
			if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 844)); err != nil {
				return err
			}
			picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, name+"-"+size+".png"), picture, 0o600); err != nil {
				return err
			}
		}
		return chromedp.Do(ctx, chromedp.EmulateViewport(1280, 844))
	})
}

const signIn = `form[action="/login"] button[type=submit]`

func TestAPersonInABrowser(t *testing.T) {
	ctx := newBrowser(t)
	callback, visits := listen(t)
	address := startExample(t)
	authorize := address + "/oauth/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {"demo-spa"}, "redirect_uri": {callback}, "scope": {"openid profile email offline_access"}, "state": {"xyz"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
		"authorization_details": {`[{"type":"payment","amount":"12.50","currency":"EUR","creditor":"Hatter & Sons"}]`},
	}.Encode()

	require.NoError(t, chromedp.Do(ctx,
		chromedp.Navigate(address+"/"), screenshot("landing"),
		chromedp.Navigate(authorize),
		chromedp.WaitVisible(`#password`), screenshot("sign-in"),
		chromedp.SendKeys(`#username`, "alice"), chromedp.SendKeys(`#password`, "not it"), chromedp.Click(signIn),
		chromedp.WaitVisible(`[role=alert]`), screenshot("sign-in-failed"),
		chromedp.SendKeys(`#password`, "wonderland"), chromedp.Click(signIn),
		chromedp.WaitVisible(`button[value=yes]`), screenshot("consent"),
	))
	text, err := chromedp.Run(ctx, chromedp.Text(`main`))
	require.NoError(t, err)
	assert.Contains(t, text, "Alice Liddell", "the page says who is asked")
	assert.Contains(t, text, "Pay 12.50 EUR to Hatter & Sons", "and for what")

	require.NoError(t, chromedp.Do(ctx, chromedp.Click(`button[value=no]`), chromedp.WaitVisible(`//h1[text()="the client"]`)))
	denied := <-visits
	assert.Equal(t, "access_denied", denied.Get("error"))
	assert.Equal(t, "xyz", denied.Get("state"))

	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(authorize), chromedp.Click(`button[value=yes]`), chromedp.WaitVisible(`//h1[text()="the client"]`)))
	granted := <-visits
	assert.NotEmpty(t, granted.Get("code"))
	assert.Equal(t, address, granted.Get("iss"))
	redeem(t, address, callback, granted.Get("code"))

	require.NoError(t, chromedp.Do(ctx,
		chromedp.Navigate(address+"/"), chromedp.WaitVisible(`#client_name`), screenshot("home"),
		chromedp.SendKeys(`#client_name`, "Browser client"), chromedp.SendKeys(`#redirect_uris`, callback),
		chromedp.Submit(`#client_name`),
		chromedp.WaitVisible(`#client-secret`), screenshot("secret"),
	))
	secret, err := chromedp.Run(ctx, chromedp.Text(`#client-secret`))
	require.NoError(t, err)
	require.NoError(t, chromedp.Do(ctx,
		chromedp.Navigate(address+"/"), chromedp.WaitVisible(`#client_name`), screenshot("home-with-client"),
	))
	page, err := chromedp.Run(ctx, chromedp.OuterHTML(`html`))
	require.NoError(t, err)
	userCode := deviceCode(t, address)
	require.NoError(t, chromedp.Do(ctx,
		chromedp.Navigate(address+"/device"), chromedp.WaitVisible(`#user_code`), screenshot("device"),
		chromedp.SendKeys(`#user_code`, "bbbb-bbbb"), chromedp.Submit(`#user_code`),
		chromedp.WaitVisible(`[role=alert]`), screenshot("device-unknown"),
		chromedp.Navigate(address+"/device?user_code="+userCode), chromedp.WaitVisible(`#user_code`), chromedp.Submit(`#user_code`),
		chromedp.WaitVisible(`button[value=yes]`), screenshot("device-consent"),
		chromedp.Click(`button[value=yes]`), chromedp.WaitVisible(`//h1[text()="Your device is connected"]`), screenshot("device-connected"),
	))

	require.NoError(t, chromedp.Do(ctx,
		chromedp.Navigate(address+"/oauth/authorize?client_id=nobody"), chromedp.WaitVisible(`h1`), screenshot("error"),
	))
	assert.Regexp(t, `^goa_cs_[A-Z2-7]{59}$`, secret)
	assert.NotContains(t, page, secret, "the secret is shown once")
	assert.Contains(t, page, "Browser client")
}

// deviceCode has a device ask for a user code.
func deviceCode(t *testing.T, address string) (userCode string) {
	t.Helper()
	conf := oauth2.Config{ClientID: "demo-device", Scopes: []string{"profile"}, Endpoint: oauth2.Endpoint{
		DeviceAuthURL: address + "/oauth/device_authorization", AuthStyle: oauth2.AuthStyleInParams,
	}}
	codes, err := conf.DeviceAuth(t.Context())
	require.NoError(t, err)
	return codes.UserCode
}

// redeem exchanges the code, so that an application with access is on the page.
func redeem(t *testing.T, address, callback, code string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/oauth/token", strings.NewReader(url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"demo-spa"}, "code": {code}, "redirect_uri": {callback},
		"code_verifier": {"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
	}.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, response.StatusCode, string(body))
}
