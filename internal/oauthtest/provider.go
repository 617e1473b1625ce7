// Package oauthtest is the server that the tests of several packages talk to:
// all grants on a real database, with a clock that the test sets.
package oauthtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// User is a resource owner.
type User struct {
	ID       uint
	Disabled bool
	models.UserMixin
}

// GetUserID returns the primary key.
func (u *User) GetUserID() string { return strconv.FormatUint(uint64(u.ID), 10) }

// GetClaims returns what there is to know of anybody, by the scopes of OpenID Connect
// and by one of the program's own.
func (u *User) GetClaims(_ context.Context, scopes []string) (map[string]any, error) {
	claims := map[string]any{"iss": "https://attacker.example", "nickname": ""}
	for _, scope := range scopes {
		switch scope {
		case "profile":
			claims["name"], claims["name#ja"], claims["locale"], claims["staff"] = "Alice", "アリス", "en", true
		case "email":
			claims["email"], claims["email_verified"] = "alice@example.com", true
		case "address":
			claims["address"] = map[string]string{"locality": "Wonderland"}
		case "phone":
			claims["phone_number"] = "+1 555 0100"
		case "department":
			claims["department"], claims["floor"] = "Tea", 3
		}
	}
	return claims, nil
}

// Client is a client model; DefaultScope overrides a method of the mixin.
type Client struct {
	ID           uint
	DefaultScope string
	RefuseEmpty  bool
	models.ClientMixin

	// Secret is the plaintext, which the database does not have.
	Secret string `gorm:"-"`
}

// GetAllowedScope gives an empty request the default, or refuses it.
func (c *Client) GetAllowedScope(scope string) (allowed string, ok bool) {
	if scope == "" {
		return c.DefaultScope, !c.RefuseEmpty
	}
	return c.ClientMixin.GetAllowedScope(scope)
}

// Token is a token model.
type Token struct {
	ID     uint
	UserID *uint `gorm:"index"`
	User   *User
	models.TokenMixin
}

// AuthorizationCode is a model of codes.
type AuthorizationCode struct {
	ID     uint
	UserID uint `gorm:"index"`
	User   User
	models.AuthorizationCodeMixin
}

// DeviceCode is a model of device authorizations.
type DeviceCode struct {
	ID     uint
	UserID *uint `gorm:"index"`
	User   *User
	models.DeviceCodeMixin
}

// PushedRequest is a model of pushed authorization requests.
type PushedRequest struct {
	ID uint
	models.PushedRequestMixin
}

// SigningKey is a model of signing keys.
type SigningKey struct {
	ID uint
	models.SigningKeyMixin
}

// Replay is a model of what may be presented once.
type Replay struct {
	ID uint
	models.ReplayMixin
}

// Session is a model of sessions at clients.
type Session struct {
	ID     uint
	UserID uint `gorm:"index"`
	models.SessionMixin
}

// Logout is a model of logouts that a client is still to be told of.
type Logout struct {
	ID uint
	models.LogoutMixin
}

// Consent is a model of consents.
type Consent struct {
	ID     uint
	UserID uint `gorm:"index"`
	models.ConsentMixin
}

// Audit is a model of entries in an audit trail.
type Audit struct {
	ID     uint
	UserID *uint `gorm:"index:,composite:user,priority:1"`
	models.AuditMixin
}

// Models returns what to migrate.
func Models() []any {
	return []any{
		&User{}, &Client{}, &Token{}, &AuthorizationCode{}, &DeviceCode{}, &PushedRequest{}, &SigningKey{}, &Replay{},
		&Session{}, &Logout{}, &Consent{}, &Audit{},
	}
}

// What the tests have in common.
const (
	Issuer      = "https://id.example"
	RedirectURI = "https://client.example/cb"
	Verifier    = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	Challenge   = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	Password    = "right"
)

// ServerSecrets are those of the server.
func ServerSecrets() secret.Keyring {
	return secret.Keyring{[]byte("a secret of tests, of 32 bytes..")}
}

