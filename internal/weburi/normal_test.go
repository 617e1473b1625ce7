package weburi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/internal/weburi"
)

// Spellings of one URI (RFC 3986 sections 6.2.2 and 6.2.3), the normal one first. No two
// lines are the same.
func TestNormal(t *testing.T) {
	seen := make(map[string]string)
	for line := range strings.Lines(`
https://api.example/ https://api.example HTTPS://API.Example https://api.example:443 https://api.example:/ https://api.example/. https://api.example/.. https://api.example/a/..
http://api.example/ http://api.example:80/ http://API.EXAMPLE:80
https://api.example:80/
http://api.example:443/
https://api.example:8443/ https://API.example:8443
https://api.example/? https://api.example?
https://api.example/?q=1 https://api.example?q=1 https://api.example:443?q=%31
https://api.example/?q=1#f
https://api.example/?Q=1
https://api.example/?a=../b
https://api.example/v1 https://api.example/%761 https://api.example/v%31 https://api.example/./v1 https://api.example/x/../v1 https://api.example/../v1 https://api.example/%2E%2e/v1
https://api.example/v1/ https://api.example/v1/. https://api.example/v1/x/..
https://api.example//v1 https://api.example/.//v1
https://api.example//
https://api.example/V1
https://api.example/a/b https://api.example/a/./b https://api.example/a/c/../b
https://api.example/a%2Fb https://api.example/a%2fb https://API.example/%61%2fb
https://api.example/a%252Fb
https://api.example/a%252fb
https://api.example/a%252fb%2F
https://api.example/a%3Fb https://api.example/a%3fb
https://api.example/a?b
https://api.example/a%23b
https://api.example/a%20b
https://api.example/a+b
https://api.example/a%2Bb
https://api.example/~a-b_c.d https://api.example/%7ea%2Db%5Fc%2Ed
https://api.example/.../a
https://api.example/a.
https://[2001:db8::1]/ https://[2001:DB8::1] https://[2001:db8::1]:443
https://[2001:db8::1]:8443/
com.example.app://host/ COM.example.APP://HOST
urn:example:api
URN:example:api
demo-api
Demo-api
https:/api.example/
https:api.example
https:///
https://
https://:443/
://api.example/
1a://api.example/
/v1
https://a:1:/
https://A:1:/
https://[::1/
https://[::1
https://[fe80::1%25eth0]/
https://user@api.example/
https://User@api.example/
https://api.example:8443x/
https://API.example:8443x/
https://api;example/
https://API;example/
https://аpi.example/
https://аpi.example
https://api.example/%
https://api.example/%4
https://api.example/%zz
https://api.example/%ZZ
https://api.example/"
https://api.example/%22
https://api.example/\..\v1
https://api.example\@evil.example/
https://api.example%2F
https://api.example%2f
https://ap%69.example/
`) {
		spellings := strings.Fields(line)
		if len(spellings) == 0 {
			continue
		}
		for _, spelling := range spellings {
			assert.Equal(t, spellings[0], weburi.Normal(spelling), spelling)
		}
		assert.Empty(t, seen[spellings[0]])
		seen[spellings[0]] = line
	}
	assert.Empty(t, weburi.Normal(""))
	for c := range 256 { // each byte in its one spelling
		escaped := fmt.Sprintf("%%%02x", c)
		want := strings.ToUpper(escaped)
		if unreserved := c < 0x80 && strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", rune(c)); unreserved {
			want = string(rune(c))
		}
		assert.Equal(t, "https://a.example/x"+want, weburi.Normal("https://a.example/x"+escaped), escaped)
	}
	assert.Equal(t, "HTTPS://api.example/\x00", weburi.Normal("HTTPS://api.example/\x00"), "what is not a URI stays as it is")
	assert.Equal(t, "HTTPS://api.example/a b", weburi.Normal("HTTPS://api.example/a b"))
}

func FuzzNormal(f *testing.F) {
	for _, seed := range []string{"https://api.example/a/../%2e%2E/%2f?x#y", "HTTP://[::1]:80", "urn:x", "https://a:b@c/", "x://%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		once := weburi.Normal(uri)
		if twice := weburi.Normal(once); twice != once {
			t.Fatalf("%q became %q, which became %q", uri, once, twice)
		}
		if strings.Count(strings.ToUpper(once), "%2F") != strings.Count(strings.ToUpper(uri), "%2F") && !strings.Contains(uri, ".") && !strings.Contains(strings.ToUpper(uri), "%2E") {
			t.Fatalf("%q became %q, which has another number of encoded slashes", uri, once)
		}
	})
}
