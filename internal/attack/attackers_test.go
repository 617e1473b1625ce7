package attack

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
)

// attacker does one thing at a steady rate, from addresses of its own in turn.
type attacker struct {
	name string
	from int // addresses
	rate int // a second
	// try is one attempt, and returns the last answer.
	try func(ctx context.Context, c *client, n int) (answer, error)
	// want is what it is answered as long as it has not to wait, and may are the
	// answers that it can get besides.
	want int
	may  []int
	// most is how many attempts one address has in ten minutes; 0 is any number. The
	// others are answered 429, or 503 where nothing was looked at.
	most int

	mu       sync.Mutex
	answers  map[int]int // by status
	unheard  int         // requests that got none
	problems []string
}

// concurrent is how many attempts of one attacker may be under way at once.
const concurrent = 32

const maxProblems = 5

// gently makes it slower: a machine that runs other tests beside has little to spare.
func (a *attacker) gently() { a.rate = max(1, a.rate/4) }

// attack goes on until ctx ends.
func (a *attacker) attack(ctx context.Context, p *program, network int) {
	clients := make([]*client, a.from)
	for i := range clients {
		clients[i] = p.clientAt(fmt.Sprintf("127.0.%d.%d", network, i+2))
		defer clients[i].http.CloseIdleConnections()
	}
	var all sync.WaitGroup
	slots := make(chan struct{}, concurrent)
	paced(ctx, time.Second/time.Duration(a.rate), func(n int, _ time.Time) {
		select {
		case slots <- struct{}{}:
		default:
			return
		}
		all.Go(func() {
			defer func() { <-slots }()
			a.note(a.try(context.WithoutCancel(ctx), clients[n%len(clients)], n))
		})
	})
	all.Wait()
}

func (a *attacker) note(got answer, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answers == nil {
		a.answers = make(map[int]int)
	}
	switch {
	case err != nil:
		a.unheard++
		if a.unheard == 1 {
			a.problem("%v", err)
		}
		return
	case got.status != a.want && !slices.Contains(a.may, got.status):
		a.problem("is answered with %s", got)
	case strings.Contains(got.body, `"access_token"`) || got.param("code") != "":
		a.problem("gets a token or a code: %d", got.status)
	}
	a.answers[got.status]++
}

func (a *attacker) problem(format string, args ...any) {
	if len(a.problems) < maxProblems {
		a.problems = append(a.problems, fmt.Sprintf(format, args...))
	}
}

// check is called after an attack of that length.
func (a *attacker) check(t *testing.T, lasted time.Duration) {
	t.Helper()
	assert.Empty(t, a.problems, a.name)
	assert.NotEmpty(t, a.answers, a.name)
	if !slices.Contains(a.may, busy) {
		assert.NotZero(t, a.answers[a.want], a.name)
	}
	if a.most > 0 {
		// As many come back in ten minutes as there are at once, and the requests that are
		// under way when the last one is counted are answered, too.
		underWay := 5
		most := a.from * (a.most + int(float64(a.most)*lasted.Minutes()/10) + underWay)
		assert.LessOrEqual(t, a.answers[a.want], most, a.name)
	}
}

// String is what it was answered.
func (a *attacker) String() string {
	var counts []string
	for _, status := range slices.Sorted(maps.Keys(a.answers)) {
		counts = append(counts, fmt.Sprintf("%d × %d", a.answers[status], status))
	}
	return fmt.Sprintf("| %s | %d | %d/s | %s |", a.name, a.from, a.rate, strings.Join(counts, ", "))
}

const (
	unauthorized = http.StatusUnauthorized
	bad          = http.StatusBadRequest
	tooMany      = http.StatusTooManyRequests
	busy         = http.StatusServiceUnavailable
)

// attackers are all of them. Some have a user and a client of their own, whose key
// is given, since nobody is a stranger to every server.
func attackers(t *testing.T, p *program, key *ecdsa.PrivateKey) []*attacker {
	t.Helper()
	bob := p.clientAt("127.0.0.2")
	require.NoError(t, bob.signIn(t.Context(), "bob", "builder"))
	signing, err := ownKey(t.Context(), bob)
	require.NoError(t, err)
	f := forger{t, p.Address, signing}

	return slices.Concat(guessers(bob), replayers(f, bob, oauthtest.NewKey(t), key), forgers(f, oauthtest.NewKey(t)), flooders(), oversized())
}