// Provider is a server with its database.
type Provider struct {
	T         testing.TB
	DB        *gorm.DB
	Server    *server.Server
	Protector *resource.Protector
	User      *User
	Now       time.Time
}

// New returns a provider. The functions change its configuration first.
func New(t testing.TB, db *gorm.DB, configure ...func(*server.Config)) *Provider {
	t.Helper()
	p := &Provider{T: t, DB: db, User: &User{}, Now: time.Unix(1_800_000_000, 0)}
	p.must(db.Create(p.User).Error)
	return p.serve(configure)
}

// On returns the provider, with its user and its time, on a copy of its database. The functions
// change its configuration first.
func (p *Provider) On(t testing.TB, db *gorm.DB, configure ...func(*server.Config)) *Provider {
	t.Helper()
	return (&Provider{T: t, DB: db, User: p.User, Now: p.Now}).serve(configure)
}

func (p *Provider) serve(configure []func(*server.Config)) *Provider {
	p.T.Helper()
	config := server.Config{Issuer: Issuer, Clock: p.clock, Secrets: ServerSecrets()}
	for _, f := range configure {
		f(&config)
	}
	config.Logger = Logger(config.Logger)
	srv, err := gormoauth.New(p.DB, config, gormoauth.Clients[Client](), gormoauth.Tokens[Token](),
		gormoauth.AuthorizationCodes[AuthorizationCode](), gormoauth.Users[User]("disabled = ?", false))
	p.must(err)
	p.Server = srv
	p.must(srv.RegisterGrant(&grant.Password{AuthenticateUser: p.authenticate}))
	p.must(srv.RegisterGrant(&grant.Implicit{}))
	p.Protector = p.NewProtector(resource.Config{Clock: config.Clock}, gormoauth.CreateBearerTokenValidator[Token](p.DB))
	return p
}

func (p *Provider) clock() time.Time { return p.Now }

func (p *Provider) must(err error) {
	p.T.Helper()
	if err != nil {
		p.T.Fatal(err)
	}
}

func (p *Provider) authenticate(_ context.Context, _ *server.Request, _, password string) (storage.User, error) {
	if password != Password {
		return nil, nil
	}
	return p.User, nil
}

// NewClient stores a client with the metadata of a confidential web
// application, changed by the function.
func (p *Provider) NewClient(change func(*Client)) *Client {
	p.T.Helper()
	client := webClient(change)
	secret, err := gormoauth.CreateClientFactory[Client](p.DB, p.Server).Create(p.T.Context(), client)
	p.must(err)
	client.Secret = secret
	return client
}

// StoreClient is NewClient for a row that nobody has checked, as an older program or a
// statement of the operator's may have left it.
func (p *Provider) StoreClient(change func(*Client)) *Client {
	p.T.Helper()
	client := webClient(change)
	client.ClientID = cmp.Or(client.ClientID, rand.Text())
	if models.UsesClientSecret(client.GetTokenEndpointAuthMethod()) {
		client.Secret = rand.Text()
		client.ClientSecret = models.HashClientSecret(client.Secret)
	}
	p.must(p.DB.Create(client).Error)
	return client
}

func webClient(change func(*Client)) *Client {
	client := &Client{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{
		TokenEndpointAuthMethod: models.ClientSecretBasic,
		RedirectURIs:            []string{RedirectURI},
		GrantTypes:              []string{"authorization_code", "refresh_token"},
		ResponseTypes:           []string{"code"},
		Scope:                   "profile email",
	}}}
	if change != nil {
		change(client)
	}
	return client
}

// Public makes a client public.
func Public(c *Client) { c.ClientMetadata.TokenEndpointAuthMethod = models.None }

// Grants sets the grant types of a client, and the response types that go with
// them.
func Grants(types ...string) func(*Client) {
	return func(c *Client) {
		c.ClientMetadata.GrantTypes, c.ClientMetadata.ResponseTypes = types, nil
		for _, t := range types {
			if response := map[string]string{"authorization_code": "code", "implicit": "token"}[t]; response != "" {
				c.ClientMetadata.ResponseTypes = append(c.ClientMetadata.ResponseTypes, response)
			}
		}
	}
}

