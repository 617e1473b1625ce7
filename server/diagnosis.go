package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/loopback"
	"github.com/gormoauth/gormoauth/server/budget"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/jwk"
)

// Diagnose returns the problems of the configuration, of everything that is registered and
// implements [DiagnoseHook], and of the hooks in more, such as doctor.Program. It returns nil if
// there are none, and changes nothing.
func (s *Server) Diagnose(ctx context.Context, more ...DiagnoseHook) finding.List {
	if !s.initialized {
		return finding.List{{
			Check: "initialized", Severity: finding.Grave, Where: "server.Server", Problem: "is not initialized",
			Consequence: "it answers nothing", Remedy: "call Init, or use New",
		}}
	}
	ctx = budget.With(ctx, s.config.StorageBudget)
	findings := slices.Concat(s.diagnoseIssuer(), s.diagnoseSecrets(), s.diagnosePaths(), s.diagnoseGrants(), s.diagnoseLimits(), s.diagnoseKeys(ctx), s.diagnoseLookUps(ctx))
	for _, value := range s.registered() {
		if hook, ok := value.(DiagnoseHook); ok {
			findings = append(findings, hook.Diagnose(ctx, s)...)
		}
	}
	for _, hook := range more {
		findings = append(findings, hook.Diagnose(ctx, s)...)
	}
	return findings.Once()
}

// diagnoseIssuer finds an issuer in an unusual spelling. Clients compare issuers as text (RFC
// 8414 section 3.3).
func (s *Server) diagnoseIssuer() finding.List {
	usual := *s.issuerURL()
	usual.Path, usual.Host = strings.TrimSuffix(usual.Path, "/"), strings.ToLower(usual.Host)
	if port := map[string]string{"https": ":443", "http": ":80"}[usual.Scheme]; strings.HasSuffix(usual.Host, port) {
		usual.Host = strings.TrimSuffix(usual.Host, port)
	}
	if usual.String() == s.config.Issuer {
		return nil
	}
	return finding.List{{
		Check: "issuer_spelling", Severity: finding.Warning, Where: "Config.Issuer",
		Problem:     fmt.Sprintf("%q ends in a slash, contains the default port or has capitals in its host", s.config.Issuer),
		Consequence: "clients that spell it in the usual way reject the server's metadata and tokens",
		Remedy:      fmt.Sprintf("Issuer: %q, before clients use the other one", usual.String()),
	}}
}

// offWithoutSecrets lists what a server without Config.Secrets does not have.
const offWithoutSecrets = "nothing is encrypted in the database, no salt of pairwise subjects is kept, and there are no DPoP nonces and no client_secret_jwt, unless each is given a key of its own"

// diagnoseSecrets finds a server without secrets, unless it only serves a loopback address.
func (s *Server) diagnoseSecrets() finding.List {
	if len(s.config.Secrets) > 0 || loopback.Serves(s.config.Issuer) {
		return nil
	}
	return finding.List{{
		Check: "secrets", Severity: finding.Hint, Where: "Config.Secrets", Problem: "is empty", Consequence: offWithoutSecrets,
		Remedy: "Secrets: [][]byte{secret}, with 32 random bytes that are stored apart from the database",
	}}
}

// diagnosePaths finds endpoints that are not at the address the operator probably expects.
func (s *Server) diagnosePaths() (findings finding.List) {
	below := s.issuerPath()
	for _, name := range slices.Sorted(maps.Keys(s.config.EndpointPaths)) {
		path := s.config.EndpointPaths[name]
		if rest, twice := strings.CutPrefix(path, below+"/"); below != "" && twice {
			findings = append(findings, finding.Finding{
				Check: "endpoint_path", Severity: finding.Warning, Where: fmt.Sprintf("Config.EndpointPaths[%q]", name),
				Problem:     fmt.Sprintf("%q repeats the path of the issuer, which it is relative to", path),
				Consequence: "the metadata names " + s.below(path),
				Remedy:      fmt.Sprintf("%q: %q", name, "/"+rest),
			})
		}
	}
	at := make(map[string]string)
	for _, name := range append(slices.Sorted(maps.Keys(s.endpoints)), tokenEndpoint, authorizationEndpoint) {
		address := s.EndpointURL(name)
		if other, taken := at[address]; taken && address != "" {
			findings = append(findings, finding.Finding{
				Check: "endpoint_path", Severity: finding.Grave, Where: fmt.Sprintf("the endpoints %q and %q", other, name),
				Problem: "are both at " + address, Consequence: "one of them is never reached", Remedy: "give one a path of its own in Config.EndpointPaths",
			})
		}
		at[address] = name
	}
	return findings
}