// guessers try what they do not know.
func guessers(bob *client) []*attacker {
	secret := func(id func(n int) string) func(context.Context, *client, int) (answer, error) {
		return func(ctx context.Context, c *client, n int) (answer, error) {
			return c.post(ctx, "/oauth/token", form("grant_type", "client_credentials"), basic(id(n), "wrong-secret-"+strconv.Itoa(n)))
		}
	}
	always := func(id string) func(int) string { return func(int) string { return id } }
	password := func(username func(n int) string) func(context.Context, *client, int) (answer, error) {
		return func(ctx context.Context, c *client, n int) (answer, error) {
			return c.withoutCookies().post(ctx, "/login", form("username", username(n), "password", "wrong-password-"+strconv.Itoa(n)))
		}
	}
	invented := func(n int) string { return "nobody-" + strconv.Itoa(n) }
	return []*attacker{
		{name: "secrets of one client, basic", from: 1, rate: 20, want: unauthorized, may: []int{tooMany}, most: 100, try: secret(always("demo-web"))},
		{name: "secrets of one client, post", from: 1, rate: 20, want: bad, may: []int{tooMany}, most: 100,
			try: func(ctx context.Context, c *client, n int) (answer, error) {
				return c.post(ctx, "/oauth/token", form("grant_type", "authorization_code", "client_id", "demo-post", "client_secret", "wrong-secret-"+strconv.Itoa(n)))
			}},
		{name: "secrets of invented clients", from: 2, rate: 20, want: unauthorized, try: secret(invented)},
		{name: "secrets of a client with a slow one", from: 2, rate: 30, want: unauthorized, may: []int{tooMany, busy}, most: 100, try: secret(always(slowClient))},
		{name: "passwords of one user", from: 1, rate: 10, want: unauthorized, may: []int{tooMany, busy}, most: 20, try: password(always("alice"))},
		{name: "passwords of invented users", from: 1, rate: 20, want: unauthorized, may: []int{tooMany, busy}, most: 100, try: password(invented)},
		{name: "passwords by the grant", from: 1, rate: 10, want: bad, may: []int{tooMany, busy}, most: 100,
			try: func(ctx context.Context, c *client, n int) (answer, error) {
				username := []string{"alice", invented(n)}[n%2]
				return c.post(ctx, "/oauth/token", form("grant_type", "password", "username", username, "password", "wrong-password-"+strconv.Itoa(n)),
					basic("demo-legacy", "demo-legacy-secret"))
			}},
		{name: "user codes", from: 1, rate: 5, want: bad, may: []int{tooMany}, most: 20,
			try: func(ctx context.Context, _ *client, _ int) (answer, error) {
				return bob.post(ctx, "/device", form("user_code", rand.Text()[:8]))
			}},
		{name: "codes and refresh tokens", from: 1, rate: 10, want: bad,
			try: func(ctx context.Context, c *client, n int) (answer, error) {
				if n%2 == 0 {
					return c.redeem(ctx, rand.Text()+rand.Text())
				}
				return c.refresh(ctx, rand.Text()+rand.Text())
			}},
	}
}

