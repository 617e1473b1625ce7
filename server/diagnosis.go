package server

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/loopback"
)

// DiagnoseHook is for a grant, an extension, an endpoint, a client authentication
// method or anything else of the program's that can say what is wrong with itself,
// such as a setting that is allowed and seldom meant. What can never work is
// refused by a [ConfigChecker] instead.
type DiagnoseHook interface {
	// Diagnose returns what is wrong, nil when nothing is. It changes nothing.
	Diagnose(ctx context.Context, s *Server) Findings
}

// RedeemedByHook is for whatever issues a credential that a client exchanges at the
// token endpoint by a grant of its own: the doctor names it where no such grant is
// registered.
type RedeemedByHook interface {
	// RedeemedBy returns the grant_type by which the credential is exchanged, such as
	// "authorization_code".
	RedeemedBy() string
}

// Diagnose returns what is wrong with the configuration and with all that is
// registered, as far as it says so itself, and then what more has to say, such as
// doctor.Program. It returns nil when nothing is wrong, and changes nothing.
func (s *Server) Diagnose(ctx context.Context, more ...DiagnoseHook) Findings {
	if !s.initialized {
		return Findings{{
			Check: "initialized", Severity: Grave, Where: "server.Server", Problem: "is not initialized",
			Consequence: "it answers nothing", Remedy: "call Init, or use New",
		}}
	}
	ctx = WithStorageBudget(ctx, s.config.StorageBudget)
	findings := slices.Concat(s.diagnoseIssuer(), s.diagnoseSecrets(), s.diagnosePaths(), s.diagnoseGrants(), s.diagnoseLimits(), s.diagnoseKeys(ctx), s.diagnoseLookUps(ctx))
	for _, value := range s.registered() {
		if hook, ok := value.(DiagnoseHook); ok {
			findings = append(findings, hook.Diagnose(ctx, s)...)
		}
	}
	for _, hook := range more {
		findings = append(findings, hook.Diagnose(ctx, s)...)
	}
	return findings.once()
}

// diagnoseIssuer finds an issuer that is spelled as some clients would not spell
// it: they compare it as text (RFC 8414 section 3.3).
func (s *Server) diagnoseIssuer() Findings {
	u, err := url.Parse(s.config.Issuer)
	if err != nil {
		return nil
	}
	usual := *u
	usual.Path, usual.RawPath, usual.Host = strings.TrimSuffix(u.Path, "/"), "", strings.ToLower(u.Host)
	if port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]; strings.HasSuffix(usual.Host, port) {
		usual.Host = strings.TrimSuffix(usual.Host, port)
	}
	if usual.String() == s.config.Issuer {
		return nil
	}
	return Findings{{
		Check: "issuer_spelling", Severity: Warning, Where: "Config.Issuer",
		Problem:     fmt.Sprintf("%q ends in a slash, names the usual port or has capitals in its host", s.config.Issuer),
		Consequence: "clients that write it in the usual way refuse what the server says",
		Remedy:      fmt.Sprintf("Issuer: %q, before clients know the other", usual.String()),
	}}
}

// offWithoutSecrets is what a server has not without Config.Secrets.
const offWithoutSecrets = "nothing is encrypted in the database, no salt of pairwise subjects is kept, and there are no DPoP nonces and no client_secret_jwt, unless each has a key of its own"

// diagnoseSecrets finds a server without secrets, where strangers could see that.
func (s *Server) diagnoseSecrets() Findings {
	if len(s.config.Secrets) > 0 || loopback.Serves(s.config.Issuer) {
		return nil
	}
	return Findings{{
		Check: "secrets", Severity: Hint, Where: "Config.Secrets", Problem: "is empty", Consequence: offWithoutSecrets,
		Remedy: "Secrets: [][]byte{secret}, with 32 random bytes that are kept apart from the database",
	}}
}

