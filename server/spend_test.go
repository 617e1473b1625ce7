package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/dpop"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/storage"
)

// spender is a server whose clients present all that is good once.
type spender struct {
	*oauthtest.Provider
	signs, trust, proves *ecdsa.PrivateKey
	client               *oauthtest.Client
	dpop                 *grant.DPoP

	failing    atomic.Pointer[brokenStatement]
	statements atomic.Pointer[[]string] // of one request, nil while nobody looks
}

// brokenStatement is a statement that fails.
type brokenStatement struct {
	statement *regexp.Regexp
	err       error
	after     bool // after it took effect
	once      bool
}

func newSpender(t *testing.T, db *gorm.DB, replays func(*gorm.DB) storage.Replays, configure ...func(*server.Config)) *spender {
	t.Helper()
	p := &spender{signs: oauthtest.NewKey(t), trust: oauthtest.NewKey(t), proves: oauthtest.NewKey(t)}
	db = faults.DB(db, &faults.Plan{Next: func(call faults.Call) faults.Fault {
		if seen := p.statements.Load(); seen != nil {
			*seen = append(*seen, strings.Join(statementWords.FindAllString(call.SQL, -1), ", "))
		}
		if f := p.failing.Load(); f != nil && f.statement.MatchString(call.SQL) {
			if f.once {
				p.failing.Store(nil)
			}
			return faults.Fault{Err: f.err, After: f.after}
		}
		return faults.Fault{}
	}})
	p.Provider = oauthtest.New(t, db, configure...)
	remembers := replays(db)
	p.dpop = &grant.DPoP{Proofs: dpop.Proofs{Replays: remembers}}
	exchange := &grant.JWTBearer{
		Keys: func(context.Context, string) (*jose.JSONWebKeySet, error) {
			return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.trust.Public()}}}, nil
		},
		QueryUser: func(context.Context, *server.Request, *assertion.Assertion) (storage.User, error) { return p.User, nil },
		Replays:   remembers,
	}
	for _, err := range []error{
		p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: remembers}),
		p.Server.RegisterGrant(exchange),
		p.Server.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db)),
		p.Server.Register(p.dpop, &grant.RequestObjects{Replays: remembers}),
		p.Server.RegisterEndpoint(gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db)),
		p.Server.RegisterEndpoint(gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)),
		p.Server.RegisterEndpoint(gormoauth.CreateIntrospectionEndpoint[oauthtest.Token](db)),
		p.Server.RegisterEndpoint(gormoauth.CreateRevocationEndpoint[oauthtest.Token](db)),
	} {
		require.NoError(t, err)
	}
	p.client = p.NewClient(oauthtest.All(
		oauthtest.Grants("authorization_code", "refresh_token", "client_credentials", bearerGrant, deviceGrant), func(c *oauthtest.Client) {
			c.ClientMetadata.TokenEndpointAuthMethod, c.ClientMetadata.JWKs = models.PrivateKeyJWT, oauthtest.KeySet(t, p.signs)
		}))
	return p
}

