package endpoint

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/internal/loopback"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// Registration is the client registration endpoint (RFC 7591), named
// "registration", and, under the address that each client is told, the client
// configuration endpoint (RFC 7592): clients make themselves known, and manage
// what they said. A client keeps its registration access token, so that one that never saw
// an answer asks again with the same; the operator replaces one that has leaked.
type Registration struct {
	// Storage keeps the clients.
	Storage server.ClientRegistrationStorage
	// CheckInitialAccessToken reports whether an initial access token is good;
	// without Open a registration needs one. [RequireScope] takes access tokens of
	// this server.
	CheckInitialAccessToken func(ctx context.Context, req *server.Request, token string) (bool, error)
	// Open lets anybody register, without an initial access token. Whoever does
	// chooses the name that people are shown.
	Open bool
	// GrantTypes are the grant types that a client may register for; nil is
	// authorization_code, refresh_token and the device code's, in which a user
	// consents. With client_credentials a client gets tokens of its own at once.
	GrantTypes []string
	// DefaultScope is the scope of a client that asks for none that the server has;
	// offline_access belongs to it where the server supports that scope and the client
	// may use refresh tokens.
	DefaultScope string
	// Check is the operator's own say: it may change the metadata, or refuse it
	// with a [*server.Error]. nil takes what is valid.
	Check func(ctx context.Context, req *server.Request, metadata *models.ClientMetadata) error
	// SoftwareStatements verifies software statements (RFC 7591 section 2.3); nil
	// refuses them.
	SoftwareStatements *SoftwareStatements
	// SecretExpiresIn is how long a secret lasts; 0 is without end. An update in
	// the second half of its life gets a new one, beside which the old one stays
	// valid until its end.
	SecretExpiresIn time.Duration
	// Attempts bounds how many registrations may be tried, by network address; nil
	// allows 100 in ten minutes, counted in this process.
	Attempts ratelimit.Limiter
	// UnusedExpiresIn is how long a client is remembered that never gets a token;
	// 0 is 30 days, less than 0 is without end.
	UnusedExpiresIn time.Duration
}

const (
	defaultUnusedExpiresIn  = 30 * 24 * time.Hour
	registrationAttempts    = 100
	registrationAttemptsPer = 10 * time.Minute
)

// EndpointName returns "registration".
func (*Registration) EndpointName() string { return "registration" }

// EndpointPath returns "/oauth/register".
func (*Registration) EndpointPath() string { return "/oauth/register" }

// Methods returns POST, which registers, and GET, PUT and DELETE, with which a
// client manages its registration.
func (*Registration) Methods() []string {
	return []string{http.MethodPost, http.MethodGet, http.MethodPut, http.MethodDelete}
}

// PrepareMetadata names the endpoint (RFC 8414 section 2).
func (*Registration) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	metadata["registration_endpoint"] = s.EndpointURL("registration")
}

// CheckConfig names what is missing.
func (e *Registration) CheckConfig(config *server.Config) error {
	var faults []error
	if e.Storage == nil {
		faults = append(faults, errors.New("endpoint: Registration.Storage is missing: write gormoauth.CreateRegistrationEndpoint[Client, Token](db)"))
	}
	if e.Open == (e.CheckInitialAccessToken != nil) {
		faults = append(faults, errors.New("endpoint: Registration: who may register? Set CheckInitialAccessToken, or Open for everybody, and not both"))
	}
	if e.SecretExpiresIn < 0 {
		faults = append(faults, errors.New("endpoint: Registration.SecretExpiresIn must not be negative"))
	}
	if e.SoftwareStatements != nil {
		faults = append(faults, e.SoftwareStatements.check(config))
	}
	if e.Attempts == nil {
		e.Attempts = ratelimit.New(registrationAttempts, registrationAttemptsPer)
	}
	return errors.Join(faults...)
}

// CheckRegistration has the hooks be told of clients that are deleted.
func (e *Registration) CheckRegistration(s *server.Server) error {
	s.TellRevocations(e.Storage)
	return nil
}

