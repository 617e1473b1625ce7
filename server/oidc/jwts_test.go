package oidc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/storage"
)

const (
	jwtBearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	exchangeGrant  = "urn:ietf:params:oauth:grant-type:token-exchange"
	assertionType  = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	jwtTokenType   = "urn:ietf:params:oauth:token-type:jwt"
	trustedIssuer  = "https://trusted.example"
)

// place is one at which a JWT comes in.
type place struct {
	header string
	claims map[string]any // of a good JWT, without its jti
	// required are the claims without which it is none, jti among them.
	required []string
	// sign signs header and claims; nil is by the key that signs for everybody.
	sign func(header, claims string) string
	// send presents a JWT.
	send func(jwt string) oauthtest.Answer
	// refused is the error of the protocol for a JWT that does not count.
	refused string
}

// everywhere is a provider with all places at which a JWT comes in.
type everywhere struct {
	*provider
	key     *ecdsa.PrivateKey
	trusted json.RawMessage   // the key set of the issuer that is trusted
	service *oauthtest.Client // which signs by the key
	places  map[string]place
}

func newEverywhere(t *testing.T) *everywhere {
	t.Helper()
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := &everywhere{provider: newProvider(t, db), key: signingKeys()[0].Key.(*ecdsa.PrivateKey)}
	p.trusted = oauthtest.KeySet(t, p.key)
	replays := gormoauth.CreateReplayStorage[oauthtest.Replay](db)
	keys := func(_ context.Context, issuer string) (*jose.JSONWebKeySet, error) {
		if issuer != trustedIssuer {
			return nil, nil
		}
		return jwk.ParseSet(p.trusted)
	}
	who := func(_ context.Context, _ *server.Request, assertion *assertion.Assertion) (storage.User, error) {
		if assertion.Subject != "alice" {
			return nil, nil
		}
		return p.User, nil
	}
	exchange := gormoauth.CreateTokenExchangeGrant[oauthtest.Token](db)
	exchange.Keys, exchange.QueryUser = keys, who
	exchange.Policy = func(context.Context, *server.Request, *grant.Exchange) error { return nil }
	registration := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	registration.Open, registration.Attempts, registration.SoftwareStatements = true, ratelimit.Unlimited{}, &endpoint.SoftwareStatements{Keys: keys}
	require.NoError(t, errors.Join(
		p.Server.RegisterClientAuthMethod(&clientauth.ClientSecretJWT{Key: []byte(strings.Repeat("k", 32)), Replays: replays}, &clientauth.PrivateKeyJWT{Replays: replays, Fetcher: p.oidc.Fetcher}),
		p.Server.RegisterGrant(&grant.JWTBearer{Keys: keys, QueryUser: who, Replays: replays}),
		p.Server.RegisterGrant(exchange),
		p.Server.RegisterEndpoint(registration),
		p.Server.RegisterEndpoint(gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db)),
		p.Server.Register(&grant.RequestObjects{Replays: replays, Fetcher: p.oidc.Fetcher}, gormoauth.CreateDPoP[oauthtest.Replay](db)),
	))
	p.service = p.NewClient(func(c *oauthtest.Client) {
		oauthtest.Grants("client_credentials", "authorization_code")(c)
		c.ClientMetadata.TokenEndpointAuthMethod, c.ClientMetadata.JWKs = models.PrivateKeyJWT, oauthtest.KeySet(t, p.key)
	})
	p.places = make(map[string]place)
	p.addAssertions()
	p.addGrants()
	p.addRequestObjects()
	p.addProofs()
	p.addTokens()
	return p
}

// jwt returns a JWT for a place, with some claims changed as by [oauthtest.Claims], and
// members behind them as they are written.
func (p *everywhere) jwt(at place, members string, more ...any) string {
	p.T.Helper()
	text, err := json.Marshal(oauthtest.Claims(at.claims, append([]any{"jti", rand.Text()}, more...)...))
	require.NoError(p.T, err)
	claims := string(text)
	if members != "" {
		claims = claims[:len(claims)-1] + "," + members + "}"
	}
	if at.sign != nil {
		return at.sign(at.header, claims)
	}
	return oauthtest.SignRaw(p.T, p.key, at.header, claims)
}

