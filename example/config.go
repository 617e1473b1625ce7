package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/indicator"
	"github.com/gormoauth/gormoauth/server/secret"
)

// config holds the settings from flags and environment.
type config struct {
	addr   string // where to listen
	issuer string // the issuer identifier; resolve fills in the default
	db     string // SQLite file, ":memory:" or a postgres:// URL
	demo   bool   // whether the demo users and clients exist
	fapi   bool   // whether the server follows the FAPI 2.0 Security Profile

	pkce server.PKCE // who needs a code_challenge

	resources []string // other APIs that clients may request tokens for

	proxies []netip.Prefix // trusted to say where a request comes from

	command string // prune, erase or doctor: run that and exit; empty serves
	user    string // the user to erase
	outside bool   // whether the doctor also makes requests over the network

	tlsCert, tlsKey string // PEM files; empty listens without TLS
	clientCA        string // PEM file with the authorities of client certificates
	trustedIssuer   string // its JWTs stand for users of the same name; empty if there is none
	trustedKeys     string // the address of its keys

	secrets          secret.Keyring // of the server, the newest first; readSecrets fills them in
	noOlderInstances bool           // whether every instance on the database is of this release

	address string // the URL at which this machine reaches the listener
}

// errHelp is returned when help was asked for and given.
var errHelp = flag.ErrHelp

// environmentHelp describes the settings that have no flag.
const environmentHelp = `
The environment alone has
  GORMOAUTH_SECRET              the secrets of the server, the newest first, by commas: what 'openssl rand -base64 32' gives.
                                Without it one is made beside the file of SQLite; PostgreSQL needs it outside the demo.
  GORMOAUTH_NO_OLDER_INSTANCES  true once no instance of an older release runs on the same PostgreSQL database.
                                Keep the oldest secret until then.
`

// parseConfig reads flags, then the environment, then defaults.
func parseConfig(args []string, getenv func(string) string, stdout io.Writer) (*config, error) {
	demo, err := strconv.ParseBool(cmp.Or(getenv("GORMOAUTH_DEMO"), "true"))
	if err != nil {
		return nil, fmt.Errorf("GORMOAUTH_DEMO is %q; write true or false", getenv("GORMOAUTH_DEMO"))
	}
	fapi, err := strconv.ParseBool(cmp.Or(getenv("GORMOAUTH_FAPI"), "false"))
	if err != nil {
		return nil, fmt.Errorf("GORMOAUTH_FAPI is %q; write true or false", getenv("GORMOAUTH_FAPI"))
	}
	alone, err := strconv.ParseBool(cmp.Or(getenv("GORMOAUTH_NO_OLDER_INSTANCES"), "false"))
	if err != nil {
		return nil, fmt.Errorf("GORMOAUTH_NO_OLDER_INSTANCES is %q; write true or false", getenv("GORMOAUTH_NO_OLDER_INSTANCES"))
	}
	cfg := new(config)
	if len(args) > 0 && slices.Contains([]string{"prune", "erase", "doctor"}, args[0]) {
		cfg.command, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("gormoauth-example", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&cfg.addr, "addr", cmp.Or(getenv("GORMOAUTH_ADDR"), "127.0.0.1:8080"), "listen `address`; port 0 picks one (GORMOAUTH_ADDR)")
	flags.StringVar(&cfg.issuer, "issuer", getenv("GORMOAUTH_ISSUER"), "issuer `URL` (GORMOAUTH_ISSUER; default http:// and the address)")
	flags.StringVar(&cfg.db, "db", cmp.Or(getenv("GORMOAUTH_DB"), "gormoauth-example.db"), "SQLite `file`, :memory: or postgres://… (GORMOAUTH_DB)")
	flags.StringVar(&cfg.tlsCert, "tls-cert", getenv("GORMOAUTH_TLS_CERT"), "certificate `file` to listen with TLS (GORMOAUTH_TLS_CERT)")
	flags.StringVar(&cfg.tlsKey, "tls-key", getenv("GORMOAUTH_TLS_KEY"), "key `file` of that certificate (GORMOAUTH_TLS_KEY)")
	flags.StringVar(&cfg.clientCA, "client-ca", getenv("GORMOAUTH_CLIENT_CA"), "`file` of authorities whose certificates clients may have (GORMOAUTH_CLIENT_CA)")
	flags.StringVar(&cfg.trustedIssuer, "trusted-issuer", getenv("GORMOAUTH_TRUSTED_ISSUER"), "`issuer` whose JWTs stand for users of the same name (GORMOAUTH_TRUSTED_ISSUER)")
	flags.StringVar(&cfg.trustedKeys, "trusted-keys", getenv("GORMOAUTH_TRUSTED_KEYS"), "`URL` of its key set (GORMOAUTH_TRUSTED_KEYS)")
	switch cfg.command {
	case "erase":
		flags.StringVar(&cfg.user, "user", "", "the `name` of the person to erase")
	case "doctor":
		flags.BoolVar(&cfg.outside, "outside", false, "also fetch from the issuer what clients fetch; the server has to run")
	}
	flags.BoolVar(&cfg.fapi, "fapi", fapi, "keep to the FAPI 2.0 Security Profile (GORMOAUTH_FAPI)")
	flags.Func("resource", "`URL` of another API that tokens may be asked for; repeatable (GORMOAUTH_RESOURCES, by spaces)", func(resource string) error {
		cfg.resources = append(cfg.resources, resource)
		return nil
	})
	proxies := func(value string) error {
		for _, text := range strings.Fields(value) {
			proxy, err := parseProxy(text)
			if err != nil {
				return err
			}
			cfg.proxies = append(cfg.proxies, proxy)
		}
		return nil
	}
	flags.Func("trusted-proxy", "`address` or network of a proxy in front, whose X-Forwarded-For says where a request comes from; repeatable (GORMOAUTH_TRUSTED_PROXIES, by spaces)", proxies)
	pkce := flags.String("pkce", cmp.Or(getenv("GORMOAUTH_PKCE"), string(server.PKCEWithNonce)), "`who` needs PKCE: required (everybody), with-nonce (not a confidential client whose OpenID request has a nonce), optional (public clients only) (GORMOAUTH_PKCE)")
	flags.BoolVar(&cfg.demo, "demo", demo, "seed demo users and clients (GORMOAUTH_DEMO)")

	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stdout)
		flags.Usage()
		_, _ = io.WriteString(stdout, environmentHelp)
		return nil, errHelp
	case err != nil:
		return nil, fmt.Errorf("%w (-help lists the flags)", err)
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q (-help lists the flags; a false flag is written -demo=false)", flags.Arg(0))
	case cfg.db == "":
		return nil, errors.New("-db is empty; name a SQLite file, :memory: or a postgres:// URL")
	}
	if cfg.proxies == nil {
		if err := proxies(getenv("GORMOAUTH_TRUSTED_PROXIES")); err != nil {
			return nil, err
		}
	}
	if cfg.resources == nil {
		cfg.resources = strings.Fields(getenv("GORMOAUTH_RESOURCES"))
	}
	cfg.pkce = server.PKCE(*pkce)
	if !slices.Contains([]server.PKCE{server.PKCERequired, server.PKCEWithNonce, server.PKCEOptional}, cfg.pkce) {
		return nil, fmt.Errorf("-pkce is %q; write required, with-nonce or optional", *pkce)
	}
	if (cfg.tlsCert == "") != (cfg.tlsKey == "") {
		return nil, errors.New("-tls-cert and -tls-key go together")
	}
	if (cfg.trustedIssuer == "") != (cfg.trustedKeys == "") {
		return nil, errors.New("-trusted-issuer and -trusted-keys go together")
	}
	cfg.noOlderInstances = alone || !isPostgres(cfg.db) // a file of SQLite has one instance
	if _, _, err := net.SplitHostPort(cfg.addr); err != nil {
		return nil, fmt.Errorf("-addr %q is not host:port, such as 127.0.0.1:8080", cfg.addr)
	}
	return cfg, nil
}

