package server_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/cnf"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// refusal is a request that is refused, or answered with less than it asks for.
type refusal struct {
	rule string
	ask  func() oauthtest.Answer
	code string // the error that is answered, empty where the answer is none
	why  string // the reason in the log; where it is empty, the client is told all
	// keys of the line and their values: who asks, and what the reason is about.
	keys []string
}

// refusals are those of one server. It remembers which reasons the log has told, and all that
// was answered and logged.
type refusals struct {
	*oauthtest.Provider
	told map[string]bool
	all  *strings.Builder
}

// whatDiffers is what is different in each run.
var whatDiffers = regexp.MustCompile(`goa_[A-Za-z0-9_]+|\b[A-Z2-7]{26}\b|[A-Za-z0-9_-]{24,}(\.[A-Za-z0-9_-]{40,})*|(grant|user|wait)=\S+`)

// note keeps an answer and its lines, without what differs.
func (p *refusals) note(rule string, a oauthtest.Answer) {
	fmt.Fprintf(p.all, "== %s\n%d", rule, a.Status)
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		fmt.Fprintf(p.all, " %s: %s", name, whatDiffers.ReplaceAllString(strings.Join(a.Header[name], ", "), "…"))
	}
	fmt.Fprintf(p.all, "\n%s\n", whatDiffers.ReplaceAllString(strings.TrimSpace(a.Raw), "…"))
	for _, line := range a.Log() {
		fmt.Fprintf(p.all, "%s %s", line.Level, line.Message)
		for _, key := range slices.Sorted(maps.Keys(line.Keys)) {
			if slices.Contains([]string{"error", "error_description", "remote_address", "request_id", "status"}, key) {
				continue // which hold looks at
			}
			p.all.WriteString(" " + whatDiffers.ReplaceAllString(key+"="+line.Keys[key], "…"))
		}
		p.all.WriteString("\n")
	}
}

// hold holds each to the rule: the answer has the error, and the reason is not in it; the
// log has it in one line, with who asks, from where and in which request.
func (p *refusals) hold(rows ...refusal) {
	p.T.Helper()
	for _, row := range rows {
		a := row.ask()
		p.note(row.rule, a)
		lines := slices.DeleteFunc(slices.Clone(a.Log()), func(line oauthtest.Line) bool { return (line.Keys["status"] == "") == (row.code != "") })
		if !assert.Len(p.T, lines, 1, "%s: %d %s %s: %v", row.rule, a.Status, a.Raw, a.To, a.Log()) {
			continue
		}
		line := lines[0]
		p.told[line.Keys["reason"]] = true
		assert.Equal(p.T, row.code, line.Keys["error"], "%s: %v", row.rule, line)
		if row.code != server.MissingAuthorization {
			assert.Equal(p.T, row.code, a.Params()["error"], row.rule)
		}
		if row.why != "" {
			assert.Contains(p.T, line.Keys["reason"], row.why, row.rule)
			assert.NotContains(p.T, a.Raw+a.Header.Get("Location")+a.Header.Get("WWW-Authenticate"), row.why, row.rule)
		} else {
			assert.Empty(p.T, line.Keys["reason"], row.rule)
			assert.NotEmpty(p.T, line.Keys["error_description"], row.rule)
		}
		if told := a.Params()["error_description"]; row.code != "" && row.code != server.MissingAuthorization && !strings.ContainsAny(told, "?#@") { // of a URI the log has less
			assert.Equal(p.T, told, line.Keys["error_description"], row.rule)
		}
		assert.Equal(p.T, "192.0.2.1", line.Keys["remote_address"], row.rule)
		assert.Regexp(p.T, "^[A-Z2-7]{26}$", line.Keys["request_id"], row.rule)
		assert.True(p.T, line.Has(row.keys...), "%s: want %v in %v", row.rule, row.keys, line)
		assert.True(p.T, slices.Contains(row.keys, "client_id") || slices.Contains(row.keys, "claimed_client_id"), "%s: who asks?", row.rule)
	}
}

// nobody is who asks where nobody says who.
var nobody = []string{"client_id", "", "claimed_client_id", ""}

func by(client *oauthtest.Client, more ...string) []string {
	return append([]string{"client_id", client.ClientID}, more...)
}

func claiming(clientID string, more ...string) []string {
	return append([]string{"client_id", "", "claimed_client_id", clientID}, more...)
}

// pairs are keys of the server, which decrypt as well.
type pairs struct {
	sign, decrypt *ecdsa.PrivateKey
	unready       bool
}

func (k *pairs) SigningKey(context.Context, jose.SignatureAlgorithm, time.Time) (*jose.JSONWebKey, error) {
	return &jose.JSONWebKey{Key: k.sign, KeyID: "1", Algorithm: "ES256"}, nil
}

func (k *pairs) PublicKeys(context.Context, time.Time) (*jose.JSONWebKeySet, error) {
	if k.unready {
		return nil, nil
	}
	return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.sign.Public(), KeyID: "1", Algorithm: "ES256"}}}, nil
}

func (*pairs) SignatureAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.ES256}
}

func (*pairs) EncryptionAlgorithms() []jose.KeyAlgorithm {
	return []jose.KeyAlgorithm{jose.ECDH_ES_A256KW}
}

func (k *pairs) DecryptionKeys(context.Context, time.Time) (*jose.JSONWebKeySet, error) {
	return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.decrypt, KeyID: "2", Algorithm: string(jose.ECDH_ES_A256KW)}}}, nil
}

// ownMethod is a client authentication method of the program's that finds nobody.
type ownMethod struct{}

func (ownMethod) AuthMethod() string                 { return "own" }
func (ownMethod) Presented(req *server.Request) bool { return req.HTTP.Header.Get("X-Own") != "" }
func (ownMethod) AuthenticateClient(context.Context, *server.Request, storage.QueryClientFunc) (storage.Client, error) {
	return nil, nil
}

const (
	jwtBearer  = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	exchanging = "urn:ietf:params:oauth:grant-type:token-exchange"
	deviceCode = "urn:ietf:params:oauth:grant-type:device_code"
	accessType = "urn:ietf:params:oauth:token-type:access_token"
	jwtType    = "urn:ietf:params:oauth:token-type:jwt"
	trusted    = "https://trusted.example"
	aResource  = "https://api.example"
)

// The reason of every refusal is in the log, and nowhere else: of whom, from where, in
// which request. What the source has a reason for is asked for here, all of it.
func TestEveryRefusalSaysWhy(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	told, all := make(map[string]bool), new(strings.Builder)
	full := newRefusals(t, db, told, all)
	full.T = t
	t.Run("client authentication", full.clientAuthentication)
	t.Run("client assertions", full.clientAssertions)
	t.Run("certificates", full.certificates)
	t.Run("authorization requests", full.authorizationRequests)
	t.Run("request objects", full.requestObjects)
	t.Run("codes and refresh tokens", full.codesAndRefreshTokens)
	t.Run("devices", full.deviceCodes)
	t.Run("exchanges", full.exchanges)
	t.Run("proofs", full.proofs)
	t.Run("introspection and revocation", full.introspectionAndRevocation)
	t.Run("registration", full.registrations)
	t.Run("APIs", full.apis)
	t.Run("UserInfo", full.userInfo)
	t.Run("signing out", full.signingOut)
	t.Run("guesses", full.guesses) // the last one: clients of one address share counters
	t.Run("under a profile", func(t *testing.T) { underAProfile(t, told, all) })

	assertion, err := assertion.Parse(oauthtest.SignJWT(t, full.signs, jose.ES256, nil, map[string]any{}), nil)
	require.NoError(t, err)
	told[assertion.VerifyByKeys(nil).Error()] = true // which no grant comes to
	oauthtest.Known(t, "refusals.txt", all.String())
	reasons := reasonsOfTheSource(t)
	assert.Greater(t, len(reasons), 90)
	for reason, where := range reasons {
		seen := false
		for text := range told {
			seen = seen || strings.Contains(text, reason)
		}
		assert.True(t, seen, "%s: nobody asks for %q", where, reason)
	}
}

// reasonsOfTheSource are the texts for which the log has a place, each with where it
// stands: those of reason.New and Because, and of functions that return or take one.
func reasonsOfTheSource(t *testing.T) map[string]string {
	t.Helper()
	reasons := make(map[string]string)
	files := token.NewFileSet()
	var parsed []*ast.File
	for _, root := range []string{".", "../internal/clientjwt"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(files, path, nil, 0)
			parsed = append(parsed, file)
			return err
		}))
	}
	note := func(in ast.Node) {
		ast.Inspect(in, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				text, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				reasons[text] = files.Position(literal.Pos()).String()
			}
			return true
		})
	}
	for _, file := range parsed {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				at := map[string]int{"reason.New": 0, "Because": 0, "errNoRegistrationAccess": 1}
				name := ""
				switch f := n.Fun.(type) {
				case *ast.Ident:
					name = f.Name
				case *ast.SelectorExpr:
					name = f.Sel.Name
					if from, ok := f.X.(*ast.Ident); ok && from.Name == "reason" {
						name = "reason." + name
					}
				}
				if i, ok := at[name]; ok && len(n.Args) > i {
					note(n.Args[i])
				}
			case *ast.FuncDecl:
				if n.Name.Name == "whyEnded" {
					note(n.Body)
				}
			}
			return true
		})
	}
	return reasons
}

// Errors are answered where they are logged: nothing in the library writes a status, but
// for what writes every error, what was given, and a server that has no log yet. And what
// OAuth calls an error is written to the log in one place, so that the key means one thing.
func TestErrorsAreAnsweredWhereTheyAreLogged(t *testing.T) {
	writes := map[string]string{
		"response.go": "every error, and JSON", "error_page.go": "every error, for a person", "endpoint.go": "what an endpoint returns", "resource/protector.go": "every error of an API",
		"observation.go": "passes it on", "server.go": "there is no log before Init", "doctor/asking.go": "is no server",
	}
	found, keyed := make(map[string]bool), make(map[string]bool)
	files := token.NewFileSet()
	require.NoError(t, filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			from, _ := f.X.(*ast.Ident)
			ofHTTP := from != nil && from.Name == "http"
			if f.Sel.Name == "WriteHeader" || ofHTTP && (f.Sel.Name == "Error" || f.Sel.Name == "NotFound") {
				found[filepath.ToSlash(path)] = true
				assert.Contains(t, writes, filepath.ToSlash(path), "%s: return a *server.Error, which is logged", files.Position(call.Pos()))
			}
			if from != nil && from.Name == "slog" && len(call.Args) > 0 {
				if key, ok := call.Args[0].(*ast.BasicLit); ok && (key.Value == `"error"` || key.Value == `"reason"`) {
					keyed[filepath.ToSlash(path)] = true
				}
			}
			return true
		})
		return nil
	}))
	for path := range writes {
		assert.True(t, found[path], "%s writes nothing any more", path)
	}
	assert.Empty(t, keyed, "the keys of a refusal are those of Observation.LogAttrs")
}

