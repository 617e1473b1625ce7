package gormoauth

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/dpop"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/storage"
)

// must is for constructors whose signature has no error: a fault of a model occurs at every
// start.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// CreateQueryClientFunc returns a function that looks up clients in the model M. The options
// describe what an older program left in its table. It panics if M cannot store clients.
func CreateQueryClientFunc[M any, P gormstore.ClientModel[M]](db *gorm.DB, options ...gormstore.ClientOptions) storage.QueryClientFunc {
	return must(gormstore.NewClients[M, P](db, options...)).Query
}

// CreateMetadataDocuments returns the support for clients whose id is the URL of their metadata
// document, which the fetcher gets, with rows in the model M. Register it with
// [server.Server.Register]. It panics if M cannot store clients.
func CreateMetadataDocuments[M any, P gormstore.ClientModel[M]](db *gorm.DB, fetcher *fetch.Fetcher) *clientauth.MetadataDocuments {
	return &clientauth.MetadataDocuments{Storage: must(gormstore.NewClientDocuments[M, P](db)), Fetcher: fetcher}
}

// CreateClientFactory returns a factory that stores clients of the server in the model M and
// returns each secret once. It panics if M cannot store clients, or if srv is nil.
func CreateClientFactory[M any, P gormstore.ClientModel[M]](db *gorm.DB, srv *server.Server) *gormstore.ClientFactory[M] {
	return must(gormstore.NewClientFactory[M, P](db, srv))
}

// CreateQueryUserFunc returns a function that looks up users by the primary key of the model M.
// Pass a handle with a condition, such as db.Where("disabled = ?", false), to exclude users who
// may not be served. It panics if M does not have exactly one primary key.
func CreateQueryUserFunc[M any, P gormstore.UserModel[M]](db *gorm.DB) storage.QueryUserFunc {
	return must(gormstore.NewUsers[M, P](db)).Query
}

// CreateSaveTokenFunc returns a function that stores tokens in the model M, and in the same
// atomic step redeems the code or rotates the refresh token that they were exchanged for. It
// panics if M cannot store tokens.
func CreateSaveTokenFunc[M any, P gormstore.TokenModel[M]](db *gorm.DB) storage.SaveTokenFunc {
	return must(gormstore.NewTokens[M, P](db)).Save
}

// CreateQueryTokenFunc returns a function that looks up tokens in the model M. It panics if M
// cannot store tokens.
func CreateQueryTokenFunc[M any, P gormstore.TokenModel[M]](db *gorm.DB) storage.QueryTokenFunc {
	return must(gormstore.NewTokens[M, P](db)).Query
}

// CreateRevokeTokenFunc returns a function that revokes one access token in the model M. It
// panics if M cannot store tokens.
func CreateRevokeTokenFunc[M any, P gormstore.TokenModel[M]](db *gorm.DB) endpoint.RevokeTokenFunc {
	return must(gormstore.NewTokens[M, P](db)).RevokeToken
}

// CreateRevokeGrantFunc returns a function that revokes all tokens of a grant in the model M. It
// panics if M cannot store tokens.
func CreateRevokeGrantFunc[M any, P gormstore.TokenModel[M]](db *gorm.DB) storage.RevokeGrantFunc {
	return must(gormstore.NewTokens[M, P](db)).RevokeGrant
}

// CreateRevokeClientFunc returns a function that ends all grants of a client, in the model M of
// tokens and among codes and device authorizations, for example when the client's secret has
// leaked; see [gormstore.Tokens.RevokeClient]. It panics if M cannot store tokens.
func CreateRevokeClientFunc[M any, P gormstore.TokenModel[M]](db *gorm.DB, more ...gormstore.Erasable) func(ctx context.Context, clientID string, now time.Time) error {
	tokens := must(gormstore.NewTokens[M, P](db))
	return func(ctx context.Context, clientID string, now time.Time) error {
		return tokens.RevokeClient(ctx, clientID, now, more...)
	}
}

// CreateRevokeUserFunc returns a function that ends all grants of a user, for example one who is
// disabled, as the function of [CreateRevokeClientFunc] does for a client. It panics if M cannot
// store tokens.
func CreateRevokeUserFunc[M any, P gormstore.TokenModel[M]](db *gorm.DB, more ...gormstore.Erasable) func(ctx context.Context, userID string, now time.Time) error {
	tokens := must(gormstore.NewTokens[M, P](db))
	return func(ctx context.Context, userID string, now time.Time) error {
		return tokens.RevokeUser(ctx, userID, now, more...)
	}
}