// parseProxy reads an address or a network.
func parseProxy(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	proxy, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return proxy, fmt.Errorf("-trusted-proxy %q is not an address or a network, such as 10.0.0.7 or 10.0.0.0/24", text)
	case proxy.Bits() == 0:
		return proxy, fmt.Errorf("-trusted-proxy %s is everybody: whoever connects could say to come from anywhere", text)
	}
	return proxy.Masked(), nil
}

// isProxy reports whether the other end of a connection is a trusted proxy.
func (c *config) isProxy(end net.Addr) bool {
	address, err := netip.ParseAddrPort(end.String())
	return err == nil && slices.ContainsFunc(c.proxies, func(p netip.Prefix) bool { return p.Contains(address.Addr().Unmap()) })
}

// resolve completes the configuration with the address of the listener, and refuses what
// would not be safe.
func (c *config) resolve(listening net.Addr) error {
	host, _, err := net.SplitHostPort(c.addr)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(listening.String())
	if err != nil {
		return err
	}
	everywhere := host == "" || net.ParseIP(host).IsUnspecified()
	if c.issuer == "" {
		if !isLoopback(host) {
			return fmt.Errorf("-addr %s is not a loopback address: give -issuer the https URL under which clients reach this server", c.addr)
		}
		c.issuer = c.scheme() + net.JoinHostPort(host, port)
	}
	if everywhere {
		host = "127.0.0.1"
	}
	c.address = c.scheme() + net.JoinHostPort(host, port)
	if err := c.checkIssuer(); err != nil {
		return err
	}
	return c.checkResources()
}

// checkResources refuses a resource that cannot be another API.
func (c *config) checkResources() error {
	for i, resource := range c.resources {
		u, err := url.Parse(resource)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(resource, "# "):
			return fmt.Errorf("-resource %q is not the URL of an API, such as https://api.example.com", resource)
		case indicator.Same(resource, c.issuer):
			return fmt.Errorf("-resource %q is the API of this program itself, for which tokens are anyway", resource)
		case indicator.Has(c.resources[:i], resource):
			return fmt.Errorf("-resource %q is given twice", resource)
		}
	}
	return nil
}

// checkIssuer refuses an issuer that this program cannot serve. Rules that hold for every
// issuer are checked by the library.
func (c *config) checkIssuer() error {
	u, err := url.Parse(c.issuer)
	switch {
	case err != nil || u.Host == "":
		return fmt.Errorf("-issuer %q is not an absolute URL", c.issuer)
	case u.Path != "":
		return fmt.Errorf("-issuer %q has a path; this program is served at the root of its host", c.issuer)
	case c.demo && !isLoopback(u.Hostname()):
		return fmt.Errorf("-demo is on, and its passwords are public: it is refused for the issuer %s, which is not a loopback address; add -demo=false", c.issuer)
	}
	return nil
}

// scheme returns the URL scheme of the listener.
func (c *config) scheme() string {
	if c.tlsCert != "" {
		return "https://"
	}
	return "http://"
}

// secure reports whether browsers reach this server over https.
func (c *config) secure() bool { return strings.HasPrefix(c.issuer, "https:") }

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