// full is a server that has everything, with whom its requests come from.
type full struct {
	refusals
	web, public, service, signer *oauthtest.Client
	signs, trust                 *ecdsa.PrivateKey
	keys                         *pairs
	root                         *oauthtest.Certificate
	devices                      *endpoint.DeviceAuthorization
	registration                 *endpoint.Registration
	introspection                *endpoint.Introspection
	openid                       *oidc.Provider
}

func newRefusals(t *testing.T, db *gorm.DB, told map[string]bool, all *strings.Builder) *full {
	p := &full{refusals: refusals{oauthtest.New(t, db), told, all}, signs: oauthtest.NewKey(t), trust: oauthtest.NewKey(t), keys: &pairs{sign: oauthtest.NewKey(t), decrypt: oauthtest.NewKey(t)}}
	p.root = p.NewCertificate(nil, oauthtest.Authority)
	roots := x509.NewCertPool()
	roots.AddCert(p.root.Certificate)
	replays := gormoauth.CreateReplayStorage[oauthtest.Replay](db)
	keysOf := func(_ context.Context, issuer string) (*jose.JSONWebKeySet, error) {
		if issuer != trusted {
			return nil, nil
		}
		return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.trust.Public()}}}, nil
	}
	who := func(_ context.Context, _ *server.Request, assertion *assertion.Assertion) (storage.User, error) {
		if assertion.Subject == "nobody" {
			return nil, nil
		}
		return p.User, nil
	}
	exchange := gormoauth.CreateTokenExchangeGrant[oauthtest.Token](db)
	exchange.Keys, exchange.QueryUser = keysOf, who
	exchange.Policy = func(context.Context, *server.Request, *grant.Exchange) error { return nil }
	p.devices = gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)
	p.introspection = gormoauth.CreateIntrospectionEndpoint[oauthtest.Token](db)
	p.introspection.Keys = p.keys
	p.registration = gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	p.registration.CheckInitialAccessToken = func(_ context.Context, _ *server.Request, token string) (bool, error) { return token == "good", nil }
	p.registration.SoftwareStatements = &endpoint.SoftwareStatements{Keys: keysOf}
	p.openid = &oidc.Provider{Keys: p.keys, Algorithms: []jose.SignatureAlgorithm{jose.ES256}}
	for _, err := range []error{
		p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: replays}, &clientauth.ClientSecretJWT{Key: make([]byte, 32), Replays: replays},
			&clientauth.TLSClientAuth{Roots: roots}, &clientauth.SelfSignedTLSClientAuth{}, ownMethod{}),
		p.Server.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db)),
		p.Server.RegisterGrant(exchange),
		p.Server.RegisterGrant(&grant.JWTBearer{Keys: keysOf, QueryUser: who, Replays: replays}),
		p.Server.Register(gormoauth.CreateDPoP[oauthtest.Replay](db), &grant.RequestObjects{Replays: replays, Decryption: p.keys},
			grant.ResourceIndicators{Resources: []string{aResource}},
			&grant.AuthorizationDetails{Types: map[string]grant.AuthorizationDetailType{"photos": {Check: func(context.Context, *server.Request, grant.AuthorizationDetail) error { return nil }}}},
			gormoauth.CreateMetadataDocuments[oauthtest.Client](db, fetch.New(fetch.Options{}))),
		p.Server.RegisterEndpoint(gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db)),
		p.Server.RegisterEndpoint(p.devices),
		p.Server.RegisterEndpoint(p.introspection),
		p.Server.RegisterEndpoint(p.registration),
		p.openid.Register(p.Server, p.Protector),
	} {
		require.NoError(t, err)
	}
	p.web = p.NewClient(nil)
	p.public = p.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants("authorization_code", deviceCode)))
	p.service = p.NewClient(oauthtest.Grants("client_credentials", exchanging, jwtBearer))
	p.signer = p.NewClient(oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) {
		c.ClientMetadata.TokenEndpointAuthMethod, c.ClientMetadata.JWKs = models.PrivateKeyJWT, oauthtest.KeySet(t, p.signs)
	}))
	return p
}

func (p *full) under(t *testing.T) { p.T = t }

// change changes a client's row, as nobody would who asks the library.
func (p *full) change(client *oauthtest.Client, how func(*models.ClientMetadata)) {
	how(&client.ClientMetadata)
	require.NoError(p.T, p.DB.Save(client).Error)
}

const aToken = "grant_type=client_credentials"

// as asks for a client's own token, by a client that authenticates in the wrong way.
func (p *full) as(header, value, body string) func() oauthtest.Answer {
	return func() oauthtest.Answer { return p.Token(nil, aToken+body, header, value) }
}

func basic(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

func (p *full) clientAuthentication(t *testing.T) {
	p.under(t)
	expired := p.StoreClient(oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) { c.ClientSecretExpiresAt = p.Now.Unix() - 1 }))
	elsewhere := p.StoreClient(oauthtest.Grants("client_credentials"))
	p.change(elsewhere, func(m *models.ClientMetadata) { m.TokenEndpointAuthMethod = models.PrivateKeyJWT })
	deleted := p.StoreClient(func(c *oauthtest.Client) {
		c.ClientID, c.ClientSource, c.ClientDeletedAt = "https://127.0.0.1/deleted", models.ClientByDocument, p.Now.Unix()
	})
	strange := p.NewClient(oauthtest.Grants("client_credentials"))
	require.NoError(t, p.DB.Model(strange).UpdateColumn("client_secret", "scrypt:32768:8:1$salt$deadbeef").Error)
	asItself := func(client *oauthtest.Client, body string) func() oauthtest.Answer {
		return func() oauthtest.Answer { return p.Token(client, body) }
	}
	p.hold(
		refusal{"an unknown client", p.as("Authorization", basic("nobody", "x"), ""), "invalid_client", "the client is unknown", claiming("nobody")},
		refusal{"an unknown client that names itself", p.as("", "", "&client_id=nobody"), "invalid_client", "the client is unknown", claiming("nobody")},
		refusal{"a document that cannot be had", p.as("", "", "&client_id=https%3A%2F%2F127.0.0.1%2Fclient"), "invalid_client", "the client's metadata document is not accepted", claiming("https://127.0.0.1/client", "values.document", "https://127.0.0.1/client")},
		refusal{"an id that is the address of no document", p.as("", "", "&client_id=https%3A%2F%2F127.0.0.1%3Fcode%3Dx"), "invalid_client", "the client id is not the URL of a metadata document",
			claiming("https://127.0.0.1?code=…", "values.document", "https://127.0.0.1?code=…", "values.fault", "it has no path")},
		refusal{"a client of a document that was deleted", p.as("", "", "&client_id="+url.QueryEscape(deleted.GetClientID())), "invalid_client", "the client was deleted, or the handle's condition excludes it",
			claiming(deleted.GetClientID(), "values.document", deleted.GetClientID())},
		refusal{"a wrong secret", p.as("Authorization", basic(p.service.ClientID, "wrong"), ""), "invalid_client", "the client secret is wrong", claiming(p.service.ClientID)},
		refusal{"a secret in an unknown form", asItself(strange, aToken), "invalid_client", "the client secret is wrong, or is stored in an unknown form, which the doctor reports", claiming(strange.ClientID)},
		refusal{"a wrong secret in the body", p.as("", "", "&client_id="+p.service.ClientID+"&client_secret=wrong"), "invalid_client", "the client secret is wrong", claiming(p.service.ClientID)},
		refusal{"an expired secret", asItself(expired, aToken), "invalid_client", "the client secret has expired", claiming(expired.ClientID)},
		refusal{"no client", p.as("", "", ""), "invalid_client", "", nobody},
		refusal{"a header that is no Basic", p.as("Authorization", "Basic !", ""), "invalid_client", "the Basic header is malformed", nobody},
		refusal{"two ways at once", p.as("Authorization", basic(p.service.ClientID, p.service.Secret), "&client_id="+p.service.ClientID+"&client_secret=x"),
			"invalid_request", "", claiming(p.service.ClientID, "values.auth_method", "client_secret_basic, client_secret_post")},
		refusal{"two names", p.as("Authorization", basic(p.service.ClientID, p.service.Secret), "&client_id=other"),
			"invalid_request", "", claiming(p.service.ClientID, "values.client_id", "other", "values.authenticated_client_id", p.service.ClientID)},
		refusal{"a name without a secret", p.as("", "", "&client_id="+p.service.ClientID), "invalid_client", "the client is not registered for the authentication method",
			claiming(p.service.ClientID, "values.auth_method", "none", "values.registered_auth_method", "client_secret_basic")},
		refusal{"a secret of a client that signs", p.as("Authorization", basic(elsewhere.ClientID, elsewhere.Secret), ""), "invalid_client", "the client is not registered for the authentication method",
			claiming(elsewhere.ClientID, "values.auth_method", "client_secret_basic", "values.registered_auth_method", "private_key_jwt")},
		refusal{"a method of the program's", p.as("X-Own", "x", ""), "invalid_client", "the credentials match no client", nobody},
		refusal{"a grant that is not for public clients", p.as("", "", "&client_id="+p.public.ClientID), "invalid_client", "", by(p.public, "auth_method", "none", "grant_type", "client_credentials")},
		refusal{"a grant that is not the client's", asItself(p.web, aToken), "unauthorized_client", "", by(p.web, "auth_method", "client_secret_basic", "grant_type", "client_credentials")},
		refusal{"no grant", asItself(p.web, "scope=a"), "invalid_request", "", claiming(p.web.ClientID)},
		refusal{"no grant that there is", asItself(p.web, "grant_type=magic"), "unsupported_grant_type", "", claiming(p.web.ClientID, "grant_type", "other", "values.grant_type", "magic")},
	)
}

func (p *full) guesses(t *testing.T) {
	p.under(t)
	guessed := p.NewClient(oauthtest.Grants("client_credentials"))
	for range 100 {
		p.as("Authorization", basic(guessed.ClientID, "wrong"), "")()
	}
	p.hold(refusal{"too many guesses", func() oauthtest.Answer { return p.Token(guessed, aToken) }, "temporarily_unavailable", "there were too many wrong secrets or signatures for this client from this address", claiming(guessed.ClientID)})
}

// said are the claims of a client's assertion.
func (p *full) said(clientID string, more ...any) map[string]any {
	return oauthtest.Claims(map[string]any{
		"iss": clientID, "sub": clientID, "aud": oauthtest.Issuer, "exp": p.Now.Unix() + 60, "iat": p.Now.Unix(), "jti": rand.Text(),
	}, more...)
}