const (
	bearerGrant   = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	deviceGrant   = "urn:ietf:params:oauth:grant-type:device_code"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

func (p *spender) jwt(key *ecdsa.PrivateKey, issuer, typ string, more ...any) string {
	claims := map[string]any{"iss": issuer, "sub": issuer, "aud": oauthtest.Issuer, "exp": p.Now.Unix() + 60, "iat": p.Now.Unix(), "jti": rand.Text()}
	var header map[jose.HeaderKey]any
	if typ != "" {
		header = map[jose.HeaderKey]any{"typ": typ}
	}
	return oauthtest.SignJWT(p.T, key, jose.ES256, header, oauthtest.Claims(claims, more...))
}

func (p *spender) clientAssertion(by *ecdsa.PrivateKey) string {
	return "&client_assertion_type=" + url.QueryEscape(assertionType) + "&client_assertion=" + p.jwt(by, p.client.ClientID, "")
}

func (p *spender) grantAssertion() string {
	return p.jwt(p.trust, "https://idp.example", "", "sub", "alice")
}

func (p *spender) requestObject() string {
	return p.jwt(p.signs, p.client.ClientID, "oauth-authz-req+jwt", "client_id", p.client.ClientID, "response_type", "code",
		"code_challenge", oauthtest.Challenge, "code_challenge_method", "S256", "scope", "profile")
}

// post posts as the client, with a fresh assertion if the body has none.
func (p *spender) post(path, body string, header ...string) oauthtest.Answer {
	if !strings.Contains(body, "client_assertion=") {
		body += p.clientAssertion(p.signs)
	}
	return p.Post(path, nil, body, header...)
}

// presented is what is good once: a new one for each request.
type presented struct {
	// make returns what presents it, always the same one.
	make func(p *spender) (present func() oauthtest.Answer)
	// stores is the statement without which the outcome is not stored.
	stores string
	// replayed is the error of a replay.
	replayed string
}

// everythingGoodOnce is all that a request can present, wherever it can.
func everythingGoodOnce() map[string]presented {
	const tokens, requests, devices, codes = "INSERT INTO .tokens", "INSERT INTO .pushed_requests", "INSERT INTO .device_codes", "INSERT INTO .authorization_codes"
	assertion := func(path, body, stores string) presented {
		return presented{func(p *spender) func() oauthtest.Answer {
			body := strings.ReplaceAll(body, "TOKEN", p.token())
			body += p.clientAssertion(p.signs)
			return func() oauthtest.Answer { return p.post(path, body) }
		}, stores, server.InvalidClient}
	}
	authorize := "response_type=code&code_challenge=" + oauthtest.Challenge + "&code_challenge_method=S256"
	decide := func(p *spender, query string) func() oauthtest.Answer {
		query += "&client_id=" + p.client.ClientID
		return func() oauthtest.Answer { return p.Grant(query) }
	}
	return map[string]presented{
		"a client assertion at the token endpoint": assertion("/oauth/token", "grant_type=client_credentials", tokens),
		"a client assertion with a pushed request": assertion("/oauth/par", authorize, requests),
		"a client assertion of a device":           assertion("/oauth/device_authorization", "scope=profile", devices),
		"a client assertion with an introspection": assertion("/oauth/introspect", "token=TOKEN", "SELECT .* FROM .tokens"),
		"a client assertion with a revocation":     assertion("/oauth/revoke", "token=TOKEN", "UPDATE .tokens"),
		"a proof at the token endpoint": {func(p *spender) func() oauthtest.Answer {
			proof := p.DPoP(p.proves, "POST", oauthtest.Issuer+"/oauth/token")
			return func() oauthtest.Answer { return p.post("/oauth/token", "grant_type=client_credentials", "DPoP", proof) }
		}, tokens, server.InvalidDPoPProof},
		"a proof with a pushed request": {func(p *spender) func() oauthtest.Answer {
			proof := p.DPoP(p.proves, "POST", oauthtest.Issuer+"/oauth/par")
			return func() oauthtest.Answer { return p.post("/oauth/par", authorize, "DPoP", proof) }
		}, requests, server.InvalidDPoPProof},
		"an assertion for a token": {func(p *spender) func() oauthtest.Answer {
			body := "grant_type=" + url.QueryEscape(bearerGrant) + "&assertion=" + p.grantAssertion()
			return func() oauthtest.Answer { return p.post("/oauth/token", body) }
		}, tokens, server.InvalidGrant},
		"a request object": {func(p *spender) func() oauthtest.Answer {
			return decide(p, "request="+p.requestObject())
		}, codes, server.InvalidRequestObject},
		"a request object that is pushed": {func(p *spender) func() oauthtest.Answer {
			body := "request=" + p.requestObject()
			return func() oauthtest.Answer { return p.post("/oauth/par", body) }
		}, requests, server.InvalidRequestObject},
		"a pushed request": {func(p *spender) func() oauthtest.Answer {
			a := p.post("/oauth/par", authorize)
			require.NotEmpty(p.T, a.Body["request_uri"], a.Raw)
			return decide(p, "request_uri="+url.QueryEscape(a.Body["request_uri"]))
		}, codes, server.InvalidRequestURI},
	}
}

func (p *spender) token() string {
	return p.post("/oauth/token", "grant_type=client_credentials").Body["access_token"]
}

// during has a statement fail while f runs.
func (p *spender) during(statement string, err error, f func()) {
	p.failing.Store(&brokenStatement{statement: regexp.MustCompile(statement), err: err})
	defer p.failing.Store(nil)
	f()
}

func ours(db *gorm.DB) storage.Replays {
	return gormoauth.CreateReplayStorage[oauthtest.Replay](db)
}

// What is good once is spent by the outcome: a client that was told to come again does so
// with the same, and is answered once.
func TestWhatIsGoodOnceIsSpentByTheOutcome(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newSpender(t, db, ours)
		for what, once := range everythingGoodOnce() {
			t.Run(what, func(t *testing.T) {
				present := once.make(p)
				rows := p.Rows(&oauthtest.Replay{})
				for _, wait := range []error{storage.ErrUnavailable, server.TooManyRequests(time.Second, "Too many codes were tried. Please try again later.")} {
					p.during(once.stores, wait, func() {
						assert.Equal(t, server.TemporarilyUnavailable, present().Params()["error"])
					})
				}
				a := present()
				require.Empty(t, a.Params()["error"], a.Raw)
				if what != "a pushed request" {
					assert.Greater(t, p.Rows(&oauthtest.Replay{}), rows)
				}
				assert.Equal(t, once.replayed, present().Params()["error"], "it was spent")
			})
		}
	})
}