// All joins several changes.
func All(changes ...func(*Client)) func(*Client) {
	return func(c *Client) {
		for _, change := range changes {
			change(c)
		}
	}
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Raw    string
	// Body has the members of a JSON body, as text.
	Body map[string]string
	// To is the address of a redirect without query and fragment.
	To string
	// Query and Fragment are those of the redirect.
	Query, Fragment url.Values

	log []Line
}

// Params returns the members of the body, or the parameters of the redirect.
func (a Answer) Params() map[string]string {
	if a.To == "" {
		return a.Body
	}
	params := make(map[string]string)
	for _, values := range []url.Values{a.Query, a.Fragment} {
		for name := range values {
			params[name] = values.Get(name)
		}
	}
	return params
}

// Do sends a request to a handler. What it is answered with is held to what the log says
// of it.
func (p *Provider) Do(handler http.Handler, r *http.Request) Answer {
	p.T.Helper()
	_, a := p.do(handler, r)
	return a
}

// Record is Do for a test that looks at the answer itself.
func (p *Provider) Record(handler http.Handler, r *http.Request) *httptest.ResponseRecorder {
	p.T.Helper()
	w, _ := p.do(handler, r)
	return w
}

func (p *Provider) do(handler http.Handler, r *http.Request) (*httptest.ResponseRecorder, Answer) {
	p.T.Helper()
	kept := new(lines)
	r = r.WithContext(context.WithValue(r.Context(), linesKey{}, kept))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	a := p.answer(w)
	a.log = kept.all
	p.checkLog(r, a)
	return w, a
}

func (p *Provider) answer(w *httptest.ResponseRecorder) Answer {
	p.T.Helper()
	a := Answer{Status: w.Code, Header: w.Header(), Raw: w.Body.String(), Body: make(map[string]string)}
	var members map[string]any
	if json.Unmarshal(w.Body.Bytes(), &members) == nil {
		for name, value := range members {
			if text, ok := value.(string); ok {
				a.Body[name] = text
			} else {
				text, _ := json.Marshal(value)
				a.Body[name] = string(text)
			}
		}
	}
	if location := w.Header().Get("Location"); location != "" {
		u, err := url.Parse(location)
		p.must(err)
		a.Query = u.Query()
		a.Fragment, err = url.ParseQuery(u.EscapedFragment())
		p.must(err)
		u.RawQuery, u.Fragment, u.RawFragment = "", "", ""
		a.To = u.String()
	}
	return a
}

// Form reads "a=1&b=2"; what stands there is what is sent.
func Form(text string) url.Values {
	values, err := url.ParseQuery(text)
	if err != nil {
		panic(err)
	}
	return values
}

// Consent sends a GET to the authorization endpoint. The answer is 200 when
// there is something to ask the user.
func (p *Provider) Consent(rawQuery string, header ...string) Answer {
	p.T.Helper()
	return p.Do(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := p.Server.GetConsentGrant(r, p.User); err != nil {
			p.Server.WriteError(w, r, err)
		}
	}), p.newRequest(http.MethodGet, "/oauth/authorize?"+rawQuery, "", header))
}

// Decide looks at the page as the user, and sends their decision from it; a nil user is
// a denial. What has no page is sent without.
func (p *Provider) Decide(rawQuery, body string, user storage.User) Answer {
	p.T.Helper()
	asked := user
	if server.IsNilUser(user) {
		asked = p.User
	}
	if decision := p.Decision(rawQuery, asked); decision != "" {
		body += "&" + server.DecisionField + "=" + string(decision)
	}
	return p.Send(http.MethodPost, rawQuery, body, user)
}

// Decision is what the page gives back that the user is shown; empty when there is none.
func (p *Provider) Decision(rawQuery string, user storage.User) server.Decision {
	p.T.Helper()
	consent, err := p.Server.GetConsentGrant(p.newRequest(http.MethodGet, "/oauth/authorize?"+rawQuery, "", nil), user)
	if err != nil {
		return ""
	}
	return consent.Decision
}