func (p *full) clientAssertions(t *testing.T) {
	p.under(t)
	now, id := p.Now.Unix(), p.signer.ClientID
	presenting := func(claimed, text string) func() oauthtest.Answer {
		const kind = "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
		if claimed != "" {
			claimed = "&client_id=" + claimed
		}
		return func() oauthtest.Answer { return p.Token(nil, aToken+kind+claimed+"&client_assertion="+text) }
	}
	signed := func(more ...any) string { return oauthtest.SignJWT(t, p.signs, jose.ES256, nil, p.said(id, more...)) }
	with := func(set json.RawMessage, more func(*oauthtest.Client)) *oauthtest.Client {
		return p.StoreClient(oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) {
			c.ClientMetadata.TokenEndpointAuthMethod, c.ClientMetadata.JWKs = models.PrivateKeyJWT, set
			if more != nil {
				more(c)
			}
		}))
	}
	own := func(client *oauthtest.Client) string {
		return oauthtest.SignJWT(t, p.signs, jose.ES256, nil, p.said(client.ClientID))
	}
	many := make([]crypto.Signer, 21)
	for i := range many {
		many[i] = p.signs
	}
	broken, crowded := with(json.RawMessage(`{"keys":7}`), nil), with(oauthtest.KeySetOf(t, many...), nil)
	away := with(nil, func(c *oauthtest.Client) { c.ClientMetadata.JWKsURI = "https://127.0.0.1/keys" })
	other := with(oauthtest.KeySet(t, p.signs), func(c *oauthtest.Client) {
		c.ClientMetadata.Extra = map[string]json.RawMessage{"token_endpoint_auth_signing_alg": json.RawMessage(`"PS256"`)}
	})
	secrets := p.NewClient(oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) { c.ClientMetadata.TokenEndpointAuthMethod = models.ClientSecretJWT }))
	late := p.NewClient(oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) { c.ClientMetadata.TokenEndpointAuthMethod = models.ClientSecretJWT }))
	require.NoError(t, p.DB.Model(late).Update("client_secret_expires_at", now-1).Error)
	keyless := p.NewClient(oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) { c.ClientMetadata.TokenEndpointAuthMethod = models.ClientSecretJWT }))
	require.NoError(t, p.DB.Model(keyless).Update("client_secret", models.DerivedClientSecretBy("0123abcd", "nonce")).Error)
	plain := p.StoreClient(oauthtest.Grants("client_credentials"))
	p.change(plain, func(m *models.ClientMetadata) { m.TokenEndpointAuthMethod = models.ClientSecretJWT })
	bySecret := func(client *oauthtest.Client, with string) string {
		return oauthtest.SignJWT(t, []byte(with), jose.HS256, nil, p.said(client.ClientID))
	}
	used := signed()
	presenting("", used)()
	type row struct {
		text, claimed, why string
		keys               []string
	}
	rows := map[string]row{
		"too long":             {strings.Repeat("x", 17<<10), id, "the JWT is too long", nil},
		"no JWT":               {"a.b.c", id, "the JWT is malformed", nil},
		"another algorithm":    {oauthtest.SignJWT(t, make([]byte, 64), jose.HS384, nil, p.said(id)), id, "the signature algorithm of the JWT is not accepted", []string{"values.algorithm", "HS384"}},
		"a claim twice":        {oauthtest.SignRaw(t, p.signs, `{"alg":"ES256"}`, `{"iss":"a","iss":"b"}`), id, "the claims of the JWT are malformed", nil},
		"an issuer that is 1":  {signed("iss", 1), id, "a claim of the JWT is malformed", []string{"values.claim", "iss"}},
		"another kind":         {oauthtest.SignJWT(t, p.signs, jose.ES256, map[jose.HeaderKey]any{"typ": "at+jwt"}, p.said(id)), "", "the JWT is not a client assertion", []string{"values.typ", "at+jwt"}},
		"about another":        {signed("sub", "other"), "", "the 'iss' and the 'sub' of the client assertion differ", []string{"claimed_client_id", "other", "values.iss", id, "values.sub", "other"}},
		"for another server":   {signed("aud", "https://other.example"), "", "the 'aud' of the JWT does not name this server alone", []string{"values.audience", "https://other.example"}},
		"of nobody":            {signed("iss", nil, "sub", nil), id, "the JWT has no 'iss'", nil},
		"without an id":        {signed("jti", nil), "", "the JWT has no 'jti'", nil},
		"with a long id":       {signed("jti", strings.Repeat("x", 600)), "", "the 'jti' of the JWT is too long", nil},
		"expired":              {signed("exp", now-60), "", "the JWT has expired", []string{"values.exp", strconv.FormatInt(now-60, 10)}},
		"of tomorrow":          {signed("nbf", now+600), "", "the JWT is not valid yet", nil},
		"without an end":       {signed("exp", nil), "", "the JWT has no 'exp' within the hour", nil},
		"of yesterday":         {signed("iat", now-86400), "", "the JWT is valid for more than an hour", nil},
		"of an unknown client": {oauthtest.SignJWT(t, p.signs, jose.ES256, nil, p.said("nobody")), "", "the client is unknown", []string{"claimed_client_id", "nobody"}},
		"by another key":       {oauthtest.SignJWT(t, oauthtest.NewKey(t), jose.ES256, map[jose.HeaderKey]any{"kid": "1"}, p.said(id)), "", "the signature of the JWT is wrong", []string{"values.kid", "1", "values.algorithm", "ES256"}},
		"by an unknown key":    {oauthtest.SignJWT(t, p.signs, jose.ES256, map[jose.HeaderKey]any{"kid": "7"}, p.said(id)), "", "the key set has no key of this 'kid' and algorithm", []string{"values.kid", "7"}},
		"a second time":        {used, "", "the client assertion was used before", nil},
		"by what was not registered": {own(other), "", "the client registered a different signing algorithm",
			[]string{"claimed_client_id", other.ClientID, "values.algorithm", "ES256", "values.registered_algorithm", "PS256"}},
		"keys that are none":   {own(broken), "", "the key set is malformed", []string{"claimed_client_id", broken.ClientID}},
		"too many keys":        {own(crowded), "", "the key set has too many keys", []string{"claimed_client_id", crowded.ClientID, "values.keys", "21"}},
		"keys that are away":   {own(away), "", "the client's key set cannot be read", []string{"claimed_client_id", away.ClientID}},
		"by another secret":    {bySecret(secrets, secrets.Secret+"x"), "", "the signature of the JWT is wrong", []string{"claimed_client_id", secrets.ClientID}},
		"by an expired secret": {bySecret(late, late.Secret), "", "the client secret has expired", []string{"claimed_client_id", late.ClientID}},
		"by a key that is missing": {bySecret(keyless, "a secret that nobody can derive any more"), "", "the key with which the client secret was derived is missing",
			[]string{"claimed_client_id", keyless.ClientID, "values.fault", (&secret.MissingError{ID: "0123abcd"}).Error()}},
		"without a secret": {bySecret(plain, plain.Secret+"to be long enough"), "", "the client has no secret that can verify the signature", []string{"claimed_client_id", plain.ClientID}},
	}
	for _, rule := range slices.Sorted(maps.Keys(rows)) {
		c := rows[rule]
		keys := claiming(id, c.keys...)
		if slices.Contains(c.keys, "claimed_client_id") {
			keys = c.keys
		}
		p.hold(refusal{rule, presenting(c.claimed, c.text), "invalid_client", c.why, keys})
	}
	p.hold(refusal{"of another type", func() oauthtest.Answer {
		return p.Token(nil, aToken+"&client_id="+id+"&client_assertion_type=saml&client_assertion="+used)
	},
		"invalid_request", "the type of the client assertion is not supported", claiming(id, "values.client_assertion_type", "saml")})
}

func (p *full) certificates(t *testing.T) {
	p.under(t)
	named := p.NewClient(oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) {
		c.ClientMetadata.TokenEndpointAuthMethod = models.TLSClientAuth
		c.ClientMetadata.Extra = map[string]json.RawMessage{"tls_client_auth_san_dns": json.RawMessage(`"client.example"`)}
	}))
	mine := p.NewCertificate(nil, nil)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: mine.PublicKey, Certificates: []*x509.Certificate{mine.Certificate}}}})
	require.NoError(t, err)
	own := p.NewClient(oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) {
		c.ClientMetadata.TokenEndpointAuthMethod, c.ClientMetadata.JWKs = models.SelfSignedTLSClientAuth, set
	}))
	with := func(client string, certificate *oauthtest.Certificate) func() oauthtest.Answer {
		return func() oauthtest.Answer {
			return p.PostTLS("/oauth/token", aToken+"&client_id="+client, []*oauthtest.Certificate{certificate})
		}
	}
	p.hold(
		refusal{"of nobody's authority", with(named.ClientID, mine), "invalid_client", "the certificate is not trusted", claiming(named.ClientID)},
		refusal{"of another subject", with(named.ClientID, p.NewCertificate(p.root, func(c *x509.Certificate) { c.DNSNames = []string{"other.example"} })), "invalid_client",
			"the subject of the certificate is not the one that the client registered", claiming(named.ClientID, "values.registered_as", "tls_client_auth_san_dns", "values.registered_subject", "client.example")},
		refusal{"another one than was registered", with(own.ClientID, p.NewCertificate(nil, nil)), "invalid_client", "the certificate is not in the client's key set", claiming(own.ClientID)},
		refusal{"of an unknown client", with("nobody", mine), "invalid_client", "the client is unknown", claiming("nobody")},
	)
}

// page asks the authorization endpoint for the page.
func (p *full) page(query string) func() oauthtest.Answer {
	return func() oauthtest.Answer { return p.Consent(query) }
}

