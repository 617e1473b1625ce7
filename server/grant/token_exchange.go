package grant

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// TokenExchange is the token exchange grant (RFC 8693): a service that was
// called with a token of a user's gets one of its own, for the next service and
// for that user, as the user (impersonation) or on the user's behalf
// (delegation). What was exchanged stays as it was. What comes of it ends no
// later, and with the grant that it descends from.
type TokenExchange struct {
	// QueryToken finds the tokens of this server.
	QueryToken server.QueryTokenFunc
	// Policy decides on an exchange: it may change it, or refuse it with a
	// [*server.Error]. Without it nobody could say who may act for whom.
	Policy func(ctx context.Context, req *server.Request, exchange *Exchange) error
	// Keys returns the public keys of another issuer whose JWTs are taken, and nil
	// for one that is not trusted. nil takes the tokens of this server alone.
	Keys func(ctx context.Context, issuer string) (*jose.JSONWebKeySet, error)
	// QueryUser returns the user whom another issuer's JWT is about, or nil when
	// there is none of whom this client may be told.
	QueryUser func(ctx context.Context, req *server.Request, assertion *server.Assertion) (server.User, error)
	// Algorithms are those by which other issuers may sign; nil is all that the server takes.
	Algorithms []jose.SignatureAlgorithm
	// TakeBoundTokensWithoutProof takes tokens that are bound to a key (RFC 9449) or to a
	// certificate (RFC 8705) without a proof that the request has it. A service that was
	// called with such a token cannot prove it; but neither can a thief.
	TakeBoundTokensWithoutProof bool
	// Types are the types that other issuers' JWTs may name in their header as "typ",
	// beside "JWT" and none, such as "at+jwt" where their access tokens are taken. A JWT of
	// any other type was made for something else, and is refused (RFC 8725 section 3.11).
	Types []string
}

// Exchange is what a client asks for.
type Exchange struct {
	// Subject is the token of the user for whom the new one will be.
	Subject ExchangedToken
	// Actor is the token of who will act for the user, nil when the request has
	// none: the client then acts as the user.
	Actor *ExchangedToken
	// Scope is what the new token will stand for: as much of the subject's as was
	// asked for, and all of it that the client may have where nothing was.
	Scope string
	// Audience is whom the new token will be for: the request's "audience" and
	// "resource", as the client spells them, or the subject's where it names none, so that
	// a token for one API does not become one for any (RFC 9700 section 2.3). Compare them
	// by [server.SameResource]. What is asked for may be another API's: the policy decides.
	Audience []string
	// Act is who acts for the user, as the new token will say it (RFC 8693 section
	// 4.1): the actor, and within it who acted before. nil is nobody.
	Act map[string]any
}

// ExchangedToken is a token that comes with an exchange.
type ExchangedToken struct {
	// Stored is a token of this server, nil for another issuer's.
	Stored *server.StoredToken
	// Assertion is another issuer's JWT, nil for a token of this server.
	Assertion *server.Assertion
	// User is whom it is about, nil for a client's own token.
	User server.User

	claims map[string]json.RawMessage // of a JWT
}

// Token types (RFC 8693 section 3).
const (
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
	jwtType         = "urn:ietf:params:oauth:token-type:jwt"
)

// Limits of who has acted, so that a token that says it can be read (see
// [server.ReadJSON]).
const (
	maxActor  = 4 << 10
	maxActors = 24
)

// GrantType returns "urn:ietf:params:oauth:grant-type:token-exchange".
func (*TokenExchange) GrantType() string { return "urn:ietf:params:oauth:grant-type:token-exchange" }

// RepeatableParameters returns "audience" and "resource" (RFC 8693 section 2.1).
func (*TokenExchange) RepeatableParameters() []string { return []string{"audience", "resource"} }

// CheckAuthMethod refuses a public client: whoever stole a token could exchange
// it.
func (*TokenExchange) CheckAuthMethod(method string) bool { return method != models.None }

