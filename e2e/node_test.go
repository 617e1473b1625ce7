package e2e

import (
	"bufio"
	"context"
	"embed"
	"encoding/json"
	"encoding/pem"
	"html"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Clients that this project did not write, in Node.js.
//
//go:embed node/*.js node/*.json
var nodeClients embed.FS

// installNode returns a directory with the clients and their packages, which
// the lock file pins.
func installNode(t *testing.T) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	version, _ := exec.CommandContext(t.Context(), "node", "--version").Output()
	if err != nil || !regexp.MustCompile(`^v[2-9]\d\.`).Match(version) {
		const lacking = "npm, and Node.js from version 20, are not installed"
		if strings.Contains(os.Getenv("GORMOAUTH_TEST_REQUIRE"), "node") {
			t.Fatal(lacking)
		}
		t.Skip(lacking)
	}
	files, err := fs.Sub(nodeClients, "node")
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, files))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir, install.WaitDelay = dir, time.Second
	output, err := install.CombinedOutput()
	require.NoError(t, err, string(output))
	return dir
}

func TestClientsInNode(t *testing.T) {
	dir := installNode(t)
	document, authority := serveDocument(t, callback)
	t.Setenv("SSL_CERT_FILE", authority) // which the example trusts, to fetch it
	address, fapi := startExample(t), startExample(t, "-fapi")
	for name, command := range map[string][]string{
		"openid-client": {"openid.js", address}, "oauth4webapi": {"oauth4webapi.js", address}, "oauth4webapi, FAPI 2.0": {"fapi.js", fapi},
		"MCP, by registration": {"mcp.js", address}, "MCP, by its document": {"mcp.js", address, document},
	} {
		t.Run(name, func(t *testing.T) {
			converse(t, "node", append([]string{filepath.Join(dir, command[0]), command[1], callback}, command[2:]...)...)
		})
	}
}

// converse runs a client that asks for a person at a browser ("open ADDRESS") and
// says at the end that it is "done".
func converse(t *testing.T, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = time.Second
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var failure strings.Builder
	cmd.Stderr = &failure
	require.NoError(t, cmd.Start())
	done, p := false, newPerson(t)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		word, argument, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "open":
			_, err := stdin.Write([]byte(p.agree(argument) + "\n"))
			require.NoError(t, err)
		case "done":
			done = true
		}
	}
	require.NoError(t, cmd.Wait(), failure.String())
	require.True(t, done)
}

// serveDocument serves the metadata of a client, and returns its address and a
// file with the certificate by which it is served.
func serveDocument(t *testing.T, callback string) (clientID, certificate string) {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"client_id": clientID, "client_name": "MCP client", "redirect_uris": []string{callback}, "token_endpoint_auth_method": "none",
			"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
		})
	}))
	t.Cleanup(s.Close)
	clientID = s.URL + "/client-metadata.json"
	certificate = filepath.Join(t.TempDir(), "certificate.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}
	require.NoError(t, os.WriteFile(certificate, pem.EncodeToMemory(block), 0o600))
	return clientID, certificate
}

// person is somebody at a browser without scripts who agrees to everything.
type person struct {
	t    *testing.T
	http *http.Client
}

func newPerson(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &person{t, &http.Client{Jar: jar, Timeout: 10 * time.Second, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.Path, "/callback") {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

var (
	formPattern  = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	inputPattern = regexp.MustCompile(`<input[^>]*name="([^"]*)"[^>]*value="([^"]*)"`)
)

// agree opens an address, signs in where that is asked, and agrees. It returns
// where that leads: to the client, or to a page that asks nothing more.
func (p *person) agree(address string) string {
	p.t.Helper()
	answer, page := p.do(http.MethodGet, address, nil)
	const steps = 4
	for range steps {
		if location := answer.Header.Get("Location"); location != "" {
			return location
		}
		action, values := p.answer(page)
		if action == "" {
			break
		}
		target, err := answer.Request.URL.Parse(action)
		require.NoError(p.t, err)
		answer, page = p.do(http.MethodPost, target.String(), values)
	}
	return answer.Request.URL.String()
}

// answer fills in the form that a page is about.
func (p *person) answer(page string) (action string, values url.Values) {
	p.t.Helper()
	for _, form := range formPattern.FindAllStringSubmatch(page, -1) {
		values = make(url.Values)
		for _, input := range inputPattern.FindAllStringSubmatch(form[2], -1) {
			values.Set(html.UnescapeString(input[1]), html.UnescapeString(input[2]))
		}
		switch {
		case strings.Contains(form[2], `name="password"`):
			values.Set("username", "alice")
			values.Set("password", "wonderland")
		case strings.Contains(form[2], `name="confirm"`):
			values.Set("confirm", "yes")
		case strings.Contains(form[2], `name="user_code"`):
		default:
			continue
		}
		return html.UnescapeString(form[1]), values
	}
	return "", nil
}

func (p *person) do(method, address string, values url.Values) (answer *http.Response, page string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, address, strings.NewReader(values.Encode()))
	require.NoError(p.t, err)
	r.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err = p.http.Do(r)
	require.NoError(p.t, err)
	defer func() { _ = answer.Body.Close() }()
	var body strings.Builder
	_, err = bufio.NewReader(answer.Body).WriteTo(&body)
	require.NoError(p.t, err)
	return answer, body.String()
}