// asserted is what the client posts beside an assertion.
func asserted(assertion string) string {
	return url.Values{"client_assertion_type": {assertionType}, "client_assertion": {assertion}}.Encode()
}

func (p *everywhere) addAssertions() {
	now, client := p.Now.Unix(), p.service.ClientID
	of := func(clientID string) map[string]any {
		return map[string]any{"iss": clientID, "sub": clientID, "aud": oauthtest.Issuer, "exp": now + 60, "nbf": now, "iat": now}
	}
	required := []string{"iss", "sub", "aud", "exp", "jti"}
	const header = `{"alg":"ES256","kid":"1"}`
	p.places["a client assertion"] = place{
		header: header, claims: of(client), required: required, refused: server.InvalidClient,
		send: func(jwt string) oauthtest.Answer {
			return p.Token(nil, "grant_type=client_credentials&"+asserted(jwt))
		},
	}
	p.places["a client assertion at revocation"] = place{
		header: header, claims: of(client), required: required, refused: server.InvalidClient,
		send: func(jwt string) oauthtest.Answer { return p.Post("/oauth/revoke", nil, "token=x&"+asserted(jwt)) },
	}
	p.places["a client assertion with a pushed request"] = place{
		header: header, claims: of(client), required: required, refused: server.InvalidClient,
		send: func(jwt string) oauthtest.Answer {
			return p.Post("/oauth/par", nil, "response_type=code&"+asserted(jwt))
		},
	}
	byHand := &oauthtest.Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{TokenEndpointAuthMethod: models.ClientSecretJWT, GrantTypes: []string{"client_credentials"}}}}
	secret, err := gormoauth.CreateClientFactory[oauthtest.Client](p.DB, p.Server).Create(p.T.Context(), byHand)
	require.NoError(p.T, err)
	p.places["a client assertion by a secret"] = place{
		header: `{"alg":"HS256"}`, claims: of(byHand.ClientID), required: required, refused: server.InvalidClient,
		sign: func(header, claims string) string {
			input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write([]byte(input))
			return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		},
		send: p.places["a client assertion"].send,
	}
}

func (p *everywhere) addGrants() {
	now := p.Now.Unix()
	client := p.NewClient(oauthtest.Grants(jwtBearerGrant, exchangeGrant, "client_credentials"))
	said := func(more ...any) map[string]any {
		return oauthtest.Claims(map[string]any{"iss": trustedIssuer, "sub": "alice", "aud": oauthtest.Issuer, "exp": now + 60, "nbf": now, "iat": now}, more...)
	}
	required := []string{"iss", "sub", "aud", "exp", "jti"}
	const header = `{"alg":"ES256","kid":"1"}`
	p.places["a trusted issuer's assertion"] = place{
		header: header, claims: said(), required: required, refused: server.InvalidGrant,
		send: func(jwt string) oauthtest.Answer {
			return p.Token(client, url.Values{"grant_type": {jwtBearerGrant}, "assertion": {jwt}}.Encode())
		},
	}
	exchange := func(params ...string) oauthtest.Answer {
		form := url.Values{"grant_type": {exchangeGrant}}
		for i := 0; i+1 < len(params); i += 2 {
			form.Set(params[i], params[i+1])
			form.Set(params[i]+"_type", jwtTokenType)
		}
		return p.Token(client, form.Encode())
	}
	subject := place{
		header: header, claims: said("scope", "profile"), required: required, refused: server.InvalidRequest,
		send: func(jwt string) oauthtest.Answer { return exchange("subject_token", jwt) },
	}
	p.places["a token that is exchanged"] = subject
	p.places["a token of who acts"] = place{
		header: header, claims: said(), required: required, refused: server.InvalidRequest,
		send: func(jwt string) oauthtest.Answer {
			return exchange("subject_token", p.jwt(subject, ""), "actor_token", jwt)
		},
	}
	p.places["a software statement"] = place{
		header: header, claims: said("software_id", "x"), required: []string{"iss"}, refused: server.InvalidSoftwareStatement,
		send: func(jwt string) oauthtest.Answer {
			return p.Register(`{"redirect_uris":["` + oauthtest.RedirectURI + `"],"software_statement":"` + jwt + `"}`)
		},
	}
}

