package gormoauth

import (
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/server"
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
// answers with its method GetClaims. It needs the part [Tokens], and Config.Secrets, which
// encrypt the keys in the database, or [KeysReadableInDatabase]. The functions change
// the provider's settings, such as ScopeClaimsInIDToken. For sessions and logout, or
// other flows, register an [oidc.Provider] afterwards instead.
func OpenID[U, K any, PU UserWithClaims[U], PK gormstore.SigningKeyModel[K]](change ...func(*oidc.Provider)) Part {
	return func(a *assembly) error {
		a.begin("OpenID")
		a.need("OpenID", "Tokens")
		a.openID = &oidc.Provider{Algorithms: []jose.SignatureAlgorithm{jose.RS256, jose.ES256}}
		for _, f := range change {
			f(a.openID)
		}
		a.openIDKeys = func(algorithms []jose.SignatureAlgorithm) (server.SigningKeys, error) {
			return gormstore.NewSigningKeys[K, PK](a.db, gormstore.SigningKeyOptions{
				Algorithms: algorithms, Secrets: a.config.Secrets, NoOlderInstances: a.config.NoOlderInstances,
			})
		}
		return nil
	}
}

// KeysReadableInDatabase lets the part [OpenID] do without Config.Secrets: whoever reads
// the database, or a copy of it, can then sign as the server. With Config.Secrets it
// changes nothing.
func KeysReadableInDatabase() Part {
	return func(a *assembly) error {
		a.begin(keysReadable)
		return nil
	}
}

const keysReadable = "KeysReadableInDatabase"

// checkSecrets refuses to keep private keys that anybody who reads the database has,
// unless the program says so.
func (a *assembly) checkSecrets() error {
	if len(a.config.Secrets) > 0 || a.given[keysReadable] {
		return nil
	}
	return errors.New("gormoauth: OpenID keeps the keys that sign in the database: set Config.Secrets, such as Secrets: [][]byte{secret} with 32 random bytes that are kept apart from the database " +
		"('openssl rand 32' gives them), so that the keys are encrypted there; or add the part gormoauth.KeysReadableInDatabase() if whoever reads the database may sign as the server")
}

// registerOpenID registers the provider of the part OpenID, if there is one.
func (a *assembly) registerOpenID(srv *server.Server) error {
	if a.openID == nil {
		return nil
	}
	if profile := a.config.Profile; profile != nil {
		a.openID.Algorithms = slices.DeleteFunc(a.openID.Algorithms, func(algorithm jose.SignatureAlgorithm) bool {
			return !slices.Contains(profile.SignatureAlgorithms(), algorithm)
		})
	}
	keys, keysErr := a.openIDKeys(a.openID.Algorithms)
	protector, protectorErr := resource.NewProtector(resource.Config{
		Logger: a.config.Logger, RemoteAddress: a.config.RemoteAddress, RequestID: a.config.RequestID, Clock: a.config.Clock, Profile: a.config.Profile,
	}, a.validators(a.config.Issuer)...)
	a.openID.Keys = orStandIn[server.SigningKeys](keys, struct{ server.SigningKeys }{}, keysErr)
	return errors.Join(a.checkSecrets(), keysErr, protectorErr, a.openID.Register(srv, orStandIn(protector, new(resource.Protector), protectorErr)))
}
