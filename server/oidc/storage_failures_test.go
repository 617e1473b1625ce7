package oidc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// errBroken is what a database answers that is broken: no error of the network, after which
// a store would try again.
var errBroken = errors.New("the disk is on fire")

// breaking is everything that a server does, on a database of which one call can fail.
type breaking struct {
	*provider
	devices *endpoint.DeviceAuthorization
	client  *oauthtest.Client // of every grant, by a secret
	signer  *oauthtest.Client // by private_key_jwt
	front   *oauthtest.Client // which runs in a browser
	site    *pagesOf          // documents of clients
	address string            // of the site
	key     *ecdsa.PrivateKey // of the signer, and of whoever signs assertions

	armed  bool
	parts  bool // whether calls of the program's own parts fail, instead of those to the database
	fails  int  // the number of the call that fails
	calls  int
	failed string // its statement
}

// next is asked before each call to the database.
func (b *breaking) next(call faults.Call) faults.Fault {
	if b.parts {
		return faults.Fault{}
	}
	return faults.Fault{Err: b.count(call.SQL)}
}

// part is asked before each call of a part of the program's own.
func (b *breaking) part(name string) error {
	if !b.parts {
		return nil
	}
	return b.count(name)
}

func (b *breaking) count(what string) error {
	if !b.armed {
		return nil
	}
	b.calls++
	if b.calls != b.fails+1 {
		return nil
	}
	b.failed = what
	return errBroken
}

// during runs a request of which one call fails, and reports whether there was that call.
func (b *breaking) during(fails int, request func() oauthtest.Answer) (oauthtest.Answer, bool) {
	b.armed, b.fails, b.calls, b.failed = true, fails, 0, ""
	defer func() { b.armed = false }()
	a := request()
	return a, b.calls > fails
}

