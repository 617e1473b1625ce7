package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/alexedwards/scs/v2"
	"github.com/go-jose/go-jose/v4"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/fapi"
	"github.com/gormoauth/gormoauth/server/forwarded"
	"github.com/gormoauth/gormoauth/server/logging"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/resource"
)

// app holds what the handlers share.
type app struct {
	cfg           *config
	db            *gorm.DB
	log           *slog.Logger
	pages         *pages
	sessions      *scs.SessionManager
	users         *gormstore.Users
	tokens        *gormstore.Tokens
	clients       *gormstore.ClientFactory[Client]
	registrations *gormstore.ClientRegistration
	deletions     deletions
	audits        *gormstore.Audits[Audit]
	passwords     *passwords
	keys          *gormstore.SigningKeys
	consents      *gormstore.Consents[Consent]
	openid        *oidc.Provider
	devices       *endpoint.DeviceAuthorization
	oauth         *server.Server
	api           *resource.Protector
}

func newApp(cfg *config, db *gorm.DB, log *slog.Logger) (*app, error) {
	log = slog.New(logging.Handler(log.Handler())) // adds the id of the request to each line
	a := &app{cfg: cfg, db: db, log: log, deletions: newDeletions()}
	a.sessions = newSessions(a)
	var faults [8]error
	a.pages, faults[0] = newPages(log)
	a.users, faults[1] = gormstore.NewUsers[User](db.Where(enabled, false))
	a.tokens, faults[2] = gormstore.NewTokens[Token](db)
	a.passwords, faults[3] = newPasswords(db)
	a.keys, faults[4] = gormstore.NewSigningKeys[SigningKey](db, gormstore.SigningKeyOptions{
		Algorithms: cfg.signingAlgorithms(), EncryptionAlgorithms: []jose.KeyAlgorithm{jose.ECDH_ES_A256KW},
		Secrets: cfg.secrets, NoOlderInstances: cfg.noOlderInstances, PairwiseSalt: cfg.pairwiseSalt(),
	})
	a.consents, faults[5] = gormstore.NewConsents[Consent, Token, AuthorizationCode](db)
	a.registrations, faults[6] = gormstore.NewClientRegistration[Client, Token](db)
	a.audits, faults[7] = gormstore.NewAudits[Audit](db, gormstore.AuditOptions{})
	if err := errors.Join(faults[:]...); err != nil {
		return nil, err
	}
	a.devices = gormoauth.CreateDeviceAuthorizationEndpoint[DeviceCode](db)
	var err error
	if a.api, err = newProtector(a); err != nil {
		return nil, err
	}
	if a.oauth, err = newServer(a); err != nil {
		return nil, err
	}
	a.clients, err = gormstore.NewClientFactory[Client](db, a.oauth)
	return a, err
}

// remoteAddress returns the function that determines where a request comes from. Behind a
// proxy, only the proxy knows. nil means the other end of the connection.
func (c *config) remoteAddress() func(r *http.Request) string {
	if len(c.proxies) == 0 {
		return nil
	}
	return forwarded.Address("X-Forwarded-For", c.proxies...)
}

// profile returns the security profile of the server, its API and its connections, or nil
// if there is none.
func (c *config) profile() server.Profile {
	if c.fapi {
		return fapi.SecurityProfile{}
	}
	return nil
}

// signingAlgorithms returns the algorithms that the server has keys for, and that clients
// may choose from.
func (c *config) signingAlgorithms() []jose.SignatureAlgorithm {
	if profile := c.profile(); profile != nil {
		return profile.SignatureAlgorithms()
	}
	return []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}
}

// enabled is the condition for users who may be served; its argument is false.
const enabled = "disabled = ?"

// fail answers a request that failed because of an internal error, which goes only to the
// log.
func (a *app) fail(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, context.Canceled) {
		a.log.ErrorContext(r.Context(), "a request failed with an internal error", slog.String("path", r.URL.Path), slog.String("cause", err.Error()),
			slog.String("remote_address", a.oauth.RemoteAddress(r)))
	}
	a.errorPage(w, http.StatusInternalServerError)
}