// CreateSaveAuthorizationCodeFunc returns a function that stores codes in the model M. It panics
// if M cannot store codes.
func CreateSaveAuthorizationCodeFunc[M any, P gormstore.AuthorizationCodeModel[M]](db *gorm.DB) grant.SaveAuthorizationCodeFunc {
	return must(gormstore.NewAuthorizationCodes[M, P](db)).Save
}

// CreateQueryAuthorizationCodeFunc returns a function that looks up codes in the model M. The
// function of [CreateSaveTokenFunc] redeems them. It panics if M cannot store codes.
func CreateQueryAuthorizationCodeFunc[M any, P gormstore.AuthorizationCodeModel[M]](db *gorm.DB) grant.QueryAuthorizationCodeFunc {
	return must(gormstore.NewAuthorizationCodes[M, P](db)).Query
}

// CreateAuthorizationCodeGrant returns the authorization code grant with codes in the model M. It
// panics if M cannot store codes.
func CreateAuthorizationCodeGrant[M any, P gormstore.AuthorizationCodeModel[M]](db *gorm.DB) *grant.AuthorizationCode {
	codes := must(gormstore.NewAuthorizationCodes[M, P](db))
	return &grant.AuthorizationCode{SaveAuthorizationCode: codes.Save, QueryAuthorizationCode: codes.Query}
}

// CreateRefreshTokenGrant returns the refresh token grant with tokens in the model M. It panics
// if M cannot store tokens.
func CreateRefreshTokenGrant[M any, P gormstore.TokenModel[M]](db *gorm.DB) *grant.RefreshToken {
	return &grant.RefreshToken{QueryToken: must(gormstore.NewTokens[M, P](db)).Query}
}

// CreateTokenExchangeGrant returns the token exchange grant (RFC 8693) with tokens in the model
// M. Set its Policy. It panics if M cannot store tokens.
func CreateTokenExchangeGrant[M any, P gormstore.TokenModel[M]](db *gorm.DB) *grant.TokenExchange {
	return &grant.TokenExchange{QueryToken: must(gormstore.NewTokens[M, P](db)).Query}
}

// CreateRegistrationEndpoint returns the client registration endpoint (RFC 7591, RFC 7592) with
// clients in the model C, whose tokens are in the model T. Set who may register:
// CheckInitialAccessToken or Open. It panics if the models cannot store them.
func CreateRegistrationEndpoint[C, T any, PC gormstore.ClientModel[C], PT gormstore.TokenModel[T]](db *gorm.DB) *endpoint.Registration {
	return &endpoint.Registration{Storage: CreateClientRegistrationStorage[C, T, PC, PT](db)}
}

// CreateClientRegistrationStorage returns the storage of clients that register themselves, for
// [CreatePruneFunc], which removes those that are never used. It panics if the models cannot
// store them.
func CreateClientRegistrationStorage[C, T any, PC gormstore.ClientModel[C], PT gormstore.TokenModel[T]](db *gorm.DB, more ...gormstore.Erasable) *gormstore.ClientRegistration {
	return must(gormstore.NewClientRegistration[C, T, PC, PT](db, more...))
}

// CreatePushedAuthorizationRequestEndpoint returns the pushed authorization request endpoint (RFC
// 9126) with requests in the model M. It panics if M cannot store them.
func CreatePushedAuthorizationRequestEndpoint[M any, P gormstore.PushedRequestModel[M]](db *gorm.DB) *endpoint.PushedAuthorizationRequest {
	return &endpoint.PushedAuthorizationRequest{Storage: CreatePushedRequestStorage[M, P](db)}
}

// CreatePushedRequestStorage returns the storage of pushed authorization requests in the model M,
// for [CreatePruneFunc]. It panics if M cannot store them.
func CreatePushedRequestStorage[M any, P gormstore.PushedRequestModel[M]](db *gorm.DB) *gormstore.PushedRequests {
	return must(gormstore.NewPushedRequests[M, P](db))
}

// CreateSigningKeys returns the key pairs that the server signs with, stored in the model M; see
// [gormstore.SigningKeys]. It panics if M cannot store them, or if the options are invalid.
func CreateSigningKeys[M any, P gormstore.SigningKeyModel[M]](db *gorm.DB, options gormstore.SigningKeyOptions) *gormstore.SigningKeys {
	return must(gormstore.NewSigningKeys[M, P](db, options))
}