func newBreaking(t *testing.T, db *gorm.DB, parts bool) *breaking {
	t.Helper()
	b := &breaking{key: oauthtest.NewKey(t), parts: parts}
	db = faults.DB(db, &faults.Plan{Next: b.next})
	b.provider = newConfiguredProvider(t, db, func(c *server.Config) {
		c.PKCE, c.FailedAuthentications = server.PKCEOptional, brokenLimiter{b}
		if parts { // without one of the program's, tokens are derived
			c.AccessTokenGenerator = func(context.Context, server.TokenInput) (string, error) {
				return secret.Generate("goa", secret.AccessToken), b.part("AccessTokenGenerator")
			}
		}
		query := gormoauth.CreateQueryUserFunc[oauthtest.User](db)
		c.QueryUser = func(ctx context.Context, id string) (storage.User, error) {
			if err := b.part("QueryUser"); err != nil {
				return nil, err
			}
			user, err := query(ctx, id)
			if known, ok := user.(*oauthtest.User); ok {
				user = brokenUser{known, b}
			}
			return user, err
		}
	}, keptBy(db, gormstore.SigningKeyOptions{Secrets: oauthtest.ServerSecrets()}), func(p *oidc.Provider) {
		p.Keys = brokenKeys{p.Keys.(*gormstore.SigningKeys), b}
		p.Claims = func(context.Context, *oidc.ClaimsInput) error { return b.part("Provider.Claims") }
	})
	b.registration.Attempts = brokenLimiter{b}
	b.devices = gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)
	b.devices.Attempts, b.devices.PublicRequests = brokenLimiter{b}, brokenLimiter{b}
	replays := gormoauth.CreateReplayStorage[oauthtest.Replay](db)
	exchange := gormoauth.CreateTokenExchangeGrant[oauthtest.Token](db)
	exchange.Policy = func(context.Context, *server.Request, *grant.Exchange) error { return b.part("TokenExchange.Policy") }
	documents := gormoauth.CreateMetadataDocuments[oauthtest.Client](db, fetch.New(fetch.Options{AllowPrivateAddresses: true}))
	documents.Scope = "openid profile"
	pushed := gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db)
	pushed.PublicRequests = brokenLimiter{b}
	b.registration.CheckInitialAccessToken = func(context.Context, *server.Request, string) (bool, error) {
		return true, b.part("CheckInitialAccessToken")
	}
	b.registration.SoftwareStatements = &endpoint.SoftwareStatements{Keys: func(context.Context, string) (*jose.JSONWebKeySet, error) {
		return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: b.key.Public()}}}, b.part("SoftwareStatements.Keys")
	}}
	require.NoError(t, errors.Join(
		b.Server.RegisterEndpoint(b.devices),
		b.Server.RegisterEndpoint(pushed),
		b.Server.RegisterEndpoint(&endpoint.JWKS{Keys: b.oidc.Keys}),
		b.Server.RegisterEndpoint(&endpoint.Metadata{Keys: b.oidc.Keys}),
		b.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: replays}, &clientauth.SelfSignedTLSClientAuth{}),
		b.Server.RegisterGrant(exchange),
		b.Server.RegisterGrant(&grant.JWTBearer{
			Keys: func(context.Context, string) (*jose.JSONWebKeySet, error) {
				return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: b.key.Public()}}}, b.part("JWTBearer.Keys")
			},
			QueryUser: func(context.Context, *server.Request, *assertion.Assertion) (storage.User, error) {
				return b.User, b.part("JWTBearer.QueryUser")
			},
			Replays: replays,
		}),
		b.Server.Register(brokenHooks{b}, documents, &grant.RequestObjects{Replays: replays, Decryption: brokenDecryption{b}}, gormoauth.CreateDPoP[oauthtest.Replay](db), &grant.RememberedConsent{
			Storage: gormoauth.CreateConsentStorage[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](db),
		}),
	))
	b.site = &pagesOf{texts: make(map[string]string)}
	b.address = serve(t, b.site.ServeHTTP)
	everything := func(c *oauthtest.Client) {
		m := &c.ClientMetadata
		m.GrantTypes = []string{"authorization_code", "refresh_token", "implicit", "password", "client_credentials", deviceGrant, exchangeGrant, jwtBearerGrant}
		m.ResponseTypes, m.Scope = []string{"code", "token", "id_token token", "code id_token"}, scope
	}
	b.client = b.NewClient(everything)
	b.signer = b.NewClient(oauthtest.All(everything, func(c *oauthtest.Client) {
		c.ClientMetadata.TokenEndpointAuthMethod, c.ClientMetadata.JWKs = models.PrivateKeyJWT, oauthtest.KeySet(t, b.key)
	}))
	b.front = b.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants("implicit"), func(c *oauthtest.Client) { c.ClientMetadata.Scope = scope }))
	return b
}

// document is the id of another client that has a document.
func (b *breaking) document() string {
	path := "/" + rand.Text()
	id := b.address + path
	b.site.put(path, `{"client_id":"`+id+`","client_name":"Tea","redirect_uris":["`+oauthtest.RedirectURI+`"],"token_endpoint_auth_method":"none"}`)
	return id
}

// documented is an authorization request of such a client.
func (b *breaking) documented(id string) string {
	return "response_type=code&scope=openid&code_challenge_method=S256&code_challenge=" + oauthtest.Challenge + "&redirect_uri=" + url.QueryEscape(oauthtest.RedirectURI) + "&client_id=" + url.QueryEscape(id)
}

// documentedCode is a token request of such a client.
func (b *breaking) documentedCode(id string) string {
	code := b.decide(b.documented(id), b.alice())().Query.Get("code")
	require.NotEmpty(b.T, code)
	return "grant_type=authorization_code&redirect_uri=" + url.QueryEscape(oauthtest.RedirectURI) + "&code_verifier=" + oauthtest.Verifier + "&client_id=" + url.QueryEscape(id) + "&code=" + code
}

// What is noted of a client is noted by its next request, if it cannot be by this one.
const (
	firstDecision = "the first decision for a client that registered itself"
	firstToken    = "the first token of a client with a document"

	signedInInVain = "the page of a user who signed in for it, and not as it asks"
)

