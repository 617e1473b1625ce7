package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const apacheModules = "/usr/lib/apache2/modules"

// startApache runs Apache with mod_auth_openidc before one page. Without it the test
// is skipped, unless GORMOAUTH_TEST_REQUIRE has the word apache.
func startApache(t *testing.T, address, port string, client registered) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "www"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "www", "index.html"), []byte("<h1>the protected page</h1>"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "www", "bye.html"), []byte("<h1>signed out of the application</h1>"), 0o644))
	for parent := dir; parent != os.TempDir() && parent != "/"; parent = filepath.Dir(parent) {
		require.NoError(t, os.Chmod(parent, 0o755))
	}
	var config strings.Builder
	for _, module := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "auth_openidc"} {
		fmt.Fprintf(&config, "LoadModule %s_module %s/mod_%s.so\n", module, apacheModules, module)
	}
	fmt.Fprintf(&config, `
ServerName 127.0.0.1
Listen 127.0.0.1:%[2]s
User www-data
Group www-data
ServerRoot %[1]s
DefaultRuntimeDir %[1]s
PidFile %[1]s/httpd.pid
ErrorLog %[1]s/error.log
LogLevel warn
DocumentRoot %[1]s/www
OIDCProviderMetadataURL %[3]s/.well-known/openid-configuration
OIDCClientID %[4]s
OIDCClientSecret %[5]s
OIDCRedirectURI http://127.0.0.1:%[2]s/protected/redirect
OIDCCryptoPassphrase "a passphrase of the test's own"
OIDCScope "openid profile email"
OIDCPKCEMethod S256
OIDCSSLValidateServer Off
OIDCRemoteUserClaim preferred_username
<Directory %[1]s/www>
  Require all granted
</Directory>
Alias /protected %[1]s/www
<Location /protected>
  AuthType openid-connect
  <RequireAll>
    Require valid-user
    Require claim preferred_username:alice
    Require claim email:alice@example.com
  </RequireAll>
</Location>
`, dir, port, address, client.ID, client.Secret)
	text := "LoadModule alias_module " + apacheModules + "/mod_alias.so\n" + config.String()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "httpd.conf"), []byte(text), 0o600))
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "/usr/sbin/apache2", "-f", filepath.Join(dir, "httpd.conf"), "-DFOREGROUND")
	output := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = output, output
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Logf("%s\n%s", output, log)
		}
	})
	for range 100 {
		connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = connection.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("Apache does not listen: %s", output)
}

// Apache's mod_auth_openidc protects a page with the example, and locks it again once
// the person has signed out: there, or here.
func TestApache(t *testing.T) {
	if _, err := os.Stat(filepath.Join(apacheModules, "mod_auth_openidc.so")); err != nil {
		if strings.Contains(os.Getenv("GORMOAUTH_TEST_REQUIRE"), "apache") {
			t.Fatal("Apache's mod_auth_openidc is not installed")
		}
		t.Skip("Apache's mod_auth_openidc is not installed")
	}
	address := startExample(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	site := "http://127.0.0.1:" + port
	startApache(t, address, port, register(t, address, map[string]any{
		"redirect_uris": []string{site + "/protected/redirect"}, "post_logout_redirect_uris": []string{site + "/bye.html"},
		"backchannel_logout_uri": site + "/protected/redirect?logout=backchannel", "backchannel_logout_session_required": true,
	}))

	p := newPerson(t)
	visit := func(address string) string {
		answer, page := p.do(http.MethodGet, address, nil)
		for range 4 {
			if answer.Request.URL.Host == "127.0.0.1:"+port {
				break
			}
			action, values := p.answer(page)
			require.NotEmpty(t, action, page)
			target, err := answer.Request.URL.Parse(action)
			require.NoError(t, err)
			answer, page = p.do(http.MethodPost, target.String(), values)
		}
		return page
	}
	assert.Contains(t, visit(site+"/protected/index.html"), "the protected page", "after sign-in and consent")
	open := func(p *person) bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, site+"/protected/index.html", http.NoBody)
		require.NoError(t, err)
		stay := *p.http
		stay.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		answer, err := stay.Do(r)
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		_, _ = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode == http.StatusOK
	}
	require.True(t, open(p))

	// Signing out there signs out here, and leads back.
	page := visit(site + "/protected/redirect?" + url.Values{"logout": {site + "/bye.html"}}.Encode())
	assert.Contains(t, page, "signed out of the application")
	require.False(t, open(p))
	answer, _ := p.do(http.MethodGet, address+"/", nil)
	assert.Equal(t, http.StatusOK, answer.StatusCode)
	root, err := url.Parse(address)
	require.NoError(t, err)
	assert.Empty(t, sessionOf(p.http.Jar.(*cookiejar.Jar), root), "the session here is over")

	// Signing out here locks the page there, by the back channel.
	assert.Contains(t, visit(site+"/protected/index.html"), "the protected page")
	require.True(t, open(p))
	answer, _ = p.do(http.MethodPost, address+"/logout", url.Values{})
	require.Equal(t, http.StatusOK, answer.StatusCode)
	assert.Eventually(t, func() bool { return !open(p) }, 10*time.Second, 50*time.Millisecond)
}

func sessionOf(jar *cookiejar.Jar, root *url.URL) (values []string) {
	for _, cookie := range jar.Cookies(root) {
		if cookie.Name == "session" {
			values = append(values, cookie.Value)
		}
	}
	return values
}
