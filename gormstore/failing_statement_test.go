package gormstore_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/device"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// rows is a database with a row of each kind, and what its clients and users would know of them.
type rows struct {
	provider

	db            *gorm.DB
	sealed        gormstore.SigningKeyOptions
	sid, session  string
	device, pushd string
	service       string // a client with a secret
	result        any    // of the operation that was run last
}

func newRows(t *testing.T, db *gorm.DB) *rows {
	t.Helper()
	ctx := t.Context()
	r := &rows{provider: newProvider(t, db), db: db, sid: secret.Digest("sid"), session: secret.Digest("session"), device: secret.Digest("device"), pushd: secret.Digest("pushed")}
	r.sealed = gormstore.SigningKeyOptions{Algorithms: []jose.SignatureAlgorithm{jose.ES256}, Secrets: secret.Keyring{[]byte("0123456789abcdef0123456789abcdef")}, NoOlderInstances: true}
	require.NotEmpty(t, r.redeem(r.code("profile")).AccessToken)
	r.code("profile") // and one that nobody redeems
	service := r.NewClient(oauthtest.Grants("client_credentials"))
	require.NoError(t, db.Model(service).Update("registration_access_token", secret.Digest("registration")).Error)
	r.service = service.ClientID
	expires := r.Now.Add(time.Hour).Unix()
	own := models.Authorization{ClientID: r.client.ClientID}
	sessions, devices, pushed, consents := storesOf(db)
	_, err := sessions.JoinSession(ctx, &models.SessionMixin{SID: r.sid, SessionID: r.session, ClientID: r.client.ClientID, StartedAt: 1, ExpiresAt: expires}, r.User)
	require.NoError(t, err)
	require.NoError(t, devices.SaveDeviceCode(ctx,
		&models.DeviceCodeMixin{Authorization: own, DeviceCode: r.device, UserCode: secret.Digest("user code"), ExpiresAt: expires, IssuedAt: r.Now.Unix(), PollInterval: 5}, nil))
	require.NoError(t, pushed.SavePushedRequest(ctx, &models.PushedRequestMixin{RequestURI: r.pushd, ExpiresAt: expires}))
	require.NoError(t, db.Create(&oauthtest.Logout{LogoutMixin: models.LogoutMixin{LogoutID: "logout", ClientID: r.client.ClientID, ExpiresAt: expires}}).Error)
	require.NoError(t, db.Create(&oauthtest.SigningKey{SigningKeyMixin: models.SigningKeyMixin{KeyID: "old", Algorithm: "ES256", ExpiresAt: 1}}).Error)
	consent := filled(&models.ConsentMixin{ClientID: r.client.ClientID})
	consent.LongClientID = ""
	_, err = consents.SaveConsent(ctx, nil, consent, r.User)
	require.NoError(t, err)
	require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{AccessToken: "expired", ExpiresAt: 1}}).Error)
	return r
}

// copies returns what makes copies of rows, each in a database of its own, which takes a fraction
// of the time that making the rows does.
func (r *rows) copies(t *testing.T) func(t *testing.T) *rows {
	t.Helper()
	databases := testdb.Copies(t, r.db)
	return func(t *testing.T) *rows {
		t.Helper()
		c := *r
		c.db = databases(t)
		c.Provider = r.On(t, c.db)
		storesOf(c.db)
		return &c
	}
}

// storesOf makes the stores beside those of a server. What ends something knows them by the
// handle's pool.
func storesOf(db *gorm.DB) (*gormstore.Sessions, *gormstore.DeviceCodes, *gormstore.PushedRequests, *gormstore.Consents[oauthtest.Consent]) {
	return gormoauth.CreateSessionStorage[oauthtest.Session, oauthtest.Logout, Token, AuthorizationCode](db),
		gormoauth.CreateDeviceCodeStorage[oauthtest.DeviceCode](db),
		gormoauth.CreatePushedRequestStorage[oauthtest.PushedRequest](db),
		gormoauth.CreateConsentStorage[oauthtest.Consent, Token, AuthorizationCode](db)
}

// filled fills the fields of a record that are zero: texts with their names, and numbers with
// their places.
func filled[M any](record *M) *M {
	fill(reflect.ValueOf(record).Elem())
	return record
}