// Diagnose finds that anybody may register.
func (e *Registration) Diagnose(_ context.Context, s *server.Server) server.Findings {
	if !e.Open || e.Check != nil || loopback.Serves(s.Issuer()) {
		return nil
	}
	return server.Findings{{
		Check: "open_registration", Severity: server.Warning, Where: "endpoint.Registration.Open", Problem: "lets anybody register clients, and nothing else is checked",
		Consequence: "a stranger's client asks users for consent under a name of its choice, and each has a row",
		Remedy:      "CheckInitialAccessToken, or a Check of your own; where it is meant, findings.Without(\"open_registration\")",
	}}
}

// TokenIssued keeps a client that is in use.
func (e *Registration) TokenIssued(ctx context.Context, req *server.Request, _ *models.TokenMixin) {
	e.keep(ctx, req)
}

// PrepareAuthorizationResponse keeps a client that users let in: it may never ask for a
// token, as one that only wants an ID token at once.
func (e *Registration) PrepareAuthorizationResponse(ctx context.Context, req *server.Request, _ map[string][]string) error {
	e.keep(ctx, req)
	return nil
}

// keep notes that a client that registered itself is in use.
func (e *Registration) keep(ctx context.Context, req *server.Request) {
	client, ok := req.Client.(server.RegisteredClient)
	if !ok || client.AsClientMixin().UnusedExpiresAt == 0 || client.AsClientMixin().ClientSource == models.ClientByDocument {
		return
	}
	if err := e.Storage.KeepClient(ctx, client.GetClientID()); err != nil { // the next request tries again
		req.Server.Logger().ErrorContext(ctx, "a client that is in use could not be kept", slog.String("cause", err.Error()))
	}
}

// CreateResponse registers a client, or answers one that manages its
// registration.
func (e *Registration) CreateResponse(ctx context.Context, req *server.Request) (*server.Response, error) {
	if req.HTTP.Method == http.MethodPost {
		return e.register(ctx, req)
	}
	client, token, err := e.authenticate(ctx, req)
	if err != nil {
		return nil, err
	}
	switch req.HTTP.Method {
	case http.MethodPut:
		return e.update(ctx, req, client, token)
	case http.MethodDelete:
		// It takes some seconds until nothing can come of what is under way. A client that does not wait for
		// the answer, and could not ask again, is deleted all the same.
		if err := e.Storage.DeleteClient(context.WithoutCancel(ctx), client.ClientID, req.Time); err != nil {
			return nil, fmt.Errorf("delete client: %w", err)
		}
		return &server.Response{Status: http.StatusNoContent}, nil
	default:
		return information(req, http.StatusOK, client, "", token, "")
	}
}

// register makes a new client (RFC 7591 section 3).
func (e *Registration) register(ctx context.Context, req *server.Request) (*server.Response, error) {
	wait, err := e.Attempts.Allow(ctx, req.Server.RemoteAddress(req.HTTP))
	if err != nil {
		return nil, fmt.Errorf("limit the registrations: %w", err)
	}
	if wait > 0 {
		return nil, server.TooManyRequests(wait, "These were many registrations. Please try again later.")
	}
	if !e.Open {
		if err := e.checkInitialAccessToken(ctx, req); err != nil {
			return nil, err
		}
	}
	members, err := readMembers(req)
	if err != nil {
		return nil, err
	}
	statement, _ := text(members, "software_statement")
	metadata, err := e.metadata(ctx, req, members)
	if err != nil {
		return nil, err
	}
	token := req.Server.GenerateSecret(server.RegistrationTokenKind)
	client := &models.ClientMixin{
		ClientID:                rand.Text(),
		ClientIDIssuedAt:        req.Time.Unix(),
		ClientMetadata:          *metadata,
		ClientSource:            models.ClientByRegistration,
		RegistrationAccessToken: server.Digest(token),
	}
	unused := e.UnusedExpiresIn
	if unused == 0 {
		unused = defaultUnusedExpiresIn
	}
	if unused > 0 {
		client.UnusedExpiresAt = req.Time.Add(unused).Unix()
	}
	secret := ""
	if models.UsesClientSecret(client.GetTokenEndpointAuthMethod()) {
		secret = e.newSecret(req, client)
	}
	if err := e.Storage.SaveClient(ctx, client, req); err != nil {
		return nil, fmt.Errorf("save client: %w", err)
	}
	return information(req, http.StatusCreated, client, secret, token, statement)
}

