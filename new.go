package gormoauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/construct"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/dpop"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Part is a building block of [New]: one model of the program, and what the server does with it.
type Part func(*assembly) error

type assembly struct {
	db        *gorm.DB
	config    *server.Config
	faults    []error
	given     map[string]bool     // the parts that were passed, by name
	needed    map[string][]string // what needs a part, by the part's name
	grants    []any
	endpoints []server.Endpoint
	hooks     []any

	registrations []*endpoint.Registration
	documents     *gormstore.ClientDocuments // nil without the part Clients
	tokens        storage.QueryTokenFunc
	introspection *endpoint.Introspection
	openID        *oidc.Provider
	openIDKeys    func(algorithms []jose.SignatureAlgorithm) (jwk.SigningKeys, error)

	sources      []server.RevocationSource                // the stores that revoke on their own
	ofUsers      []gormstore.Erasable                     // the stores whose rows belong to users
	checkUserIDs func(stores ...gormstore.Erasable) error // nil if the program looks up users itself

	proofs *dpop.Proofs // for tokens that are bound to a key, nil without them
}

// New returns a server for the common case: the authorization code grant with PKCE, refresh
// tokens with rotation, and client credentials; revocation, introspection and the metadata
// document; client_secret_basic, client_secret_post and none. What is available depends on the
// parts and on each client's registration. Functions that config already has are kept. Register
// anything else the server should do on it afterwards. New returns all faults at once.
func New(db *gorm.DB, config server.Config, parts ...Part) (*server.Server, error) {
	return assemble(db, config, parts...).server()
}

// assemble applies the parts, and collects what is wrong and what is missing.
func assemble(db *gorm.DB, config server.Config, parts ...Part) *assembly {
	a := &assembly{
		db: db, config: &config, given: make(map[string]bool), needed: make(map[string][]string), endpoints: []server.Endpoint{&endpoint.Metadata{}},
	}
	a.fault(checkLasting(db))
	for _, part := range parts {
		if part == nil {
			a.fault(errors.New("gormoauth: a part is nil; leave it out"))
			continue
		}
		a.fault(part(a))
	}
	if config.ClientAuthMethods == nil {
		config.ClientAuthMethods = clientauth.Defaults()
	}
	a.complete()
	if a.checkUserIDs != nil {
		a.fault(a.checkUserIDs(a.ofUsers...))
	}
	return a
}

// checkLasting refuses a handle that is a transaction: a server lives as long as the program, and
// a transaction ends.
func checkLasting(db *gorm.DB) error {
	if db == nil || db.Statement == nil {
		return nil // the parts refuse it
	}
	if _, ends := db.Statement.ConnPool.(gorm.TxCommitter); ends {
		return errors.New("gormoauth: the *gorm.DB is a transaction, which cannot be used after it has ended; pass what gorm.Open returned, and use gormstore.WithTransaction for a single call")
	}
	return nil
}

// need records that who requires some parts.
func (a *assembly) need(who string, parts ...string) {
	for _, part := range parts {
		a.needed[part] = append(a.needed[part], who)
	}
}

// piece is a component of a server: it comes from a part, or from the program's settings.
type piece struct {
	part     string // its name
	write    string // what a program writes to add it
	question string // the question that is open without it
	settings string // the settings that can replace it
	missing  bool   // whether they are missing
	standIn  func()
}

func (a *assembly) pieces() []piece {
	c := a.config
	noTokens := c.SaveToken == nil || c.RevokeGrant == nil && len(a.grants) > 0
	return []piece{
		{
			part: "Clients", write: "gormoauth.Clients[Client]()", question: "where are clients found?", settings: "Config.QueryClient", missing: c.QueryClient == nil,
			standIn: func() { c.QueryClient = func(context.Context, string) (storage.Client, error) { return nil, nil } },
		},
		{
			part: "Tokens", write: "gormoauth.Tokens[Token]()", question: "where are tokens kept?", settings: "Config.SaveToken and Config.RevokeGrant", missing: noTokens,
			standIn: func() {
				c.SaveToken = func(context.Context, storage.Exchange) error { return nil }
				c.RevokeGrant = func(context.Context, string, time.Time) error { return nil }
			},
		},
		{
			part: "AuthorizationCodes", write: "gormoauth.AuthorizationCodes[AuthorizationCode]()",
			standIn: func() {
				a.grants = append(a.grants, &grant.AuthorizationCode{
					SaveAuthorizationCode:  func(context.Context, *models.AuthorizationCodeMixin, *server.Request) error { return nil },
					QueryAuthorizationCode: func(context.Context, string) (*grant.StoredAuthorizationCode, error) { return nil, nil },
				})
			},
		},
		{
			part: "Users", write: "gormoauth.Users[User]()", question: "who may still be served?", settings: "Config.QueryUser",
			missing: c.QueryUser == nil && (len(a.grants) > 0 || noTokens), standIn: func() {},
		},
	}
}

