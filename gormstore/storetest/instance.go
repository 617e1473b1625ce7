package storetest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/par"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/storage"
)

const (
	issuer      = "https://id.example"
	redirectURI = "https://client.example/cb"
	// The pair of RFC 7636, appendix B.
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

	resourceA, resourceB = "https://a.example", "https://b.example"

	refreshTokenLife = 24 * time.Hour

	// patience is a storage budget that is not used up on a machine that is busy: what is tested
	// is what is answered, not how soon.
	patience = 10 * time.Second
)

// tokenStore is a gormstore.Tokens of any model.
type tokenStore interface {
	Save(ctx context.Context, exchange storage.Exchange) error
	Query(ctx context.Context, query storage.TokenQuery) (*storage.StoredToken, error)
	RevokeGrant(ctx context.Context, grantID string, now time.Time) error
	RevokeClient(ctx context.Context, clientID string, now time.Time, more ...gormstore.Erasable) error
	RevokeUser(ctx context.Context, userID string, now time.Time, more ...gormstore.Erasable) error
}

// codeStore is a gormstore.AuthorizationCodes of any model.
type codeStore interface {
	Save(ctx context.Context, record *models.AuthorizationCodeMixin, req *server.Request) error
	gormstore.Erasable
	Query(ctx context.Context, code string) (*grant.StoredAuthorizationCode, error)
}

// instance is a whole server on one handle.
type instance struct {
	db        *gorm.DB
	server    *server.Server
	protector *resource.Protector

	tokens       tokenStore
	codes        codeStore
	queryClient  storage.QueryClientFunc
	rotateSecret func(ctx context.Context, clientID string, rotation gormstore.SecretRotation) (string, error)
	prune        func(ctx context.Context, options gormstore.PruneOptions) error
	erase        func(ctx context.Context, userID string) (removed int64, err error)
	indexed      bool // whether the models have the index on UserID that erase needs

	// What the parts add.
	prunable []gormstore.Prunable
	erasable []gormstore.Erasable
	devices  *endpoint.DeviceAuthorization
	pushed   par.Storage
	replays  storage.Replays
	sessions sessionStore
	consents consentStore
	audits   auditStore

	registrations endpoint.ClientRegistrationStorage
	documents     clientauth.ClientDocumentStorage
}

// keeps adds a store to those that are pruned and erased, if it is Prunable or Erasable.
func (in *instance) keeps(store any) {
	if prunable, ok := store.(gormstore.Prunable); ok {
		in.prunable = append(in.prunable, prunable)
	}
	if erasable, ok := store.(gormstore.Erasable); ok {
		in.erasable = append(in.erasable, erasable)
	}
}

// client is a client's credentials; the secret of a public client is empty.
type client struct{ id, secret string }

// instances returns a server for every handle. The functions change their configuration.
func (k *kit) instances(t testing.TB, change ...func(*server.Config)) []*instance {
	t.Helper()
	var all []*instance
	for _, db := range k.handles {
		all = append(all, k.on(t, db, change...))
	}
	return all
}

func (k *kit) on(t testing.TB, db *gorm.DB, change ...func(*server.Config)) *instance {
	t.Helper()
	config := server.Config{Issuer: issuer, Clock: time.Now, RefreshTokenExpiresIn: refreshTokenLife, RefreshTokenGrace: -1, StorageBudget: patience}
	for _, f := range change {
		f(&config)
	}
	return k.assemble(t, db, config)
}

func at(clock func() time.Time) func(*server.Config) {
	return func(config *server.Config) { config.Clock = clock }
}

func withGrace(config *server.Config) {
	config.RefreshTokenGrace = time.Minute
}

// publicClient stores a client without a secret.
func (k *kit) publicClient(t testing.TB) client {
	t.Helper()
	return k.newClient(t, k.handles[0], models.ClientMetadata{
		TokenEndpointAuthMethod: models.None,
		RedirectURIs:            []string{redirectURI},
		GrantTypes:              []string{"authorization_code", "refresh_token"},
		ResponseTypes:           []string{"code"},
	})
}