// newSecret gives a client a secret, and returns it this once.
func (e *Registration) newSecret(req *server.Request, client *models.ClientMixin) (secret string) {
	secret, client.ClientSecret = req.Server.NewClientSecret(client.GetTokenEndpointAuthMethod(), client.ClientID)
	client.ClientSecretExpiresAt = 0
	if e.SecretExpiresIn > 0 {
		client.ClientSecretExpiresAt = req.Time.Add(e.SecretExpiresIn).Unix()
	}
	return secret
}

// updateAttempts is how often an update is tried that somebody else comes in between.
const updateAttempts = 5

// update replaces what a client said of itself (RFC 7592 section 2.2). What it
// leaves out is gone. Its registration access token stays: a client that never saw the
// answer asks again with the same.
func (e *Registration) update(ctx context.Context, req *server.Request, old *models.ClientMixin, token string) (*server.Response, error) {
	members, err := readMembers(req)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"} {
		if _, ok := members[name]; ok {
			return nil, server.NewError(server.InvalidRequest, "The request must not have the member '%s'.", name)
		}
	}
	if id, ok := text(members, "client_id"); !ok || id != old.ClientID {
		return nil, server.NewError(server.InvalidRequest, "The 'client_id' is not that of the client that is updated.")
	}
	known, isText := text(members, "client_secret")
	if !isText || !isTheirs(old, known, req.Time) {
		return nil, errNotTheirSecret()
	}
	statement, _ := text(members, "software_statement")
	metadata, err := e.metadata(ctx, req, members)
	if err != nil {
		return nil, err
	}
	for range updateAttempts {
		client := *old
		client.ClientMetadata = *metadata
		secret := e.renewSecret(req, &client, known)
		updated, err := e.Storage.UpdateClient(ctx, old, &client)
		if err != nil {
			return nil, fmt.Errorf("update client: %w", err)
		}
		if updated {
			return information(req, http.StatusOK, &client, secret, token, statement)
		}
		// Its secret is another one since it authenticated, or it is gone.
		if old, _, err = e.authenticate(ctx, req); err != nil {
			return nil, err
		}
		if !isTheirs(old, known, req.Time) {
			return nil, errNotTheirSecret()
		}
	}
	return nil, fmt.Errorf("endpoint: the registration is being changed by others: %w", server.ErrUnavailable)
}

// isTheirs reports whether a secret is the client's, or none.
func isTheirs(client *models.ClientMixin, secret string, now time.Time) bool {
	return secret == "" || client.CheckClientSecret(secret, now)
}

func errNotTheirSecret() error {
	return server.NewError(server.InvalidRequest, "The 'client_secret' is not that of the client; a client cannot choose its own.")
}

// renewSecret gives a client a secret that has none yet, or one that ends soon,
// and takes it from one that needs none any more. A client that still knows the one before,
// which it presents, never saw the new one: it gets another in its place.
func (e *Registration) renewSecret(req *server.Request, client *models.ClientMixin, known string) (secret string) {
	endsSoon := client.ClientSecretExpiresAt != 0 && client.ClientSecretExpiresAt-req.Time.Unix() < int64(e.SecretExpiresIn/time.Second)/2
	switch {
	case !models.UsesClientSecret(client.GetTokenEndpointAuthMethod()):
		client.ClientSecret, client.ClientSecretExpiresAt, client.PreviousClientSecret, client.PreviousClientSecretExpiresAt = "", 0, "", 0
		return ""
	case client.ClientSecret == "", models.IsDerivedClientSecret(client.ClientSecret) != (client.GetTokenEndpointAuthMethod() == models.ClientSecretJWT):
		client.PreviousClientSecret, client.PreviousClientSecretExpiresAt = "", 0
		return e.newSecret(req, client)
	case endsSoon:
		client.PreviousClientSecret, client.PreviousClientSecretExpiresAt = client.ClientSecret, client.ClientSecretExpiresAt
		return e.newSecret(req, client)
	case isPrevious(client, known, req.Time):
		return e.newSecret(req, client)
	}
	return ""
}

