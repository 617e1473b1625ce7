package weburi_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/weburi"
)

// What a URI may look like, and what is wrong with one that may not. An empty problem
// is a URI that is taken.
func TestParse(t *testing.T) {
	for uri, problem := range map[string]string{
		"https://app.example.com/cb":                        "",
		"https://app.example.com":                           "",
		"https://app.example.com:8443/a/b?x=y&z=%20#f":      "",
		"https://xn--pple-43d.com/cb":                       "",
		"https://LOCALHOST/cb":                              "",
		"https://XN--Bcher-KVA.example/":                    "",
		"https://xn--wgv71a119e.xn--fa-hia.example/":        "",
		"cursor://xn--ls8h/cb":                              "",
		"https://xn--a/cb":                                  "punycode", // U+0080
		"https://xn--99999999.com/cb":                       "punycode", // beyond all characters
		"https://app.xn--zz.example/cb":                     "punycode", // that ends too soon
		"https://xn--/cb":                                   "punycode",
		"https://[127.0.0.1]/cb":                            "not an absolute URI",
		"https://[::1%25lo]/cb":                             "in brackets",
		"https://app.example./cb":                           "not a domain name",
		"https://app.example.1/cb":                          "IPv4",
		"https://xn--abc-/cb":                               "host", // which stands for abc
		"https://xn--abc-a.example/cb":                      "punycode",
		"https://xn--lca.example/cb":                        "punycode", // a capital
		"https://xn--a-ecp.example/cb":                      "punycode", // a dot that is none
		"https://xn--a-xbb.example/cb":                      "punycode", // two characters where one would do
		"https://xn--a-wbb.example/cb":                      "punycode", // a mark on nothing
		"https://xn--a-pin.example/cb":                      "punycode", // what turns text around
		"https://xn--ab-1ca.example/cb":                     "punycode", // a space
		"com.example.app://xn--a/cb":                        "punycode",
		"https://r3---sn-x.example/":                        "",
		"https://127.0.0.1:1/":                              "",
		"http://[::1]:8081/cb":                              "",
		"https://[2001:db8::1]/":                            "",
		"https://app.example/?filter[]=a":                   "",
		"cursor://anysphere.cursor-mcp/oauth/callback":      "",
		"raycast://oauth?package_name=mcp_server_(dev)":     "",
		"kiro://kiro.kiroAgent/authenticate-success":        "",
		"com.example.app:/cb":                               "",
		"com.example.app:///cb":                             "",
		"com.example.app:cb":                                "",
		"com.example.app://login_callback":                  "",
		"com.example.app://1.2/cb":                          "",
		"urn:example:api":                                   "",
		"javascript:alert(1)":                               "", // which is a URI, and no redirect URI
		"":                                                  "not an absolute URI",
		"/cb":                                               "not an absolute URI",
		"//app.example/cb":                                  "not an absolute URI",
		"app.example/cb":                                    "not an absolute URI",
		"127.0.0.1:8081/cb":                                 "not an absolute URI",
		":::":                                               "not an absolute URI",
		"1a://x":                                            "not an absolute URI",
		"https:":                                            "has no host",
		"https:app.example":                                 "has no host",
		"https:/app.example/cb":                             "has no host",
		"https:///app.example/cb":                           "has no host",
		"https://:443/cb":                                   "has a host",
		"https://аpple.com/cb":                              "not ASCII",
		"https://app.example/ü":                             "not ASCII",
		"https://app.example/\u202e":                        "not ASCII",
		"https://app.example/\xff":                          "not ASCII",
		"https://app。example/":                              "not ASCII",
		"https://%D0%B0pple.com/cb":                         "host",
		"https://ex%61mple.com/":                            "not an absolute URI",
		"https://a;b/":                                      "host",
		"https://a'b/":                                      "host",
		"https://a,b/":                                      "host",
		"https://a(b)/":                                     "host",
		"https://a_b.example/":                              "host",
		"https://-a.example/":                               "host",
		"https://a-.example/":                               "host",
		"https://a..example/":                               "host",
		"https://a.example./":                               "host",
		"https://.a.example/":                               "host",
		"https://*.a.example/":                              "host",
		"https://" + strings.Repeat("a", 64) + ".example/":  "host",
		"https://" + strings.Repeat("a.", 130) + "example/": "host",
		"https://[::1%25%20;script-src%20'unsafe-inline'%20;x]/": "without a zone",
		"https://[fe80::1%25eth0]/":                              "without a zone",
		"https://[::1%eth0]/":                                    "character that is not allowed in a URI",
		"https://[v1.x]/":                                        "correct its host",
		"https://[127.0.0.1]/":                                   "correct its host",
		"https://[]/":                                            "correct its host",
		"https://2130706433/":                                    "IPv4",
		"https://127.1/":                                         "IPv4",
		"https://0x7f.0.0.1/":                                    "IPv4",
		"https://127.0.0.0x1/":                                   "IPv4",
		"https://0177.0.0.1/":                                    "IPv4",
		"https://256.0.0.1/":                                     "IPv4",
		"https://app.example.0x/":                                "IPv4",
		"https://u@app.example/":                                 "user name",
		"https://@app.example/":                                  "user name",
		"https://app.example@evil.example/":                      "user name",
		"com.example.app://u:p@x/cb":                             "user name",
		"https://app.example:0/":                                 "port",
		"https://app.example:/":                                  "port",
		"https://app.example:65536/":                             "port",
		"https://app.example:0443/":                              "port",
		"http://[::1]:/":                                         "port",
		"https://app.example:x/":                                 "correct its host or its port",
		"https://app.example/ x":                                 "character that is not allowed in a URI",
		"https://app.example/\r\nX: y":                           "character that is not allowed in a URI",
		"https://app.example/\x00":                               "character that is not allowed in a URI",
		"https://app.example/\t":                                 "character that is not allowed in a URI",
		" https://app.example/":                                  "character that is not allowed in a URI",
		"https://app.example\\@evil.example/":                    "character that is not allowed in a URI",
		`https://app.example/"`:                                  "character that is not allowed in a URI",
		"https://app.example/<script>":                           "character that is not allowed in a URI",
		"https://app.example/`":                                  "character that is not allowed in a URI",
		"https://app.example/{x}":                                "character that is not allowed in a URI",
		"https://app.example/?a|b":                               "character that is not allowed in a URI",
		"https://app.example/%":                                  "character that is not allowed in a URI",
		"https://app.example/?%zz":                               "character that is not allowed in a URI",
		"https://app.example/?%4":                                "character that is not allowed in a URI",
	} {
		u, err := weburi.Parse(uri)
		if problem == "" {
			require.NoError(t, err, uri)
			assert.NotEmpty(t, u.Scheme, uri)
			continue
		}
		assert.ErrorContains(t, err, problem, uri)
	}
}