// CheckConfig names what is missing.
func (g *TokenExchange) CheckConfig(config *server.Config) error {
	var faults []error
	if g.QueryToken == nil {
		faults = append(faults, errors.New("grant: TokenExchange.QueryToken is missing: write gormoauth.CreateQueryTokenFunc[Token](db)"))
	}
	if g.Policy == nil {
		faults = append(faults, errors.New("grant: TokenExchange.Policy is missing: who may exchange which tokens, and for what?"))
	}
	if (g.Keys == nil) != (g.QueryUser == nil) {
		faults = append(faults, errors.New("grant: TokenExchange.Keys and QueryUser go together: whose JWTs are taken, and whom are they about?"))
	}
	return errors.Join(append(faults, server.CheckAlgorithms(config.Profile, "grant: TokenExchange.Algorithms", g.Algorithms...))...)
}

// PrepareIssuance finds the tokens and asks the policy.
func (g *TokenExchange) PrepareIssuance(ctx context.Context, req *server.Request) (*server.Issuance, error) {
	if kind := req.Params.Get("requested_token_type"); kind != "" && kind != accessTokenType && kind != jwtType {
		return nil, server.NewError(server.InvalidRequest, "The 'requested_token_type' is neither an access token nor a JWT.").With(slog.String("requested_token_type", kind))
	}
	subject, why, err := g.token(ctx, req, "subject_token")
	if err != nil {
		return nil, err
	}
	if why == nil && subject.User == nil {
		why = server.NewReason("the token has no user")
	}
	if why != nil {
		return nil, errNoSubject().BecauseOf(why)
	}
	exchange := &Exchange{Subject: *subject, Audience: slices.Concat(req.Params["resource"], req.Params["audience"])}
	if len(exchange.Audience) == 0 && subject.Stored != nil {
		exchange.Audience = strings.Fields(subject.Stored.Token.GetAudience())
	}
	if req.Params.Has("actor_token") || req.Params.Has("actor_token_type") {
		if exchange.Actor, why, err = g.token(ctx, req, "actor_token"); err != nil {
			return nil, err
		}
		if why != nil {
			return nil, server.NewError(server.InvalidRequest, "The 'actor_token' is not one that the server takes now.").BecauseOf(why)
		}
	}
	if err := exchange.prepare(req); err != nil {
		return nil, err
	}
	if err := g.Policy(ctx, req, exchange); err != nil {
		return nil, err
	}
	issuance, err := exchange.issuance(req)
	if err == nil && !g.TakeBoundTokensWithoutProof {
		issuance.Confirmations = []string{exchange.Subject.confirmation(), exchange.Actor.confirmation()}
	}
	return issuance, err
}

// confirmation returns the key that a token is bound to, empty for none. Another issuer's JWT
// may be bound to one that it names by "cnf".
func (t *ExchangedToken) confirmation() string {
	switch {
	case t == nil:
		return ""
	case t.Stored != nil:
		return t.Stored.Token.GetConfirmation()
	case t.Assertion.Has("cnf"):
		return string(t.claims["cnf"])
	}
	return ""
}

func errNoSubject() *server.Error {
	return server.NewError(server.InvalidRequest, "The 'subject_token' is not one of a user's that the server takes now.")
}

// token reads one of the two tokens, or says why it counts for nothing.
func (g *TokenExchange) token(ctx context.Context, req *server.Request, name string) (token *ExchangedToken, why, err error) {
	text, kind := req.Params.Get(name), req.Params.Get(name+"_type")
	switch {
	case text == "":
		return nil, nil, server.NewError(server.InvalidRequest, "The request has no '%s'.", name)
	case kind == "":
		return nil, nil, server.NewError(server.InvalidRequest, "The request has no '%s'.", name+"_type")
	case kind != accessTokenType && kind != jwtType:
		return nil, nil, server.NewError(server.InvalidRequest, "The '%s' is neither an access token nor a JWT.", name+"_type").With(slog.String(name+"_type", kind))
	}
	if !server.Malformed(text, server.AccessTokenKind) {
		stored, err := g.QueryToken(ctx, server.TokenQuery{AccessToken: server.Digest(text)})
		if err != nil {
			return nil, nil, fmt.Errorf("query token: %w", err)
		}
		if stored != nil {
			token, why = ownToken(req, stored, text)
			return token, why, nil
		}
	}
	if kind != jwtType || g.Keys == nil {
		return nil, server.NewReason("the token is unknown"), nil
	}
	assertion, user, why, err := trustedIssuers{g.Keys, g.QueryUser, req.Server.SignatureAlgorithms(g.Algorithms), g.Types}.verify(ctx, req, text)
	if err != nil || why != nil {
		return nil, why, err
	}
	return &ExchangedToken{Assertion: assertion, User: user, claims: assertion.Claims}, nil, nil
}

