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

	"github.com/gormoauth/gormoauth/internal/logtext"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/internal/wordlist"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// TokenExchange is the token exchange grant (RFC 8693): a service that was called with a
// user's token exchanges it for a token to call the next service, as the user
// (impersonation) or on the user's behalf (delegation). The exchanged token stays valid.
// The new token expires no later, and ends with the same grant.
type TokenExchange struct {
	// QueryToken finds the tokens of this server.
	QueryToken storage.QueryTokenFunc
	// Policy decides on an exchange: it may change the exchange, or refuse it with a
	// [*server.Error]. It is required, since only the program knows who may act for whom.
	Policy func(ctx context.Context, req *server.Request, exchange *Exchange) error
	// Keys returns the public keys of another issuer whose JWTs are accepted, or nil if the
	// issuer is not trusted. If the field is nil, only tokens of this server are accepted.
	Keys func(ctx context.Context, issuer string) (*jose.JSONWebKeySet, error)
	// QueryUser returns the user whom another issuer's JWT is about, or nil if there is no
	// such user, or none that this client may learn of.
	QueryUser func(ctx context.Context, req *server.Request, assertion *assertion.Assertion) (storage.User, error)
	// Algorithms are the algorithms with which other issuers may sign. nil means all that
	// the server accepts.
	Algorithms []jose.SignatureAlgorithm
	// TakeBoundTokensWithoutProof accepts tokens that are bound to a key (RFC 9449) or a
	// certificate (RFC 8705) without proof of possession. A service that was called with
	// such a token cannot prove possession, but neither can a thief.
	TakeBoundTokensWithoutProof bool
	// Types are the accepted values of the "typ" header of other issuers' JWTs, in addition
	// to "JWT" and none, such as "at+jwt" to accept their access tokens. A JWT of any other
	// type was made for a different purpose, and is refused (RFC 8725 section 3.11).
	Types []string
}

// Exchange is a requested token exchange.
type Exchange struct {
	// Subject is the token of the user for whom the new token will be issued.
	Subject ExchangedToken
	// Actor is the token of the party that will act for the user. It is nil if the request
	// has none; the client then acts as the user.
	Actor *ExchangedToken
	// Scope is the scope of the new token: the requested part of the subject token's scope.
	// If the request has no scope, it is all of the subject token's scope that the client
	// may have.
	Scope string
	// Audience is the audience of the new token: the request's "audience" and "resource",
	// as the client spells them. If the request names none, it is the audience of the
	// subject token, so that a token for one API does not become a token for every API (RFC
	// 9700 section 2.3). Compare values by [indicator.Same]. The client may ask for an
	// API that the subject token is not for: Policy decides.
	Audience []string
	// Act is the "act" claim of the new token (RFC 8693 section 4.1): the actor, with
	// earlier actors nested in it. nil means that there is no actor.
	Act map[string]any
}

// ExchangedToken is the subject token or the actor token of an exchange.
type ExchangedToken struct {
	// Stored is a token of this server, nil for another issuer's.
	Stored *storage.StoredToken
	// Assertion is another issuer's JWT, nil for a token of this server.
	Assertion *assertion.Assertion
	// User is the user of the token, nil for a client's own token.
	User storage.User

	claims map[string]json.RawMessage // of a JWT
}

// Token types (RFC 8693 section 3).
const (
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
	jwtType         = "urn:ietf:params:oauth:token-type:jwt"
)

// Limits of the "act" claim, so that a token that has it can be read.
const (
	maxActor  = 4 << 10
	maxActors = 24
)

// GrantType returns "urn:ietf:params:oauth:grant-type:token-exchange".
func (*TokenExchange) GrantType() string { return "urn:ietf:params:oauth:grant-type:token-exchange" }

// RepeatableParameters returns "audience" and "resource" (RFC 8693 section 2.1).
func (*TokenExchange) RepeatableParameters() []string { return []string{"audience", "resource"} }

// CheckAuthMethod refuses public clients, with which a thief could exchange a stolen token.
func (*TokenExchange) CheckAuthMethod(method string) bool { return method != models.None }