// Of any number of requests with the same, one is answered.
func TestWhatIsGoodOnceAnswersOneRequest(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newSpender(t, db, ours)
		for what, once := range everythingGoodOnce() {
			t.Run(what, func(t *testing.T) {
				answersOne(t, p, once.make(p), once.replayed)
				present := once.make(p) // also of one that was told to come again
				for _, wait := range []error{storage.ErrUnavailable, server.TooManyRequests(time.Second, "Too many codes were tried. Please try again later.")} {
					p.during(once.stores, wait, func() { require.Equal(t, server.TemporarilyUnavailable, present().Params()["error"]) })
				}
				answersOne(t, p, present, once.replayed)
			})
		}
	})
}

func answersOne(t *testing.T, p *spender, present func() oauthtest.Answer, replayed string) {
	t.Helper()
	var answered atomic.Int32
	var wait sync.WaitGroup
	for range 6 {
		wait.Go(func() {
			switch refusal := present().Params()["error"]; refusal {
			case "":
				answered.Add(1)
			default:
				assert.Equal(t, replayed, refusal)
			}
		})
	}
	wait.Wait()
	assert.EqualValues(t, 1, answered.Load())
}

// remembering keeps what was used elsewhere than the tokens.
type remembering struct {
	mu   sync.Mutex
	used map[string]bool
	err  error
}

func (r *remembering) FirstUse(_ context.Context, key string, _ time.Time) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return false, r.err
	}
	first := !r.used[key]
	r.used[key] = true
	return first, nil
}

// Storage of the program's own that knows nothing of what is to be spent leaves it to the
// engine, and gives nothing away.
func TestStorageThatSpendsNothing(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for name, p := range map[string]*spender{
		"replays elsewhere": newSpender(t, db, func(*gorm.DB) storage.Replays { return &remembering{used: make(map[string]bool)} }),
		"tokens by a function that asks for nothing": newSpender(t, db, ours, func(config *server.Config) {
			save := gormoauth.CreateSaveTokenFunc[oauthtest.Token](db)
			config.SaveToken = func(_ context.Context, exchange storage.Exchange) error { return save(t.Context(), exchange) }
		}),
	} {
		for what, once := range everythingGoodOnce() {
			t.Run(name+" "+what, func(t *testing.T) {
				answersOne(t, p, once.make(p), once.replayed)
				present := once.make(p)
				assert.Empty(t, present().Params()["error"])
				assert.Equal(t, once.replayed, present().Params()["error"])
			})
		}
	}
}

// What is remembered elsewhere is spent first: where that fails, nothing has become of a code.
func TestWhatIsRememberedElsewhereIsSpentFirst(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	elsewhere := &remembering{used: make(map[string]bool)}
	p := newSpender(t, db, func(*gorm.DB) storage.Replays { return elsewhere })
	body := "grant_type=authorization_code&code_verifier=" + oauthtest.Verifier + "&code=" + p.Code(p.client, "")
	elsewhere.err = storage.ErrUnavailable
	assert.Equal(t, server.TemporarilyUnavailable, p.post("/oauth/token", body).Body["error"])
	elsewhere.err = nil
	assert.NotEmpty(t, p.post("/oauth/token", body).Body["access_token"])
}

