package main

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/server"
)

// Every setting is a flag or in the environment, and the flag wins.
func TestEverySetting(t *testing.T) {
	t.Parallel()
	defaults := func(change func(c *config)) *config {
		c := &config{addr: "127.0.0.1:8080", db: "gormoauth-example.db", demo: true, pkce: server.PKCEWithNonce, noOlderInstances: true}
		change(c)
		return c
	}
	for _, row := range []struct {
		flags       []string
		environment map[string]string
		want        *config
	}{
		{nil, nil, defaults(func(*config) {})},
		{[]string{"-addr", "[::1]:1"}, map[string]string{"GORMOAUTH_ADDR": "[::1]:1"}, defaults(func(c *config) { c.addr = "[::1]:1" })},
		{[]string{"-issuer", "http://localhost"}, map[string]string{"GORMOAUTH_ISSUER": "http://localhost"}, defaults(func(c *config) { c.issuer = "http://localhost" })},
		{[]string{"-db", "x.db"}, map[string]string{"GORMOAUTH_DB": "x.db"}, defaults(func(c *config) { c.db = "x.db" })},
		{[]string{"-db", "postgres://x"}, map[string]string{"GORMOAUTH_DB": "postgres://x"}, defaults(func(c *config) { c.db, c.noOlderInstances = "postgres://x", false })},
		{[]string{"-tls-cert", "c", "-tls-key", "k"}, map[string]string{"GORMOAUTH_TLS_CERT": "c", "GORMOAUTH_TLS_KEY": "k"}, defaults(func(c *config) { c.tlsCert, c.tlsKey = "c", "k" })},
		{[]string{"-client-ca", "a"}, map[string]string{"GORMOAUTH_CLIENT_CA": "a"}, defaults(func(c *config) { c.clientCA = "a" })},
		{[]string{"-trusted-issuer", "i", "-trusted-keys", "k"}, map[string]string{"GORMOAUTH_TRUSTED_ISSUER": "i", "GORMOAUTH_TRUSTED_KEYS": "k"}, defaults(func(c *config) { c.trustedIssuer, c.trustedKeys = "i", "k" })},
		{[]string{"-fapi"}, map[string]string{"GORMOAUTH_FAPI": "1"}, defaults(func(c *config) { c.fapi = true })},
		{[]string{"-demo=false"}, map[string]string{"GORMOAUTH_DEMO": "false"}, defaults(func(c *config) { c.demo = false })},
		{[]string{"-resource", "a", "-resource", "b"}, map[string]string{"GORMOAUTH_RESOURCES": "a b"}, defaults(func(c *config) { c.resources = []string{"a", "b"} })},
		{[]string{"-pkce", "optional"}, map[string]string{"GORMOAUTH_PKCE": "optional"}, defaults(func(c *config) { c.pkce = server.PKCEOptional })},
		{
			[]string{"-trusted-proxy", "10.1.2.3/8", "-trusted-proxy", "::1"}, map[string]string{"GORMOAUTH_TRUSTED_PROXIES": "10.1.2.3/8 ::1"},
			defaults(func(c *config) {
				c.proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
			}),
		},
		{nil, map[string]string{"GORMOAUTH_DB": "postgres://x", "GORMOAUTH_NO_OLDER_INSTANCES": "true"}, defaults(func(c *config) { c.db = "postgres://x" })},
		{[]string{"prune"}, nil, defaults(func(c *config) { c.command = "prune" })},
		{[]string{"erase", "-user", "bob"}, nil, defaults(func(c *config) { c.command, c.user = "erase", "bob" })},
		{[]string{"doctor", "-outside"}, nil, defaults(func(c *config) { c.command, c.outside = "doctor", true })},
	} {
		parse := func(args []string, environment map[string]string) {
			t.Helper()
			cfg, err := parseConfig(args, func(name string) string { return environment[name] }, nil)
			require.NoError(t, err, "%v %v", args, environment)
			if len(cfg.resources) == 0 {
				cfg.resources = nil
			}
			assert.Equal(t, row.want, cfg, "%v %v", args, environment)
		}
		if row.environment != nil {
			parse(nil, row.environment)
		}
		if row.flags == nil {
			continue
		}
		parse(row.flags, nil)
		beside := make(map[string]string)
		for name := range row.environment {
			beside[name] = otherEnvironment[name]
		}
		parse(row.flags, beside)
	}
}

