package endpoint

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/internal/loopback"
	"github.com/gormoauth/gormoauth/internal/ondemand"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/cache"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Registration is the client registration endpoint (RFC 7591), named "registration", and,
// at the URL that each client receives, the client configuration endpoint (RFC 7592):
// clients register and manage their registrations. The registration access token does not
// change on an update, so that a client that lost a response can try again with the same
// token. The operator must replace a token that has leaked.
type Registration struct {
	// Storage stores the clients.
	Storage ClientRegistrationStorage
	// CheckInitialAccessToken reports whether an initial access token is valid. Unless Open
	// is set, a registration needs one. [RequireScope] accepts access tokens of this
	// server.
	CheckInitialAccessToken func(ctx context.Context, req *server.Request, token string) (bool, error)
	// Open lets anyone register, without an initial access token. Such a client chooses the
	// name that users see.
	Open bool
	// GrantTypes are the grant types that a client may register for. nil means
	// authorization_code, refresh_token and the device code grant type, in which a user
	// consents. With client_credentials, a client gets its own tokens at once.
	GrantTypes []string
	// DefaultScope is the scope of a client that asks for no scope that the server
	// supports. It includes offline_access if the server supports that scope and the client
	// may use refresh tokens.
	DefaultScope string
	// Check is an additional check by the operator: it may change the metadata, or refuse
	// it with a [*server.Error]. nil accepts all valid metadata.
	Check func(ctx context.Context, req *server.Request, metadata *models.ClientMetadata) error
	// SoftwareStatements verifies software statements (RFC 7591 section 2.3). nil refuses
	// them.
	SoftwareStatements *SoftwareStatements
	// SecretExpiresIn is how long a secret is valid. 0 means that it does not expire. An
	// update in the second half of its lifetime returns a new secret; the old one stays
	// valid until it expires.
	SecretExpiresIn time.Duration
	// Attempts limits, per network address, how many registrations may be tried. nil allows
	// 100 in ten minutes, counted in this process.
	Attempts ratelimit.Limiter
	// UnusedExpiresIn is how long a client that never gets a token is stored. 0 means 30
	// days; a negative value means for ever.
	UnusedExpiresIn time.Duration

	attempts ondemand.Limiter // for Attempts, if it is nil
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

// Methods returns POST, which registers a client, and GET, PUT and DELETE, with which a
// client manages its registration.
func (*Registration) Methods() []string {
	return []string{http.MethodPost, http.MethodGet, http.MethodPut, http.MethodDelete}
}

// PrepareMetadata adds the endpoint's URL (RFC 8414 section 2).
func (*Registration) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	metadata["registration_endpoint"] = s.EndpointURL("registration")
}

// CheckConfig returns an error for each missing or invalid field.
func (e *Registration) CheckConfig(config *server.Config) error {
	var faults []error
	if e.Storage == nil {
		faults = append(faults, errors.New("endpoint: Registration.Storage is missing: write gormoauth.CreateRegistrationEndpoint[Client, Token](db)"))
	}
	if e.Open == (e.CheckInitialAccessToken != nil) {
		faults = append(faults, errors.New("endpoint: Registration: set either CheckInitialAccessToken, or Open to let anyone register"))
	}
	if e.SecretExpiresIn < 0 {
		faults = append(faults, errors.New("endpoint: Registration.SecretExpiresIn must not be negative"))
	}
	if e.SoftwareStatements != nil {
		faults = append(faults, e.SoftwareStatements.check(config))
	}
	return errors.Join(faults...)
}

// Registered makes the server tell its hooks of deleted clients.
func (e *Registration) Registered(s *server.Server) { s.TellRevocations(e.Storage) }