// Send sends a request to the authorization endpoint as it is, of a program that takes
// it for the decision of the user; a nil user is a denial.
func (p *Provider) Send(method, rawQuery, body string, user storage.User, header ...string) Answer {
	p.T.Helper()
	return p.Do(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.Server.CreateAuthorizationResponse(w, r, user)
	}), p.newRequest(method, "/oauth/authorize?"+rawQuery, body, header))
}

// DecideDevice looks at the verification page as the user, and sends their decision on
// the device from it.
func (p *Provider) DecideDevice(devices *endpoint.DeviceAuthorization, userCode string, user storage.User, approved bool) error {
	p.T.Helper()
	body := url.Values{"user_code": {userCode}}
	consent, err := devices.GetConsentGrant(p.Server, p.newRequest(http.MethodPost, "/device", body.Encode(), nil), user)
	if err != nil {
		return err
	}
	body.Set(server.DecisionField, string(consent.Decision))
	return devices.Decide(p.Server, p.newRequest(http.MethodPost, "/device", body.Encode(), nil), user, approved)
}

// Grant is Decide for a user who agrees.
func (p *Provider) Grant(rawQuery string) Answer {
	p.T.Helper()
	return p.Decide(rawQuery, "confirm=yes", p.User)
}

// AuthorizeQuery is a valid authorization request of the client, with more
// parameters behind.
func AuthorizeQuery(client *Client, more string) string {
	query := "response_type=code&client_id=" + client.ClientID + "&code_challenge=" + Challenge + "&code_challenge_method=S256"
	if more != "" {
		query += "&" + more
	}
	return query
}

// Code has the user grant the client a code.
func (p *Provider) Code(client *Client, more string) string {
	p.T.Helper()
	a := p.Grant(AuthorizeQuery(client, more))
	if a.Query.Get("code") == "" {
		p.T.Fatalf("no code: %d %v %v", a.Status, a.Query, a.Raw)
	}
	return a.Query.Get("code")
}

// Token posts to the token endpoint as the client, in the way it is registered
// for; a nil client does not authenticate.
func (p *Provider) Token(client *Client, body string, header ...string) Answer {
	p.T.Helper()
	return p.post(p.Server.CreateTokenResponse, "/oauth/token", client, body, header)
}

// Revoke posts to the revocation endpoint.
func (p *Provider) Revoke(client *Client, body string) Answer {
	p.T.Helper()
	return p.post(p.Server.EndpointHandler("revocation"), "/oauth/revoke", client, body, nil)
}

// Introspect posts to the introspection endpoint.
func (p *Provider) Introspect(client *Client, body string, header ...string) Answer {
	p.T.Helper()
	return p.post(p.Server.EndpointHandler("introspection"), "/oauth/introspect", client, body, header)
}

// Post posts to a path of the server's routes as the client.
func (p *Provider) Post(path string, client *Client, body string, header ...string) Answer {
	p.T.Helper()
	return p.Serve(p.postRequest(path, client, body, header))
}

// Get asks a path of the server's routes.
func (p *Provider) Get(path string) Answer {
	p.T.Helper()
	return p.Serve(p.newRequest(http.MethodGet, path, "", nil))
}

// Serve sends a request to the server's routes.
func (p *Provider) Serve(r *http.Request) Answer {
	p.T.Helper()
	mux := p.routes()
	if _, pattern := mux.Handler(r); pattern == "" { // what nobody serves is no answer of the library's
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return p.answer(w)
	}
	return p.Do(mux, r)
}

func (p *Provider) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for path, handler := range p.Server.Routes() {
		mux.Handle(path, handler)
	}
	return mux
}

func (p *Provider) post(handler http.HandlerFunc, path string, client *Client, body string, header []string) Answer {
	p.T.Helper()
	return p.Do(handler, p.postRequest(path, client, body, header))
}