func TestParseAddress(t *testing.T) {
	for uri, good := range map[string]bool{
		"https://app.example/x": true, "http://127.0.0.1:8081/": true, "http://localhost/": true, "http://[::1]/": true, "HTTPS://app.example/": true,
		"http://app.example/": false, "http://127.0.0.1.example/": false, "http://localhost.example/": false, "http://[2001:db8::1]/": false,
		"cursor://x/": false, "javascript:alert(1)": false, "ftp://app.example/": false, "/x": false,
	} {
		_, err := weburi.ParseAddress(uri)
		assert.Equal(t, good, err == nil, uri)
	}
}

// Schemes that start programs or scripts, in any case, and those beside them that do
// not.
func TestStartsPrograms(t *testing.T) {
	for _, scheme := range []string{
		"javascript", "JavaScript", "data", "blob", "file", "about", "vbscript", "view-source", "chrome", "mailto", "search-ms", "search", "ms-msdt",
		"ms-settings", "MS-Word", "filesystem", "jar", "resource", "moz-extension", "chrome-extension", "safari-web-extension", "extension", "edge",
		"microsoft-edge", "microsoft.windows.camera", "opera", "tel", "sms", "ws", "wss", "ftp", "intent", "android-app", "shell", "steam", "itms-services",
		"x-apple.systempreferences", "content",
		// All of the list, as none of them has a sibling that would be missed in its place.
		"livescript", "mocha", "srcdoc", "mhtml", "mk", "res", "cid", "mid", "wyciwyg", "devtools", "brave", "vivaldi", "browser", "feed", "pcast",
		"hcp", "help", "applescript", "shortcuts", "workflow", "jnlp", "jnlps", "clsid", "ldap", "ldaps", "market", "itms", "itmss", "ssh", "telnet",
		"rlogin", "tn3270", "vnc", "rdp", "smb", "afp", "nfs", "dav", "davs", "webcal", "magnet", "smsto", "mms", "mmsto", "callto", "sip", "sips",
		"facetime", "facetime-audio", "geo", "news", "snews", "nntp", "ftps", "sftp", "gopher",
	} {
		assert.True(t, weburi.StartsPrograms(scheme), scheme)
		assert.False(t, weburi.IsPrivateUseScheme(scheme), scheme)
	}
	for _, scheme := range []string{"cursor", "vscode", "com.example.app", "msal1234", "myapp", "web+app", "databricks", "steamy", "file2", "oauth-data"} {
		assert.False(t, weburi.StartsPrograms(scheme), scheme)
		assert.True(t, weburi.IsPrivateUseScheme(scheme), scheme)
	}
	for _, scheme := range []string{"", "http", "https", "Cursor", "cursor:", "1a", "a b", "ü"} {
		assert.False(t, weburi.IsPrivateUseScheme(scheme), scheme)
	}
}

