package gormoauth

import (
	"errors"

	"github.com/go-jose/go-jose/v4"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/oidc"
)

// Part is what [New] joins: one model of the program, and what a server does
// with it.
type Part func(*assembly) error

type assembly struct {
	db        *gorm.DB
	config    *server.Config
	grants    []any
	endpoints []server.Endpoint
	hooks     []any

	registrations []*endpoint.Registration
	documents     func(*fetch.Fetcher) *clientauth.MetadataDocuments
	tokens        server.QueryTokenFunc
	introspection *endpoint.Introspection
	openID        *oidc.Provider
	openIDKeys    func(algorithms []jose.SignatureAlgorithm) (server.SigningKeys, error)

	proofs *server.DPoPProofs // of tokens that are bound to a key, nil where none is
}

// New returns a server for the common case: the authorization code grant with
// PKCE, refresh tokens with rotation, client credentials; revocation,
// introspection and the metadata document; client_secret_basic, client_secret_post and none; as far as the
// parts and each client's registration allow. Functions that the configuration
// has already are kept. What else the server should do is registered on it
// afterwards. Every fault is returned at once.
func New(db *gorm.DB, config server.Config, parts ...Part) (*server.Server, error) {
	a, err := assemble(db, config, parts)
	if err != nil {
		return nil, err
	}
	return a.server()
}

// assemble has the parts say what the server is to do.
func assemble(db *gorm.DB, config server.Config, parts []Part) (*assembly, error) {
	a := &assembly{db: db, config: &config, endpoints: []server.Endpoint{&endpoint.Metadata{}}}
	var faults []error
	for _, part := range parts {
		faults = append(faults, part(a))
	}
	if config.ClientAuthMethods == nil {
		config.ClientAuthMethods = clientauth.Defaults()
	}
	if len(a.grants) > 0 && config.QueryUser == nil {
		faults = append(faults, errors.New("gormoauth: who may still be served? Write gormoauth.Users[User](), or set Config.QueryUser"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *assembly) server() (*server.Server, error) {
	srv, err := server.New(*a.config)
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, g := range a.grants {
		faults = append(faults, srv.RegisterGrant(g))
	}
	for _, e := range a.endpoints {
		faults = append(faults, srv.RegisterEndpoint(e))
	}
	if err := errors.Join(append(faults, a.registerOpenID(srv))...); err != nil {
		return nil, err
	}
	if err := srv.Register(a.hooks...); err != nil { // which may look at all of the server
		return nil, err
	}
	return srv, nil
}

// Clients has the server find clients in the model M.
func Clients[M any, P gormstore.ClientModel[M]]() Part {
	return func(a *assembly) error {
		clients, err := gormstore.NewClients[M, P](a.db)
		if err == nil && a.config.QueryClient == nil {
			a.config.QueryClient = clients.Query
		}
		a.documents = func(fetcher *fetch.Fetcher) *clientauth.MetadataDocuments {
			return CreateMetadataDocuments[M, P](a.db, fetcher)
		}
		return err
	}
}

// Registration lets clients register themselves in the model C (RFC 7591), and
// manage what they said (RFC 7592): whoever asks, without an initial access token.
// For anything else, register [CreateRegistrationEndpoint] afterwards.
func Registration[C, T any, PC gormstore.ClientModel[C], PT gormstore.TokenModel[T]]() Part {
	return func(a *assembly) error {
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

// Tokens has the server keep tokens in the model M, refresh, revoke and
// introspect them.
func Tokens[M any, P gormstore.TokenModel[M]]() Part {
	return func(a *assembly) error {
		tokens, err := gormstore.NewTokens[M, P](a.db)
		if err != nil {
			return err
		}
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
		return nil
	}
}

// AuthorizationCodes has the server issue codes, kept in the model M, and
// redeem them.
func AuthorizationCodes[M any, P gormstore.AuthorizationCodeModel[M]]() Part {
	return func(a *assembly) error {
		codes, err := gormstore.NewAuthorizationCodes[M, P](a.db)
		if err == nil {
			a.grants = append(a.grants, &grant.AuthorizationCode{SaveAuthorizationCode: codes.Save, QueryAuthorizationCode: codes.Query})
		}
		return err
	}
}

// Users has the server ask the model M, at every exchange and refresh, whether
// a user may still be served: whoever has a row that is not soft-deleted and
// meets the condition, which is that of [gorm.DB.Where]:
//
//	gormoauth.Users[User]("disabled = ?", false)
func Users[M any, P gormstore.UserModel[M]](condition ...any) Part {
	return func(a *assembly) error {
		db := a.db
		if len(condition) > 0 && db != nil {
			db = db.Where(condition[0], condition[1:]...)
		}
		users, err := gormstore.NewUsers[M, P](db)
		if err == nil && a.config.QueryUser == nil {
			a.config.QueryUser = users.Query
		}
		return err
	}
}