// diagnosePaths finds endpoints that are not where somebody thinks they are.
func (s *Server) diagnosePaths() (findings Findings) {
	issuer, err := url.Parse(s.config.Issuer)
	if err != nil {
		return nil
	}
	below := strings.TrimSuffix(issuer.Path, "/")
	for _, name := range slices.Sorted(maps.Keys(s.config.EndpointPaths)) {
		path := s.config.EndpointPaths[name]
		if rest, twice := strings.CutPrefix(path, below+"/"); below != "" && twice {
			findings = append(findings, Finding{
				Check: "endpoint_path", Severity: Warning, Where: fmt.Sprintf("Config.EndpointPaths[%q]", name),
				Problem:     fmt.Sprintf("%q repeats the path of the issuer, below which it is", path),
				Consequence: "the metadata names " + s.below(path),
				Remedy:      fmt.Sprintf("%q: %q", name, "/"+rest),
			})
		}
	}
	at := make(map[string]string)
	for _, name := range append(slices.Sorted(maps.Keys(s.endpoints)), tokenEndpoint, authorizationEndpoint) {
		address := s.EndpointURL(name)
		if other, taken := at[address]; taken && address != "" {
			findings = append(findings, Finding{
				Check: "endpoint_path", Severity: Grave, Where: fmt.Sprintf("the endpoints %q and %q", other, name),
				Problem: "are both at " + address, Consequence: "one of them is never reached", Remedy: "give one a path of its own in Config.EndpointPaths",
			})
		}
		at[address] = name
	}
	return findings
}

// diagnoseGrants finds a server that answers nothing, or whose users can never be
// kept out.
func (s *Server) diagnoseGrants() Findings {
	grants := s.answered()
	if len(grants) == 0 {
		return Findings{{
			Check: "grants", Severity: Warning, Where: "the server", Problem: "has no grant",
			Consequence: "no client gets a token", Remedy: "srv.RegisterGrant(…)",
		}}
	}
	findings := s.diagnoseRedeeming(grants)
	forUsers := slices.ContainsFunc(grants, func(a answered) bool { return a.grantType != "client_credentials" })
	if s.config.QueryUser != nil || !forUsers {
		return findings
	}
	return append(findings, Finding{
		Check: "query_user", Severity: Warning, Where: "Config.QueryUser", Problem: "is missing",
		Consequence: "who was disabled or deleted is served as long as there is a refresh token",
		Remedy:      `QueryUser: gormoauth.CreateQueryUserFunc[User](db.Where("disabled = ?", false))`,
	})
}

// diagnoseRedeeming finds what issues codes that no grant takes.
func (s *Server) diagnoseRedeeming(grants []answered) (findings Findings) {
	for _, value := range s.registered() {
		hook, ok := value.(RedeemedByHook)
		if !ok || slices.ContainsFunc(grants, func(a answered) bool { return a.grantType == hook.RedeemedBy() }) {
			continue
		}
		findings = append(findings, Finding{
			Check: "redeemed_by", Severity: Grave, Where: fmt.Sprintf("%T", value),
			Problem:     fmt.Sprintf("issues what only the grant %q takes, and that grant is not registered", hook.RedeemedBy()),
			Consequence: "people approve a client that then gets no token", Remedy: fmt.Sprintf("srv.RegisterGrant of the grant %q", hook.RedeemedBy()),
		})
	}
	return findings
}

// diagnoseKeys finds a document of keys without those that sign, and has the keys say
// what is wrong with themselves.
func (s *Server) diagnoseKeys(ctx context.Context) (findings Findings) {
	document, ok := s.endpoints[jwksEndpoint].(PublishedKeysHook)
	others := ok && slices.ContainsFunc(s.signers(), func(keys SigningKeys) bool { return !sameKeys(keys, document.PublishedKeys()) })
	for _, keys := range s.publishedKeys() {
		if hook, ok := keys.(DiagnoseHook); ok {
			findings = append(findings, hook.Diagnose(ctx, s)...)
		}
	}
	if !others {
		return findings
	}
	return append(findings, Finding{
		Check: "key_document", Severity: Warning, Where: `the endpoint "jwks"`, Problem: "publishes other keys than those that sign",
		Consequence: "nobody can verify what is signed, unless the one are among the other", Remedy: "leave the endpoint out: the server publishes the keys of all that signs",
	})
}

const (
	longestGrace = 5 * time.Minute
	largestBody  = 16 << 20
)

// diagnoseLimits finds limits that limit little.
func (s *Server) diagnoseLimits() (findings Findings) {
	if grace := s.config.RefreshTokenGrace; grace > longestGrace {
		findings = append(findings, Finding{
			Check: "refresh_token_grace", Severity: Warning, Where: "Config.RefreshTokenGrace", Problem: "is " + grace.String(),
			Consequence: "a stolen refresh token is not recognised for so long", Remedy: "RefreshTokenGrace: time.Minute",
		})
	}
	if size := s.config.MaxRequestBytes; size > largestBody {
		findings = append(findings, Finding{
			Check: "max_request_bytes", Severity: Warning, Where: "Config.MaxRequestBytes", Problem: fmt.Sprintf("is %d", size),
			Consequence: "a few strangers can fill the memory", Remedy: "leave it out: 64 KiB are plenty",
		})
	}
	return findings
}