func fill(v reflect.Value) {
	for i := range v.NumField() {
		switch field, name := v.Field(i), v.Type().Field(i).Name; {
		case field.Kind() == reflect.Struct && v.Type().Field(i).Anonymous:
			fill(field)
		case !field.IsZero():
		case field.Kind() == reflect.String:
			field.SetString(strings.ToLower("the " + name))
		case field.Kind() == reflect.Int64:
			field.SetInt(int64(i + 1))
		case field.Type() == reflect.TypeFor[*string]():
			field.Set(reflect.ValueOf(new(strings.ToLower("the " + name))))
		case field.Type() == reflect.TypeFor[*int64]():
			field.Set(reflect.ValueOf(new(int64(i + 1))))
		}
	}
}

// only keeps what an operation returned, and returns its error, or another one if something comes
// with it. A count of what was done so far, as [gormstore.Erase] has it, may.
func (r *rows) only(result any, err error) error {
	r.result = result
	if err != nil && result != nil && !reflect.ValueOf(result).IsZero() {
		return fmt.Errorf("%v comes with an error", result)
	}
	return err
}

// operations is what a program and its server ask of the storage.
func (r *rows) operations() map[string]func(ctx context.Context, db *gorm.DB) error {
	client, user, later := r.client.ClientID, r.User.GetUserID(), r.Now.Add(time.Hour)
	sessions := gormoauth.CreateSessionStorage[oauthtest.Session, oauthtest.Logout, Token, AuthorizationCode]
	consents := gormoauth.CreateConsentStorage[oauthtest.Consent, Token, AuthorizationCode]
	devices := gormoauth.CreateDeviceCodeStorage[oauthtest.DeviceCode]
	pushed := gormoauth.CreatePushedRequestStorage[oauthtest.PushedRequest]
	tokens := func(db *gorm.DB) *gormstore.Tokens { return made(gormstore.NewTokens[Token](db)) }
	clients := func(db *gorm.DB) *gormstore.Clients { return made(gormstore.NewClients[Client](db)) }
	documents := func(db *gorm.DB) *gormstore.ClientDocuments { return made(gormstore.NewClientDocuments[Client](db)) }
	registration := func(db *gorm.DB) *gormstore.ClientRegistration {
		return gormoauth.CreateClientRegistrationStorage[Client, Token](db)
	}
	factory := func(db *gorm.DB) *gormstore.ClientFactory[Client] {
		return gormoauth.CreateClientFactory[Client](db, r.Server)
	}
	keys := func(db *gorm.DB) *gormstore.SigningKeys {
		return gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, r.sealed)
	}
	return map[string]func(ctx context.Context, db *gorm.DB) error{
		"query a client": func(ctx context.Context, db *gorm.DB) error {
			return r.only(gormoauth.CreateQueryClientFunc[Client](db)(ctx, client))
		},
		"query a user": func(ctx context.Context, db *gorm.DB) error {
			return r.only(gormoauth.CreateQueryUserFunc[User](db)(ctx, user))
		},
		"query a token": func(ctx context.Context, db *gorm.DB) error {
			return r.only(gormoauth.CreateQueryTokenFunc[Token](db)(ctx, storage.TokenQuery{AccessToken: "expired"}))
		},
		"query a token by its refresh token": func(ctx context.Context, db *gorm.DB) error {
			var token Token
			require.NoError(r.T, r.db.Where("refresh_token IS NOT NULL").First(&token).Error)
			return r.only(tokens(db).Query(ctx, storage.TokenQuery{RefreshToken: *token.RefreshToken, GrantID: token.GrantID}))
		},
		"query a code": func(ctx context.Context, db *gorm.DB) error {
			return r.only(gormoauth.CreateQueryAuthorizationCodeFunc[AuthorizationCode](db)(ctx, r.unredeemed().Code))
		},
		"save a token": func(ctx context.Context, db *gorm.DB) error {
			return gormoauth.CreateSaveTokenFunc[Token](db)(ctx, issueOf(filled(&models.TokenMixin{}), r.User))
		},
		"save a code": func(ctx context.Context, db *gorm.DB) error {
			return gormoauth.CreateSaveAuthorizationCodeFunc[AuthorizationCode](db)(ctx, filled(&models.AuthorizationCodeMixin{}), &server.Request{User: r.User, Server: r.Server})
		},
		"spend a code": func(ctx context.Context, db *gorm.DB) error {
			code := r.unredeemed()
			return gormoauth.CreateSaveTokenFunc[Token](db)(ctx, storage.Exchange{
				Kind: storage.ExchangeSpend, Token: filled(&models.TokenMixin{}), User: r.User, From: code, Presented: code.Code, Time: r.Now,
			})
		},
		"rotate a token": func(ctx context.Context, db *gorm.DB) error {
			return r.exchange(ctx, db, storage.Exchange{Kind: storage.ExchangeRotate})
		},
		"rotate a token, and keep its access token": func(ctx context.Context, db *gorm.DB) error {
			return r.exchange(ctx, db, storage.Exchange{Kind: storage.ExchangeRotate, Beside: true})
		},
		"keep a refresh token": func(ctx context.Context, db *gorm.DB) error {
			return r.exchange(ctx, db, storage.Exchange{Kind: storage.ExchangeKeep})
		},
		"exchange a token": func(ctx context.Context, db *gorm.DB) error {
			return r.exchange(ctx, db, storage.Exchange{Kind: storage.ExchangeDescend})
		},
		"revoke a grant": func(ctx context.Context, db *gorm.DB) error {
			return gormoauth.CreateRevokeGrantFunc[Token](db)(ctx, r.grant(), r.Now)
		},
		"revoke a client": func(ctx context.Context, db *gorm.DB) error {
			return gormoauth.CreateRevokeClientFunc[Token](db)(ctx, client, r.Now)
		},
		"revoke a client that exchanged a token": func(ctx context.Context, db *gorm.DB) error {
			r.exchanged(models.MadeByExchange)
			return gormoauth.CreateRevokeClientFunc[Token](db)(ctx, r.service, r.Now)
		},
		"revoke a client that exchanged a token in an older release": func(ctx context.Context, db *gorm.DB) error {
			r.exchanged("")
			return gormoauth.CreateRevokeClientFunc[Token](db)(ctx, r.service, r.Now)
		},
		"revoke a client's own token": func(ctx context.Context, db *gorm.DB) error {
			require.NoError(r.T, r.db.Create(&Token{TokenMixin: models.TokenMixin{AccessToken: "own", Authorization: models.Authorization{ClientID: r.service}}}).Error)
			return gormoauth.CreateRevokeClientFunc[Token](db)(ctx, r.service, r.Now)
		},
		"revoke a user": func(ctx context.Context, db *gorm.DB) error {
			return gormoauth.CreateRevokeUserFunc[Token](db)(ctx, user, r.Now)
		},
		"erase a user": func(ctx context.Context, db *gorm.DB) error {
			return second(gormoauth.CreateEraseFunc[Token, AuthorizationCode](db)(ctx, user))
		},
		"erase a user everywhere": func(ctx context.Context, db *gorm.DB) error {
			audits, err := gormstore.NewAudits[oauthtest.Audit](db, gormstore.AuditOptions{})
			require.NoError(r.T, err)
			return second(gormoauth.CreateEraseFunc[Token, AuthorizationCode](db, devices(db), consents(db), sessions(db), audits)(ctx, user))
		},
		"revoke an access token": func(ctx context.Context, db *gorm.DB) error {
			return tokens(db).RevokeToken(ctx, "expired", r.Now)
		},
		"read the audit trail": func(ctx context.Context, db *gorm.DB) error {
			audits, err := gormstore.NewAudits[oauthtest.Audit](db, gormstore.AuditOptions{})
			require.NoError(r.T, err)
			if err := tokens(db).RevokeToken(ctx, "expired", r.Now); err != nil {
				return err
			}
			return r.only(audits.Query(ctx, gormstore.AuditQuery{}))
		},
		"prune": func(ctx context.Context, db *gorm.DB) error {
			return gormoauth.CreatePruneFunc[Token, AuthorizationCode](db)(ctx, gormstore.PruneOptions{Before: time.Unix(1_000_000_000, 0)})
		},
		"digest tokens": func(ctx context.Context, db *gorm.DB) error {
			require.NoError(r.T, r.db.Create(&Token{TokenMixin: models.TokenMixin{AccessToken: "in plaintext", RefreshToken: new("and this"), IssuedAt: 1, AccessTokenRevokedAt: 5}}).Error)
			require.NoError(r.T, r.db.Model(&Token{}).Where("access_token = 'in plaintext'").Updates(map[string]any{"grant_id": nil, "form": nil}).Error)
			return r.only(gormoauth.CreateDigestPlaintextFunc[Token](db)(ctx, 10))
		},
		"digest secrets": func(ctx context.Context, db *gorm.DB) error {
			require.NoError(r.T, r.db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: "old", ClientSecret: "in plaintext"}}).Error)
			return r.only(clients(db).DigestPlaintext(ctx, 10))
		},
		"create a client": func(ctx context.Context, db *gorm.DB) error {
			created := new(Client)
			oauthtest.Grants("client_credentials")(created)
			return r.only(factory(db).Create(ctx, created))
		},
		"rotate a secret": func(ctx context.Context, db *gorm.DB) error {
			return r.only(factory(db).RotateSecret(ctx, r.service, gormstore.SecretRotation{Overlap: time.Hour, ExpiresIn: 2 * time.Hour}))
		},
		"rotate a registration token": func(ctx context.Context, db *gorm.DB) error {
			return r.only(factory(db).RotateRegistrationToken(ctx, r.service))
		},
		"set the resources of an API": func(ctx context.Context, db *gorm.DB) error {
			return factory(db).SetAPIResources(ctx, client, "https://api.example")
		},
		"update a client": func(ctx context.Context, db *gorm.DB) error {
			return r.only(factory(db).Update(ctx, client, models.ClientMetadata{ClientName: "another name", RedirectURIs: []string{oauthtest.RedirectURI}, TokenEndpointAuthMethod: "client_secret_basic"}))
		},
		"register a client": func(ctx context.Context, db *gorm.DB) error {
			return registration(db).SaveClient(ctx, filled(&models.ClientMixin{ClientID: "registered"}), nil)
		},
		"update a registration": func(ctx context.Context, db *gorm.DB) error {
			old, record := r.client.ClientMixin, r.client.ClientMixin
			record.ClientSecret, record.ClientSecretExpiresAt = "new", 2
			record.PreviousClientSecret, record.PreviousClientSecretExpiresAt = "previous", 3
			record.RegistrationAccessToken, record.ClientMetadata.ClientName = "registration", "another name"
			return r.only(registration(db).UpdateClient(ctx, &old, &record))
		},
		"store the client of a document": func(ctx context.Context, db *gorm.DB) error {
			return documents(db).SaveDocumentClient(ctx, filled(&models.ClientMixin{}))
		},
		"update the client of a document": func(ctx context.Context, db *gorm.DB) error {
			old := &models.ClientMixin{ClientID: "document", ClientSource: models.ClientByDocument}
			require.NoError(r.T, r.db.Create(&Client{ClientMixin: *old}).Error)
			return documents(db).UpdateDocumentClient(ctx, old, filled(&models.ClientMixin{ClientID: "document", ClientMetadata: models.ClientMetadata{ClientName: "another name"}}))
		},
		"find a hidden client": func(ctx context.Context, db *gorm.DB) error {
			return r.only(documents(db).HidesClient(ctx, client))
		},
		"keep a client that is unused": func(ctx context.Context, db *gorm.DB) error {
			require.NoError(r.T, r.db.Model(&Client{}).Where("client_id = ?", client).Update("unused_expires_at", 5).Error)
			return registration(db).KeepClient(ctx, client)
		},
		"delete the client of a document": func(ctx context.Context, db *gorm.DB) error {
			const url = "https://app.example/client.json"
			require.NoError(r.T, r.db.Create(&Client{ClientMixin: *filled(&models.ClientMixin{ClientID: url, ClientDeletedAt: 0, ClientMetadata: models.ClientMetadata{ClientName: "a name"}})}).Error)
			require.NoError(r.T, r.db.Model(&Client{}).Where("client_id = ?", url).Updates(map[string]any{"client_deleted_at": 0, "long_client_id": ""}).Error)
			return registration(db).DeleteClient(ctx, url, r.Now)
		},
		"make a client public": func(ctx context.Context, db *gorm.DB) error {
			return r.only(factory(db).Update(ctx, r.service, models.ClientMetadata{RedirectURIs: []string{oauthtest.RedirectURI}, TokenEndpointAuthMethod: models.None}))
		},
		"keep a client": func(ctx context.Context, db *gorm.DB) error { return registration(db).KeepClient(ctx, client) },
		"delete a client": func(ctx context.Context, db *gorm.DB) error {
			return registration(db).DeleteClient(ctx, client, r.Now)
		},
		"begin to delete a client": func(ctx context.Context, db *gorm.DB) error {
			return registration(db).BeginDeleteClient(ctx, client, r.Now)
		},
		"save a consent again": func(ctx context.Context, db *gorm.DB) error {
			old := new(oauthtest.Consent)
			require.NoError(r.T, r.db.First(old).Error)
			return r.only(consents(db).SaveConsent(ctx, &old.ConsentMixin, &models.ConsentMixin{ClientID: client, Scope: "wider", GrantedAt: 20}, r.User))
		},
		"save a consent that has changed": func(ctx context.Context, db *gorm.DB) error {
			return r.only(consents(db).SaveConsent(ctx, &models.ConsentMixin{Revision: 99}, &models.ConsentMixin{ClientID: client, Scope: "wider", GrantedAt: 20}, r.User))
		},
		"query a consent": func(ctx context.Context, db *gorm.DB) error {
			return r.only(consents(db).QueryConsent(ctx, user, client))
		},
		"save a consent": func(ctx context.Context, db *gorm.DB) error {
			return r.only(consents(db).SaveConsent(ctx, nil, filled(&models.ConsentMixin{ClientID: r.service}), r.User))
		},
		"list consents": func(ctx context.Context, db *gorm.DB) error { return r.only(consents(db).Of(ctx, user)) },
		"revoke a consent": func(ctx context.Context, db *gorm.DB) error {
			return consents(db).Revoke(ctx, user, client, r.Now)
		},
		"join a session": func(ctx context.Context, db *gorm.DB) error {
			return r.only(sessions(db).JoinSession(ctx, filled(&models.SessionMixin{ClientID: client, ExpiresAt: later.Unix()}), r.User))
		},
		"join a session again": func(ctx context.Context, db *gorm.DB) error {
			return r.only(sessions(db).JoinSession(ctx, &models.SessionMixin{SID: r.sid, SessionID: r.session, ClientID: client, StartedAt: 2, ExpiresAt: later.Unix()}, r.User))
		},
		"join a session that has ended": func(ctx context.Context, db *gorm.DB) error {
			if err := second(sessions(db).EndSession(ctx, oidc.SessionEnd{SessionID: r.session, Time: r.Now, LogoutExpiresAt: later, Revokes: func(string) bool { return false }})); err != nil {
				return err
			}
			return r.only(sessions(db).JoinSession(ctx, &models.SessionMixin{SID: "sid", SessionID: r.session, ClientID: r.service, StartedAt: 7}, r.User))
		},
		"keep a session": func(ctx context.Context, db *gorm.DB) error {
			return sessions(db).KeepSession(ctx, r.sid, later.Add(time.Hour))
		},
		"end a session": func(ctx context.Context, db *gorm.DB) error {
			return r.only(sessions(db).EndSession(ctx, oidc.SessionEnd{SessionID: r.session, Time: r.Now, LogoutExpiresAt: later, Revokes: func(string) bool { return true }}))
		},
		"find due logouts": func(ctx context.Context, db *gorm.DB) error { return r.only(sessions(db).DueLogouts(ctx, r.Now, 10)) },
		"end a session, and the grant that began in it": func(ctx context.Context, db *gorm.DB) error {
			require.NoError(r.T, r.db.Model(&Token{}).Where("grant_id = ?", r.grant()).Update("session_id", r.sid).Error)
			return r.only(sessions(db).EndSession(ctx, oidc.SessionEnd{UserID: user, Time: r.Now, Revokes: func(string) bool { return true }}))
		},
		"find due logouts except a client's": func(ctx context.Context, db *gorm.DB) error {
			return r.only(sessions(db).DueLogoutsExcept(ctx, r.Now, 10, []string{"other"}))
		},
		"claim a logout": func(ctx context.Context, db *gorm.DB) error {
			return r.only(sessions(db).ClaimLogout(ctx, &models.LogoutMixin{LogoutID: "logout"}, later))
		},
		"delete a logout": func(ctx context.Context, db *gorm.DB) error { return sessions(db).DeleteLogout(ctx, "logout") },
		"save a device code": func(ctx context.Context, db *gorm.DB) error {
			return devices(db).SaveDeviceCode(ctx, filled(&models.DeviceCodeMixin{}), nil)
		},
		"query a device code": func(ctx context.Context, db *gorm.DB) error {
			return r.only(devices(db).QueryDeviceCode(ctx, device.Query{DeviceCode: r.device}))
		},
		"poll a device code": func(ctx context.Context, db *gorm.DB) error {
			return r.only(devices(db).PollDeviceCode(ctx, r.device, r.Now, 5*time.Second))
		},
		"poll a device code too soon": func(ctx context.Context, db *gorm.DB) error {
			require.NoError(r.T, r.db.Model(&oauthtest.DeviceCode{}).Where("1 = 1").Update("last_polled_at", r.Now.Unix()-1).Error)
			return r.only(devices(db).PollDeviceCode(ctx, r.device, r.Now, 5*time.Second))
		},
		"decide on a device code that was decided on": func(ctx context.Context, db *gorm.DB) error {
			require.NoError(r.T, r.db.Model(&oauthtest.DeviceCode{}).Where("1 = 1").Update("denied_at", 1).Error)
			return r.only(devices(db).DecideDeviceCode(ctx, secret.Digest("user code"), device.Decision{User: r.User, Approved: true, Time: r.Now}))
		},
		"decide on a device code": func(ctx context.Context, db *gorm.DB) error {
			return r.only(devices(db).DecideDeviceCode(ctx, secret.Digest("user code"), device.Decision{
				User: r.User, Approved: true, Time: r.Now, UserGeneration: 3, Authentication: server.Authentication{Time: r.Now.Unix(), ACR: "acr", AMR: []string{"pwd", "otp"}},
			}))
		},
		"refuse a device code": func(ctx context.Context, db *gorm.DB) error {
			return r.only(devices(db).DecideDeviceCode(ctx, secret.Digest("user code"), device.Decision{User: r.User, Time: r.Now}))
		},
		"push a request": func(ctx context.Context, db *gorm.DB) error {
			return pushed(db).SavePushedRequest(ctx, filled(&models.PushedRequestMixin{}))
		},
		"query a pushed request": func(ctx context.Context, db *gorm.DB) error {
			return r.only(pushed(db).QueryPushedRequest(ctx, r.pushd))
		},
		"use a pushed request": func(ctx context.Context, db *gorm.DB) error {
			return r.only(pushed(db).UsePushedRequest(ctx, r.pushd, r.Now))
		},
		"use a pushed request again": func(ctx context.Context, db *gorm.DB) error {
			require.NoError(r.T, r.db.Model(&oauthtest.PushedRequest{}).Where("1 = 1").Update("used_at", 1).Error)
			return r.only(pushed(db).UsePushedRequest(ctx, r.pushd, r.Now))
		},
		"use something twice": func(ctx context.Context, db *gorm.DB) error {
			replays := gormoauth.CreateReplayStorage[oauthtest.Replay](db)
			if err := second(replays.FirstUse(ctx, "key", later)); err != nil {
				return err
			}
			return r.only(replays.FirstUse(ctx, "key", later))
		},
		"use something once": func(ctx context.Context, db *gorm.DB) error {
			return r.only(gormoauth.CreateReplayStorage[oauthtest.Replay](db).FirstUse(ctx, "key", later))
		},
		"maintain keys": func(ctx context.Context, db *gorm.DB) error { return keys(db).MaintainOnce(ctx, r.Now) },
		"sign": func(ctx context.Context, db *gorm.DB) error {
			return r.only(keys(db).SigningKey(ctx, jose.ES256, r.Now))
		},
		"rotate a key":       func(ctx context.Context, db *gorm.DB) error { return keys(db).Rotate(ctx, jose.ES256, r.Now, true) },
		"publish known keys": func(ctx context.Context, db *gorm.DB) error { return r.only(keys(db).PublicKeys(ctx, r.Now)) },
		"decrypt":            func(ctx context.Context, db *gorm.DB) error { return r.only(keys(db).DecryptionKeys(ctx, r.Now)) },
		"publish keys":       func(ctx context.Context, db *gorm.DB) error { return r.only(keys(db).FreshPublicKeys(ctx, r.Now)) },
		"find the salt":      func(ctx context.Context, db *gorm.DB) error { return r.only(keys(db).PairwiseSalt(ctx, r.Now)) },
	}
}