// complete reports every missing piece, with the part that provides it, and fills in a stand-in:
// no server will be returned, but nothing else should report the same fault under another name.
func (a *assembly) complete() {
	for _, piece := range a.pieces() {
		who := a.needed[piece.part]
		switch {
		case a.given[piece.part]:
			continue
		case len(who) > 0:
			a.fault(fmt.Errorf("gormoauth: %s needs %s: add it to the parts", strings.Join(who, ", and "), piece.write))
		case piece.missing:
			a.fault(fmt.Errorf("gormoauth: %s Write %s, or set %s", piece.question, piece.write, piece.settings))
		default:
			continue
		}
		piece.standIn()
	}
	if a.tokens == nil {
		a.tokens = func(context.Context, storage.TokenQuery) (*storage.StoredToken, error) { return nil, nil }
	}
}

func (a *assembly) fault(err error) { a.faults = append(a.faults, err) }

// begin records a part, which can be given only once: with two models for the same thing, one
// would be written and the other read.
func (a *assembly) begin(part string) {
	if a.given[part] {
		a.fault(fmt.Errorf("gormoauth: the part %s is given twice; leave one out", part))
	}
	a.given[part] = true
}

// orStandIn returns value, or standIn if its constructor returned an error: no server will be
// returned, but what builds on it is still checked.
func orStandIn[T any](value, standIn T, err error) T {
	if err != nil {
		return standIn
	}
	return value
}

// server returns the server, or all faults: what is registered is checked together with the
// configuration.
func (a *assembly) server() (*server.Server, error) {
	srv := new(server.Server)
	for _, g := range a.grants {
		a.fault(srv.RegisterGrant(g))
	}
	for _, e := range a.endpoints {
		a.fault(srv.RegisterEndpoint(e))
	}
	a.fault(a.registerOpenID(srv))
	a.fault(srv.Register(a.hooks...))
	a.fault(srv.Init(*a.config))
	if err := construct.Join(a.faults...); err != nil {
		return nil, err
	}
	for _, source := range a.sources {
		srv.TellRevocations(source)
	}
	return srv, nil
}

// Clients makes the server look up clients in the model M. The options describe what an older
// program left in its table.
func Clients[M any, P gormstore.ClientModel[M]](options ...gormstore.ClientOptions) Part {
	return func(a *assembly) error {
		a.begin("Clients")
		clients, err := gormstore.NewClients[M, P](a.db, options...)
		if a.config.QueryClient == nil {
			a.config.QueryClient = clients.Query
		}
		if err == nil {
			a.hooks = append(a.hooks, clients)
			a.documents, err = gormstore.NewClientDocuments[M, P](a.db)
		}
		return err
	}
}

// Registration lets clients register themselves in the model C (RFC 7591) and manage their
// registration (RFC 7592). Anybody may register, without an initial access token. For anything
// else, register [CreateRegistrationEndpoint] afterwards.
func Registration[C, T any, PC gormstore.ClientModel[C], PT gormstore.TokenModel[T]]() Part {
	return func(a *assembly) error {
		a.begin("Registration")
		storage, err := gormstore.NewClientRegistration[C, T, PC, PT](a.db)
		if err != nil {
			return err
		}
		registration := &endpoint.Registration{Storage: storage, Open: true}
		a.registrations = append(a.registrations, registration)
		a.endpoints = append(a.endpoints, registration)
		return nil
	}
}

// Tokens makes the server store tokens in the model M, and refresh, revoke and introspect them.
func Tokens[M any, P gormstore.TokenModel[M]]() Part {
	return func(a *assembly) error {
		a.begin("Tokens")
		tokens, err := gormstore.NewTokens[M, P](a.db)
		if err == nil {
			a.ofUsers, a.sources = append(a.ofUsers, tokens), append(a.sources, tokens)
		}
		// After an error no server is returned; set the functions anyway, so that nothing reports them as missing.
		a.tokens = tokens.Query
		if a.config.SaveToken == nil {
			a.config.SaveToken = tokens.Save
		}
		if a.config.RevokeGrant == nil {
			a.config.RevokeGrant = tokens.RevokeGrant
		}
		a.grants = append(a.grants, &grant.RefreshToken{QueryToken: tokens.Query}, &grant.ClientCredentials{})
		a.introspection = &endpoint.Introspection{QueryToken: tokens.Query}
		a.endpoints = append(a.endpoints, revocationEndpoint(tokens), a.introspection)
		return err
	}
}

// AuthorizationCodes makes the server issue codes, store them in the model M, and redeem them.
func AuthorizationCodes[M any, P gormstore.AuthorizationCodeModel[M]]() Part {
	return func(a *assembly) error {
		a.begin("AuthorizationCodes")
		codes, err := gormstore.NewAuthorizationCodes[M, P](a.db)
		if err == nil {
			a.ofUsers = append(a.ofUsers, codes)
		}
		a.grants = append(a.grants, &grant.AuthorizationCode{SaveAuthorizationCode: codes.Save, QueryAuthorizationCode: codes.Query})
		return err
	}
}

// Users makes the server check in the model M, at every exchange and refresh, that a user may
// still be served. The user must have a row that is not soft-deleted and meets the condition,
// which is that of [gorm.DB.Where]:
//
//	gormoauth.Users[User]("disabled = ?", false)
func Users[M any, P gormstore.UserModel[M]](condition ...any) Part {
	return func(a *assembly) error {
		a.begin("Users")
		users, err := gormstore.NewUsers[M, P](a.db, condition...)
		if err == nil {
			a.checkUserIDs = users.CheckUserIDs
		}
		if a.config.QueryUser == nil {
			a.config.QueryUser = users.Query
		}
		return err
	}
}
