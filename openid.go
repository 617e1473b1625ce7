package gormoauth

import (
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/resource"
)

// UserWithClaims is a pointer to the program's user model, whose GetClaims method says what
// clients may learn about a user.
type UserWithClaims[M any] interface {
	*M
	oidc.User
}

// OpenID makes the server an OpenID Provider, with ID tokens signed by RS256 and ES256, UserInfo,
// discovery, and its keys in the model K. The model U supplies the claims about a user with its
// method GetClaims. OpenID needs the part [Tokens], and either Config.Secrets, which encrypt the
// keys in the database, or [KeysReadableInDatabase]. The functions in change modify the
// provider's settings, such as ScopeClaimsInIDToken. For sessions and logout, or for other flows,
// register an [oidc.Provider] afterwards instead.
func OpenID[U, K any, PU UserWithClaims[U], PK gormstore.SigningKeyModel[K]](change ...func(*oidc.Provider)) Part {
	return func(a *assembly) error {
		a.begin("OpenID")
		a.need("OpenID", "Tokens")
		a.openID = &oidc.Provider{Algorithms: []jose.SignatureAlgorithm{jose.RS256, jose.ES256}}
		for _, f := range change {
			f(a.openID)
		}
		a.openIDKeys = func(algorithms []jose.SignatureAlgorithm) (jwk.SigningKeys, error) {
			return gormstore.NewSigningKeys[K, PK](a.db, gormstore.SigningKeyOptions{
				Algorithms: algorithms, Secrets: a.config.Secrets, NoOlderInstances: a.config.NoOlderInstances,
			})
		}
		return nil
	}
}

// KeysReadableInDatabase lets the part [OpenID] work without Config.Secrets. Anybody who can read
// the database, or a copy of it, can then sign as the server. With Config.Secrets it has no
// effect.
func KeysReadableInDatabase() Part {
	return func(a *assembly) error {
		a.begin(keysReadable)
		return nil
	}
}

const keysReadable = "KeysReadableInDatabase"

// checkSecrets refuses to store private keys unencrypted, unless the program says so.
func (a *assembly) checkSecrets() error {
	if len(a.config.Secrets) > 0 || a.given[keysReadable] {
		return nil
	}
	return errors.New("gormoauth: OpenID stores its signing keys in the database: set Config.Secrets, such as Secrets: [][]byte{secret} with 32 random bytes that are stored apart from the database " +
		"(use the output of 'openssl rand 32'), so that the keys are encrypted there; or add the part gormoauth.KeysReadableInDatabase() if everybody who can read the database may sign as the server")
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
	protector, protectorErr := resource.NewProtector(resource.Config{Clock: a.config.Clock, Profile: a.config.Profile}, a.validators(a.config.Issuer)...)
	a.openID.Keys = orStandIn[jwk.SigningKeys](keys, struct{ jwk.SigningKeys }{}, keysErr)
	return errors.Join(a.checkSecrets(), keysErr, protectorErr, a.openID.Register(srv, orStandIn(protector, new(resource.Protector), protectorErr)))
}