// Diagnose reports that anyone can register without a Check.
func (e *Registration) Diagnose(_ context.Context, s *server.Server) finding.List {
	if !e.Open || e.Check != nil || loopback.Serves(s.Issuer()) {
		return nil
	}
	return finding.List{{
		Check: "open_registration", Severity: finding.Warning, Where: "endpoint.Registration.Open", Problem: "lets anyone register clients, without any check of your own",
		Consequence: "a stranger's client can ask users for consent under any name, and each client takes up a row",
		Remedy:      "set CheckInitialAccessToken, or a Check of your own; if it is intended, findings.Without(\"open_registration\")",
	}}
}

// TokenIssued marks the client as used, so that it is not deleted.
func (e *Registration) TokenIssued(ctx context.Context, req *server.Request, _ *models.TokenMixin) {
	e.keep(ctx, req)
}

// PrepareAuthorizationResponse marks the client as used, since it may never ask for a
// token, such as one that only gets ID tokens from the authorization endpoint.
func (e *Registration) PrepareAuthorizationResponse(ctx context.Context, req *server.Request, _ map[string][]string) error {
	e.keep(ctx, req)
	return nil
}

// keep records that a client that registered itself is in use.
func (e *Registration) keep(ctx context.Context, req *server.Request) {
	client, ok := req.Client.(storage.RegisteredClient)
	if !ok || client.AsClientMixin().UnusedExpiresAt == 0 || client.AsClientMixin().ClientSource == models.ClientByDocument {
		return
	}
	if err := e.Storage.KeepClient(ctx, client.GetClientID()); err != nil { // the next request tries again
		req.LogFailure("a client that is in use could not be marked as used", err)
	}
}