// noted is what is written then.
var noted = map[string]*regexp.Regexp{
	firstDecision: regexp.MustCompile("^UPDATE .clients"), firstToken: regexp.MustCompile("^INSERT INTO .clients"),
}

// asserted is the authentication of the signer.
func (b *breaking) asserted() string {
	return "&client_assertion_type=" + url.QueryEscape("urn:ietf:params:oauth:client-assertion-type:jwt-bearer") + "&client_assertion=" + b.signed("", b.signer.ClientID)
}

func (b *breaking) signed(typ, issuer string, more ...any) string {
	claims := map[string]any{"iss": issuer, "sub": issuer, "aud": oauthtest.Issuer, "exp": b.Now.Unix() + 60, "iat": b.Now.Unix(), "jti": rand.Text()}
	var header map[jose.HeaderKey]any
	if typ != "" {
		header = map[jose.HeaderKey]any{"typ": typ}
	}
	return oauthtest.SignJWT(b.T, b.key, jose.ES256, header, oauthtest.Claims(claims, more...))
}

// tokens are those of a grant that outlives its session.
func (b *breaking) tokens() map[string]string {
	return b.signIn(b.client, "scope=openid profile offline_access")
}

// decide returns the decision of the user, on the page that they have seen.
func (b *breaking) decide(query string, user storage.User) func() oauthtest.Answer {
	body := "confirm=yes&" + server.DecisionField + "=" + string(b.Decision(query, b.alice()))
	return func() oauthtest.Answer { return b.Send(http.MethodPost, query, body, user) }
}

// page is a page of the program, which shows the error of f.
func (b *breaking) page(r func() *http.Request, f func(r *http.Request) error) func() oauthtest.Answer {
	return func() oauthtest.Answer {
		return b.Do(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			err := b.Server.ObservePage(r, "page", func(r *http.Request) (*server.Request, error) { return nil, f(r) })
			if err != nil {
				b.Server.WriteError(w, r, err)
			}
		}), r())
	}
}

func (b *breaking) get(target string, header ...string) func() oauthtest.Answer {
	return func() oauthtest.Answer {
		r := httptest.NewRequestWithContext(oauthtest.Brief(b.T), http.MethodGet, target, http.NoBody)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return b.Serve(r)
	}
}

// registered is a client that registered itself: where it manages itself, and by which token.
func (b *breaking) registered() (path, token, body string) {
	const members = `"redirect_uris":["` + oauthtest.RedirectURI + `"]`
	a := b.Register(`{` + members + `}`)
	require.Equal(b.T, http.StatusCreated, a.Status, a.Raw)
	return strings.TrimPrefix(a.Body["registration_client_uri"], oauthtest.Issuer), a.Body["registration_access_token"], `{"client_id":"` + a.Body["client_id"] + `",` + members + `}`
}

