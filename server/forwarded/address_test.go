package forwarded_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/forwarded"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// What no proxy wrote counts for nothing, wherever in the header a stranger puts it.
func TestTrustForwardedAddress(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/30"), netip.MustParsePrefix("2001:db8:ff::1/128"), netip.MustParsePrefix("127.0.0.1/32")}
	for _, row := range []struct {
		rule, header, from string
		lines              []string
		want               string
	}{
		{"the proxy says", "X-Forwarded-For", "10.0.0.1:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"a stranger says", "X-Forwarded-For", "203.0.113.9:1", []string{"198.51.100.7"}, "203.0.113.9"},
		{"a stranger says that it is the proxy", "X-Forwarded-For", "203.0.113.9:1", []string{"10.0.0.1"}, "203.0.113.9"},
		{"a stranger next door says", "X-Forwarded-For", "10.0.0.4:1", []string{"198.51.100.7"}, "10.0.0.4"},
		{"a stranger says it to the proxy", "X-Forwarded-For", "10.0.0.1:1", []string{"198.51.100.7, 203.0.113.9"}, "203.0.113.9"},
		{"and in a line before the proxy's", "X-Forwarded-For", "10.0.0.1:1", []string{"198.51.100.7", "203.0.113.9"}, "203.0.113.9"},
		{"and names the proxy before itself", "X-Forwarded-For", "10.0.0.1:1", []string{"198.51.100.7, 10.0.0.2, 203.0.113.9"}, "203.0.113.9"},
		{"two proxies", "X-Forwarded-For", "10.0.0.1:1", []string{"198.51.100.7, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		{"of IPv6 and IPv4", "X-Forwarded-For", "[2001:db8:ff::1]:1", []string{"198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
		{"one that is IPv4 in IPv6", "X-Forwarded-For", "[::ffff:10.0.0.1]:1", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"the proxy asks itself", "X-Forwarded-For", "10.0.0.1:1", nil, "10.0.0.1"},
		{"a proxy asks", "X-Forwarded-For", "10.0.0.1:1", []string{"10.0.0.2"}, "10.0.0.2"},
		{"the proxy does not know", "X-Forwarded-For", "10.0.0.1:1", []string{"198.51.100.7, unknown"}, "10.0.0.1"},
		{"nor the one before it", "X-Forwarded-For", "10.0.0.1:1", []string{"198.51.100.7, _hidden, 10.0.0.2"}, "10.0.0.2"},
		{"with a port", "X-Forwarded-For", "10.0.0.1:1", []string{"198.51.100.7:4711"}, "198.51.100.7"},
		{"a network of IPv6 is one", "X-Forwarded-For", "10.0.0.1:1", []string{"2001:db8:1:2:3::4"}, "2001:db8:1:2::/64"},
		{"in brackets", "X-Forwarded-For", "10.0.0.1:1", []string{"[2001:db8:1:2:3::4]"}, "2001:db8:1:2::/64"},
		{"with a port, in brackets", "X-Forwarded-For", "10.0.0.1:1", []string{"[2001:db8:1:2:3::4]:4711"}, "2001:db8:1:2::/64"},
		{"with a zone", "X-Forwarded-For", "10.0.0.1:1", []string{"fe80::1%eth0"}, "fe80::/64"},
		{"commas alone", "X-Forwarded-For", "10.0.0.1:1", []string{", ,", ""}, "10.0.0.1"},
		{"a comma too many", "X-Forwarded-For", "10.0.0.1:1", []string{"198.51.100.7,,"}, "198.51.100.7"},
		{"no address", "X-Forwarded-For", "10.0.0.1:1", []string{"a\nb"}, "10.0.0.1"},
		{"over a Unix socket", "X-Forwarded-For", "@", []string{"198.51.100.7"}, "198.51.100.7"},
		{"which says nothing", "X-Forwarded-For", "@", nil, "@"},
		{"another header", "X-Real-IP", "10.0.0.1:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"of a stranger", "X-Real-IP", "203.0.113.9:1", []string{"198.51.100.7"}, "203.0.113.9"},
		{"RFC 7239", "Forwarded", "10.0.0.1:1", []string{`for=203.0.113.9;proto=https, proto=https;For="10.0.0.2:81"`}, "203.0.113.9"},
		{"RFC 7239, of IPv6", "Forwarded", "10.0.0.1:1", []string{`by=10.0.0.1;for="[2001:db8:1:2:3::4]:4711"`}, "2001:db8:1:2::/64"},
		{"RFC 7239, that does not say", "Forwarded", "10.0.0.1:1", []string{`for=203.0.113.9, proto=https`}, "10.0.0.1"},
		{"a quote of a stranger's", "Forwarded", "10.0.0.1:1", []string{`for="198.51.100.7, for=203.0.113.9`}, "203.0.113.9"},
		{"a quote that it closes", "Forwarded", "10.0.0.1:1", []string{`for=198.51.100.7;host="`, `for=203.0.113.9`}, "203.0.113.9"},
	} {
		r := &http.Request{RemoteAddr: row.from, Header: http.Header{http.CanonicalHeaderKey(row.header): row.lines}}
		r.Header.Set("X-Other", "198.51.100.99")
		assert.Equal(t, row.want, forwarded.Address(row.header, proxies...)(r), row.rule)
		assert.Equal(t, ratelimit.RemoteAddress(r), forwarded.Address(row.header)(r), "%s: nobody is trusted", row.rule)
	}
}

// Behind a proxy, whoever guesses is shut out and nobody else is, and the log has where it
// comes from; a stranger escapes neither by what it writes into the header.
func TestGuessesBehindAProxy(t *testing.T) {
	var log bytes.Buffer
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(c *server.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c.RemoteAddress = forwarded.Address("X-Forwarded-For", netip.MustParsePrefix("10.0.0.1/32"))
	})
	client := p.NewClient(oauthtest.Grants("client_credentials"))
	ask := func(secret, from, forwarded string) oauthtest.Answer {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth/token", strings.NewReader("grant_type=client_credentials"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(client.ClientID, secret)
		r.RemoteAddr = from
		r.Header.Set("X-Forwarded-For", forwarded)
		return p.Do(http.HandlerFunc(p.Server.CreateTokenResponse), r)
	}
	flood := func(from string, forwarded func(i int) string, address string) {
		for i := range 101 {
			a := ask("wrong", from, forwarded(i))
			require.True(t, a.Refusal().Has("remote_address", address), a.Log())
			if a.Status == http.StatusTooManyRequests {
				assert.Equal(t, 100, i, "a hundred are looked at")
				assert.Equal(t, slog.LevelWarn, a.Refusal().Level)
				return
			}
		}
		t.Error("nothing ends it")
	}
	flood("10.0.0.1:1", func(i int) string { return "198.51.100." + strconv.Itoa(i) + ", 203.0.113.9" }, "203.0.113.9")
	flood("203.0.113.10:1", func(i int) string { return "198.51.100." + strconv.Itoa(i) }, "203.0.113.10")
	assert.Equal(t, http.StatusOK, ask(client.Secret, "10.0.0.1:2", "198.51.100.7").Status, "whoever comes by the same proxy is let in")
	assert.Equal(t, http.StatusTooManyRequests, ask(client.Secret, "10.0.0.1:2", "203.0.113.9").Status)
	assert.NotContains(t, log.String(), "remote_address=198.51.100", "nobody who is named in the header is blamed")
}