// replayers present again what was good once.
func replayers(f forger, bob *client, key, assertions *ecdsa.PrivateKey) []*attacker {
	twice := func(ask func() (answer, error)) (answer, error) {
		first, err := ask()
		if err == nil && first.status == tooMany { // after many replays
			return first, nil
		}
		if err := right(first, err); err != nil {
			return first, err
		}
		return ask()
	}
	// void returns the replay, or an error when what came of the first use still works.
	void := func(ctx context.Context, access string, replay answer) (answer, error) {
		a, err := bob.me(ctx, access)
		if err == nil {
			err = a.want(unauthorized)
		}
		if err != nil {
			return replay, fmt.Errorf("after a replay: %w", err)
		}
		return replay, nil
	}
	return []*attacker{
		{name: "replayed codes", from: 1, rate: 2, want: bad, try: func(ctx context.Context, _ *client, _ int) (answer, error) {
			code, err := bob.authorize(ctx)
			if err != nil {
				return answer{}, err
			}
			first, err := bob.redeem(ctx, code)
			if err := right(first, err); err != nil {
				return first, err
			}
			replay, err := bob.redeem(ctx, code)
			if err != nil {
				return replay, err
			}
			return void(ctx, first.member("access_token"), replay)
		}},
		{name: "replayed refresh tokens", from: 1, rate: 2, want: bad, try: func(ctx context.Context, _ *client, _ int) (answer, error) {
			_, stolen, err := bob.tokens(ctx)
			if err != nil {
				return answer{}, err
			}
			rotated, err := bob.refresh(ctx, stolen)
			if err := right(rotated, err); err != nil {
				return rotated, err
			}
			rotated, err = bob.refresh(ctx, rotated.member("refresh_token")) // and uses its successor
			if err := right(rotated, err); err != nil {
				return rotated, err
			}
			replay, err := bob.refresh(ctx, stolen)
			if err != nil {
				return replay, err
			}
			return void(ctx, rotated.member("access_token"), replay)
		}},
		{name: "replayed DPoP proofs", from: 1, rate: 4, want: bad, try: func(ctx context.Context, c *client, _ int) (answer, error) {
			proof := f.proof(key)
			return twice(func() (answer, error) {
				return c.post(ctx, "/oauth/token", form("grant_type", "client_credentials"), basic("demo-service", "demo-service-secret"), header("DPoP", proof))
			})
		}},
		{name: "replayed client assertions", from: 1, rate: 4, want: unauthorized, may: []int{tooMany}, most: 100, try: func(ctx context.Context, c *client, _ int) (answer, error) {
			assertion := f.assertion(assertions)
			return twice(func() (answer, error) { return c.post(ctx, "/oauth/token", f.assertionForm(assertion)) })
		}},
	}
}

// forgers sign by keys that nobody trusts, or not at all.
func forgers(f forger, key *ecdsa.PrivateKey) []*attacker {
	return []*attacker{
		{name: "forged access tokens", from: 1, rate: 10, want: unauthorized, try: func(ctx context.Context, c *client, n int) (answer, error) {
			return c.me(ctx, f.accessToken(key, n))
		}},
		{name: "forged client assertions", from: 1, rate: 5, want: unauthorized, may: []int{tooMany}, most: 100, try: func(ctx context.Context, c *client, _ int) (answer, error) {
			return c.post(ctx, "/oauth/token", f.assertionForm(f.assertion(key)))
		}},
		{name: "forged request objects", from: 1, rate: 5, want: bad, try: func(ctx context.Context, c *client, n int) (answer, error) {
			return c.get(ctx, "/oauth/authorize?"+form("client_id", "demo-web", "request", f.accessToken(key, n)).Encode())
		}},
	}
}

// flooders ask for what anybody may have, again and again.
func flooders() []*attacker {
	authorization := form("response_type", "code", "client_id", "demo-spa", "redirect_uri", redirectURI, "scope", "profile",
		"code_challenge", oauthtest.Challenge, "code_challenge_method", "S256")
	return []*attacker{
		{name: "registrations", from: 1, rate: 20, want: http.StatusCreated, may: []int{tooMany}, most: 100,
			try: func(ctx context.Context, c *client, _ int) (answer, error) {
				return c.do(ctx, http.MethodPost, "/oauth/register", `{"redirect_uris":["https://app.example/cb"]}`, header("Content-Type", "application/json"))
			}},
		{name: "device authorizations", from: 1, rate: 20, want: http.StatusOK, may: []int{tooMany}, most: 300,
			try: func(ctx context.Context, c *client, _ int) (answer, error) {
				return c.post(ctx, "/oauth/device_authorization", form("client_id", "demo-device"))
			}},
		{name: "pushed authorization requests", from: 1, rate: 20, want: http.StatusCreated, may: []int{tooMany}, most: 300,
			try: func(ctx context.Context, c *client, _ int) (answer, error) {
				return c.post(ctx, "/oauth/par", authorization)
			}},
		{name: "authorization requests", from: 1, rate: 20, want: http.StatusSeeOther,
			try: func(ctx context.Context, c *client, _ int) (answer, error) {
				return c.withoutCookies().get(ctx, "/oauth/authorize?"+authorization.Encode())
			}},
		{name: "metadata and keys", from: 1, rate: 20, want: http.StatusOK,
			try: func(ctx context.Context, c *client, n int) (answer, error) {
				return c.get(ctx, []string{"/.well-known/openid-configuration", "/oauth/jwks", "/login", "/static/style.css"}[n%4])
			}},
	}
}