// isPrevious reports whether a secret is the one before the client's, and that alone.
func isPrevious(client *models.ClientMixin, secret string, now time.Time) bool {
	current := *client
	current.PreviousClientSecret = ""
	return secret != "" && client.CheckClientSecret(secret, now) && !current.CheckClientSecret(secret, now)
}

// information is the client information response (RFC 7591 section 3.2.1,
// RFC 7592 section 3). A secret is told when it is made, and never again; a software
// statement comes back with the answer to the request that it was used in.
func information(req *server.Request, status int, client *models.ClientMixin, secret, token, statement string) (*server.Response, error) {
	encoded, err := json.Marshal(client.ClientMetadata)
	if err != nil {
		return nil, err
	}
	registered, err := strictjson.Object(encoded)
	if err != nil {
		return nil, err
	}
	all := make(map[string]any, len(registered))
	for name, value := range registered {
		all[name] = value
	}
	all["client_id"] = client.ClientID
	all["client_id_issued_at"] = client.ClientIDIssuedAt
	all["registration_access_token"] = token
	all["registration_client_uri"] = req.Server.EndpointURL("registration") + "?" + url.Values{"client_id": {client.ClientID}}.Encode()
	if secret != "" {
		all["client_secret"] = secret
	}
	if statement != "" {
		all["software_statement"] = statement
	}
	if client.ClientSecret != "" {
		all["client_secret_expires_at"] = client.ClientSecretExpiresAt
	}
	return &server.Response{Status: status, Body: all}, nil
}