func (p *everywhere) addRequestObjects() {
	now, client := p.Now.Unix(), p.service.ClientID
	object := place{
		header:   `{"alg":"ES256","kid":"1","typ":"oauth-authz-req+jwt"}`,
		claims:   map[string]any{"iss": client, "aud": oauthtest.Issuer, "exp": now + 60, "nbf": now, "iat": now, "client_id": client, "response_type": "code", "scope": "profile"},
		required: []string{"iss", "aud"}, refused: server.InvalidRequestObject,
		send: func(jwt string) oauthtest.Answer {
			return p.Consent(url.Values{"client_id": {client}, "request": {jwt}}.Encode())
		},
	}
	p.places["a request object"] = object
	object.send = func(jwt string) oauthtest.Answer {
		return p.Post("/oauth/par", nil, "request="+jwt+"&"+asserted(p.jwt(p.places["a client assertion"], "")))
	}
	p.places["a pushed request object"] = object
}

func (p *everywhere) addProofs() {
	public, err := json.Marshal(jose.JSONWebKey{Key: p.key.Public()})
	require.NoError(p.T, err)
	proof := func(method, target string, more ...any) place {
		return place{
			header:   `{"alg":"ES256","typ":"dpop+jwt","jwk":` + string(public) + `}`,
			claims:   oauthtest.Claims(map[string]any{"htm": method, "htu": target, "iat": p.Now.Unix()}, more...),
			required: []string{"jti", "htm", "htu", "iat"}, refused: server.InvalidDPoPProof,
		}
	}
	atToken := proof(http.MethodPost, oauthtest.Issuer+"/oauth/token")
	atToken.send = func(jwt string) oauthtest.Answer {
		return p.Token(nil, "grant_type=client_credentials&"+asserted(p.jwt(p.places["a client assertion"], "")), "DPoP", jwt)
	}
	p.places["a proof at the token endpoint"] = atToken

	bound := p.accessToken("cnf", map[string]string{"jkt": oauthtest.Thumbprint(p.T, p.key)})
	hash := sha256.Sum256([]byte(bound))
	atAPI := proof(http.MethodGet, oauthtest.Issuer+"/api", "ath", base64.RawURLEncoding.EncodeToString(hash[:]))
	atAPI.required = append(atAPI.required, "ath")
	jwts := p.validator()
	protector, err := resource.NewProtector(resource.Config{Clock: p.Protector.Clock()}, jwts, gormoauth.CreateDPoPTokenValidator[oauthtest.Replay](p.DB, oauthtest.Issuer, jwts))
	require.NoError(p.T, err)
	atAPI.send = func(jwt string) oauthtest.Answer {
		return p.call(protector, "Authorization", "DPoP "+bound, "DPoP", jwt)
	}
	p.places["a proof at an API"] = atAPI
}

func (p *everywhere) validator() *resource.JWTAccessTokenValidator {
	return &resource.JWTAccessTokenValidator{Issuer: oauthtest.Issuer, Audience: "https://api.example", Keys: signingKeys(), Clock: p.Protector.Clock()}
}

// call calls an API, which answers with the user and the scope that it was told of.
func (p *everywhere) call(protector *resource.Protector, header ...string) oauthtest.Answer {
	r := httptest.NewRequestWithContext(p.T.Context(), http.MethodGet, "/api", http.NoBody)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	protector.Require()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := resource.TokenFromContext(r.Context())
		_ = json.NewEncoder(w).Encode(map[string]string{"user": token.UserID, "scope": token.Token.GetScope(), "client": token.Token.GetClientID()})
	})).ServeHTTP(w, r)
	a := oauthtest.Answer{Status: w.Code, Header: w.Header(), Raw: w.Body.String()}
	_ = json.Unmarshal(w.Body.Bytes(), &a.Body)
	return a
}

const accessTokenHeader = `{"alg":"ES256","kid":"es","typ":"at+jwt"}`

func (p *everywhere) accessTokenClaims() map[string]any {
	now := p.Now.Unix()
	return map[string]any{
		"iss": oauthtest.Issuer, "aud": "https://api.example", "sub": "7", "client_id": "c", "exp": now + 60, "nbf": now, "iat": now, "auth_time": now, "scope": "profile",
	}
}

func (p *everywhere) accessToken(more ...any) string {
	return p.jwt(place{header: accessTokenHeader, claims: p.accessTokenClaims()}, "", more...)
}