// CreateConsentStorage returns the storage of users' consents in the model M, for
// [grant.RememberedConsent]. Revoking a consent ends everything issued under it, in the models T
// of tokens and C of codes. It panics if the models cannot store them.
func CreateConsentStorage[M, T, C any, P gormstore.ConsentModel[M], PT gormstore.TokenModel[T], PC gormstore.AuthorizationCodeModel[C]](db *gorm.DB, more ...gormstore.Erasable) *gormstore.Consents[M] {
	return must(gormstore.NewConsents[M, T, C, P, PT, PC](db, more...))
}

// CreateSessionStorage returns the storage for [oidc.Provider] of sessions at clients, in the
// model S, and of logouts that clients have not been notified of yet, in the model L. Tokens and
// codes that end with a session are in the models T and C. It panics if the models cannot store
// them.
func CreateSessionStorage[S, L, T, C any, PS gormstore.SessionModel[S], PL gormstore.LogoutModel[L], PT gormstore.TokenModel[T], PC gormstore.AuthorizationCodeModel[C]](db *gorm.DB) *gormstore.Sessions {
	return must(gormstore.NewSessions[S, L, T, C, PS, PL, PT, PC](db))
}

// CreateReplayStorage returns the storage of what may be presented only once, such as client
// assertions, in the model M. It panics if M cannot store it.
func CreateReplayStorage[M any, P gormstore.ReplayModel[M]](db *gorm.DB) *gormstore.Replays {
	return must(gormstore.NewReplays[M, P](db))
}

// WithAudit returns a handle whose stores keep an audit trail in the model M: who granted,
// refreshed, revoked and registered what. Each entry is written in the same transaction as the
// change it records. Pass the handle to [New] and to all constructors; see [gormstore.WithAudit].
//
//	db, err := gormoauth.WithAudit[Audit](db)
func WithAudit[M any, P gormstore.AuditModel[M]](db *gorm.DB) (*gorm.DB, error) {
	return gormstore.WithAudit[M, P](db)
}

// CreateAuditStorage returns the audit trail in the model M: for a page that shows it, for
// [CreatePruneFunc] if the options say how long it is kept, and for [CreateEraseFunc], which
// removes a user's identity from it. It panics if M cannot store it, or if the options are
// invalid.
func CreateAuditStorage[M any, P gormstore.AuditModel[M]](db *gorm.DB, options gormstore.AuditOptions) *gormstore.Audits[M] {
	return must(gormstore.NewAudits[M, P](db, options))
}

// CreateDeviceAuthorizationEndpoint returns the device authorization endpoint (RFC 8628) with
// codes in the model M. It panics if M cannot store them.
func CreateDeviceAuthorizationEndpoint[M any, P gormstore.DeviceCodeModel[M]](db *gorm.DB) *endpoint.DeviceAuthorization {
	return &endpoint.DeviceAuthorization{Storage: CreateDeviceCodeStorage[M, P](db)}
}

// CreateDeviceCodeGrant returns the device authorization grant (RFC 8628) with codes in the model
// M. It panics if M cannot store them.
func CreateDeviceCodeGrant[M any, P gormstore.DeviceCodeModel[M]](db *gorm.DB) *grant.DeviceCode {
	return &grant.DeviceCode{Storage: CreateDeviceCodeStorage[M, P](db)}
}

// CreateDeviceCodeStorage returns the storage of device authorizations (RFC 8628) in the model M,
// for [CreatePruneFunc]. It panics if M cannot store them.
func CreateDeviceCodeStorage[M any, P gormstore.DeviceCodeModel[M]](db *gorm.DB) *gormstore.DeviceCodes {
	return must(gormstore.NewDeviceCodes[M, P](db))
}

// CreateRevocationEndpoint returns the revocation endpoint (RFC 7009) for tokens in the model M.
// It panics if M cannot store tokens.
func CreateRevocationEndpoint[M any, P gormstore.TokenModel[M]](db *gorm.DB) *endpoint.Revocation {
	return revocationEndpoint(must(gormstore.NewTokens[M, P](db)))
}

func revocationEndpoint(tokens *gormstore.Tokens) *endpoint.Revocation {
	return &endpoint.Revocation{QueryToken: tokens.Query, RevokeToken: tokens.RevokeToken, RevokeGrant: tokens.RevokeGrant}
}

// CreateIntrospectionEndpoint returns the introspection endpoint (RFC 7662) for tokens in the
// model M. It panics if M cannot store tokens.
func CreateIntrospectionEndpoint[M any, P gormstore.TokenModel[M]](db *gorm.DB) *endpoint.Introspection {
	return &endpoint.Introspection{QueryToken: must(gormstore.NewTokens[M, P](db)).Query}
}