func (p *full) authorizationRequests(t *testing.T) {
	p.under(t)
	web := func(more string) func() oauthtest.Answer { return p.page(oauthtest.AuthorizeQuery(p.web, more)) }
	id := "client_id=" + p.web.ClientID
	several := p.NewClient(func(c *oauthtest.Client) {
		c.ClientMetadata.RedirectURIs = append(c.ClientMetadata.RedirectURIs, "https://client.example/other")
	})
	script := p.StoreClient(func(c *oauthtest.Client) { c.ClientMetadata.RedirectURIs = []string{"javascript:alert(1)"} })
	pushing := p.NewClient(func(c *oauthtest.Client) {
		c.ClientMetadata.Extra = map[string]json.RawMessage{"require_pushed_authorization_requests": json.RawMessage("true")}
	})
	signing := p.NewClient(func(c *oauthtest.Client) {
		c.ClientMetadata.JWKs = oauthtest.KeySet(t, p.signs)
		c.ClientMetadata.Extra = map[string]json.RawMessage{"require_signed_request_object": json.RawMessage("true")}
	})
	app := p.NewClient(oauthtest.All(oauthtest.Public, func(c *oauthtest.Client) { c.ClientMetadata.Scope += " openid" }))
	openID := "scope=openid&redirect_uri=" + url.QueryEscape(oauthtest.RedirectURI)
	push := func(client *oauthtest.Client) string {
		a := p.Post("/oauth/par", client, oauthtest.AuthorizeQuery(client, "redirect_uri="+url.QueryEscape(oauthtest.RedirectURI)))
		require.Equal(t, http.StatusCreated, a.Status, a.Raw)
		return url.QueryEscape(a.Body["request_uri"])
	}
	fresh, foreign, used, old := push(p.web), push(several), push(p.web), push(p.web)
	require.Equal(t, http.StatusFound, p.Grant(id+"&request_uri="+used).Status)
	oldURI, err := url.QueryUnescape(old)
	require.NoError(t, err)
	require.NoError(t, p.DB.Model(&oauthtest.PushedRequest{}).Where("request_uri = ?", secret.Digest(oldURI)).Update("expires_at", p.Now.Unix()-1).Error)
	unknown := url.QueryEscape("urn:ietf:params:oauth:request_uri:" + p.Server.GenerateSecret(secret.PushedRequest))
	hinting := func(text string) func() oauthtest.Answer {
		return p.page(oauthtest.AuthorizeQuery(app, openID+"&id_token_hint="+text))
	}
	hint := func(typ string, more ...any) string {
		return oauthtest.SignJWT(t, p.keys.sign, jose.ES256, map[jose.HeaderKey]any{"typ": typ, "kid": "1"}, oauthtest.Claims(map[string]any{"iss": oauthtest.Issuer, "sub": "1", "aud": app.ClientID}, more...))
	}
	const gone = "invalid_request_uri"
	p.hold(
		refusal{"no client", p.page("response_type=code"), "invalid_client", "", nobody},
		refusal{"an unknown client", p.page("response_type=code&client_id=nobody"), "invalid_client", "", claiming("nobody")},
		refusal{"another redirect URI", web("redirect_uri=https%3A%2F%2Fevil.example%2Fcb%3Fcode%3Dx"), "invalid_request", "", by(p.web, "values.redirect_uri", "https://evil.example/cb?code=…")},
		refusal{"no redirect URI of several", p.page(oauthtest.AuthorizeQuery(several, "")), "invalid_request", "", by(several)},
		refusal{"a redirect URI that nobody may have", p.page(oauthtest.AuthorizeQuery(script, "")), "invalid_request", "", by(script, "values.redirect_uri", "javascript:alert(1)")},
		refusal{"no response type", p.page(id), "invalid_request", "", by(p.web)},
		refusal{"no response type that there is", p.page(id + "&response_type=magic"), "unsupported_response_type", "", by(p.web, "values.response_type", "magic")},
		refusal{"one that is not the client's", p.page(id + "&response_type=token"), "unauthorized_client", "", by(p.web, "values.response_type", "token")},
		refusal{"a response mode", web("response_mode=magic"), "invalid_request", "", by(p.web, "values.response_mode", "magic")},
		refusal{"a max_age", web("max_age=soon"), "invalid_request", "", by(p.web, "values.max_age", "soon")},
		refusal{"a scope", web("scope=admin"), "invalid_scope", "", by(p.web, "values.scope", "admin")},
		refusal{"a scope with a quote", web("scope=%22"), "invalid_scope", "", by(p.web, "values.scope", `"`)},
		refusal{"a part of a scope", web("scope=profile+admin"), "", "part of the scope is left out", by(p.web, "values.scope", "admin", "scope", "profile")},
		refusal{"no PKCE", p.page("response_type=code&client_id=" + app.ClientID), "invalid_request", "", by(app)},
		refusal{"plain PKCE", p.page("response_type=code&code_challenge=" + oauthtest.Challenge + "&code_challenge_method=plain&client_id=" + app.ClientID), "invalid_request", "", by(app)},
		refusal{"PKCE of another kind", p.page("response_type=code&code_challenge=" + oauthtest.Challenge + "&code_challenge_method=magic&client_id=" + app.ClientID), "invalid_request", "", by(app, "values.code_challenge_method", "magic")},
		refusal{"a prompt", web("prompt=magic"), "invalid_request", "", by(p.web, "values.prompt", "magic")},
		refusal{"a page that may not be shown", web("prompt=none"), "consent_required", "", by(p.web, "user", p.User.GetUserID())},
		refusal{"claims that are none", p.page(oauthtest.AuthorizeQuery(app, openID+"&claims=x")), "invalid_request", "json", by(app)},
		refusal{"a request that is not pushed", p.page(oauthtest.AuthorizeQuery(pushing, "")), "invalid_request", "", by(pushing)},
		refusal{"a request that is not signed", p.page(oauthtest.AuthorizeQuery(signing, "")), "invalid_request", "", by(signing)},
		refusal{"a resource", web("resource=https%3A%2F%2Fother.example"), "invalid_target", "", by(p.web, "values.resource", "https://other.example")},
		refusal{"details that are none", web("authorization_details=%5B%5D"), "invalid_authorization_details", "there are no details, or too many", by(p.web)},
		refusal{"details of another type", web("authorization_details=" + url.QueryEscape(`[{"type":"magic"}]`)), "invalid_authorization_details", "", by(p.web, "values.type", "magic")},
		refusal{"a request_uri of no kind", web("request_uri=urn%3Ax"), "request_uri_not_supported", "", by(p.web, "values.request_uri", "urn:x")},
		refusal{"a request_uri that is malformed", web("request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3Agoa_pr_x"), gone, "the 'request_uri' is malformed", claiming(p.web.ClientID)},
		refusal{"an unknown request_uri", web("request_uri=" + unknown), gone, "the 'request_uri' is unknown", claiming(p.web.ClientID)},
		refusal{"another client's request_uri", web("request_uri=" + foreign), gone, "the 'request_uri' belongs to another client", claiming(p.web.ClientID, "values.pushed_by", several.ClientID)},
		refusal{"a request_uri that was used", web("request_uri=" + used), gone, "the 'request_uri' was used before", claiming(p.web.ClientID)},
		refusal{"an old request_uri", web("request_uri=" + old), gone, "the 'request_uri' has expired", claiming(p.web.ClientID)},
		refusal{"a hint of another client", hinting(hint("JWT", "aud", "other")), "invalid_request", "the ID token was issued to another client", by(app, "values.audience", "other")},
		refusal{"a hint of another issuer", hinting(hint("JWT", "iss", "https://other.example")), "invalid_request", "the ID token was issued by another issuer", by(app, "values.iss", "https://other.example")},
		refusal{"a hint that is none", hinting(hint("at+jwt")), "invalid_request", "the JWT is not an ID token", by(app, "values.typ", "at+jwt")},
		refusal{"a hint with a bad session", hinting(hint("JWT", "sid", 1)), "invalid_request", "the 'sid' of the ID token is not a string", by(app)},
		refusal{"a denial", func() oauthtest.Answer { return p.Decide(oauthtest.AuthorizeQuery(p.web, ""), "", nil) }, "access_denied", "", by(p.web)},
		refusal{"a form without its field", func() oauthtest.Answer {
			return p.Send(http.MethodPost, oauthtest.AuthorizeQuery(p.web, ""), "confirm=yes", p.User)
		}, "", "the form is not the user's decision: the form has no field 'decision'", by(p.web, "user", p.User.GetUserID())},
		refusal{"a form of another page", func() oauthtest.Answer {
			return p.Send(http.MethodPost, oauthtest.AuthorizeQuery(p.web, ""), "confirm=yes&decision=x", p.User)
		}, "", "the form is not the user's decision: the page was shown for a different user, client or request", by(p.web, "user", p.User.GetUserID())},
	)
	assert.Equal(t, http.StatusOK, p.Consent(id+"&request_uri="+fresh).Status)
}

func (p *full) requestObjects(t *testing.T) {
	p.under(t)
	client := p.NewClient(func(c *oauthtest.Client) { c.ClientMetadata.JWKs = oauthtest.KeySet(t, p.signs) })
	object := func(key *ecdsa.PrivateKey, typ string, more ...any) string {
		claims := map[string]any{
			"iss": client.ClientID, "aud": oauthtest.Issuer, "client_id": client.ClientID, "response_type": "code", "code_challenge": oauthtest.Challenge, "code_challenge_method": "S256",
		}
		return oauthtest.SignJWT(t, key, jose.ES256, map[jose.HeaderKey]any{"typ": typ, "kid": "1"}, oauthtest.Claims(claims, more...))
	}
	sending := func(text string) func() oauthtest.Answer {
		return p.page("client_id=" + client.ClientID + "&request=" + text)
	}
	encrypted := func(key *ecdsa.PrivateKey, kid string, algorithm jose.KeyAlgorithm) string {
		encrypter, err := jose.NewEncrypter(jose.A128GCM, jose.Recipient{Algorithm: algorithm, Key: key.Public(), KeyID: kid}, nil)
		require.NoError(t, err)
		sealed, err := encrypter.Encrypt([]byte(object(p.signs, "JWT")))
		require.NoError(t, err)
		text, err := sealed.CompactSerialize()
		require.NoError(t, err)
		return text
	}
	const code, typed = "invalid_request_object", "oauth-authz-req+jwt"
	who := func(more ...string) []string { return claiming(client.ClientID, more...) }
	require.Equal(t, http.StatusOK, sending(encrypted(p.keys.decrypt, "2", jose.ECDH_ES_A256KW))().Status)
	once := "client_id=" + client.ClientID + "&request=" + object(p.signs, typed, "jti", "once")
	require.Equal(t, http.StatusFound, p.Grant(once).Status)
	p.hold(
		refusal{"no JWT", sending("a.b.c"), code, "the JWT is malformed", who()},
		refusal{"by another key", sending(object(oauthtest.NewKey(t), typed)), code, "the signature of the JWT is wrong", who()},
		refusal{"of another type", sending(object(p.signs, "at+jwt")), code, "", who("values.typ", "at+jwt")},
		refusal{"of another client", sending(object(p.signs, typed, "client_id", "other")), code, "", who("values.client_id", "other")},
		refusal{"by another client", sending(object(p.signs, typed, "iss", "other")), code, "", who("values.iss", "other")},
		refusal{"for another server", sending(object(p.signs, typed, "aud", "https://other.example")), code, "", who("values.audience", "https://other.example")},
		refusal{"expired", sending(object(p.signs, typed, "exp", p.Now.Unix()-60)), code, "the JWT has expired", who()},
		refusal{"encrypted for somebody else", sending(encrypted(p.signs, "2", jose.ECDH_ES_A256KW)), code, "none of the server's keys decrypts the JWT", who("values.kid", "2")},
		refusal{"encrypted in another way", sending(encrypted(p.keys.decrypt, "2", jose.ECDH_ES)), code, "the JWT is malformed, or encrypted with an algorithm that the server does not accept", who()},
		refusal{"at an address that is not registered", p.page("client_id=" + client.ClientID + "&request_uri=https%3A%2F%2Fclient.example%2Fobject"), "invalid_request_uri", "", who("values.request_uri", "https://client.example/object")},
		refusal{"used before", func() oauthtest.Answer { return p.Grant(once) }, code, "", by(client)},
	)
	plain := &refusals{oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)), p.told, p.all}
	require.NoError(t, plain.Server.Register(&grant.RequestObjects{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](plain.DB)}))
	other := plain.NewClient(nil)
	plain.hold(refusal{"encrypted for no server", func() oauthtest.Answer { return plain.Consent("client_id=" + other.ClientID + "&request=a.b.c.d.e") }, code, "the server has no decryption keys", claiming(other.ClientID)})
}