func (b *breaking) manage(method string) func() oauthtest.Answer {
	path, token, body := b.registered()
	return func() oauthtest.Answer {
		r := httptest.NewRequestWithContext(oauthtest.Brief(b.T), method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		return b.Serve(r)
	}
}

// device is an authorization request of a device.
func (b *breaking) device() map[string]string {
	a := b.Post("/oauth/device_authorization", b.client, "scope=openid+profile")
	require.Equal(b.T, http.StatusOK, a.Status, a.Raw)
	return a.Body
}

// everything is a request to each endpoint and of each grant: what makes it returns how it
// is sent.
func everything() map[string]func(b *breaking) func() oauthtest.Answer {
	token := func(body func(b *breaking) string) func(b *breaking) func() oauthtest.Answer {
		return func(b *breaking) func() oauthtest.Answer {
			body := body(b)
			return func() oauthtest.Answer { return b.Token(b.client, body) }
		}
	}
	at := func(path, kind string) func(b *breaking) func() oauthtest.Answer {
		return func(b *breaking) func() oauthtest.Answer {
			body := "token=" + b.tokens()[kind]
			return func() oauthtest.Answer { return b.Post(path, b.client, body) }
		}
	}
	decision := func(more ...string) func(b *breaking) func() oauthtest.Answer {
		return func(b *breaking) func() oauthtest.Answer { return b.decide(query(b.client, more...), b.alice()) }
	}
	page := func(of func(b *breaking) string) func(b *breaking) func() oauthtest.Answer {
		return func(b *breaking) func() oauthtest.Answer {
			query := of(b)
			return b.page(func() *http.Request {
				return httptest.NewRequestWithContext(oauthtest.Brief(b.T), http.MethodGet, "/oauth/authorize?"+query, http.NoBody)
			}, func(r *http.Request) error {
				_, err := b.Server.GetConsentGrant(r, b.alice())
				return err
			})
		}
	}
	post := func(b *breaking, path, body string) *http.Request {
		r := httptest.NewRequestWithContext(oauthtest.Brief(b.T), http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}
	devicePage := func(b *breaking, body url.Values) (consent *server.ConsentGrant, err error) {
		return b.devices.GetConsentGrant(b.Server, post(b, "/device", body.Encode()), b.alice())
	}
	deviceDecision := func(b *breaking, userCode string, approved bool) func() oauthtest.Answer {
		body := url.Values{"user_code": {userCode}}
		consent, err := devicePage(b, body)
		require.NoError(b.T, err)
		body.Set(server.DecisionField, string(consent.Decision))
		return b.page(func() *http.Request { return post(b, "/device", body.Encode()) }, func(r *http.Request) error {
			return b.devices.Decide(b.Server, r, b.alice(), approved)
		})
	}
	pushed := func(b *breaking) string {
		a := b.Post("/oauth/par", b.client, query(b.client))
		require.NotEmpty(b.T, a.Body["request_uri"], a.Raw)
		return "client_id=" + b.client.ClientID + "&request_uri=" + url.QueryEscape(a.Body["request_uri"])
	}
	objectClaims := func(b *breaking) []any {
		return []any{"client_id", b.signer.ClientID, "response_type", "code", "scope", "openid", "redirect_uri", oauthtest.RedirectURI}
	}
	requestObject := func(b *breaking) string {
		return "client_id=" + b.signer.ClientID + "&request=" + b.signed("oauth-authz-req+jwt", b.signer.ClientID, objectClaims(b)...)
	}
	return map[string]func(b *breaking) func() oauthtest.Answer{
		"the page of an authorization request":     page(func(b *breaking) string { return query(b.client) }),
		"the page of a client that has a document": page(func(b *breaking) string { return b.documented(b.document()) }),
		"the page of a client with a document that is to be fetched again": page(func(b *breaking) string {
			id := b.document()
			require.Equal(b.T, http.StatusOK, b.Consent(b.documented(id)).Status)
			b.Now = b.Now.Add(25 * time.Hour)
			b.how.Time = b.Now.Unix() - 30
			return b.documented(id)
		}),
		"the page of a pushed request":           page(pushed),
		"a decision for a code":                  decision(),
		"a decision for a token and an ID token": decision("response_type=id_token token"),
		"a decision for a token": func(b *breaking) func() oauthtest.Answer {
			return b.decide(query(b.front, "response_type=token", "scope=profile"), b.alice())
		},
		"a decision for a code and an ID token": decision("response_type=code id_token"),
		"a denial":                              func(b *breaking) func() oauthtest.Answer { return b.decide(query(b.client), nil) },
		"a decision in a session that has ended": func(b *breaking) func() oauthtest.Answer {
			b.tokens()
			_, err := b.oidc.EndSession(b.T.Context(), b.how.SessionID)
			require.NoError(b.T, err)
			return b.decide(query(b.client), b.alice())
		},
		"a decision at another client of a session that has ended": func(b *breaking) func() oauthtest.Answer {
			b.tokens()
			_, err := b.oidc.EndSession(b.T.Context(), b.how.SessionID)
			require.NoError(b.T, err)
			return b.decide(query(b.signer), b.alice())
		},
		"a refresh token after half of its life": func(b *breaking) func() oauthtest.Answer {
			body := "grant_type=refresh_token&refresh_token=" + b.tokens()["refresh_token"]
			b.Now = b.Now.Add(20 * 24 * time.Hour)
			return func() oauthtest.Answer { return b.Token(b.client, body) }
		},
		firstDecision: func(b *breaking) func() oauthtest.Answer {
			a := b.Register(`{"redirect_uris":["` + oauthtest.RedirectURI + `"]}`)
			return b.decide("response_type=code&code_challenge_method=S256&code_challenge="+oauthtest.Challenge+"&client_id="+a.Body["client_id"], b.alice())
		},
		firstToken: func(b *breaking) func() oauthtest.Answer {
			body := b.documentedCode(b.document())
			return func() oauthtest.Answer { return b.Token(nil, body) }
		},
		"the page of a stored client whose document is to be fetched again": page(func(b *breaking) string {
			id := b.document()
			a := b.Token(nil, b.documentedCode(id))
			require.Equal(b.T, http.StatusOK, a.Status, a.Raw)
			b.Now = b.Now.Add(25 * time.Hour)
			b.how.Time = b.Now.Unix() - 30
			return b.documented(id)
		}),
		"a decision on a pushed request":          func(b *breaking) func() oauthtest.Answer { return b.decide(pushed(b), b.alice()) },
		"a decision for a client with a document": func(b *breaking) func() oauthtest.Answer { return b.decide(b.documented(b.document()), b.alice()) },
		"a code": token(func(b *breaking) string {
			return "grant_type=authorization_code&redirect_uri=" + url.QueryEscape(oauthtest.RedirectURI) + "&code=" + b.authorize(b.client, "scope=openid profile offline_access")["code"]
		}),
		"a refresh token": token(func(b *breaking) string {
			return "grant_type=refresh_token&refresh_token=" + b.tokens()["refresh_token"]
		}),
		"a refresh token that was exchanged a moment ago": token(func(b *breaking) string {
			body := "grant_type=refresh_token&refresh_token=" + b.tokens()["refresh_token"]
			require.Equal(b.T, http.StatusOK, b.Token(b.client, body).Status)
			return body
		}),
		"a refresh token that was exchanged a moment ago for more": token(func(b *breaking) string {
			body := "grant_type=refresh_token&refresh_token=" + b.tokens()["refresh_token"]
			require.Equal(b.T, http.StatusOK, b.Token(b.client, body).Status)
			return body + "&scope=openid"
		}),
		"client credentials": token(func(*breaking) string { return "grant_type=client_credentials" }),
		"a password":         token(func(*breaking) string { return "grant_type=password&username=alice&password=" + oauthtest.Password }),
		"a token exchange": token(func(b *breaking) string {
			return "grant_type=" + exchangeGrant + "&subject_token_type=" + accessType + "&subject_token=" + b.tokens()["access_token"]
		}),
		"an assertion of a user": token(func(b *breaking) string {
			return "grant_type=" + jwtBearerGrant + "&assertion=" + b.signed("", "https://idp.example")
		}),
		"a device code that waits": token(func(b *breaking) string {
			return "grant_type=" + deviceGrant + "&device_code=" + b.device()["device_code"]
		}),
		"a device code": token(func(b *breaking) string {
			device := b.device()
			require.Less(b.T, deviceDecision(b, device["user_code"], true)().Status, 400)
			return "grant_type=" + deviceGrant + "&device_code=" + device["device_code"]
		}),
		"a client assertion": func(b *breaking) func() oauthtest.Answer {
			body := "grant_type=client_credentials" + b.asserted()
			return func() oauthtest.Answer { return b.Token(nil, body) }
		},
		"a proof of possession": func(b *breaking) func() oauthtest.Answer {
			proof := b.DPoP(b.key, http.MethodPost, oauthtest.Issuer+"/oauth/token")
			return func() oauthtest.Answer { return b.Token(b.client, "grant_type=client_credentials", "DPoP", proof) }
		},
		"a device authorization": func(b *breaking) func() oauthtest.Answer {
			return func() oauthtest.Answer { return b.Post("/oauth/device_authorization", b.client, "scope=openid") }
		},
		"the page of a device": func(b *breaking) func() oauthtest.Answer {
			body := url.Values{"user_code": {b.device()["user_code"]}}
			return b.page(func() *http.Request { return post(b, "/device", body.Encode()) }, func(r *http.Request) error {
				_, err := b.devices.GetConsentGrant(b.Server, r, b.alice())
				return err
			})
		},
		"a decision on a device": func(b *breaking) func() oauthtest.Answer { return deviceDecision(b, b.device()["user_code"], true) },
		"a denial of a device":   func(b *breaking) func() oauthtest.Answer { return deviceDecision(b, b.device()["user_code"], false) },
		"a pushed request": func(b *breaking) func() oauthtest.Answer {
			return func() oauthtest.Answer { return b.Post("/oauth/par", b.client, query(b.client)) }
		},
		"the page of a request object": page(requestObject),
		"the page of a request object that is encrypted": page(func(b *breaking) string {
			encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.ECDH_ES, Key: b.key.Public()}, nil)
			require.NoError(b.T, err)
			object, err := encrypter.Encrypt([]byte(b.signed("oauth-authz-req+jwt", b.signer.ClientID, objectClaims(b)...)))
			require.NoError(b.T, err)
			text, err := object.CompactSerialize()
			require.NoError(b.T, err)
			return "client_id=" + b.signer.ClientID + "&request=" + text
		}),
		"a decision on a request object": func(b *breaking) func() oauthtest.Answer { return b.decide(requestObject(b), b.alice()) },
		"a denial of a request object":   func(b *breaking) func() oauthtest.Answer { return b.decide(requestObject(b), nil) },
		signedInInVain: page(func(b *breaking) string {
			query := query(b.client, "max_age=10")
			b.how.ReturnTo, b.how.ReturnedAt, b.how.Time = "/oauth/authorize?"+query, b.Now.Unix(), b.Now.Unix()-3600
			return query
		}),
		"the page of a request with an ID token": page(func(b *breaking) string {
			return query(b.client, "id_token_hint="+b.tokens()["id_token"])
		}),
		"a decision for an ID token with claims": decision("response_type=id_token token", `claims={"id_token":{"email":null},"userinfo":{"email":null}}`),
		"user info with claims": func(b *breaking) func() oauthtest.Answer {
			token := b.signIn(b.client, "scope=openid offline_access", `claims={"userinfo":{"email":null}}`)["access_token"]
			return b.get("/oauth/userinfo", "Authorization", "Bearer "+token)
		},
		"a certificate beside a client id": func(b *breaking) func() oauthtest.Answer {
			certificate := b.NewCertificate(nil, nil)
			body := "token=unknown&client_id=" + b.front.ClientID
			return func() oauthtest.Answer {
				return b.PostTLS("/oauth/revoke", body, []*oauthtest.Certificate{certificate})
			}
		},
		"the introspection of a token of another client": func(b *breaking) func() oauthtest.Answer {
			api := b.NewClient(func(c *oauthtest.Client) { c.APIResources = "https://api.example" })
			token := b.tokens()["access_token"]
			require.NoError(b.T, b.DB.Model(&oauthtest.Token{}).Where("access_token = ?", secret.Digest(token)).Update("audience", "https://api.example").Error)
			return func() oauthtest.Answer { return b.Introspect(api, "token="+token) }
		},
		"the metadata of a server that signs them": func(b *breaking) func() oauthtest.Answer {
			b.Now = b.Now.Add(10 * time.Minute)
			return b.get("/.well-known/oauth-authorization-server")
		},
		"a registration by an initial access token": func(b *breaking) func() oauthtest.Answer {
			return func() oauthtest.Answer {
				b.registration.Open = false
				defer func() { b.registration.Open = true }()
				r := httptest.NewRequestWithContext(oauthtest.Brief(b.T), http.MethodPost, "/oauth/register", strings.NewReader(`{"redirect_uris":["`+oauthtest.RedirectURI+`"]}`))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Authorization", "Bearer token")
				return b.Serve(r)
			}
		},
		"a registration with a statement": func(b *breaking) func() oauthtest.Answer {
			statement := b.signed("", "https://publisher.example", "redirect_uris", []string{oauthtest.RedirectURI}, "aud", nil)
			return func() oauthtest.Answer { return b.Register(`{"software_statement":"` + statement + `"}`) }
		},
		"a pushed request object": func(b *breaking) func() oauthtest.Answer {
			body := "request=" + b.signed("oauth-authz-req+jwt", b.signer.ClientID, objectClaims(b)...) + b.asserted()
			return func() oauthtest.Answer { return b.Post("/oauth/par", nil, body) }
		},
		"the revocation of an access token":    at("/oauth/revoke", "access_token"),
		"the revocation of a refresh token":    at("/oauth/revoke", "refresh_token"),
		"the introspection of an access token": at("/oauth/introspect", "access_token"),
		"the introspection of a refresh token": at("/oauth/introspect", "refresh_token"),
		"user info": func(b *breaking) func() oauthtest.Answer {
			return b.get("/oauth/userinfo", "Authorization", "Bearer "+b.tokens()["access_token"])
		},
		"an API": func(b *breaking) func() oauthtest.Answer {
			token := b.tokens()["access_token"]
			return func() oauthtest.Answer { return b.Call(token, "profile") }
		},
		"a registration": func(b *breaking) func() oauthtest.Answer {
			return func() oauthtest.Answer { return b.Register(`{"redirect_uris":["` + oauthtest.RedirectURI + `"]}`) }
		},
		"the registration that a client reads":   func(b *breaking) func() oauthtest.Answer { return b.manage(http.MethodGet) },
		"the registration that a client changes": func(b *breaking) func() oauthtest.Answer { return b.manage(http.MethodPut) },
		"the registration that a client deletes": func(b *breaking) func() oauthtest.Answer { return b.manage(http.MethodDelete) },
		"the document of keys": func(b *breaking) func() oauthtest.Answer {
			keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](b.DB, gormstore.SigningKeyOptions{Secrets: oauthtest.ServerSecrets()}) // of a server that has just begun
			return b.page(func() *http.Request { return post(b, "/oauth/jwks", "") }, func(r *http.Request) error {
				_, err := (&server.Request{Time: b.Now}).PublicKeysResponse(r.Context(), keys)
				return err
			})
		},
		"the page of a sign-out": func(b *breaking) func() oauthtest.Answer {
			hint := b.tokens()["id_token"]
			return b.page(func() *http.Request {
				return httptest.NewRequestWithContext(oauthtest.Brief(b.T), http.MethodGet, "/oauth/end_session?id_token_hint="+hint, http.NoBody)
			}, func(r *http.Request) error {
				_, err := b.oidc.GetLogoutRequest(r, b.alice())
				return err
			})
		},
		"a sign-out": func(b *breaking) func() oauthtest.Answer {
			b.tokens()
			session := b.how.SessionID
			return b.page(func() *http.Request { return post(b, "/oauth/end_session", "") }, func(r *http.Request) error {
				_, err := b.oidc.EndSession(r.Context(), session)
				return err
			})
		},
		"the sign-out of a user": func(b *breaking) func() oauthtest.Answer {
			b.tokens()
			return b.page(func() *http.Request { return post(b, "/oauth/end_session", "") }, func(r *http.Request) error {
				_, err := b.oidc.EndSessionsOf(r.Context(), b.User.GetUserID())
				return err
			})
		},
	}
}