func (p *Provider) postRequest(path string, client *Client, body string, header []string) *http.Request {
	if client != nil && client.GetTokenEndpointAuthMethod() != models.ClientSecretBasic {
		body += "&client_id=" + client.ClientID
		if client.Secret != "" {
			body += "&client_secret=" + client.Secret
		}
	}
	r := p.newRequest(http.MethodPost, path, body, header)
	if client != nil && client.GetTokenEndpointAuthMethod() == models.ClientSecretBasic {
		r.SetBasicAuth(client.ClientID, client.Secret)
	}
	return r
}

func (p *Provider) newRequest(method, target, body string, header []string) *http.Request {
	r := httptest.NewRequestWithContext(Brief(p.T), method, target, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// Redeem exchanges a code.
func (p *Provider) Redeem(client *Client, code string) Answer {
	p.T.Helper()
	return p.Token(client, "grant_type=authorization_code&code_verifier="+Verifier+"&code="+code)
}

// Refresh exchanges a refresh token.
func (p *Provider) Refresh(client *Client, refreshToken, more string) Answer {
	p.T.Helper()
	return p.Token(client, "grant_type=refresh_token&refresh_token="+refreshToken+more)
}

// Valid reports whether an access token opens an API.
func (p *Provider) Valid(accessToken string) bool {
	return p.Call(accessToken).Status == http.StatusOK
}

// Queried returns the tables that a request reads.
func (p *Provider) Queried(request func()) (tables []string) {
	p.T.Helper()
	const name = "oauthtest:queried"
	callbacks := p.DB.Callback().Query()
	p.must(callbacks.Before("gorm:query").Register(name, func(db *gorm.DB) { tables = append(tables, db.Statement.Table) }))
	request()
	p.must(callbacks.Remove(name))
	return tables
}

// Rows counts the rows of a model.
func (p *Provider) Rows(model any) (rows int64) {
	p.T.Helper()
	p.must(p.DB.Model(model).Count(&rows).Error)
	return rows
}

// Call calls an API that needs one of the scopes.
func (p *Provider) Call(accessToken string, scopes ...string) Answer {
	p.T.Helper()
	r := p.newRequest(http.MethodGet, "/api", "", []string{"Authorization", "Bearer " + accessToken})
	return p.Do(p.Protector.Require(scopes...)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), r)
}

// BareConfig is the least that a server on the provider's database needs.
func (p *Provider) BareConfig() server.Config {
	return server.Config{
		Issuer: Issuer, QueryClient: gormoauth.CreateQueryClientFunc[Client](p.DB), SaveToken: gormoauth.CreateSaveTokenFunc[Token](p.DB),
		ClientAuthMethods: clientauth.Defaults(), Logger: Logger(nil),
	}
}

// Register posts client metadata to the registration endpoint.
func (p *Provider) Register(metadata string) Answer {
	p.T.Helper()
	r := p.newRequest(http.MethodPost, "/oauth/register", metadata, nil)
	r.Header.Set("Content-Type", "application/json")
	a := p.Serve(r)
	p.checkRemedy(metadata, a)
	return a
}

// checkRemedy holds every refusal of metadata to what a person needs who registers a
// client: the member, the value that stands there where that is a text or a number, and
// what to write instead.
func (p *Provider) checkRemedy(metadata string, a Answer) {
	p.T.Helper()
	about, ours := strings.CutPrefix(a.Body["error_description"], "The client metadata is not valid: ")
	if a.Status != http.StatusBadRequest || !ours {
		return
	}
	member, _, _ := strings.Cut(about, " ")
	if !strings.Contains(about, "; ") && !strings.Contains(about, " must be ") {
		p.T.Errorf("no remedy: %s", a.Raw)
	}
	sent, _ := strictjson.Object([]byte(metadata))
	raw := string(sent[member])
	value := raw
	_ = strictjson.Unmarshal(sent[member], &value) // what is no text stays as it is
	named := func(value string) bool { return strings.Contains(about, "'"+display.Excerpt(value)+"'") }
	if raw != "" && strings.IndexAny(raw, "[{") != 0 && !named(value) && !named(raw) {
		p.T.Errorf("the value %.100s is not named: %s", raw, a.Raw)
	}
}