// CreateBearerTokenValidator returns a validator of bearer tokens (RFC 6750) in the model M. It
// panics if M cannot store tokens.
func CreateBearerTokenValidator[M any, P gormstore.TokenModel[M]](db *gorm.DB) *resource.BearerTokenValidator {
	return &resource.BearerTokenValidator{QueryToken: must(gormstore.NewTokens[M, P](db)).Query}
}

// CreateDPoP returns the extension that binds tokens to a key of the client (RFC 9449). It
// remembers used proofs in the model M, and panics if M cannot store them.
func CreateDPoP[M any, P gormstore.ReplayModel[M]](db *gorm.DB) *grant.DPoP {
	return &grant.DPoP{Proofs: dpop.Proofs{Replays: CreateReplayStorage[M, P](db)}}
}

// CreateDPoPTokenValidator returns a validator of tokens that are bound to a key of the client
// (RFC 9449), for an API that clients reach at baseURL. It looks up the tokens with another
// validator and remembers used proofs in the model M. It panics if M cannot store them.
func CreateDPoPTokenValidator[M any, P gormstore.ReplayModel[M]](db *gorm.DB, baseURL string, tokens resource.TokenValidator) *resource.DPoPTokenValidator {
	return &resource.DPoPTokenValidator{Tokens: tokens, BaseURL: baseURL, Proofs: dpop.Proofs{Replays: CreateReplayStorage[M, P](db)}}
}

// SchemaSQL returns the statements that create the tables of the models in an empty database, as
// [AutoMigrate] does, for golang-migrate, goose or atlas; see [gormstore.SchemaSQL]. The dialect
// is that of a handle, such as postgres.Open(dsn). No PostgreSQL server is contacted; mysql.New
// needs SkipInitializeWithVersion.
func SchemaSQL(dialect gorm.Dialector, models ...any) (string, error) {
	db, err := gorm.Open(dialect, &gorm.Config{DisableAutomaticPing: true})
	if err != nil {
		return "", err
	}
	if pool, err := db.DB(); err == nil {
		defer func() { _ = pool.Close() }()
	}
	return gormstore.SchemaSQL(db, models...)
}

// AutoMigrate adds the tables, columns and indexes that the models have and the database lacks.
// It alters and drops nothing, locks no table for long, and can run on any number of instances at
// once; see [gormstore.AutoMigrate].
func AutoMigrate(db *gorm.DB, models ...any) error { return gormstore.AutoMigrate(db, models...) }

// CreateDigestPlaintextFunc returns a function that converts rows of the model M that an older
// program stored in plaintext, at most limit of them per call. Call it until it returns 0; see
// [gormstore.Tokens.DigestPlaintext]. It panics if M cannot store tokens.
func CreateDigestPlaintextFunc[M any, P gormstore.TokenModel[M]](db *gorm.DB) func(ctx context.Context, limit int) (rows int, err error) {
	return must(gormstore.NewTokens[M, P](db)).DigestPlaintext
}

// CreatePruneFunc returns a function that removes expired tokens of the model T, expired codes of
// the model C, and what has expired in more stores, such as that of [CreateDeviceCodeStorage];
// see [gormstore.Prune]. It panics if the models cannot store them.
func CreatePruneFunc[T, C any, PT gormstore.TokenModel[T], PC gormstore.AuthorizationCodeModel[C]](db *gorm.DB, more ...gormstore.Prunable) func(ctx context.Context, options gormstore.PruneOptions) error {
	tokens, codes := must(gormstore.NewTokens[T, PT](db)), must(gormstore.NewAuthorizationCodes[C, PC](db))
	return func(ctx context.Context, options gormstore.PruneOptions) error {
		return gormstore.Prune(ctx, tokens, codes, options, more...)
	}
}

// CreateEraseFunc returns a function that removes everything stored about one user in the models
// T of tokens and C of codes, and in more stores, such as those of [CreateDeviceCodeStorage],
// [CreateConsentStorage] and [CreateSessionStorage]; see [gormstore.Erase]. Disable the user
// first. It panics if the models cannot store them.
func CreateEraseFunc[T, C any, PT gormstore.TokenModel[T], PC gormstore.AuthorizationCodeModel[C]](db *gorm.DB, more ...gormstore.Erasable) func(ctx context.Context, userID string) (removed int64, err error) {
	tokens, codes := must(gormstore.NewTokens[T, PT](db)), must(gormstore.NewAuthorizationCodes[C, PC](db))
	return func(ctx context.Context, userID string) (int64, error) {
		return gormstore.Erase(ctx, userID, tokens, codes, more...)
	}
}
