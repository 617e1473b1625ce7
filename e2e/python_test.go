package e2e

import (
	"context"
	"embed"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

// Clients and APIs that this project did not write, in Python.
//
//go:embed python/*.py python/requirements.txt
var pythonClients embed.FS

// installPython returns a directory with the clients, and the interpreter that has
// their packages.
func installPython(t *testing.T) (dir, python string) {
	t.Helper()
	found, err := exec.LookPath("python3")
	if err == nil {
		err = exec.CommandContext(t.Context(), found, "-c", "import ensurepip, sys; sys.exit(sys.version_info < (3, 10))").Run()
	}
	if err != nil {
		const lacking = "Python 3.10 with venv is not installed"
		if strings.Contains(os.Getenv("GORMOAUTH_TEST_REQUIRE"), "python") {
			t.Fatal(lacking)
		}
		t.Skip(lacking)
	}
	files, err := fs.Sub(pythonClients, "python")
	require.NoError(t, err)
	dir = t.TempDir()
	require.NoError(t, os.CopyFS(dir, files))
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	for _, command := range [][]string{
		{found, "-m", "venv", filepath.Join(dir, "venv")},
		{filepath.Join(dir, "venv", "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "-r", filepath.Join(dir, "requirements.txt")},
	} {
		output, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
		require.NoError(t, err, string(output))
	}
	return dir, filepath.Join(dir, "venv", "bin", "python")
}

// freePort is a port on which nothing listens.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

func TestClientsInPython(t *testing.T) {
	dir, python := installPython(t)
	port := freePort(t)
	mcp := "http://127.0.0.1:" + port + "/mcp"
	address := startExample(t, "-resource", mcp)
	t.Run("Authlib's registry", func(t *testing.T) {
		for _, client := range [][2]string{{"demo-web", "demo-web-secret"}, {"demo-post", "demo-post-secret"}} {
			converse(t, python, filepath.Join(dir, "authlib_registry.py"), address, client[0], client[1], callback)
		}
	})
	t.Run("FastMCP introspects", func(t *testing.T) {
		converse(t, python, filepath.Join(dir, "fastmcp_introspection.py"), address, accessToken(t, address, ""), accessToken(t, address, mcp), "nobody-issued-this")
	})
	t.Run("FastMCP signs in by itself", func(t *testing.T) {
		converse(t, python, filepath.Join(dir, "fastmcp_oauth.py"), address, port)
	})
}

// accessToken has the person sign in with demo-web, for the resource, or for the
// example's own API where it is empty.
func accessToken(t *testing.T, address, resource string) string {
	t.Helper()
	conf := oauth2.Config{
		ClientID: "demo-web", ClientSecret: "demo-web-secret", RedirectURL: callback, Scopes: []string{"openid", "profile", "email"},
		Endpoint: oauth2.Endpoint{AuthURL: address + "/oauth/authorize", TokenURL: address + "/oauth/token"},
	}
	verifier := oauth2.GenerateVerifier()
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}
	if resource != "" {
		options = append(options, oauth2.SetAuthURLParam("resource", resource))
	}
	token, err := conf.Exchange(t.Context(), code(t, newPerson(t), conf.AuthCodeURL("state", options...), "state"), oauth2.VerifierOption(verifier))
	require.NoError(t, err)
	return token.AccessToken
}

// golang.org/x/oauth2 without an AuthStyle tries HTTP Basic first, and repeats each
// request that failed with the secret in the body. It is told the true reason, and
// stale refresh tokens are no guesses at its secret.
func TestXOAuth2WithoutAuthStyle(t *testing.T) {
	address := startExample(t)
	for _, client := range [][2]string{{"demo-web", "demo-web-secret"}, {"demo-post", "demo-post-secret"}, {"demo-spa", ""}} {
		t.Run(client[0], func(t *testing.T) {
			conf := oauth2.Config{
				ClientID: client[0], ClientSecret: client[1], RedirectURL: callback, Scopes: []string{"openid", "profile", "offline_access"},
				Endpoint: oauth2.Endpoint{AuthURL: address + "/oauth/authorize", TokenURL: address + "/oauth/token"},
			}
			verifier := oauth2.GenerateVerifier()
			exchange := func() (*oauth2.Token, error) {
				return conf.Exchange(t.Context(), code(t, newPerson(t), conf.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)), "state"), oauth2.VerifierOption(verifier))
			}
			token, err := exchange()
			require.NoError(t, err)
			refreshed, err := conf.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
			require.NoError(t, err)
			require.NotEmpty(t, refreshed.AccessToken)
			const stale = 110
			for range stale {
				// Each source has its own memory of what worked, as a program that starts anew.
				conf := conf
				_, err := conf.TokenSource(t.Context(), &oauth2.Token{RefreshToken: "stale"}).Token()
				var refused *oauth2.RetrieveError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, "invalid_grant", refused.ErrorCode, string(refused.Body))
			}
			_, err = exchange()
			require.NoError(t, err, "nobody guessed a secret")
		})
	}
	t.Run("a wrong secret is still a guess", func(t *testing.T) {
		wrong := func() int {
			answer, err := http.PostForm(address+"/oauth/token", url.Values{
				"grant_type": {"client_credentials"}, "client_id": {"demo-service"}, "client_secret": {"a guess"},
			})
			require.NoError(t, err)
			defer func() { _ = answer.Body.Close() }()
			return answer.StatusCode
		}
		const guesses = 120
		limited := false
		for range guesses {
			limited = limited || wrong() == http.StatusTooManyRequests
		}
		require.True(t, limited)
	})
}