// A refusal spends what proves who asks, and nothing else; and what has not verified is
// never stored.
func TestWhatARefusalSpends(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newSpender(t, db, ours)
		rows := func() int64 { return p.Rows(&oauthtest.Replay{}) }
		refused := func(want string, rows int64, body string, header ...string) {
			t.Helper()
			before := p.Rows(&oauthtest.Replay{})
			a := p.post("/oauth/token", body, header...)
			assert.Equal(t, want, a.Body["error"], a.Raw)
			assert.Equal(t, before+rows, p.Rows(&oauthtest.Replay{}))
		}
		proof := func(more ...any) string { return p.DPoP(p.proves, "POST", oauthtest.Issuer+"/oauth/token", more...) }
		const credentials = "grant_type=client_credentials"

		t.Run("what has not verified is not stored", func(t *testing.T) {
			refused(server.InvalidClient, 0, credentials+p.clientAssertion(p.trust))
			refused(server.InvalidClient, 0, credentials+p.clientAssertion(p.trust), "DPoP", proof())
			refused(server.InvalidDPoPProof, 1, credentials, "DPoP", proof("htm", "GET"))
			refused(server.InvalidGrant, 1, "grant_type="+url.QueryEscape(bearerGrant)+"&assertion="+p.jwt(p.signs, "https://idp.example", ""))
			before := rows()
			a := p.post("/oauth/par", "request="+p.jwt(p.trust, p.client.ClientID, "oauth-authz-req+jwt"))
			assert.Equal(t, server.InvalidRequestObject, a.Body["error"])
			assert.Equal(t, before+1, rows(), "the client assertion alone")
		})
		t.Run("a refusal spends the assertion of the client and its proof", func(t *testing.T) {
			assertion, once := p.clientAssertion(p.signs), proof()
			refused(server.InvalidGrant, 1, "grant_type=authorization_code&code=x"+assertion)
			refused(server.InvalidClient, 0, credentials+assertion)
			refused(server.InvalidScope, 2, credentials+"&scope=admin", "DPoP", once)
			refused(server.InvalidDPoPProof, 1, credentials, "DPoP", once)
			refused(server.AuthorizationPending, 1, "grant_type="+url.QueryEscape(deviceGrant)+"&device_code="+p.post("/oauth/device_authorization", "").Body["device_code"])
		})
		t.Run("it does not spend an assertion for a token", func(t *testing.T) {
			body := "grant_type=" + url.QueryEscape(bearerGrant) + "&assertion=" + p.grantAssertion()
			refused(server.InvalidScope, 1, body+"&scope=admin")
			refused("", 2, body)
			refused(server.InvalidGrant, 1, body)
		})
		t.Run("nor does it spend anything where a nonce is asked for", func(t *testing.T) {
			p.dpop.Proofs.NonceKey = []byte(strings.Repeat("k", 32))
			defer func() { p.dpop.Proofs.NonceKey = nil }()
			body := "grant_type=" + url.QueryEscape(bearerGrant) + "&assertion=" + p.grantAssertion() + p.clientAssertion(p.signs)
			before := rows()
			a := p.post("/oauth/token", body, "DPoP", proof())
			require.Equal(t, server.UseDPoPNonce, a.Body["error"], a.Raw)
			assert.Equal(t, before, rows())
			a = p.post("/oauth/token", body, "DPoP", proof("nonce", a.Header.Get("DPoP-Nonce")))
			require.Empty(t, a.Body["error"], a.Raw)
			assert.Equal(t, before+3, rows())

			pushed := "response_type=code&code_challenge=" + oauthtest.Challenge + "&code_challenge_method=S256" + p.clientAssertion(p.signs)
			par := func(more ...any) oauthtest.Answer {
				return p.post("/oauth/par", pushed, "DPoP", p.DPoP(p.proves, "POST", oauthtest.Issuer+"/oauth/par", more...))
			}
			a = par()
			require.Equal(t, server.UseDPoPNonce, a.Body["error"], a.Raw)
			assert.NotEmpty(t, par("nonce", a.Header.Get("DPoP-Nonce")).Body["request_uri"])
		})
		t.Run("a denial is an outcome", func(t *testing.T) {
			for _, query := range []string{
				"request=" + p.requestObject() + "&client_id=" + p.client.ClientID,
				"request_uri=" + url.QueryEscape(p.post("/oauth/par", "request="+p.requestObject()).Body["request_uri"]) + "&client_id=" + p.client.ClientID,
			} {
				assert.Equal(t, server.AccessDenied, p.Decide(query, "", nil).Params()["error"])
				assert.Contains(t, []string{server.InvalidRequestObject, server.InvalidRequestURI}, p.Grant(query).Params()["error"])
			}
		})
	})
}

// A request that is replayed as a whole is refused, and ends no grant: a proxy may have
// sent it twice.
func TestAReplayOfAWholeRequestEndsNothing(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newSpender(t, db, ours)
		code := p.Code(p.client, "")
		body := "grant_type=authorization_code&code_verifier=" + oauthtest.Verifier + "&code=" + code + p.clientAssertion(p.signs)
		first := p.post("/oauth/token", body)
		require.Empty(t, first.Body["error"], first.Raw)
		replay := p.post("/oauth/token", body)
		assert.Equal(t, server.InvalidClient, replay.Body["error"])
		assert.True(t, replay.Refusal().Has("reason", "the client assertion was used before"), replay.Refusal())
		assert.True(t, p.Valid(first.Body["access_token"]))
		again := p.post("/oauth/token", "grant_type=authorization_code&code_verifier="+oauthtest.Verifier+"&code="+code)
		assert.Equal(t, server.InvalidGrant, again.Body["error"])
		assert.False(t, p.Valid(first.Body["access_token"]), "whoever proves anew to be the client has presented the code twice")
	})
}