// Whichever call to the database fails, a request is answered by an error that says nothing
// of the database, the log says why, and nothing is given away.
func TestEveryFailureOfStorageIsAnError(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		b := newBreaking(t, db, false)
		refused := map[string]string{signedInInVain: server.UnmetAuthenticationRequirements, "a denial": server.AccessDenied, "a denial of a request object": server.AccessDenied, "a device code that waits": server.AuthorizationPending,
			"a decision in a session that has ended": server.LoginRequired, "a decision at another client of a session that has ended": server.LoginRequired}
		spent := map[string]string{ // by a refusal, or because it took effect
			"a client assertion": server.InvalidClient, "a pushed request object": server.InvalidClient, "a proof of possession": server.InvalidDPoPProof,
			"a decision on a request object": server.InvalidRequestObject, "a denial of a request object": server.InvalidRequestObject, "a decision on a pushed request": server.InvalidRequestURI, "the registration that a client deletes": server.InvalidToken,
		}
		requests := everything()
		for _, what := range slices.Sorted(maps.Keys(requests)) {
			t.Run(what, func(t *testing.T) {
				b.T = t
				healthy, _ := b.during(-1, b.fresh(requests[what]))
				require.Equal(t, refused[what], healthy.Params()["error"], "%v %v", healthy, healthy.Log())
				require.NotZero(t, b.calls, "nothing is asked of the database")
				const most = 40
				for fails := range most {
					present := b.fresh(requests[what])
					a, failed := b.during(fails, present)
					if !failed {
						assert.Equal(t, healthy.Status, a.Status)
						return
					}
					if write := noted[what]; write != nil && write.MatchString(b.failed) {
						assert.Equal(t, healthy.Status, a.Status, a.Raw)
						require.Len(t, a.Log(), 1)
						assert.Equal(t, slog.LevelError, a.Log()[0].Level)
						assert.Contains(t, a.Log()[0].Keys["cause"], errBroken.Error())
						assert.NotEmpty(t, a.Log()[0].Keys["client_id"])
						continue
					}
					b.isError(t, a)
					again, _ := b.during(-1, present)
					assert.Contains(t, []string{refused[what], spent[what]}, again.Params()["error"], "%s: the client tries again", b.failed)
				}
				t.Errorf("more than %d calls", most)
			})
		}
	})
}