func (p *everywhere) addTokens() {
	protector, err := resource.NewProtector(resource.Config{Clock: p.Protector.Clock()}, p.validator())
	require.NoError(p.T, err)
	p.places["an access token"] = place{
		header: accessTokenHeader, claims: p.accessTokenClaims(), required: []string{"iss", "aud", "sub", "client_id", "exp", "iat", "jti"}, refused: server.InvalidToken,
		send: func(jwt string) oauthtest.Answer { return p.call(protector, "Authorization", "Bearer "+jwt) },
	}
	client, now := p.client(), p.Now.Unix()
	hint := place{
		header:   `{"alg":"ES256","kid":"es","typ":"JWT"}`,
		claims:   map[string]any{"iss": oauthtest.Issuer, "aud": client.ClientID, "sub": p.User.GetUserID(), "exp": now + 60, "nbf": now, "iat": now},
		required: []string{"iss", "aud", "sub"}, refused: server.InvalidRequest,
		send: func(jwt string) oauthtest.Answer {
			interaction, failure := p.ask(p.alice(), query(client, "id_token_hint="+jwt))
			if failure == "" && interaction != server.AskConsent {
				failure = "it is another user's"
			}
			return oauthtest.Answer{Status: http.StatusOK, Body: map[string]string{"error": failure}}
		},
	}
	p.places["a hint at sign-in"] = hint
	hint.refused = "the person is asked"
	hint.send = func(jwt string) oauthtest.Answer {
		r := httptest.NewRequestWithContext(p.T.Context(), http.MethodGet, "/oauth/end_session?id_token_hint="+jwt, http.NoBody)
		logout, err := p.oidc.GetLogoutRequest(r, p.alice())
		switch {
		case err != nil: // of an ID token of nobody's, which the person is told
			w := httptest.NewRecorder()
			p.Server.WriteError(w, r, err)
			return oauthtest.Answer{Status: w.Code, Raw: w.Body.String(), Body: map[string]string{"error": hint.refused}}
		case logout.Confirmed:
			return oauthtest.Answer{Status: http.StatusOK}
		default:
			return oauthtest.Answer{Status: http.StatusOK, Body: map[string]string{"error": hint.refused}}
		}
	}
	p.places["a hint at sign-out"] = hint
}

// takes asserts that a place takes a JWT.
func (p *everywhere) takes(name, rule, jwt string) oauthtest.Answer {
	p.T.Helper()
	a := p.places[name].send(jwt)
	assert.Less(p.T, a.Status, http.StatusBadRequest, "%s, %s: %s", name, rule, a.Raw)
	assert.Empty(p.T, a.Body["error"], "%s, %s: %s", name, rule, a.Raw)
	return a
}

// refuses asserts that a place refuses a JWT by the protocol's error.
func (p *everywhere) refuses(name, rule, jwt string) {
	p.T.Helper()
	a := p.places[name].send(jwt)
	assert.Equal(p.T, p.places[name].refused, a.Body["error"], "%s, %s: %d %s", name, rule, a.Status, a.Raw)
	assert.Less(p.T, a.Status, http.StatusInternalServerError, "%s, %s", name, rule)
}

// A date is a number, however it is written (RFC 7519 section 2), at each place at which
// a JWT comes in; one that is out of range, or no number, is that place's error.
func TestDatesOfEveryJWT(t *testing.T) {
	p := newEverywhere(t)
	require.EqualValues(t, 1_800_000_000, p.Now.Unix())
	for name, at := range p.places {
		p.takes(name, "as ever", p.jwt(at, ""))
		for _, claim := range slices.Sorted(maps.Keys(at.claims)) {
			written := []string{"1.8e9", "1800000000.5", "1799999999.999999", "18E8", "18000000000e-1", "1800000000." + strings.Repeat("0", 300)}
			switch claim {
			case "exp":
				written = []string{"1800000060.5", "1.80000006e9", "18000000600E-1", "180000006e+1"}
			case "nbf", "iat", "auth_time":
			default:
				continue
			}
			for _, date := range written {
				p.takes(name, claim+" "+date, p.jwt(at, "", claim, json.RawMessage(date)))
			}
			for _, date := range []string{
				"1e300", "-1", "-0.5", "1e18", "9223372036854775807", "9223372036854775808", "18446744073709551617", "253402300800", "1e400", "-1e400", strings.Repeat("9", 400),
				`"1800000000"`, `"2026-11-27T00:00:00Z"`, "true", "[1800000000]", "{}",
			} {
				p.refuses(name, claim+" "+date, p.jwt(at, "", claim, json.RawMessage(date)))
			}
		}
		for rule, claims := range map[string][]any{
			"ended half a minute ago":         {"exp", json.RawMessage("1799999969.9")},
			"begins in half a minute":         {"nbf", json.RawMessage("1.800000032e9")},
			"was made in a minute and a half": {"iat", json.RawMessage("180000009e1")},
		} {
			claim := claims[0].(string)
			if _, has := at.claims[claim]; has && !strings.Contains(name, "hint") { // which may have ended
				p.refuses(name, rule, p.jwt(at, "", claims...))
			}
		}
	}
}