func (p *full) codesAndRefreshTokens(t *testing.T) {
	p.under(t)
	rival := p.NewClient(nil)
	redeem := func(client *oauthtest.Client, code, verifier, more string) func() oauthtest.Answer {
		return func() oauthtest.Answer {
			return p.Token(client, "grant_type=authorization_code&code="+code+"&code_verifier="+verifier+more)
		}
	}
	refresh := func(client *oauthtest.Client, text, more string) func() oauthtest.Answer {
		return func() oauthtest.Answer { return p.Refresh(client, text, more) }
	}
	tokens := func() map[string]string { return p.Redeem(p.web, p.Code(p.web, "scope=profile")).Body }
	row := func(text string) *oauthtest.Token {
		var row oauthtest.Token
		require.NoError(t, p.DB.Where("refresh_token = ?", secret.Digest(text)).First(&row).Error)
		return &row
	}
	const good = oauthtest.Verifier
	used, old, gone := p.Code(p.web, ""), p.Code(p.web, ""), p.Code(p.web, "")
	require.Equal(t, http.StatusOK, p.Redeem(p.web, used).Status)
	grantOf := func(code string) string { return secret.Present(code).GrantID[:16] }
	require.NoError(t, p.DB.Model(&oauthtest.AuthorizationCode{}).Where("code = ?", secret.Digest(old)).Update("expires_at", p.Now.Unix()-1).Error)
	fresh, _ := p.Server.GenerateCode(secret.AuthorizationCode, rand.Text())
	unknown, _ := p.Server.GenerateCode(secret.RefreshToken, rand.Text())
	rotated, revoked, ended, more, less := tokens()["refresh_token"], tokens()["refresh_token"], tokens()["refresh_token"], tokens()["refresh_token"], p.Redeem(rival, p.Code(rival, "scope=profile+email")).Body["refresh_token"]
	require.Equal(t, http.StatusOK, p.Refresh(p.web, p.Refresh(p.web, rotated, "").Body["refresh_token"], "").Status)
	require.Equal(t, http.StatusOK, p.Revoke(p.web, "token="+revoked).Status)
	require.NoError(t, p.DB.Model(row(ended)).Update("refresh_token_expires_at", p.Now.Unix()-1).Error)
	elsewhere := tokens()["refresh_token"]
	require.NoError(t, p.DB.Model(row(elsewhere)).Update("issuer", "https://other.example").Error)
	p.hold(
		refusal{"no code", redeem(p.web, "", good, ""), "invalid_request", "", by(p.web)},
		refusal{"a code that was mistyped", redeem(p.web, fresh[:len(fresh)-1]+"_", good, ""), "invalid_grant", "the code is malformed, or a different kind of secret", by(p.web)},
		refusal{"an unknown code", redeem(p.web, fresh, good, ""), "invalid_grant", "the code is unknown", by(p.web)},
		refusal{"another client's code", redeem(rival, p.Code(p.web, ""), good, ""), "invalid_grant", "", by(rival)},
		refusal{"a code that was used", redeem(p.web, used, good, ""), "invalid_grant", "the credential was presented again; its grant is revoked", by(p.web, "reuse", "true", "values.grant", grantOf(used))},
		refusal{"an old code", redeem(p.web, old, good, ""), "invalid_grant", "the credential has expired", by(p.web, "values.grant", grantOf(old))},
		refusal{"another verifier", redeem(p.web, p.Code(p.web, ""), strings.Repeat("x", 43), ""), "invalid_grant", "", by(p.web)},
		refusal{"no verifier", redeem(p.web, p.Code(p.web, ""), "", ""), "invalid_grant", "", by(p.web)},
		refusal{"another redirect URI", redeem(p.web, p.Code(p.web, ""), good, "&redirect_uri=https%3A%2F%2Fother.example%2F"), "invalid_grant", "", by(p.web, "values.redirect_uri", "https://other.example/")},
		refusal{"a resource that was not granted", redeem(p.web, p.Code(p.web, ""), good, "&resource=https%3A%2F%2Fapi.example"), "invalid_target", "", by(p.web, "values.resource", aResource)},
		refusal{"no refresh token", refresh(p.web, "", ""), "invalid_request", "", by(p.web)},
		refusal{"a refresh token that was mistyped", refresh(p.web, unknown[:len(unknown)-1]+"_", ""), "invalid_grant", "the refresh token is malformed, or a different kind of secret", by(p.web)},
		refusal{"an unknown refresh token", refresh(p.web, unknown, ""), "invalid_grant", "the refresh token and its grant are unknown", by(p.web)},
		refusal{"another client's refresh token", refresh(rival, more, ""), "invalid_grant", "", by(rival)},
		refusal{"more than was granted", refresh(p.web, more, "&scope=profile+email"), "invalid_scope", "", by(p.web, "values.scope", "profile email", "values.granted_scope", "profile")},
		refusal{"a refresh token that was used", refresh(p.web, rotated, ""), "invalid_grant", "the credential was presented again; its grant is revoked", by(p.web, "reuse", "true")},
		refusal{"a refresh token that was revoked", refresh(p.web, revoked, ""), "invalid_grant", "the grant was revoked", by(p.web)},
		refusal{"another issuer's refresh token", refresh(p.web, elsewhere, ""), "invalid_grant", "it was issued under another issuer", by(p.web, "values.iss", "https://other.example")},
		refusal{"a refresh token that has ended", refresh(p.web, ended, ""), "invalid_grant", "the credential has expired", by(p.web)},
	)
	p.change(rival, func(m *models.ClientMetadata) { m.Scope = "profile" })
	require.NoError(t, p.DB.Model(p.User).Update("disabled", true).Error)
	p.hold(refusal{"a user who is disabled", redeem(p.web, gone, good, ""), "invalid_grant", "", by(p.web, "values.user", p.User.GetUserID())})
	require.NoError(t, p.DB.Model(p.User).Update("disabled", false).Error)
	for _, end := range []struct {
		of             any
		column, reason string
	}{
		{p.web, "generation", "all grants of the client were ended after it was issued"},
		{p.User, "grant_generation", "all grants of the user were ended after it was issued"},
	} {
		require.NoError(t, p.DB.Model(end.of).Update(end.column, 1).Error)
		p.hold(refusal{"a code of before an end", redeem(p.web, gone, good, ""), "invalid_grant", end.reason, by(p.web)})
		require.NoError(t, p.DB.Model(end.of).Update(end.column, 0).Error)
	}
	p.hold(refusal{"a scope that the client has lost", refresh(rival, less, ""), "", "part of the scope is left out", by(rival, "values.scope", "email", "scope", "profile")})
	warned := redeem(p.web, used, good, "")().Refusal()
	assert.Equal(t, slog.LevelWarn, warned.Level, "somebody has what is not theirs")
}

func (p *full) deviceCodes(t *testing.T) {
	p.under(t)
	rival := p.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants(deviceCode)))
	begin := func(client *oauthtest.Client) map[string]string {
		a := p.Post("/oauth/device_authorization", client, "scope=profile")
		require.Equal(t, http.StatusOK, a.Status, a.Raw)
		return a.Body
	}
	poll := func(client *oauthtest.Client, code string) func() oauthtest.Answer {
		return func() oauthtest.Answer {
			return p.Token(client, "grant_type="+url.QueryEscape(deviceCode)+"&device_code="+code)
		}
	}
	typing := func(code string, user storage.User) func() oauthtest.Answer {
		return func() oauthtest.Answer {
			return p.Do(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := p.devices.GetConsentGrant(p.Server, r, user)
				p.Server.WriteError(w, r, err)
			}), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/device?user_code="+code, http.NoBody))
		}
	}
	waiting, denied, approved, old, orphan := begin(p.public), begin(p.public), begin(p.public), begin(p.public), begin(rival)
	require.NoError(t, p.DecideDevice(p.devices, denied["user_code"], p.User, false))
	require.NoError(t, p.DecideDevice(p.devices, approved["user_code"], p.User, true))
	require.NoError(t, p.DB.Model(&oauthtest.DeviceCode{}).Where("device_code = ?", secret.Digest(old["device_code"])).Update("expires_at", p.Now.Unix()-1).Error)
	fresh, _ := p.Server.GenerateCode(secret.DeviceCode, rand.Text())
	user := []string{"user", p.User.GetUserID()}
	nobodys := append(slices.Clone(nobody), user...)
	p.hold(
		refusal{"a client without the grant", func() oauthtest.Answer { return p.Post("/oauth/device_authorization", p.web, "") }, "unauthorized_client", "", by(p.web, "endpoint", "device_authorization")},
		refusal{"a scope", func() oauthtest.Answer { return p.Post("/oauth/device_authorization", p.public, "scope=admin") }, "invalid_scope", "", by(p.public, "values.scope", "admin")},
		refusal{"no code", poll(p.public, ""), "invalid_request", "", by(p.public)},
		refusal{"a code that was mistyped", poll(p.public, fresh[:len(fresh)-1]+"_"), "invalid_grant", "the device code is malformed, or a different kind of secret", by(p.public)},
		refusal{"an unknown code", poll(p.public, fresh), "invalid_grant", "the device code is unknown", by(p.public)},
		refusal{"another client's code", poll(rival, waiting["device_code"]), "invalid_grant", "the device code was issued to another client", by(rival)},
		refusal{"a code that waits", poll(p.public, waiting["device_code"]), "authorization_pending", "", by(p.public)},
		refusal{"a code that was denied", poll(p.public, denied["device_code"]), "access_denied", "", by(p.public)},
		refusal{"an old code", poll(p.public, old["device_code"]), "expired_token", "", by(p.public)},
		refusal{"nobody types", typing("BCDF-GHJK", nil), "access_denied", "", nobody},
		refusal{"typed badly", typing("x", p.User), "invalid_grant", "the user code is malformed", nobodys},
		refusal{"typed wrong", typing("BCDF-GHJK", p.User), "invalid_grant", "the user code is unknown", nobodys},
		refusal{"typed twice", typing(approved["user_code"], p.User), "invalid_grant", "the user code was used before", nobodys},
		refusal{"typed late", typing(old["user_code"], p.User), "invalid_grant", "the user code has expired", nobodys},
	)
	require.NoError(t, p.DB.Delete(rival).Error)
	p.hold(refusal{"typed for nobody", typing(orphan["user_code"], p.User), "invalid_grant", "the client of the user code is gone", append(nobodys, "values.client_id", rival.ClientID)})
}