// CheckConfig returns an error for each missing or invalid field.
func (g *TokenExchange) CheckConfig(config *server.Config) error {
	var faults []error
	if g.QueryToken == nil {
		faults = append(faults, errors.New("grant: TokenExchange.QueryToken is missing: write gormoauth.CreateQueryTokenFunc[Token](db)"))
	}
	if g.Policy == nil {
		faults = append(faults, errors.New("grant: TokenExchange.Policy is missing: give a function that decides who may exchange which tokens, and for what"))
	}
	if (g.Keys == nil) != (g.QueryUser == nil) {
		faults = append(faults, errors.New("grant: TokenExchange.Keys and QueryUser go together: set both, or neither"))
	}
	return errors.Join(append(faults, jwk.CheckAlgorithms(config.Profile, "grant: TokenExchange.Algorithms", g.Algorithms...))...)
}

// PrepareIssuance finds the tokens and asks the policy.
func (g *TokenExchange) PrepareIssuance(ctx context.Context, req *server.Request) (*server.Issuance, error) {
	if kind := req.Params.Get("requested_token_type"); kind != "" && kind != accessTokenType && kind != jwtType {
		return nil, server.NewError(server.InvalidRequest, "The 'requested_token_type' must be the type of an access token or of a JWT.").With(slog.String("requested_token_type", kind))
	}
	subject, why, err := g.token(ctx, req, "subject_token")
	if err != nil {
		return nil, err
	}
	if why == nil && subject.User == nil {
		why = reason.New("the token has no user")
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
			return nil, server.NewError(server.InvalidRequest, "The 'actor_token' is not a valid token.").BecauseOf(why)
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

// confirmation returns the key that a token is bound to, or "" if there is none. Another
// issuer's JWT names it in its "cnf".
func (t *ExchangedToken) confirmation() string {
	switch {
	case t == nil:
		return ""
	case t.Stored != nil:
		return t.Stored.Token.GetConfirmation()
	case !t.Assertion.Has("cnf"):
		return ""
	}
	var members map[string]string
	if strictjson.Unmarshal(t.claims["cnf"], &members) == nil && len(members) == 1 {
		text, _ := json.Marshal(members) // in the form in which it is compared; strings cannot fail
		return string(text)
	}
	return string(t.claims["cnf"]) // which no request proves
}

func errNoSubject() *server.Error {
	return server.NewError(server.InvalidRequest, "The 'subject_token' is not a valid token of a user.")
}

// token reads one of the two tokens. why is the reason if the token is not valid.
func (g *TokenExchange) token(ctx context.Context, req *server.Request, name string) (token *ExchangedToken, why, err error) {
	text, kind := req.Params.Get(name), req.Params.Get(name+"_type")
	switch {
	case text == "":
		return nil, nil, server.NewError(server.InvalidRequest, "The request has no '%s'.", name)
	case kind == "":
		return nil, nil, server.NewError(server.InvalidRequest, "The request has no '%s'.", name+"_type")
	case kind != accessTokenType && kind != jwtType:
		return nil, nil, server.NewError(server.InvalidRequest, "The '%s' must be the type of an access token or of a JWT.", name+"_type").With(slog.String(name+"_type", kind))
	}
	if !secret.Malformed(text, secret.AccessToken) {
		stored, err := g.QueryToken(ctx, storage.TokenQuery{AccessToken: secret.Digest(text)})
		if err != nil {
			return nil, nil, fmt.Errorf("query token: %w", err)
		}
		if stored != nil {
			token, why = ownToken(req, stored, text)
			return token, why, nil
		}
	}
	if kind != jwtType || g.Keys == nil {
		return nil, reason.New("the token is unknown"), nil
	}
	assertion, user, why, err := trustedIssuers{g.Keys, g.QueryUser, req.Server.SignatureAlgorithms(g.Algorithms), g.Types}.verify(ctx, req, text)
	if err != nil || why != nil {
		return nil, why, err
	}
	return &ExchangedToken{Assertion: assertion, User: user, claims: assertion.Claims}, nil, nil
}

func ownToken(req *server.Request, stored *storage.StoredToken, text string) (*ExchangedToken, error) {
	switch authorization := stored.Token.GetAuthorization(); {
	case !req.Server.Issued(authorization):
		return nil, storage.NotIssued(authorization)
	case stored.Token.IsRevoked():
		return nil, reason.New("the token was revoked")
	case stored.Token.IsExpired(req.Time):
		return nil, reason.New("the token has expired")
	}
	token := &ExchangedToken{Stored: stored}
	if stored.UserID != "" {
		token.User = storage.UserID(stored.UserID)
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return token, nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !bytes.HasPrefix(payload, []byte("{")) {
		return token, nil // an opaque token that looks like a JWT
	}
	// The token is known to be ours. Ambiguous JSON is refused: in one of its readings it
	// may say who may act.
	if token.claims, err = strictjson.Object(payload); err != nil {
		return nil, reason.New("the claims of the token are malformed", slog.String("fault", err.Error()))
	}
	return token, nil
}

// identity returns the claims that identify the owner of a token in "act" and "may_act".
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

// prepare fills in what the request asks for, as far as the tokens allow.
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
		return server.NewError(server.InvalidRequest, "The 'may_act' of the 'subject_token' does not allow this actor.").
			With(slog.String("may_act", string(e.Subject.claims["may_act"])), slog.String("actor", actor["sub"]))
	}
	before, err := e.Subject.actor()
	if err != nil {
		return server.NewError(server.InvalidRequest, "The 'act' of the 'subject_token' is malformed.")
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
			return server.NewError(server.InvalidTarget, "A 'resource' must be an absolute URI without a fragment.").With(slog.String("resource", logtext.URI(resource)))
		}
	}
	if slices.ContainsFunc(e.Audience, func(one string) bool { return strings.ContainsAny(one, " \t\r\n") }) {
		return server.NewError(server.InvalidTarget, "An 'audience' must not contain whitespace.")
	}
	return e.takeScope(req)
}