// CreateResponse registers a client, or reads, updates or deletes the registration of one.
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
		// Deletion takes some seconds, to wait for requests that are under way. A client
		// that does not wait for the response could not try again, so it is deleted all the
		// same.
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
	wait, err := e.attempts.Or(e.Attempts, registrationAttempts, registrationAttemptsPer).Allow(ctx, req.RemoteAddress())
	if err != nil {
		return nil, fmt.Errorf("limit the registrations: %w", err)
	}
	if wait > 0 {
		return nil, server.TooManyRequests(wait, "Too many registrations were tried. Please try again later.")
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
	token := req.Server.GenerateSecret(secret.RegistrationToken)
	client := &models.ClientMixin{
		ClientID:                rand.Text(),
		ClientIDIssuedAt:        req.Time.Unix(),
		ClientMetadata:          *metadata,
		ClientSource:            models.ClientByRegistration,
		RegistrationAccessToken: secret.Digest(token),
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

// newSecret gives a client a new secret, and returns it.
func (e *Registration) newSecret(req *server.Request, client *models.ClientMixin) (secret string) {
	secret, client.ClientSecret = req.Server.NewClientSecret(client.GetTokenEndpointAuthMethod(), client.ClientID)
	client.ClientSecretExpiresAt = 0
	if e.SecretExpiresIn > 0 {
		client.ClientSecretExpiresAt = req.Time.Add(e.SecretExpiresIn).Unix()
	}
	return secret
}

// updateAttempts is how often an update is tried while concurrent requests change the
// client.
const updateAttempts = 5

// update replaces the metadata of a client (RFC 7592 section 2.2). Omitted members are
// removed. The registration access token does not change, so that a client that lost the
// response can try again.
func (e *Registration) update(ctx context.Context, req *server.Request, old *models.ClientMixin, token string) (*server.Response, error) {
	members, err := readMembers(req)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"} {
		if _, ok := members[name]; ok {
			return nil, server.NewError(server.InvalidRequest, "The request must not have the member '%s'. Leave it out.", name)
		}
	}
	if id, ok := text(members, "client_id"); !ok || id != old.ClientID {
		return nil, server.NewError(server.InvalidRequest, "The 'client_id' must be that of the client to update.")
	}
	known, isText := text(members, "client_secret")
	if !isText {
		return nil, errNotTheirSecret()
	}
	statement, _ := text(members, "software_statement")
	metadata, err := e.metadata(ctx, req, members)
	if err != nil {
		return nil, err
	}
	for range updateAttempts {
		theirs, previous, err := isTheirs(ctx, req, old, known)
		if err != nil {
			return nil, err
		}
		if !theirs {
			return nil, errNotTheirSecret()
		}
		client := *old
		client.ClientMetadata = *metadata
		secret := e.renewSecret(req, &client, previous)
		updated, err := e.Storage.UpdateClient(ctx, old, &client)
		if err != nil {
			return nil, fmt.Errorf("update client: %w", err)
		}
		if updated {
			return information(req, http.StatusOK, &client, secret, token, statement)
		}
		// Since it authenticated, its secret has changed or it was deleted.
		if old, _, err = e.authenticate(ctx, req); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("endpoint: the registration is being changed by concurrent requests: %w", storage.ErrUnavailable)
}

// isTheirs reports whether secret is empty or one of the client's, and whether it is the previous
// one and not also the current one.
func isTheirs(ctx context.Context, req *server.Request, client *models.ClientMixin, secret string) (theirs, previous bool, err error) {
	if secret == "" {
		return true, false, nil
	}
	current := *client
	current.PreviousClientSecret = ""
	if theirs, err = isSecretOf(ctx, req, &current, secret); theirs || err != nil || client.PreviousClientSecret == "" {
		return theirs, false, err
	}
	previous, err = isSecretOf(ctx, req, client, secret)
	return previous, previous, err
}

func isSecretOf(ctx context.Context, req *server.Request, client *models.ClientMixin, secret string) (bool, error) {
	err := req.CheckClientSecret(ctx, client, secret)
	var wrong *server.NotAuthenticated
	if errors.As(err, &wrong) {
		return false, nil
	}
	return err == nil, err
}

func errNotTheirSecret() error {
	return server.NewError(server.InvalidRequest, "The 'client_secret' is not the client's current secret. A client cannot choose its own.")
}

// renewSecret gives a client a new secret if it has none yet, or if its secret expires
// soon, and removes the secret of a client that no longer needs one. A client that presents
// its previous secret never received the current one, so it gets another one instead.
func (e *Registration) renewSecret(req *server.Request, client *models.ClientMixin, previous bool) (secret string) {
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
	case previous:
		return e.newSecret(req, client)
	}
	return ""
}

// information is the client information response (RFC 7591 section 3.2.1, RFC 7592 section
// 3). A secret is returned only when it is made. A software statement is returned in the
// response to the request that had it.
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
	if err := req.CheckContentEncoding(); err != nil {
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
		return nil, server.NewError(server.InvalidRequest, "The body must be a JSON object in valid UTF-8 without duplicate members.").BecauseOf(err)
	}
	leaveOutNull(members)
	return members, nil
}

// leaveOutNull removes members that are null, which count as omitted (RFC 7592 section
// 2.2).
func leaveOutNull(members map[string]json.RawMessage) {
	maps.DeleteFunc(members, func(_ string, value json.RawMessage) bool { return string(value) == "null" })
}

// text returns a string member, or "" if it is absent. ok is false if the member is not a
// string.
func text(members map[string]json.RawMessage, name string) (value string, ok bool) {
	raw, present := members[name]
	return value, !present || strictjson.Unmarshal(raw, &value) == nil
}