func (p *full) exchanges(t *testing.T) {
	p.under(t)
	now := p.Now.Unix()
	exchange := func(text, kind string, more ...string) func() oauthtest.Answer {
		form := url.Values{"grant_type": {exchanging}, "subject_token": {text}, "subject_token_type": {kind}}
		for i := 0; i+1 < len(more); i += 2 {
			form.Set(more[i], more[i+1])
		}
		return func() oauthtest.Answer { return p.Token(p.service, form.Encode()) }
	}
	bearing := func(more ...any) func() oauthtest.Answer {
		return func() oauthtest.Answer {
			return p.Token(p.service, "grant_type="+url.QueryEscape(jwtBearer)+"&assertion="+oauthtest.SignJWT(t, p.trust, jose.ES256, nil, p.said(trusted, more...)))
		}
	}
	said := func(more ...any) string {
		return oauthtest.SignJWT(t, p.trust, jose.ES256, nil, p.said(trusted, more...))
	}
	token := func(change func(*oauthtest.Token), text string) string {
		if text == "" {
			text = p.Server.GenerateSecret(secret.AccessToken)
		}
		row := &oauthtest.Token{UserID: &p.User.ID, TokenMixin: models.TokenMixin{
			AccessToken: secret.Digest(text), Authorization: models.Authorization{ClientID: p.web.ClientID}, TokenType: "Bearer", Scope: "profile", IssuedAt: now, ExpiresIn: 3600,
		}}
		change(row)
		require.NoError(t, p.DB.Create(row).Error)
		return text
	}
	good := token(func(*oauthtest.Token) {}, "")
	twoReadings := token(func(*oauthtest.Token) {}, "x."+base64.RawURLEncoding.EncodeToString([]byte(`{"may_act":{},"may_act":{}}`))+".y")
	sealed := token(func(*oauthtest.Token) {}, "x."+base64.RawURLEncoding.EncodeToString([]byte(`{"may_act":{"sub":"other"}}`))+".y")
	revoked := token(func(row *oauthtest.Token) { row.AccessTokenRevokedAt = now }, "")
	old := token(func(row *oauthtest.Token) { row.ExpiresIn = 1; row.IssuedAt = now - 10 }, "")
	service := token(func(row *oauthtest.Token) { row.UserID = nil }, "")
	used := said("sub", "alice", "jti", "once")
	bearer := func() oauthtest.Answer {
		return p.Token(p.service, "grant_type="+url.QueryEscape(jwtBearer)+"&assertion="+used)
	}
	require.Equal(t, http.StatusOK, bearer().Status)
	who := func(more ...string) []string { return by(p.service, more...) }
	const code = "invalid_request"
	p.hold(
		refusal{"no token", exchange("", accessType), code, "", who()},
		refusal{"a token of another type", exchange(good, "urn:x"), code, "", who("values.subject_token_type", "urn:x")},
		refusal{"an unknown token", exchange(p.Server.GenerateSecret(secret.AccessToken), accessType), code, "the token is unknown", who()},
		refusal{"a revoked token", exchange(revoked, accessType), code, "the token was revoked", who()},
		refusal{"an old token", exchange(old, accessType), code, "the token has expired", who()},
		refusal{"a client's own token", exchange(service, accessType), code, "the token has no user", who()},
		refusal{"a token with two readings", exchange(twoReadings, accessType), code, "the claims of the token are malformed", who()},
		refusal{"a token for somebody else", exchange(sealed, accessType), code, "", who("values.may_act", `{"sub":"other"}`, "values.actor", p.service.ClientID)},
		refusal{"more than the token has", exchange(good, accessType, "scope", "profile email"), "invalid_scope", "", who("values.scope", "profile email", "values.granted_scope", "profile")},
		refusal{"a scope that is none", exchange(said("scope", 1), jwtType), code, "the 'scope' of the token is not a string", who()},
		refusal{"of an issuer", exchange(oauthtest.SignJWT(t, p.trust, jose.ES256, nil, p.said("https://other.example")), jwtType), code, "the issuer of the JWT is not trusted", who("values.iss", "https://other.example")},
		refusal{"an actor", exchange(good, accessType, "actor_token", "x", "actor_token_type", accessType), code, "the token is unknown", who()},
		refusal{"a resource", exchange(good, accessType, "resource", "x"), "invalid_target", "", who("values.resource", "x")},
		refusal{"an assertion about nobody", bearing("sub", nil), "invalid_grant", "the JWT has no 'sub'", who()},
		refusal{"an assertion about nobody here", bearing("sub", "nobody"), "invalid_grant", "the subject of the JWT is not a user", who("values.iss", trusted, "values.user", "nobody")},
		refusal{"an assertion of another type", func() oauthtest.Answer {
			return p.Token(p.service, "grant_type="+url.QueryEscape(jwtBearer)+"&assertion="+oauthtest.SignJWT(t, p.trust, jose.ES256, map[jose.HeaderKey]any{"typ": "logout+jwt"}, p.said(trusted)))
		}, "invalid_grant", "the JWT has the wrong 'typ'", who("values.typ", "logout+jwt")},
		refusal{"an assertion that was used", bearer, "invalid_grant", "the assertion was used before", who()},
	)
	assert.Contains(t, exchange(good, accessType, "scope", "profile email admin")().Body["error_description"], "'email admin'", "the words are named")
	p.hold(refusal{"a scope that the client does not have", exchange(said("sub", "alice", "scope", "profile admin"), jwtType, "scope", "profile admin"), "", "part of the scope is left out", who("values.scope", "admin", "scope", "profile")})
}