// oversized send more than anybody needs.
func oversized() []*attacker {
	const mega = 1 << 20
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, _ = w.Write(make([]byte, 64*mega))
	_ = w.Close()
	parameters := make(url.Values)
	for i := range 5000 {
		parameters.Set("p"+strconv.Itoa(i), "1")
	}
	long := strings.Repeat("a", mega)
	nested := `{"redirect_uris":["https://app.example/cb"],"jwks":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + `}`
	send := func(method, path, body string, changes ...with) func(context.Context, *client, int) (answer, error) {
		return func(ctx context.Context, c *client, _ int) (answer, error) {
			return c.do(ctx, method, path, body, changes...)
		}
	}
	isJSON := header("Content-Type", "application/json")
	large, longHeader, unsupported := http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge, http.StatusUnsupportedMediaType
	return []*attacker{
		{name: "large bodies", from: 1, rate: 2, want: large, try: send(http.MethodPost, "/oauth/token", "grant_type="+long)},
		{name: "large forms", from: 1, rate: 2, want: large, try: send(http.MethodPost, "/login", "username="+long)},
		{name: "large headers", from: 1, rate: 2, want: longHeader, try: send(http.MethodGet, "/api/me", "", header("Authorization", "Bearer "+long[:100<<10]))},
		{name: "JSON in JSON", from: 1, rate: 2, want: bad, may: []int{tooMany}, most: 100, try: send(http.MethodPost, "/oauth/register", nested, isJSON)},
		{name: "compressed bodies", from: 1, rate: 2, want: unsupported, try: send(http.MethodPost, "/oauth/token", compressed.String(), header("Content-Encoding", "gzip"))},
		{name: "many parameters", from: 1, rate: 5, want: bad, try: send(http.MethodPost, "/oauth/token", parameters.Encode())},
		{name: "a long query", from: 1, rate: 5, want: bad, try: send(http.MethodGet, "/oauth/authorize?"+parameters.Encode(), "")},
	}
}

// forger makes JWTs.
type forger struct {
	t       testing.TB
	issuer  string
	signing jose.JSONWebKey // the program's own, public
}

// ownKey is the program's own public key, by which a forger hopes to sign.
func ownKey(ctx context.Context, c *client) (key jose.JSONWebKey, err error) {
	a, err := c.get(ctx, "/oauth/jwks")
	if err != nil {
		return key, err
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(a.body), &set); err != nil || len(set.Keys) == 0 {
		return key, fmt.Errorf("no keys: %s", a)
	}
	return set.Keys[0], nil
}

func (f forger) proof(key *ecdsa.PrivateKey) string {
	header := map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: key.Public()}}
	return oauthtest.SignJWT(f.t, key, jose.ES256, header, map[string]any{
		"jti": rand.Text(), "htm": http.MethodPost, "htu": f.issuer + "/oauth/token", "iat": time.Now().Unix(),
	})
}

func (f forger) assertion(key *ecdsa.PrivateKey) string {
	return oauthtest.SignJWT(f.t, key, jose.ES256, map[jose.HeaderKey]any{"kid": "1"}, map[string]any{
		"iss": signingClient, "sub": signingClient, "aud": f.issuer, "jti": rand.Text(), "exp": time.Now().Add(time.Minute).Unix(),
	})
}

func (forger) assertionForm(assertion string) url.Values {
	return form("grant_type", "client_credentials", "client_assertion", assertion,
		"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
}

// accessToken is a JWT as the program signs them, by another key; by its public key,
// taken for a secret; not signed.
func (f forger) accessToken(key *ecdsa.PrivateKey, n int) string {
	claims := map[string]any{
		"iss": f.issuer, "sub": "1", "aud": f.issuer, "client_id": "demo-service", "scope": "profile email", "jti": rand.Text(),
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	header := map[jose.HeaderKey]any{"typ": "at+jwt", "kid": f.signing.KeyID}
	switch n % 3 {
	case 0:
		return oauthtest.SignJWT(f.t, key, jose.ES256, header, claims)
	case 1:
		public, _ := f.signing.MarshalJSON() // as it was published
		return oauthtest.SignJWT(f.t, public, jose.HS256, header, claims)
	default:
		parts := strings.Split(oauthtest.SignJWT(f.t, key, jose.ES256, header, claims), ".")
		none := "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0" // {"alg":"none","typ":"at+jwt"}
		return none + "." + parts[1] + "."
	}
}