// otherEnvironment is what the flags win over.
var otherEnvironment = map[string]string{
	"GORMOAUTH_ADDR": "127.0.0.1:9", "GORMOAUTH_ISSUER": "https://other.example", "GORMOAUTH_DB": "other.db", "GORMOAUTH_TLS_CERT": "other", "GORMOAUTH_TLS_KEY": "other",
	"GORMOAUTH_CLIENT_CA": "other", "GORMOAUTH_TRUSTED_ISSUER": "other", "GORMOAUTH_TRUSTED_KEYS": "other", "GORMOAUTH_FAPI": "false", "GORMOAUTH_DEMO": "true",
	"GORMOAUTH_RESOURCES": "https://other.example", "GORMOAUTH_PKCE": "required", "GORMOAUTH_TRUSTED_PROXIES": "192.0.2.1",
}

// Settings that contradict each other are refused, with what to write instead.
func TestSettingsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		flags       []string
		environment map[string]string
		want        string
	}{
		{nil, map[string]string{"GORMOAUTH_FAPI": "perhaps"}, `GORMOAUTH_FAPI is "perhaps"; write true or false`},
		{nil, map[string]string{"GORMOAUTH_NO_OLDER_INSTANCES": "perhaps"}, `GORMOAUTH_NO_OLDER_INSTANCES is "perhaps"; write true or false`},
		{nil, map[string]string{"GORMOAUTH_TRUSTED_PROXIES": "x"}, `-trusted-proxy "x" is not an address or a network, such as 10.0.0.7 or 10.0.0.0/24`},
		{[]string{"-trusted-proxy", "fe80::1%eth0"}, nil, `-trusted-proxy "fe80::1%eth0" is not an address or a network`},
		{[]string{"-tls-cert", "c"}, nil, "-tls-cert and -tls-key go together"},
		{[]string{"-tls-key", "k"}, nil, "-tls-cert and -tls-key go together"},
		{[]string{"-trusted-issuer", "i"}, nil, "-trusted-issuer and -trusted-keys go together"},
		{[]string{"-trusted-keys", "k"}, nil, "-trusted-issuer and -trusted-keys go together"},
		{[]string{"-user", "bob"}, nil, "-user"},
		{[]string{"prune", "-outside"}, nil, "-outside"},
	} {
		cfg, err := parseConfig(row.flags, func(name string) string { return row.environment[name] }, nil)
		assert.ErrorContains(t, err, row.want)
		assert.Nil(t, cfg)
	}
}