func made[S any](store S, err error) S {
	if err != nil {
		panic(err)
	}
	return store
}

// grant is the grant of the token that can be refreshed.
func (r *rows) grant() string {
	var token Token
	require.NoError(r.T, r.db.Where("refresh_token IS NOT NULL").First(&token).Error)
	return token.GrantID
}

// exchanged adds a token that a client got in another one's grant, one that another got for that,
// and one that it got by a grant of its own.
func (r *rows) exchanged(origin string) {
	for _, token := range []models.TokenMixin{
		{AccessToken: "exchanged", TokenID: "t1", Authorization: models.Authorization{ClientID: r.service, GrantID: r.grant()}, Origin: origin},
		{AccessToken: "descended", TokenID: "t2", ExchangedFrom: "t1", Authorization: models.Authorization{ClientID: "another", GrantID: r.grant()}, Origin: origin},
		{AccessToken: "own", TokenID: "t3", Authorization: models.Authorization{ClientID: r.service, GrantID: "own"}, Origin: models.MadeByGrant},
		{AccessToken: "theirs", ExchangedFrom: "t3", Authorization: models.Authorization{ClientID: "another", GrantID: "own"}, Origin: models.MadeByExchange},
	} {
		require.NoError(r.T, r.db.Create(&Token{TokenMixin: token}).Error)
	}
}