func (p *full) proofs(t *testing.T) {
	p.under(t)
	key, now := oauthtest.NewKey(t), p.Now.Unix()
	const target = oauthtest.Issuer + "/oauth/token"
	claims := map[string]any{"jti": "x", "htm": http.MethodPost, "htu": target, "iat": now}
	public := jose.JSONWebKey{Key: key.Public()}
	signed := func(header map[jose.HeaderKey]any) string {
		return oauthtest.SignJWT(t, key, jose.ES256, header, claims)
	}
	raw := func(claims string) string {
		head, err := json.Marshal(map[string]any{"alg": "ES256", "typ": "dpop+jwt", "jwk": public})
		require.NoError(t, err)
		return oauthtest.SignRaw(t, key, string(head), claims)
	}
	asking := func(proofs ...string) func() oauthtest.Answer {
		var header []string
		for _, proof := range proofs {
			header = append(header, "DPoP", proof)
		}
		return func() oauthtest.Answer { return p.Token(p.service, aToken, header...) }
	}
	used := p.DPoP(key, http.MethodPost, target)
	require.Equal(t, http.StatusOK, asking(used)().Status)
	const code = "invalid_dpop_proof"
	p.hold(
		refusal{"two proofs", asking(used, used), code, "", by(p.service)},
		refusal{"too long", asking(strings.Repeat("x", 5<<10)), code, "the JWT is too long", by(p.service)},
		refusal{"no JWT", asking("a.b.c"), code, "the JWT is malformed", by(p.service)},
		refusal{"another kind", asking(signed(map[jose.HeaderKey]any{"typ": "JWT", "jwk": public})), code, "the JWT is not a DPoP proof", by(p.service, "values.typ", "jwt")},
		refusal{"without a key", asking(signed(map[jose.HeaderKey]any{"typ": "dpop+jwt"})), code, "the DPoP proof has no 'jwk'", by(p.service)},
		refusal{"with a critical header", asking(oauthtest.SignRaw(t, key, `{"alg":"ES256","typ":"dpop+jwt","crit":["exp2"],"exp2":1}`, `{}`)), code, "the JWT has a critical header parameter that is not supported",
			by(p.service, "values.crit", `["exp2"]`)},
		refusal{"with another kind of key", asking(oauthtest.SignByWrongCurve(t, key, map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": public}, claims)), code, "the 'jwk' is not a key for the algorithm", by(p.service, "values.algorithm", "ES384")},
		refusal{"with another key", asking(signed(map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: oauthtest.NewKey(t).Public()}})), code, "the signature of the JWT is wrong", by(p.service)},
		refusal{"a claim twice", asking(raw(`{"jti":"a","jti":"b"}`)), code, "the claims of the JWT are malformed", by(p.service)},
		refusal{"for another request", asking(p.DPoP(key, http.MethodGet, target)), code, "", by(p.service, "values.htm", "GET", "values.method", "POST", "values.target", target)},
		refusal{"of yesterday", asking(p.DPoP(key, http.MethodPost, target, "iat", now-86400)), code, "", by(p.service, "values.iat", strconv.FormatInt(now-86400, 10))},
		refusal{"a second time", asking(used), code, "", by(p.service)},
	)
}

func (p *full) introspectionAndRevocation(t *testing.T) {
	p.under(t)
	api := p.NewClient(oauthtest.Grants("client_credentials"))
	require.NoError(t, p.DB.Model(api).Update("api_resources", aResource).Error)
	sealed := p.StoreClient(func(c *oauthtest.Client) {
		c.ClientMetadata.JWKs = json.RawMessage(`{"keys":[]}`)
		c.ClientMetadata.Extra = map[string]json.RawMessage{"introspection_encrypted_response_alg": json.RawMessage(`"ECDH-ES"`)}
	})
	broken := p.StoreClient(func(c *oauthtest.Client) {
		c.ClientMetadata.JWKs = json.RawMessage(`{"keys":7}`)
		c.ClientMetadata.Extra = sealed.ClientMetadata.Extra
	})
	tokens := func() map[string]string { return p.Redeem(p.web, p.Code(p.web, "scope=profile")).Body }
	ask := func(client *oauthtest.Client, token string, header ...string) func() oauthtest.Answer {
		return func() oauthtest.Answer { return p.Introspect(client, "token="+token, header...) }
	}
	good, old, revoked, rotated, stale, spoilt, alien := tokens(), tokens(), tokens(), tokens(), tokens(), tokens(), tokens()
	require.NoError(t, p.DB.Model(&oauthtest.Token{}).Where("access_token = ?", secret.Digest(alien["access_token"])).Update("issuer", "https://other.example").Error)
	require.NoError(t, p.DB.Model(&oauthtest.Token{}).Where("access_token = ?", secret.Digest(spoilt["access_token"])).Update("actor", "nobody").Error)
	require.NoError(t, p.DB.Model(&oauthtest.Token{}).Where("access_token = ?", secret.Digest(old["access_token"])).Update("issued_at", p.Now.Unix()-86400).Error)
	require.NoError(t, p.DB.Model(&oauthtest.Token{}).Where("refresh_token = ?", secret.Digest(stale["refresh_token"])).Update("refresh_token_expires_at", p.Now.Unix()-1).Error)
	require.Equal(t, http.StatusOK, p.Revoke(p.web, "token="+revoked["refresh_token"]).Status)
	require.Equal(t, http.StatusOK, p.Refresh(p.web, rotated["refresh_token"], "").Status)
	const signedAnswer = "application/token-introspection+jwt"
	about := func(client *oauthtest.Client) []string {
		return by(client, "endpoint", "introspection", "auth_method", "client_secret_basic")
	}
	owned := func(client *oauthtest.Client) []string {
		return append(about(client), "values.token_client_id", p.web.ClientID)
	}
	p.hold(
		refusal{"no token", ask(p.web, ""), "invalid_request", "", about(p.web)},
		refusal{"by nobody", ask(nil, good["access_token"]), "invalid_client", "", nobody},
		refusal{"a public client", ask(p.public, good["access_token"]), "invalid_client", "", by(p.public)},
		refusal{"an unknown token", ask(p.web, "x"), "", "the token is unknown", about(p.web)},
		refusal{"a revoked token", ask(p.web, revoked["access_token"]), "", "the token was revoked", owned(p.web)},
		refusal{"a revoked refresh token", ask(p.web, revoked["refresh_token"]), "", "the token was revoked", owned(p.web)},
		refusal{"an old token", ask(p.web, old["access_token"]), "", "the token has expired", owned(p.web)},
		refusal{"an old refresh token", ask(p.web, stale["refresh_token"]), "", "the token has expired", owned(p.web)},
		refusal{"a refresh token that was used", ask(p.web, rotated["refresh_token"]), "", "the refresh token was used before", owned(p.web)},
		refusal{"a token whose row is spoilt", ask(p.web, spoilt["access_token"]), "", "the stored token has malformed JSON", append(about(p.web), "values.claim", "act")},
		refusal{"another client's token", ask(p.service, good["access_token"]), "", "the token belongs to another client, and this client is not an API", owned(p.service)},
		refusal{"another client's refresh token", ask(api, good["refresh_token"]), "", "only its own client may introspect a refresh token", owned(api)},
		refusal{"a token for no resource", ask(api, good["access_token"]), "", "the token has no audience", append(owned(api), "values.api_resources", aResource)},
		refusal{"a signed answer", ask(p.service, good["access_token"], "Accept", signedAnswer), "", "the token belongs to another client", owned(p.service)},
		refusal{"an answer that cannot be encrypted", ask(sealed, good["access_token"], "Accept", signedAnswer), "invalid_request", "the key set has no key for the algorithm", about(sealed)},
		refusal{"for keys that are none", ask(broken, good["access_token"], "Accept", signedAnswer), "invalid_request", "the key set is malformed", about(broken)},
		refusal{"a token of another issuer", ask(p.web, alien["access_token"]), "", "it was issued under another issuer", append(about(p.web), "values.iss", "https://other.example")},
		refusal{"a refresh token of another issuer", ask(p.web, alien["refresh_token"]), "", "it was issued under another issuer", append(about(p.web), "values.iss", "https://other.example")},
		refusal{"another issuer's token to revoke", func() oauthtest.Answer { return p.Revoke(p.web, "token="+alien["access_token"]) }, "", "it was issued under another issuer", by(p.web, "endpoint", "revocation", "values.iss", "https://other.example")},
		refusal{"nothing to revoke", func() oauthtest.Answer { return p.Revoke(p.web, "") }, "invalid_request", "", by(p.web, "endpoint", "revocation")},
		refusal{"another client's token to revoke", func() oauthtest.Answer { return p.Revoke(p.service, "token="+good["access_token"]) }, "invalid_grant", "", by(p.service)},
		refusal{"nobody revokes", func() oauthtest.Answer { return p.Revoke(nil, "token="+good["access_token"]) }, "invalid_client", "", nobody},
		refusal{"another method", func() oauthtest.Answer { return p.Get("/oauth/introspect") }, "invalid_request", "", append(slices.Clone(nobody), "endpoint", "introspection", "values.method", "GET")},
		refusal{"no such endpoint", func() oauthtest.Answer { return p.Do(p.Server.EndpointHandler("magic"), get("/x")) }, "invalid_request", "", append(slices.Clone(nobody), "endpoint", "unknown")},
		refusal{"a pushed request_uri", func() oauthtest.Answer { return p.Post("/oauth/par", p.web, "request_uri=urn%3Ax") }, "invalid_request", "", by(p.web, "endpoint", "pushed_authorization_request")},
		refusal{"a pushed redirect URI", func() oauthtest.Answer {
			return p.Post("/oauth/par", p.web, oauthtest.AuthorizeQuery(p.web, "redirect_uri=https%3A%2F%2Fevil.example%2F"))
		}, "invalid_request", "", by(p.web, "values.redirect_uri", "https://evil.example/")},
	)
	p.introspection.APIs = map[string][]string{p.service.ClientID: {"https://other.example"}}
	p.introspection.DefaultResource = aResource
	p.hold(refusal{"a token for another resource", ask(p.service, good["access_token"]), "", "the token is not for a resource of this API", append(owned(p.service), "values.token_audience", aResource)})
	p.introspection.CheckPermission = func(context.Context, *server.Request, *storage.StoredToken) (bool, error) { return false, nil }
	p.hold(refusal{"by the program's rule", ask(p.service, good["access_token"]), "", "Introspection.CheckPermission does not let the client introspect the token", owned(p.service)})
	p.introspection.CheckPermission = nil
	require.NoError(t, p.DB.Model(p.User).Update("disabled", true).Error)
	p.hold(refusal{"of a user who is disabled", ask(p.web, good["access_token"]), "", "the user of the token is gone or disabled", about(p.web)})
	require.NoError(t, p.DB.Model(p.User).Update("disabled", false).Error)
}

func (p *full) registrations(t *testing.T) {
	p.under(t)
	send := func(method, query, authorization, body string) func() oauthtest.Answer {
		return func() oauthtest.Answer {
			r := httptest.NewRequestWithContext(t.Context(), method, "/oauth/register"+query, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			if authorization != "" {
				r.Header.Set("Authorization", "Bearer "+authorization)
			}
			return p.Serve(r)
		}
	}
	register := func(body string) func() oauthtest.Answer { return send(http.MethodPost, "", "good", body) }
	stating := func(key *ecdsa.PrivateKey, more ...any) func() oauthtest.Answer {
		return register(`{"redirect_uris":["https://a.example/"],"software_statement":"` + oauthtest.SignJWT(t, key, jose.ES256, nil, oauthtest.Claims(map[string]any{"iss": trusted}, more...)) + `"}`)
	}
	made := register(`{"redirect_uris":["https://a.example/"]}`)()
	require.Equal(t, http.StatusCreated, made.Status, made.Raw)
	id, token := made.Body["client_id"], made.Body["registration_access_token"]
	itself := "?client_id=" + id
	who := append(slices.Clone(nobody), "endpoint", "registration")
	const bad = "invalid_software_statement"
	p.hold(
		refusal{"without a token", send(http.MethodPost, "", "", "{}"), "missing_authorization", "", who},
		refusal{"with a bad token", send(http.MethodPost, "", "bad", "{}"), "invalid_token", "", who},
		refusal{"no JSON", register("x"), "invalid_request", "is not JSON in valid UTF-8", who},
		refusal{"a name twice", register(`{"scope":"a","scope":"b"}`), "invalid_request", "is given twice", who},
		refusal{"a bad redirect URI", register(`{"redirect_uris":["javascript:alert(1)"]}`), "invalid_redirect_uri", "", who},
		refusal{"a bad method", register(`{"redirect_uris":["https://a.example/"],"token_endpoint_auth_method":"magic"}`), "invalid_client_metadata", "", who},
		refusal{"a statement that is none", register(`{"software_statement":7}`), bad, "the 'software_statement' is not a string", who},
		refusal{"a statement that is no JWT", register(`{"software_statement":"a.b.c"}`), bad, "the JWT is malformed", who},
		refusal{"a statement of nobody", stating(p.trust, "iss", nil), bad, "the JWT has no 'iss'", who},
		refusal{"a statement of somebody", stating(p.trust, "iss", "https://other.example"), "unapproved_software_statement", "the issuer of the JWT is not trusted", append(slices.Clone(who), "values.iss", "https://other.example")},
		refusal{"a statement by another key", stating(p.signs), bad, "the signature of the JWT is wrong", who},
		refusal{"an old statement", stating(p.trust, "exp", 1), bad, "the JWT has expired", who},
		refusal{"managed without a token", send(http.MethodGet, itself, "", ""), "missing_authorization", "", claiming(id)},
		refusal{"managed with another token", send(http.MethodGet, itself, "x", ""), "invalid_token", "the registration access token is wrong", claiming(id)},
		refusal{"managed by nobody", send(http.MethodGet, "?client_id=nobody", "x", ""), "invalid_token", "the client is unknown", claiming("nobody")},
		refusal{"another client", send(http.MethodPut, itself, token, `{"client_id":"other"}`), "invalid_request", "", claiming(id)},
	)
}

func (p *full) apis(t *testing.T) {
	p.under(t)
	now := p.Now.Unix()
	token := func(change func(*oauthtest.Token)) string {
		text := p.Server.GenerateSecret(secret.AccessToken)
		row := &oauthtest.Token{UserID: &p.User.ID, TokenMixin: models.TokenMixin{
			AccessToken: secret.Digest(text), Authorization: models.Authorization{ClientID: p.web.ClientID}, TokenType: "Bearer", Scope: "profile", Audience: aResource, IssuedAt: now, ExpiresIn: 3600,
		}}
		change(row)
		require.NoError(t, p.DB.Create(row).Error)
		return text
	}
	key := oauthtest.NewKey(t)
	mine := p.NewCertificate(nil, nil)
	good, old := token(func(*oauthtest.Token) {}), token(func(row *oauthtest.Token) { row.IssuedAt = now - 86400 })
	revoked, elsewhere := token(func(row *oauthtest.Token) { row.AccessTokenRevokedAt = now }), token(func(row *oauthtest.Token) { row.Audience = "https://other.example" })
	proved := token(func(row *oauthtest.Token) {
		row.TokenType, row.Confirmation = "DPoP", cnf.New(cnf.JWKThumbprint, oauthtest.Thumbprint(t, key))
	})
	certified := token(func(row *oauthtest.Token) { row.Confirmation = cnf.OfCertificate(mine.Certificate) })
	tokens := gormoauth.CreateBearerTokenValidator[oauthtest.Token](p.DB)
	jwts := &resource.JWTAccessTokenValidator{Issuer: oauthtest.Issuer, Audience: aResource, Keys: p.keys, Clock: p.Protector.Clock()}
	metadata := &resource.Metadata{Resource: aResource, AuthorizationServers: []string{oauthtest.Issuer}}
	open := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	bearer := p.NewProtector(resource.Config{Metadata: metadata}, tokens, gormoauth.CreateDPoPTokenValidator[oauthtest.Replay](p.DB, "https://api.example", tokens))
	bound, signed := p.NewProtector(resource.Config{BoundTokensOnly: true}, tokens), p.NewProtector(resource.Config{}, jwts)
	call := func(at *resource.Protector, header ...string) func() oauthtest.Answer {
		return func() oauthtest.Answer {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api", http.NoBody)
			for i := 0; i+1 < len(header); i += 2 {
				r.Header.Add(header[i], header[i+1])
			}
			return p.Do(at.Require("profile")(open), r)
		}
	}
	with := func(text string) func() oauthtest.Answer { return call(bearer, "Authorization", "Bearer "+text) }
	access := func(typ string, more ...any) func() oauthtest.Answer {
		claims := map[string]any{"iss": oauthtest.Issuer, "sub": "1", "client_id": p.web.ClientID, "jti": "x", "iat": now, "exp": now + 60, "aud": aResource, "scope": "profile"}
		return call(signed, "Authorization", "Bearer "+oauthtest.SignJWT(t, p.keys.sign, jose.ES256, map[jose.HeaderKey]any{"typ": typ, "kid": "1"}, oauthtest.Claims(claims, more...)))
	}
	twice := oauthtest.SignRaw(t, p.keys.sign, `{"alg":"ES256","typ":"at+jwt","kid":"1"}`, `{"iss":"a","iss":"b"}`)
	foreign := oauthtest.SignJWT(t, key, jose.ES256, map[jose.HeaderKey]any{"typ": "at+jwt", "kid": "1"}, nil)
	const at, bad = "at+jwt", "invalid_token"
	require.Equal(t, http.StatusOK, with(good)().Status)
	require.Equal(t, http.StatusOK, access(at)().Status)
	who := append(slices.Clone(nobody), "endpoint", "resource")
	its := by(p.web, "endpoint", "resource", "user", p.User.GetUserID(), "scope", "profile")
	stepping := func() oauthtest.Answer {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+good)
		return p.Do(bearer.Require()(bearer.RequireAuthentication(resource.StepUp{MaxAge: time.Minute})(open)), r)
	}
	p.hold(
		refusal{"no token", call(bearer), "missing_authorization", "", who},
		refusal{"another scheme", call(bearer, "Authorization", basic("a", "b")), "missing_authorization", "", append(slices.Clone(who), "values.scheme", "Basic")},
		refusal{"two tokens", call(bearer, "Authorization", "Bearer a", "Authorization", "Bearer b"), "invalid_request", "", who},
		refusal{"no token behind the scheme", with(""), "invalid_request", "", who},
		refusal{"a token that was mistyped", with(good[:len(good)-1] + "_"), bad, "the token is malformed, or a different kind of secret", who},
		refusal{"an unknown token", with("x"), bad, "", who},
		refusal{"a token of another type", with(proved), bad, "the token has a different type", append(slices.Clone(its), "values.token_type", "DPoP", "values.scheme", "Bearer")},
		refusal{"a revoked token", with(revoked), bad, "", its},
		refusal{"an old token", with(old), bad, "", its},
		refusal{"a token for another resource", with(elsewhere), bad, "", append(slices.Clone(its), "values.audience", "https://other.example", "values.resource", aResource)},
		refusal{"a scope", func() oauthtest.Answer { p.Protector = bearer; return p.Call(good, "admin") }, "insufficient_scope", "", append(slices.Clone(its), "values.needed_scope", "admin")},
		refusal{"without its certificate", with(certified), bad, "the request came without a client certificate", its},
		refusal{"with another certificate", func() oauthtest.Answer { p.Protector = bearer; return p.CallTLS(certified, p.NewCertificate(nil, nil)) }, bad, "the token is bound to another certificate or key", its},
		refusal{"a token that is not bound", call(bound, "Authorization", "Bearer "+good), bad, "", its},
		refusal{"a token without its proof", call(bearer, "Authorization", "DPoP "+proved), "invalid_dpop_proof", "", its},
		refusal{"a proof that is none", call(bearer, "Authorization", "DPoP "+proved, "DPoP", "a.b.c"), "invalid_dpop_proof", "the JWT is malformed", its},
		refusal{"a sign-in that was long ago", stepping, "insufficient_user_authentication", "", its},
		refusal{"no JWT", call(signed, "Authorization", "Bearer a.b.c"), bad, "the JWT is malformed, or signed with an algorithm that is not accepted", who},
		refusal{"an ID token", access("JWT"), bad, "the JWT is not an access token", append(slices.Clone(who), "values.typ", "jwt")},
		refusal{"a JWT by another key", call(signed, "Authorization", "Bearer "+foreign), bad, "the signature of the JWT is wrong, or its key is unknown", who},
		refusal{"a JWT with two readings", call(signed, "Authorization", "Bearer "+twice), bad, "the claims of the JWT are malformed", who},
		refusal{"a JWT of another issuer", access(at, "iss", "https://other.example"), bad, "the JWT was issued by another issuer", append(slices.Clone(who), "values.iss", "https://other.example")},
		refusal{"a JWT of nobody", access(at, "sub", nil), bad, "the JWT has no 'sub', no 'client_id' or no 'jti'", who},
		refusal{"a JWT without an end", access(at, "exp", nil), bad, "the JWT has no 'iat', or no 'exp' after it", who},
		refusal{"a JWT of tomorrow", access(at, "nbf", now+86400), bad, "the JWT is not valid yet", who},
		refusal{"a JWT for nobody", access(at, "aud", nil), bad, "the JWT has no 'aud'", who},
		refusal{"a JWT for another API", access(at, "aud", "https://other.example"), bad, "the JWT is for another resource", append(slices.Clone(who), "values.audience", "https://other.example")},
		refusal{"UserInfo without the scope", func() oauthtest.Answer {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/userinfo", http.NoBody)
			r.Header.Set("Authorization", "Bearer "+good)
			return p.Serve(r)
		}, "insufficient_scope", "", by(p.web, "endpoint", "userinfo", "user", p.User.GetUserID())},
	)
}

func (p *full) userInfo(t *testing.T) {
	p.under(t)
	client := p.NewClient(func(c *oauthtest.Client) { c.ClientMetadata.Scope = "openid" })
	back := "&redirect_uri=" + url.QueryEscape(oauthtest.RedirectURI)
	form := "grant_type=authorization_code&code_verifier=" + oauthtest.Verifier + back + "&code=" + p.Code(client, "scope=openid"+back)
	token := p.Token(client, form).Body["access_token"]
	ask := func() oauthtest.Answer {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/userinfo", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		return p.Serve(r)
	}
	its := by(client, "endpoint", "userinfo", "user", p.User.GetUserID())
	require.Equal(t, http.StatusOK, ask().Status)
	require.NoError(t, p.DB.Model(p.User).Update("disabled", true).Error)
	p.hold(refusal{"of a user who is disabled", ask, "invalid_token", "the user of the token is gone or disabled", its})
	require.NoError(t, p.DB.Model(p.User).Update("disabled", false).Error)
	require.NoError(t, p.DB.Delete(&oauthtest.Client{}, "client_id = ?", client.ClientID).Error)
	p.hold(refusal{"of a client that is gone", ask, "invalid_token", "the client of the token is gone", its})
}

func (p *full) signingOut(t *testing.T) {
	p.under(t)
	client := p.NewClient(func(c *oauthtest.Client) {
		c.ClientMetadata.Extra = map[string]json.RawMessage{"post_logout_redirect_uris": json.RawMessage(`["https://client.example/bye"]`)}
	})
	out := func(query string) func() oauthtest.Answer {
		return func() oauthtest.Answer {
			return p.Do(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := p.openid.GetLogoutRequest(r, p.User); err != nil {
					p.Server.WriteError(w, r, err)
				}
			}), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/logout?"+query, http.NoBody))
		}
	}
	framed := p.StoreClient(func(c *oauthtest.Client) {
		c.ClientMetadata.Extra = map[string]json.RawMessage{"frontchannel_logout_uri": json.RawMessage(`"https://client.example\\bye"`)}
	})
	p.hold(
		refusal{"to another address", out("client_id=" + client.ClientID + "&post_logout_redirect_uri=https%3A%2F%2Fevil.example%2F"), "invalid_request", "", by(client, "endpoint", "end_session", "values.post_logout_redirect_uri", "https://evil.example/")},
		refusal{"of no client", out("client_id=nobody"), "invalid_request", "", claiming("nobody")},
		refusal{"a hint that is none", out("id_token_hint=a.b.c&client_id=" + client.ClientID), "", "the JWT is malformed", claiming(client.ClientID, "user", p.User.GetUserID())},
		refusal{"a bad address of a client", func() oauthtest.Answer {
			return p.Do(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ended := &oidc.EndedSession{Clients: []models.SessionMixin{{ClientID: framed.ClientID, SID: "x"}}}
				p.openid.CreateLogoutResponse(w, r.WithContext(p.Server.PageContext(r, "logout", p.User)), new(oidc.LogoutRequest), ended)
			}), get("/logout"))
		}, "", "a URL of the client is not valid", append(slices.Clone(nobody), "user", p.User.GetUserID(), "values.client_id", framed.ClientID, "values.member", "frontchannel_logout_uri")},
	)
}