func ownToken(req *server.Request, stored *server.StoredToken, text string) (*ExchangedToken, error) {
	switch authorization := stored.Token.GetAuthorization(); {
	case !req.Server.Issued(authorization):
		return nil, server.NotIssued(authorization)
	case stored.Token.IsRevoked():
		return nil, server.NewReason("the token was revoked")
	case stored.Token.IsExpired(req.Time):
		return nil, server.NewReason("the token has expired")
	}
	token := &ExchangedToken{Stored: stored}
	if stored.UserID != "" {
		token.User = server.UserID(stored.UserID)
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return token, nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !bytes.HasPrefix(payload, []byte("{")) {
		return token, nil // of a generator whose tokens look like JWTs
	}
	// That it is ours is known already. One that has two readings may say in one of
	// them who may act.
	if token.claims, err = strictjson.Object(payload); err != nil {
		return nil, server.NewReason("the claims of the token are malformed", slog.String("fault", err.Error()))
	}
	return token, nil
}

// identity is what a token says of who has it, as "act" and "may_act" do.
func (t *ExchangedToken) identity(req *server.Request) map[string]string {
	if t.Assertion != nil {
		return map[string]string{"iss": t.Assertion.Issuer, "sub": t.Assertion.Subject}
	}
	id := map[string]string{"iss": req.Server.Issuer(), "client_id": t.Stored.Token.GetClientID(), "sub": t.Stored.Token.GetClientID()}
	if t.User != nil {
		id["sub"] = t.User.GetUserID()
	}
	return id
}

// prepare fills in what the request asks for, as far as the tokens allow it.
func (e *Exchange) prepare(req *server.Request) error {
	actor := map[string]string{"iss": req.Server.Issuer(), "client_id": req.Client.GetClientID(), "sub": req.Client.GetClientID()}
	if e.Actor != nil {
		actor = e.Actor.identity(req)
		e.Act = make(map[string]any)
		for name, value := range actor {
			e.Act[name] = value
		}
	}
	if !allows(e.Subject.claims["may_act"], actor) {
		return server.NewError(server.InvalidRequest, "The 'subject_token' names somebody else who may act: see its 'may_act'.").
			With(slog.String("may_act", string(e.Subject.claims["may_act"])), slog.String("actor", actor["sub"]))
	}
	before, err := e.Subject.actor()
	if err != nil {
		return server.NewError(server.InvalidRequest, "The 'subject_token' does not say in a readable way who has acted with it before: see its 'act'.")
	}
	if before != nil {
		if e.Act == nil {
			e.Act = before
		} else {
			e.Act["act"] = before
		}
	}
	for _, resource := range req.Params["resource"] {
		if _, err := weburi.Parse(resource); err != nil || strings.Contains(resource, "#") {
			return server.NewError(server.InvalidTarget, "A 'resource' is not an absolute URI without a fragment.").With(slog.String("resource", server.LoggedURI(resource)))
		}
	}
	if slices.ContainsFunc(e.Audience, func(one string) bool { return strings.ContainsAny(one, " \t\r\n") }) {
		return server.NewError(server.InvalidTarget, "An 'audience' has a space.")
	}
	return e.takeScope(req)
}

// allows reports whether may_act, where there is one, means the actor (RFC 8693
// section 4.4). A member that says more than is known means somebody else.
func allows(mayAct json.RawMessage, actor map[string]string) bool {
	if len(mayAct) == 0 {
		return true
	}
	var members map[string]string
	if strictjson.Unmarshal(mayAct, &members) != nil || len(members) == 0 {
		return false
	}
	for name, value := range members {
		if known, ok := actor[name]; !ok || known != value {
			return false
		}
	}
	return true
}

// actor returns who has acted with the token so far.
func (t *ExchangedToken) actor() (act map[string]any, err error) {
	text := []byte(t.claims["act"])
	if string(text) == "null" { // which is left out, in a JWT
		text = nil
	}
	if t.Stored != nil {
		text = []byte(t.Stored.Token.GetActor())
	}
	if len(text) == 0 {
		return nil, nil
	}
	if err := strictjson.ObjectFault(string(text)); err != nil {
		return nil, err
	}
	if err = strictjson.Unmarshal(text, &act); err == nil && foldsToActor(act) {
		err = errors.New("a member has the lookalike of a name")
	}
	return act, err
}

// foldsToActor reports whether a member of who acts, or of who has acted before, has a
// name that readers which fold case take for another: the token that is made is for APIs
// that may be such readers.
func foldsToActor(act map[string]any) bool {
	for ; act != nil; act, _ = act["act"].(map[string]any) {
		for name := range act {
			if strictjson.Resembles(name, []string{"iss", "sub", "client_id", "act"}) {
				return true
			}
		}
	}
	return false
}

// actors counts who stand in one another, as "act" has them.
func actors(act any) (n int) {
	for members, ok := act.(map[string]any); ok; members, ok = members["act"].(map[string]any) {
		n++
	}
	return n
}

func (e *Exchange) takeScope(req *server.Request) error {
	var subject string
	if e.Subject.Stored != nil {
		subject = e.Subject.Stored.Token.GetScope()
	} else if raw, ok := e.Subject.claims["scope"]; ok && strictjson.Unmarshal(raw, &subject) != nil {
		return errNoSubject().Because("the 'scope' of the token is not a text")
	}
	e.Scope = req.Params.Get("scope")
	switch {
	case e.Scope == "":
		e.Scope, _ = req.Client.GetAllowedScope(subject)
		e.Scope = without(e.Scope, func(word string) bool { return !includes(subject, word) }) // which may have a default of its own
	default:
		if more := missingIn(subject, e.Scope); more != "" {
			return server.NewError(server.InvalidScope, "The scope '%s' is more than that of the 'subject_token'.", server.Excerpt(more)).
				With(slog.String("scope", e.Scope), slog.String("granted_scope", subject))
		}
	}
	return nil
}

// issuance is what comes of an exchange that was allowed.
func (e *Exchange) issuance(req *server.Request) (*server.Issuance, error) {
	issuance := &server.Issuance{User: e.Subject.User, Scope: e.Scope, NoDefaultScope: true, Audience: strings.Join(e.Audience, " ")}
	if e.Act != nil {
		act, err := json.Marshal(e.Act)
		if err != nil {
			return nil, err
		}
		if len(act) > maxActor || actors(e.Act) > maxActors {
			return nil, server.NewError(server.InvalidRequest, "Too many have acted with the 'subject_token' before.")
		}
		issuance.Actor = string(act)
	}
	if e.Subject.Assertion != nil {
		issuance.ExpiresAt = e.Subject.Assertion.ExpiresAt.Unix()
		return issuance, nil
	}
	issuance.ExpiresAt = e.Subject.Stored.Token.GetExpiresAt()
	issuance.GrantID = e.Subject.Stored.Token.GetGrantID()
	req.Subject = e.Subject.Stored
	return issuance, nil
}

// PrepareTokenResponse says what was issued (RFC 8693 section 2.2.1).
func (*TokenExchange) PrepareTokenResponse(_ context.Context, req *server.Request, _ *models.TokenMixin, response *server.TokenResponse) error {
	kind := accessTokenType
	if req.Params.Get("requested_token_type") == jwtType {
		if strings.Count(response.AccessToken, ".") != 2 {
			return server.NewError(server.InvalidRequest, "The server's tokens are no JWTs: the 'requested_token_type' must be that of an access token.")
		}
		kind = jwtType
	}
	response.SetExtra("issued_token_type", kind)
	return nil
}