// lookalike returns a name that a reader which folds case takes for the other.
func lookalike(name string) string {
	if folded := strings.ReplaceAll(name, "s", "\u017f"); folded != name {
		return folded
	}
	return strings.ToUpper(name)
}

// What a claim says it says by its exact name, and once, at each place at which a JWT
// comes in.
func TestClaimsOfEveryJWTHaveOneReading(t *testing.T) {
	p := newEverywhere(t)
	evil := map[string]any{"exp": 1, "iat": 1, "nbf": p.Now.Unix() + 1000, "jti": "", "auth_time": 1}
	for name, at := range p.places {
		for claim := range oauthtest.Claims(at.claims, "jti", "1") {
			said, ok := evil[claim]
			if !ok {
				said = "mallory"
			}
			text, err := json.Marshal(said)
			require.NoError(t, err)
			p.takes(name, "beside the lookalike of "+claim, p.jwt(at, `"`+lookalike(claim)+`":`+string(text)))
			escaped := `"` + strings.Replace(claim, claim[:1], `\u00`+hexOf(claim[0]), 1) + `":` + string(text)
			for rule, member := range map[string]string{"twice": `"` + claim + `":` + string(text), "twice, once with an escape": escaped} {
				p.refuses(name, claim+" "+rule, p.jwt(at, member))
			}
		}
		for _, claim := range at.required {
			value := oauthtest.Claims(at.claims, "jti", rand.Text())[claim]
			p.refuses(name, claim+" by its lookalike alone", p.jwt(at, "", claim, nil, lookalike(claim), value))
			p.refuses(name, claim+" with NUL", p.jwt(at, "", claim, nil, claim+"\x00", value))
			p.refuses(name, claim+" is null", p.jwt(at, "", claim, json.RawMessage("null")))
			p.refuses(name, claim+" is an object", p.jwt(at, "", claim, json.RawMessage(`{"a":1}`)))
		}
		for rule, member := range map[string]string{
			"a claim unknown twice":     `"x":1,"x":1`,
			"twice in a claim unknown":  `"x":{"y":[{"z":1,"z":2}]}`,
			"no UTF-8":                  "\"x\":\"\xff\"",
			"half a character":          `"x":"\ud800"`,
			"nested without an end":     `"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40),
			"something behind the JSON": `"x":1}{"x":2`,
		} {
			p.refuses(name, rule, p.jwt(at, member))
		}
		for rule, member := range map[string]string{
			"the algorithm twice": `"alg":"ES256"`, "twice": `"x":1,"x":1`, "twice within": `"x":{"y":1,"y":2}`, "no UTF-8": "\"x\":\"\xff\"",
		} {
			with := at
			with.header = at.header[:len(at.header)-1] + "," + member + "}"
			p.refuses(name, "in the header: "+rule, p.jwt(with, ""))
		}
		with := at
		with.header = at.header[:len(at.header)-1] + `,"ALG":"none","\u212aid":"x","TYP":"x","Jwk":{},"\u0063rit ":["x"]}`
		p.takes(name, "with lookalikes in the header", p.jwt(with, ""))
	}
}

func hexOf(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}

// Whom and what a token is for is what its own claims say, and nothing that folds to
// them: the library's own validator does not believe it.
func TestALookalikeOfAClaimGivesNothing(t *testing.T) {
	p := newEverywhere(t)
	told := func(name, members string) oauthtest.Answer {
		return p.takes(name, members, p.jwt(p.places[name], members))
	}
	for _, members := range []string{
		`"\u017fub":"1","\u017fcope":"admin","Client_ID":"x"`, "\"\u017fub\":\"1\",\"\u017fcope\":\"admin\",\"CLIENT_ID\":\"x\"",
		`"Sub":"1","SCOPE":"admin","client_I\u0044":"x"`, `"sub\u0000":"1","scope ":"admin","client-id":"x"`,
	} {
		assert.Equal(t, map[string]string{"user": "7", "scope": "profile", "client": "c"}, told("an access token", members).Body, members)
		assert.Equal(t, "profile", told("a token that is exchanged", members).Body["scope"], members)
	}
}

// A JWT is what its type says (RFC 8725 sections 3.11 and 3.12): one that was made for
// something else counts at no place, whoever signed it.
func TestEveryJWTIsOfItsType(t *testing.T) {
	p := newEverywhere(t)
	own := map[string][]string{
		"a client assertion": {"", "JWT", "client-authentication+jwt"}, "a client assertion at revocation": {"", "JWT", "client-authentication+jwt"},
		"a client assertion with a pushed request": {"", "JWT", "client-authentication+jwt"}, "a client assertion by a secret": {"", "JWT", "client-authentication+jwt"},
		"a request object": {"", "JWT", "oauth-authz-req+jwt"}, "a pushed request object": {"", "JWT", "oauth-authz-req+jwt"},
		"a proof at the token endpoint": {"dpop+jwt"}, "a proof at an API": {"dpop+jwt"}, "an access token": {"at+jwt"},
		"a hint at sign-in": {"JWT"}, "a hint at sign-out": {"JWT"},
	}
	types := []string{
		"", "JWT", "client-authentication+jwt", "oauth-authz-req+jwt", "dpop+jwt", "at+jwt", "logout+jwt", "secevent+jwt", "oauth-id-jag+jwt", "token-introspection+jwt", "JOSE", "x",
	}
	for _, name := range slices.Sorted(maps.Keys(p.places)) {
		at := p.places[name]
		taken := own[name]
		if taken == nil {
			taken = []string{"", "JWT"}
		}
		typed := func(typ string) place {
			var header map[string]any
			require.NoError(t, json.Unmarshal([]byte(at.header), &header))
			delete(header, "typ")
			text, err := json.Marshal(header)
			require.NoError(t, err)
			at.header = string(text)
			if typ != "" {
				at.header = string(text[:len(text)-1]) + `,"typ":` + typ + `}`
			}
			return at
		}
		for _, typ := range types {
			written := []string{""}
			if typ != "" {
				written = []string{strconv.Quote(typ), strconv.Quote(strings.ToLower(typ)), strconv.Quote("application/" + typ), strconv.Quote(strings.ToUpper(typ))}
			}
			for _, text := range written {
				if slices.Contains(taken, typ) {
					p.takes(name, "typ "+text, p.jwt(typed(text), ""))
				} else {
					p.refuses(name, "typ "+text, p.jwt(typed(text), ""))
				}
			}
		}
		for _, text := range []string{"7", `["JWT"]`, `{"JWT":1}`} {
			p.refuses(name, "typ "+text, p.jwt(typed(text), ""))
		}
	}
}

// A grant may name another type.
func TestATypeThatAGrantNames(t *testing.T) {
	p := newEverywhere(t)
	exchange := gormoauth.CreateTokenExchangeGrant[oauthtest.Token](p.DB)
	exchange.Keys = func(context.Context, string) (*jose.JSONWebKeySet, error) { return jwk.ParseSet(p.trusted) }
	exchange.QueryUser = func(context.Context, *server.Request, *assertion.Assertion) (storage.User, error) { return p.User, nil }
	exchange.Policy = func(context.Context, *server.Request, *grant.Exchange) error { return nil }
	exchange.Types = []string{"application/at+jwt"}
	require.NoError(t, p.Server.RegisterGrant(exchange))
	at := p.places["a token that is exchanged"]
	at.header = `{"alg":"ES256","kid":"1","typ":"at+jwt"}`
	p.takes("a token that is exchanged", "the type that is named", p.jwt(at, ""))
	at.header = `{"alg":"ES256","kid":"1","typ":"logout+jwt"}`
	p.refuses("a token that is exchanged", "another", p.jwt(at, ""))
}