func (r *rows) unredeemed() *AuthorizationCode {
	code := new(AuthorizationCode)
	require.NoError(r.T, r.db.Where("redeemed_at = 0").First(code).Error)
	return code
}

// exchange exchanges the token that can be refreshed.
func (r *rows) exchange(ctx context.Context, db *gorm.DB, e storage.Exchange) error {
	var token Token
	require.NoError(r.T, r.db.Where("refresh_token IS NOT NULL").First(&token).Error)
	e.Token, e.User, e.From, e.Time = filled(&models.TokenMixin{Authorization: token.Authorization}), r.User, &token, r.Now
	if e.Kind != storage.ExchangeDescend {
		e.Presented = *token.RefreshToken
	}
	return gormoauth.CreateSaveTokenFunc[Token](db)(ctx, e)
}

// Whatever statement fails, whoever asked is told, and not that it is done.
func TestNoFailureOfAStatementIsLost(t *testing.T) {
	broken := errors.New("this statement fails")
	original := newRows(t, testdb.Open(t, testdb.SQLiteGo, allModels...))
	copied := original.copies(t)
	for name := range original.operations() {
		t.Run(name, func(t *testing.T) {
			for number := 0; ; number++ {
				r := copied(t)
				var failed string
				plan := &faults.Plan{Next: func(c faults.Call) faults.Fault {
					if c.Number != number {
						return faults.Fault{}
					}
					failed = c.SQL
					return faults.Fault{Err: broken}
				}}
				err := r.operations()[name](underway.Shorten(t.Context(), 0), made(gormstore.WithAudit[Audit](faults.DB(r.db, plan))))
				if plan.Injected() == 0 {
					require.NoError(t, err)
					assert.Positive(t, number, "it asks the database for something")
					return
				}
				require.ErrorIs(t, err, broken, "statement %d: %s", number, failed)
			}
		})
	}
}