// metadata parses a client's metadata, and checks them in the same way as those of every
// client.
func (e *Registration) metadata(ctx context.Context, req *server.Request, members map[string]json.RawMessage) (*models.ClientMetadata, error) {
	if err := e.applyStatement(ctx, req, members); err != nil {
		return nil, err
	}
	for _, name := range []string{"client_id", "client_secret"} {
		delete(members, name) // not metadata
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

// typeFault names the member that has the wrong JSON type.
func typeFault(err error) error {
	member := "a member"
	var wrongType *strictjson.Error
	if errors.As(err, &wrongType) {
		member = wrongType.Member()
	}
	return clientmeta.Invalid(member, "", "does not have the JSON type of RFC 7591 section 2; write it as defined there")
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

// RequireScope returns a CheckInitialAccessToken that accepts access tokens of this server
// with the scope. It refuses tokens that are bound to a key or a certificate, since the
// request has no proof of possession.
func RequireScope(queryToken storage.QueryTokenFunc, scope string) func(ctx context.Context, req *server.Request, token string) (bool, error) {
	return func(ctx context.Context, req *server.Request, token string) (bool, error) {
		if secret.Malformed(token, secret.AccessToken) {
			return false, nil
		}
		stored, err := queryToken(ctx, storage.TokenQuery{AccessToken: secret.Digest(token)})
		if err != nil || stored == nil {
			return false, err
		}
		has := slices.Contains(strings.Fields(stored.Token.GetScope()), scope)
		good := has && stored.Token.GetConfirmation() == "" && req.Server.Issued(stored.Token.GetAuthorization())
		return good && !stored.Token.IsRevoked() && !stored.Token.IsExpired(req.Time), nil
	}
}

// authenticate finds the client that manages its registration, by its client id and
// registration access token. The error does not reveal whether the client is unknown or the
// token is wrong (RFC 7592 section 2.1).
func (e *Registration) authenticate(ctx context.Context, req *server.Request) (client *models.ClientMixin, token string, err error) {
	if token = bearer(req); token == "" {
		return nil, "", challenge(req, server.NewError(server.MissingAuthorization, "The request has no registration access token."))
	}
	found, err := req.Server.QueryClient(cache.Bypass(ctx), req.HTTP.URL.Query().Get("client_id"))
	if err != nil {
		return nil, "", err
	}
	registered, ok := found.(storage.RegisteredClient)
	switch {
	case !ok:
		return nil, "", errNoRegistrationAccess(req, req.WhyNoClient(reason.New("the client is unknown")))
	case !registered.AsClientMixin().CheckRegistrationAccessToken(secret.Digest(token)):
		return nil, "", errNoRegistrationAccess(req, reason.New("the registration access token is wrong"))
	}
	return registered.AsClientMixin(), token, nil
}

func errNoRegistrationAccess(req *server.Request, reason *reason.Reason) error {
	return challenge(req, server.NewError(server.InvalidToken, "The registration access token is not valid for this client.").BecauseOf(reason))
}

// bearer returns the token of the Authorization header, or "" if there is none.
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

// challenge adds a challenge for a bearer token (RFC 6750 section 3). It has an error code
// only if the request had a token.
func challenge(req *server.Request, failure *server.Error) error {
	code := failure.Code
	if code == server.MissingAuthorization {
		code = ""
	}
	failure.Header = http.Header{"Www-Authenticate": {header.Challenge("Bearer", "realm", req.Server.Issuer(), "error", code)}}
	return failure
}

// ClientRegistrationStorage stores the clients that register themselves.
type ClientRegistrationStorage interface {
	// SaveClient stores a new client; the record contains only digests. It returns storage.ErrTaken if
	// another client has the id.
	SaveClient(ctx context.Context, record *models.ClientMixin, req *server.Request) error
	// UpdateClient replaces a client's metadata, and its secrets and registration access token as
	// far as record changes them. If these differ by now from old, or the client no longer
	// exists, nothing is changed and updated is false. Whatever is the same in record and old
	// stays as it is stored, because old may have been read some time ago.
	UpdateClient(ctx context.Context, old, record *models.ClientMixin) (updated bool, err error)
	// DeleteClient removes a client and revokes its tokens. It is no error if the client does not
	// exist. If the client's id is a URL, a mark is kept, so that its metadata document does not
	// bring it back.
	DeleteClient(ctx context.Context, clientID string, now time.Time) error
	// KeepClient records that a client is in use and must no longer be removed as unused.
	KeepClient(ctx context.Context, clientID string) error
}