// answer is a response of an endpoint.
type answer struct {
	Status      int    `json:"-"`
	RetryAfter  string `json:"-"`
	Access      string `json:"access_token"`
	Refresh     string `json:"refresh_token"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
	DeviceCode  string `json:"device_code"`
	UserCode    string `json:"user_code"`
	RequestURI  string `json:"request_uri"`
}

func (a answer) ok() bool { return a.Status == http.StatusOK }

// form returns a form-encoded POST request.
func form(values url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(values.Encode())) //nolint:noctx // a request of a test's client
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func (in *instance) post(handler http.HandlerFunc, values url.Values, c client) answer {
	values.Set("client_id", c.id)
	if c.secret != "" {
		values.Set("client_secret", c.secret)
	}
	w := httptest.NewRecorder()
	handler(w, form(values))
	a := answer{Status: w.Code, RetryAfter: w.Header().Get("Retry-After")}
	_ = strictjson.Unmarshal(w.Body.Bytes(), &a) // a body that is not JSON sets none of the fields
	return a
}

// authorize makes the user grant the client a code, and returns the status and the
// parameters of the redirect. more overrides parameters of a valid request.
func (in *instance) authorize(c client, user storage.User, more url.Values) (int, url.Values) {
	query := url.Values{
		"response_type": {"code"}, "client_id": {c.id}, "redirect_uri": {redirectURI},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	for name, values := range more {
		query[name] = values
	}
	return in.agree(query.Encode(), in.page(query.Encode(), user), user)
}

// page returns the decision value of the consent page for a request.
func (in *instance) page(query string, user storage.User) server.Decision {
	consent, err := in.server.GetConsentGrant(httptest.NewRequest(http.MethodGet, "/?"+query, http.NoBody), user) //nolint:noctx // a request of a test's browser
	if err != nil {
		return "" // the response will show it
	}
	return consent.Decision
}

// agree makes the user allow what the page shows.
func (in *instance) agree(query string, page server.Decision, user storage.User) (int, url.Values) {
	r := form(url.Values{server.DecisionField: {string(page)}, server.ConfirmField: {"yes"}})
	r.URL.RawQuery = query
	w := httptest.NewRecorder()
	in.server.CreateAuthorizationResponse(w, r, user)
	location, err := url.Parse(w.Header().Get("Location"))
	if err != nil {
		return w.Code, nil
	}
	return w.Code, location.Query()
}

// code makes the user grant the client a code, and returns it.
func (in *instance) code(t testing.TB, c client, user storage.User) string {
	t.Helper()
	status, params := in.authorize(c, user, nil)
	if params.Get("code") == "" {
		t.Fatalf("no code: %d %v", status, params)
	}
	return params.Get("code")
}

func (in *instance) redeem(c client, code string) answer {
	return in.post(in.server.CreateTokenResponse, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier}, "redirect_uri": {redirectURI},
	}, c)
}

// grant is authorize and redeem.
func (in *instance) grant(t testing.TB, c client, user storage.User) answer {
	t.Helper()
	a := in.redeem(c, in.code(t, c, user))
	if !a.ok() {
		t.Fatalf("no token: %+v", a)
	}
	return a
}

func (in *instance) refresh(c client, refreshToken string, resources ...string) answer {
	return in.post(in.server.CreateTokenResponse, url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}, "resource": resources,
	}, c)
}

const tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

// exchange exchanges an access token for another.
func (in *instance) exchange(c client, subject string) answer {
	return in.post(in.server.CreateTokenResponse, url.Values{
		"grant_type": {tokenExchange}, "subject_token": {subject}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	}, c)
}

func (in *instance) revoke(c client, token string) answer {
	return in.post(in.server.EndpointHandler("revocation"), url.Values{"token": {token}}, c)
}

// call calls the protected API with an access token, and returns the status.
func (in *instance) call(accessToken string) int {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody) //nolint:noctx // a request of a test's client
	r.Header.Set("Authorization", "Bearer "+accessToken)
	w := httptest.NewRecorder()
	in.protector.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
	return w.Code
}

func (in *instance) valid(accessToken string) bool { return in.call(accessToken) == http.StatusOK }