// diagnoseGrants finds a server that answers no token request, or whose users cannot be locked
// out.
func (s *Server) diagnoseGrants() finding.List {
	grants := s.answered()
	if len(grants) == 0 {
		return finding.List{{
			Check: "grants", Severity: finding.Warning, Where: "the server", Problem: "has no grant",
			Consequence: "no client gets a token", Remedy: "srv.RegisterGrant(…)",
		}}
	}
	findings := s.diagnoseRedeeming(grants)
	forUsers := slices.ContainsFunc(grants, func(a answered) bool { return a.grantType != "client_credentials" })
	if s.config.QueryUser != nil || !forUsers {
		return findings
	}
	return append(findings, finding.Finding{
		Check: "query_user", Severity: finding.Warning, Where: "Config.QueryUser", Problem: "is missing",
		Consequence: "a user who was disabled or deleted is served as long as their refresh token lasts",
		Remedy:      `QueryUser: gormoauth.CreateQueryUserFunc[User](db.Where("disabled = ?", false))`,
	})
}

// diagnoseRedeeming finds values that issue codes which no registered grant exchanges.
func (s *Server) diagnoseRedeeming(grants []answered) (findings finding.List) {
	for _, value := range s.registered() {
		hook, ok := value.(RedeemedByHook)
		if !ok || slices.ContainsFunc(grants, func(a answered) bool { return a.grantType == hook.RedeemedBy() }) {
			continue
		}
		findings = append(findings, finding.Finding{
			Check: "redeemed_by", Severity: finding.Grave, Where: fmt.Sprintf("%T", value),
			Problem:     fmt.Sprintf("issues credentials for the grant %q, which is not registered", hook.RedeemedBy()),
			Consequence: "users approve a client that then gets no token", Remedy: fmt.Sprintf("srv.RegisterGrant of the grant %q", hook.RedeemedBy()),
		})
	}
	return findings
}

// diagnoseKeys finds a key document without the keys that sign, and asks the keys for their own
// findings.
func (s *Server) diagnoseKeys(ctx context.Context) (findings finding.List) {
	document, ok := s.endpoints[jwksEndpoint].(PublishedKeysHook)
	others := ok && slices.ContainsFunc(s.signers(), func(keys jwk.SigningKeys) bool { return !sameKeys(keys, document.PublishedKeys()) })
	for _, keys := range s.publishedKeys() {
		if hook, ok := keys.(DiagnoseHook); ok {
			findings = append(findings, hook.Diagnose(ctx, s)...)
		}
	}
	if !others {
		return findings
	}
	return append(findings, finding.Finding{
		Check: "key_document", Severity: finding.Warning, Where: `the endpoint "jwks"`, Problem: "publishes keys other than those that sign",
		Consequence: "signatures cannot be verified, unless the signing keys are among the published ones", Remedy: "leave the endpoint out: the server publishes the keys of everything that signs",
	})
}

const (
	longestGrace = 5 * time.Minute
	largestBody  = 16 << 20
)

// diagnoseLimits finds limits that hardly limit anything.
func (s *Server) diagnoseLimits() (findings finding.List) {
	if grace := s.config.RefreshTokenGrace; grace > longestGrace {
		findings = append(findings, finding.Finding{
			Check: "refresh_token_grace", Severity: finding.Warning, Where: "Config.RefreshTokenGrace", Problem: "is " + grace.String(),
			Consequence: "reuse of a stolen refresh token is not detected for that long", Remedy: "RefreshTokenGrace: time.Minute",
		})
	}
	if size := s.config.MaxRequestBytes; size > largestBody {
		findings = append(findings, finding.Finding{
			Check: "max_request_bytes", Severity: finding.Warning, Where: "Config.MaxRequestBytes", Problem: fmt.Sprintf("is %d", size),
			Consequence: "a few strangers can fill the memory", Remedy: "leave it out: 64 KiB is plenty",
		})
	}
	return findings
}