// What a profile refuses that the specifications allow.
func underAProfile(t *testing.T, told map[string]bool, answers *strings.Builder) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := &refusals{&oauthtest.Provider{T: t, DB: db, User: new(oauthtest.User), Now: time.Unix(1_800_000_000, 0)}, told, answers}
	require.NoError(t, db.Create(p.User).Error)
	var err error
	p.Server, err = gormoauth.New(db, server.Config{Issuer: oauthtest.Issuer, Clock: func() time.Time { return p.Now }, Logger: oauthtest.Logger(nil)},
		gormoauth.FAPI2SecurityProfile[oauthtest.PushedRequest, oauthtest.Replay](), gormoauth.Clients[oauthtest.Client](), gormoauth.Tokens[oauthtest.Token](),
		gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode](), gormoauth.Users[oauthtest.User]())
	require.NoError(t, err)
	key := oauthtest.NewKey(t)
	client := p.NewClient(oauthtest.All(oauthtest.Grants("client_credentials"), func(c *oauthtest.Client) {
		c.ClientMetadata.TokenEndpointAuthMethod, c.ClientMetadata.JWKs = models.PrivateKeyJWT, oauthtest.KeySet(t, key)
	}))
	ask := func(audience any) func() oauthtest.Answer {
		return func() oauthtest.Answer {
			return p.Token(nil, aToken+"&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion="+oauthtest.SignJWT(t, key, jose.ES256, nil, map[string]any{
				"iss": client.ClientID, "sub": client.ClientID, "aud": audience, "exp": p.Now.Unix() + 60, "iat": p.Now.Unix(), "jti": rand.Text(),
			}))
		}
	}
	p.hold(
		refusal{"a list of audiences", ask([]string{oauthtest.Issuer}), "invalid_client", "the 'aud' of the JWT is not the issuer as a string", claiming(client.ClientID)},
		refusal{"a token that is not bound", ask(oauthtest.Issuer), "invalid_request", "", by(client)},
	)
}