func TestSource(t *testing.T) {
	for uri, want := range map[string]string{
		"https://app.example/callback?a=b":                       "https://app.example",
		"https://APP.example:8443/":                              "https://app.example:8443",
		"http://127.0.0.1:8081/callback":                         "http://127.0.0.1:8081",
		"https://xn--bcher-kva.example:8443/cb/":                 "https://xn--bcher-kva.example:8443",
		"com.example.app:/callback":                              "com.example.app:",
		"cursor://host/path":                                     "cursor:",
		"http://[::1]:8081/callback":                             "",
		"https://a;script-src.example/":                          "",
		"https://a,b.example/":                                   "",
		"https://a'b.example/":                                   "",
		"https://[::1%25%20;script-src%20'unsafe-inline'%20;x]/": "",
		"javascript:alert(1)":                                    "",
		"data:text/html,x":                                       "",
		"/x":                                                     "",
	} {
		assert.Equal(t, want, weburi.Source(uri), uri)
	}
}

func TestDisplay(t *testing.T) {
	for uri, want := range map[string]string{
		"https://xn--pple-43d.com/cb": "xn--pple-43d.com", "https://APP.example:8443/x": "app.example:8443", "http://[::1]:1/": "[::1]:1",
		"cursor://google.com/x": "cursor:", "com.example.app:/x": "com.example.app:", "https://аpple.com/cb": "", "/x": "",
	} {
		assert.Equal(t, want, weburi.Display(uri), uri)
	}
}

// What is taken can be written anywhere: it means the same to a strict reader, and its
// source and its host have a small alphabet.
func FuzzParse(f *testing.F) {
	for _, uri := range []string{"https://app.example/cb", "https://[::1%25%20;x]/", "https://аpple.com", "cursor://a_b/c", "x:", "https://1.2.3.4:5/#", "https://a;b/"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		u, err := weburi.Parse(uri)
		if err != nil {
			assert.Empty(t, weburi.Source(uri)+weburi.Display(uri))
			return
		}
		assert.Empty(t, strings.Trim(strings.ToLower(u.Host), "abcdefghijklmnopqrstuvwxyz0123456789-._:[]"), uri)
		assert.Empty(t, strings.Trim(weburi.Source(uri), "abcdefghijklmnopqrstuvwxyz0123456789-.+:/"), uri)
		assert.False(t, strings.ContainsFunc(uri, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"\\<>`{}|^", c) }), uri)
		again, err := url.Parse(u.String())
		require.NoError(t, err)
		assert.Equal(t, u.Host, again.Host)
	})
}