// What follows from the address on which the program really listens.
func TestTheAddressOfTheProgram(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		config          config
		issuer, address string
		fault           string
		secure          bool
	}{
		"a port that was chosen":         {config: config{addr: "127.0.0.1:0"}, issuer: "http://127.0.0.1:7", address: "http://127.0.0.1:7"},
		"by name":                        {config: config{addr: "localhost:0"}, issuer: "http://localhost:7", address: "http://localhost:7"},
		"IPv6":                           {config: config{addr: "[::1]:0"}, issuer: "http://[::1]:7", address: "http://[::1]:7"},
		"with TLS":                       {config: config{addr: "127.0.0.1:0", tlsCert: "c"}, issuer: "https://127.0.0.1:7", address: "https://127.0.0.1:7", secure: true},
		"with an issuer":                 {config: config{addr: "127.0.0.1:0", issuer: "https://id.example"}, issuer: "https://id.example", address: "http://127.0.0.1:7", secure: true},
		"everywhere":                     {config: config{addr: ":0", issuer: "https://id.example"}, issuer: "https://id.example", address: "http://127.0.0.1:7", secure: true},
		"everywhere, as an address":      {config: config{addr: "0.0.0.0:0", issuer: "https://id.example"}, issuer: "https://id.example", address: "http://127.0.0.1:7", secure: true},
		"everywhere, IPv6":               {config: config{addr: "[::]:0", issuer: "https://id.example"}, issuer: "https://id.example", address: "http://127.0.0.1:7", secure: true},
		"one address":                    {config: config{addr: "192.0.2.1:0", issuer: "https://id.example"}, issuer: "https://id.example", address: "http://192.0.2.1:7", secure: true},
		"everywhere without an issuer":   {config: config{addr: ":0"}, fault: "-addr :0 is not a loopback address: give -issuer the https URL"},
		"no address":                     {config: config{addr: "x"}, fault: "missing port"},
		"an issuer that is no URL":       {config: config{addr: ":0", issuer: "id.example"}, fault: `-issuer "id.example" is not an absolute URL`},
		"an issuer that cannot be read":  {config: config{addr: ":0", issuer: "https://a b/"}, fault: "is not an absolute URL"},
		"an issuer with a path":          {config: config{addr: ":0", issuer: "https://id.example/"}, fault: "has a path"},
		"the demo in public":             {config: config{addr: ":0", issuer: "https://id.example", demo: true}, fault: "add -demo=false"},
		"the demo on this machine":       {config: config{addr: ":0", issuer: "https://localhost", demo: true}, issuer: "https://localhost", address: "http://127.0.0.1:7", secure: true},
		"an API":                         {config: config{addr: "127.0.0.1:0", resources: []string{"http://a.example", "https://b.example/x"}}, issuer: "http://127.0.0.1:7", address: "http://127.0.0.1:7"},
		"an API without a host":          {config: config{addr: "127.0.0.1:0", resources: []string{"https:"}}, fault: "is not the URL of an API"},
		"an API with another scheme":     {config: config{addr: "127.0.0.1:0", resources: []string{"ftp://a.example"}}, fault: "is not the URL of an API"},
		"an API with a fragment":         {config: config{addr: "127.0.0.1:0", resources: []string{"https://a.example#x"}}, fault: "is not the URL of an API"},
		"the second API is no URL":       {config: config{addr: "127.0.0.1:0", resources: []string{"https://a.example", "b"}}, fault: `-resource "b" is not the URL of an API`},
		"an API that cannot be read":     {config: config{addr: "127.0.0.1:0", resources: []string{"https://%zz"}}, fault: "is not the URL of an API"},
		"an API that is this program":    {config: config{addr: "127.0.0.1:0", resources: []string{"http://127.0.0.1:7/"}}, fault: "is the API of this program itself"},
		"an API that is given twice":     {config: config{addr: "127.0.0.1:0", resources: []string{"https://a.example", "https://a.example/"}}, fault: "is given twice"},
		"an API with a space in its URL": {config: config{addr: "127.0.0.1:0", resources: []string{"https://a.example/ b"}}, fault: "is not the URL of an API"},
	} {
		err := row.config.resolve(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7})
		if row.fault != "" {
			assert.ErrorContains(t, err, row.fault, name)
			continue
		}
		assert.NoError(t, err, name)
		assert.Equal(t, []any{row.issuer, row.address, row.secure}, []any{row.config.issuer, row.config.address, row.config.secure()}, name)
	}
}

// What is printed at the start, and for -help, is what testdata/greeting.txt and help.txt say.
func TestTheGreeting(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	for _, cfg := range []*config{
		{address: "http://127.0.0.1:1", issuer: "https://id.example", db: "postgres://somebody:hush@db.example/x?password=hush"},
		{address: "http://127.0.0.1:1", issuer: "http://127.0.0.1:1", db: "x.db", demo: true},
		{address: "http://127.0.0.1:1", issuer: "http://127.0.0.1:1", db: "postgresql://a b", demo: true, fapi: true},
	} {
		greet(&text, cfg)
		text.WriteString("----\n")
	}
	oauthtest.Known(t, "greeting.txt", text.String())
}

func TestHelp(t *testing.T) {
	t.Parallel()
	help := func(args ...string) string {
		var stdout bytes.Buffer
		require.NoError(t, run(t.Context(), append(args, "-help"), noEnvironment, &stdout, io.Discard))
		return stdout.String()
	}
	oauthtest.Known(t, "help.txt", help())
	assert.Equal(t, help(), help("prune"))
	assert.Contains(t, help("erase"), "  -user name\n    \tthe name of the person to erase\n")
	assert.Contains(t, help("doctor"), "  -outside\n    \talso fetch from the issuer what clients fetch; the server has to run\n")
}