// allows reports whether may_act, if present, names the actor (RFC 8693 section 4.4). A
// member that the actor does not have means another actor.
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

// actor returns the "act" of the token, or nil if it has none.
func (t *ExchangedToken) actor() (act map[string]any, err error) {
	text := []byte(t.claims["act"])
	if string(text) == "null" { // in a JWT, the same as leaving it out
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
		err = errors.New("a member has a name that differs from a known one only in case")
	}
	return act, err
}

// foldsToActor reports whether a member of "act", at any depth, has a name that a
// case-insensitive JSON reader takes for a known one: APIs that receive the new token may
// use such a reader.
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

// actors counts the nested actors of an "act".
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
		return errNoSubject().Because("the 'scope' of the token is not a string")
	}
	e.Scope = req.Params.Get("scope")
	switch {
	case e.Scope == "":
		e.Scope, _ = req.Client.GetAllowedScope(subject)
		e.Scope = wordlist.Common(e.Scope, subject) // the client's default may exceed it
	default:
		if more := wordlist.Without(e.Scope, subject); more != "" {
			return server.NewError(server.InvalidScope, "The scope '%s' exceeds that of the 'subject_token'.", display.Excerpt(more)).
				With(slog.String("scope", e.Scope), slog.String("granted_scope", subject))
		}
	}
	return nil
}

// issuance returns the issuance for an exchange that Policy allowed.
func (e *Exchange) issuance(req *server.Request) (*server.Issuance, error) {
	issuance := &server.Issuance{User: e.Subject.User, Scope: e.Scope, NoDefaultScope: true, Audience: strings.Join(e.Audience, " ")}
	if e.Act != nil {
		act, err := json.Marshal(e.Act)
		if err != nil {
			return nil, err
		}
		if len(act) > maxActor || actors(e.Act) > maxActors {
			return nil, server.NewError(server.InvalidRequest, "The chain of actors of the 'subject_token' is too long.")
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

// PrepareTokenResponse adds "issued_token_type" (RFC 8693 section 2.2.1).
func (*TokenExchange) PrepareTokenResponse(_ context.Context, req *server.Request, _ *models.TokenMixin, response *server.TokenResponse) error {
	kind := accessTokenType
	if req.Params.Get("requested_token_type") == jwtType {
		if strings.Count(response.AccessToken, ".") != 2 {
			return server.NewError(server.InvalidRequest, "The server's access tokens are not JWTs: the 'requested_token_type' must be that of an access token.")
		}
		kind = jwtType
	}
	response.SetExtra("issued_token_type", kind)
	return nil
}