// readMembers reads the JSON object of a request.
func readMembers(req *server.Request) (map[string]json.RawMessage, error) {
	r := req.HTTP
	if err := server.CheckContentEncoding(r); err != nil {
		return nil, err
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		return nil, server.NewError(server.InvalidRequest, "The Content-Type must be %s.", "application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, req.Server.MaxRequestBytes()))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		failure := server.NewError(server.InvalidRequest, "The body is too long.")
		failure.Status = http.StatusRequestEntityTooLarge
		return nil, failure
	}
	if err != nil {
		return nil, server.NewError(server.InvalidRequest, "The body could not be read.")
	}
	members, err := strictjson.Object(body)
	if err != nil {
		return nil, server.NewError(server.InvalidRequest, "The body is not a JSON object in valid UTF-8 that gives each member once.").BecauseOf(err)
	}
	leaveOutNull(members)
	return members, nil
}

// leaveOutNull takes a member that is null for one that is left out (RFC 7592 section
// 2.2).
func leaveOutNull(members map[string]json.RawMessage) {
	maps.DeleteFunc(members, func(_ string, value json.RawMessage) bool { return string(value) == "null" })
}

// text returns a member that is text, empty when there is none. ok is false for
// one that is something else.
func text(members map[string]json.RawMessage, name string) (value string, ok bool) {
	raw, present := members[name]
	return value, !present || strictjson.Unmarshal(raw, &value) == nil
}

// metadata reads what a client says of itself, and takes it through the door of all
// clients.
func (e *Registration) metadata(ctx context.Context, req *server.Request, members map[string]json.RawMessage) (*models.ClientMetadata, error) {
	if err := e.applyStatement(ctx, req, members); err != nil {
		return nil, err
	}
	for _, name := range []string{"client_id", "client_secret"} {
		delete(members, name) // they are no metadata
	}
	encoded, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	check := server.ClientCheck{Source: models.ClientByRegistration, GrantTypes: e.GrantTypes, DefaultScope: e.DefaultScope}
	if err := check.Metadata.UnmarshalJSON(encoded); err != nil {
		return nil, typeFault(err)
	}
	if e.Check != nil {
		check.Check = func(ctx context.Context, metadata *models.ClientMetadata) error { return e.Check(ctx, req, metadata) }
	}
	return req.Server.CheckClient(ctx, check)
}

// typeFault names the member that has another JSON type than it should.
func typeFault(err error) error {
	member := "a member"
	var wrongType *strictjson.Error
	if errors.As(err, &wrongType) {
		member = wrongType.Member()
	}
	return server.InvalidMember(member, "", "has another JSON type than RFC 7591 section 2 gives it; write it as that says")
}

// checkInitialAccessToken decides who may register (RFC 7591 section 3).
func (e *Registration) checkInitialAccessToken(ctx context.Context, req *server.Request) error {
	token := bearer(req)
	if token == "" {
		return challenge(req, server.NewError(server.MissingAuthorization, "Registration needs an initial access token."))
	}
	good, err := e.CheckInitialAccessToken(ctx, req, token)
	if err != nil {
		return fmt.Errorf("check the initial access token: %w", err)
	}
	if !good {
		return challenge(req, server.NewError(server.InvalidToken, "The initial access token is not valid."))
	}
	return nil
}

// RequireScope takes access tokens of this server that have the scope as
// initial access tokens. One that is bound to a key or a certificate is not taken, as it
// comes without a proof.
func RequireScope(queryToken server.QueryTokenFunc, scope string) func(ctx context.Context, req *server.Request, token string) (bool, error) {
	return func(ctx context.Context, req *server.Request, token string) (bool, error) {
		if server.Malformed(token, server.AccessTokenKind) {
			return false, nil
		}
		stored, err := queryToken(ctx, server.TokenQuery{AccessToken: server.Digest(token)})
		if err != nil || stored == nil {
			return false, err
		}
		has := slices.Contains(strings.Fields(stored.Token.GetScope()), scope)
		good := has && stored.Token.GetConfirmation() == "" && req.Server.Issued(stored.Token.GetAuthorization())
		return good && !stored.Token.IsRevoked() && !stored.Token.IsExpired(req.Time), nil
	}
}

// authenticate finds the client that manages its registration, by its id and
// its registration access token. It does not tell a client that is unknown from
// a wrong token (RFC 7592 section 2.1).
func (e *Registration) authenticate(ctx context.Context, req *server.Request) (client *models.ClientMixin, token string, err error) {
	if token = bearer(req); token == "" {
		return nil, "", challenge(req, server.NewError(server.MissingAuthorization, "The request has no registration access token."))
	}
	found, err := req.Server.QueryClient(server.FreshClients(ctx), req.HTTP.URL.Query().Get("client_id"))
	if err != nil {
		return nil, "", err
	}
	registered, ok := found.(server.RegisteredClient)
	switch {
	case !ok:
		return nil, "", errNoRegistrationAccess(req, req.WhyNoClient(server.NewReason("the client is unknown")))
	case !registered.AsClientMixin().CheckRegistrationAccessToken(server.Digest(token)):
		return nil, "", errNoRegistrationAccess(req, server.NewReason("the registration access token is wrong"))
	}
	return registered.AsClientMixin(), token, nil
}

func errNoRegistrationAccess(req *server.Request, reason *server.Reason) error {
	return challenge(req, server.NewError(server.InvalidToken, "The registration access token is not the client's.").BecauseOf(reason))
}

// bearer returns the token of the Authorization header, empty when there is
// none.
func bearer(req *server.Request) string {
	const longest = 1 << 10
	headers := req.HTTP.Header.Values("Authorization")
	if len(headers) != 1 || len(headers[0]) > longest {
		return ""
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// challenge asks for a bearer token (RFC 6750 section 3). It names an error only
// to a request that had one.
func challenge(req *server.Request, failure *server.Error) error {
	code := failure.Code
	if code == server.MissingAuthorization {
		code = ""
	}
	failure.Header = http.Header{"Www-Authenticate": {header.Challenge("Bearer", "realm", req.Server.Issuer(), "error", code)}}
	return failure
}