var statementWords = regexp.MustCompile("(SELECT .*?FROM|INSERT INTO|UPDATE) [`\"]\\w+|BEGIN|COMMIT")

// What is good once costs as many statements as before, and one COMMIT.
func TestWhatSpendingCosts(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newSpender(t, db, ours)
		writes := func(request func() oauthtest.Answer) (writes []string) {
			var seen []string
			p.statements.Store(&seen)
			a := request()
			p.statements.Store(nil)
			require.Empty(t, a.Body["error"], a.Raw)
			for _, statement := range seen {
				if !strings.HasPrefix(statement, "SELECT") {
					writes = append(writes, regexp.MustCompile("[`\"]| INTO").ReplaceAllString(statement, ""))
				}
			}
			return writes
		}
		proof := func() string { return p.DPoP(p.proves, "POST", oauthtest.Issuer+"/oauth/token") }
		code := p.Code(p.client, "")
		var token string
		redeem := []string{"BEGIN", "INSERT replays", "INSERT replays", "UPDATE authorization_codes", "INSERT tokens", "COMMIT"}
		if db.Name() == "postgres" {
			redeem = []string{"BEGIN", "INSERT replays", "INSERT replays", "UPDATE authorization_codes, INSERT tokens", "COMMIT"}
		}
		assert.Equal(t, redeem, writes(func() oauthtest.Answer {
			a := p.post("/oauth/token", "grant_type=authorization_code&code_verifier="+oauthtest.Verifier+"&code="+code, "DPoP", proof())
			token = a.Body["refresh_token"]
			return a
		}))
		assert.Equal(t, []string{"BEGIN", "INSERT replays", "INSERT replays", "UPDATE tokens", "COMMIT"}, writes(func() oauthtest.Answer {
			return p.post("/oauth/token", "grant_type=refresh_token&refresh_token="+token, "DPoP", proof())
		}))
		assert.Equal(t, []string{"INSERT replays"}, writes(func() oauthtest.Answer { return p.post("/oauth/introspect", "token="+token) }))
	})
}

// A COMMIT of which nobody heard is looked for: what it spent is its own doing.
func TestALostCommitOfWhatIsSpent(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newSpender(t, db, ours)
		for what, once := range everythingGoodOnce() {
			if !strings.HasPrefix(once.stores, "INSERT") {
				continue // a write of its own
			}
			present := once.make(p)
			p.failing.Store(&brokenStatement{statement: regexp.MustCompile("COMMIT"), err: faults.ErrCut, after: true, once: true})
			a := present()
			require.Empty(t, a.Params()["error"], "%s: %s", what, a.Raw)
			assert.Nil(t, p.failing.Load(), "%s: it was lost", what)
			assert.Equal(t, once.replayed, present().Params()["error"], what)
		}
	})
}

// An endpoint of the program's own does nothing for a replay.
func TestAnOwnEndpointDoesNothingForAReplay(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newSpender(t, db, ours)
	own := &ownEndpoint{}
	require.NoError(t, p.Server.RegisterEndpoint(own))
	body := p.clientAssertion(p.signs)
	assert.Empty(t, p.post("/own", body).Body["error"])
	assert.Equal(t, server.InvalidClient, p.post("/own", body).Body["error"])
	assert.Equal(t, 1, own.calls)
}

type ownEndpoint struct{ calls int }

func (*ownEndpoint) EndpointName() string { return "own" }
func (*ownEndpoint) EndpointPath() string { return "/own" }
func (e *ownEndpoint) CreateResponse(context.Context, *server.Request) (*server.Response, error) {
	e.calls++
	return &server.Response{Body: struct{}{}}, nil
}

// Where nobody can say that something was spent, nothing is answered.
func TestNothingIsAnsweredThatCannotBeSpent(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newSpender(t, db, ours)
	token := p.token()
	for name, body := range map[string]string{"/oauth/token": "grant_type=client_credentials", "/oauth/introspect": "token=" + token, "/oauth/par": "response_type=none"} {
		p.during("INSERT INTO .replays", errors.New("the table is gone"), func() {
			a := p.post(name, body)
			assert.Equal(t, server.ServerError, a.Body["error"], "%s: %s", name, a.Raw)
			assert.NotContains(t, a.Body, "access_token")
			assert.NotContains(t, a.Body, "active")
		})
	}
}