// fresh makes a request some minutes later, so that what was read before is read again, of a
// session of its own.
func (b *breaking) fresh(prepare func(b *breaking) func() oauthtest.Answer) func() oauthtest.Answer {
	b.Now = b.Now.Add(2 * time.Minute)
	b.how.Time, b.how.SessionID, b.how.ReturnTo = b.Now.Unix()-30, rand.Text(), ""
	return prepare(b)
}

// isError checks an answer that could not be given.
func (b *breaking) isError(t *testing.T, a oauthtest.Answer) {
	t.Helper()
	if a.To != "" {
		assert.Equal(t, oauthtest.RedirectURI, a.To, b.failed)
		assert.Equal(t, server.ServerError, a.Params()["error"], b.failed)
		assert.Empty(t, a.Params()["code"]+a.Params()["access_token"]+a.Params()["id_token"], b.failed)
	} else {
		assert.Equal(t, http.StatusInternalServerError, a.Status, b.failed)
		delete(a.Body, "state")
		assert.Equal(t, map[string]string{"error": server.ServerError, "error_description": "The server could not answer the request."}, a.Body, b.failed)
	}
	assert.Equal(t, "no-store", a.Header.Get("Cache-Control"), b.failed)
	assert.Empty(t, a.Header.Values("Www-Authenticate"), b.failed)
	for _, values := range a.Header {
		assert.NotContains(t, strings.Join(values, " "), "fire", b.failed)
	}
	line := a.Refusal()
	assert.Equal(t, slog.LevelError, line.Level, b.failed)
	assert.Contains(t, line.Keys["reason"]+line.Keys["cause"]+line.Keys["error"], errBroken.Error(), "%s: %v", b.failed, line)
}
