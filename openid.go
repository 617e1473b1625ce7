package gormoauth

import (
	"errors"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/resource"
)

// UserWithClaims is a pointer to the program's user model, which says what clients
// may learn of a user.
type UserWithClaims[M any] interface {
	*M
	oidc.User
}

// OpenID makes the server an OpenID Provider: ID tokens by RS256 and ES256, UserInfo,
// discovery, and the keys in the model K. What is known of a user, the model U
// answers with its method GetClaims. It needs the part [Tokens]. For sessions and
// logout, other flows, or settings, register an [oidc.Provider] afterwards instead.
func OpenID[U, K any, PU UserWithClaims[U], PK gormstore.SigningKeyModel[K]]() Part {
	return func(a *assembly) error {
		algorithms := []jose.SignatureAlgorithm{jose.RS256, jose.ES256}
		keys, err := gormstore.NewSigningKeys[K, PK](a.db, gormstore.SigningKeyOptions{Algorithms: algorithms})
		if err != nil {
			return err
		}
		a.endpoints = append(a.endpoints, &endpoint.JWKS{Keys: keys})
		a.openID = &oidc.Provider{Keys: keys, Algorithms: algorithms}
		return nil
	}
}

// registerOpenID registers the provider of the part OpenID, if there is one.
func (a *assembly) registerOpenID(srv *server.Server) error {
	if a.openID == nil {
		return nil
	}
	if a.tokens == nil {
		return errors.New("gormoauth: OpenID needs tokens: write gormoauth.Tokens[Token]()")
	}
	protector, err := resource.NewProtector(resource.Config{Logger: a.config.Logger, Clock: a.config.Clock}, &resource.BearerTokenValidator{QueryToken: a.tokens})
	if err != nil {
		return err
	}
	return a.openID.Register(srv, protector)
}
