package gormoauth_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/uuid"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// Models with a mistake each.
type (
	uuidUser struct{ ID uuid.UUID }

	nameUser struct {
		Name string `gorm:"primaryKey"`
	}

	otherIDUser struct {
		ID    uint
		Email string
	}

	prefixedToken struct {
		ID                uint
		UserID            *uint
		models.TokenMixin `gorm:"embedded;embeddedPrefix:oauth_"`
	}

	pointerClient struct {
		ID uint
		*models.ClientMixin
	}

	userlessCode struct {
		ID uint
		models.AuthorizationCodeMixin
	}

	twoFaults struct {
		ID    uint
		Scope string
		models.TokenMixin
	}
)

func (u *uuidUser) GetUserID() string    { return u.ID.String() }
func (u *nameUser) GetUserID() string    { return u.Name }
func (u *otherIDUser) GetUserID() string { return u.Email }

// An engine that there are no statements for.
type otherEngine struct{ gorm.Dialector }

func (otherEngine) Name() string { return "sqlserver" }

func TestEveryFaultAtOnce(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	sqlserver, err := gorm.Open(otherEngine{db.Dialector}, &gorm.Config{})
	require.NoError(t, err)
	good := server.Config{Issuer: oauthtest.Issuer}
	clients, tokens, codes := gormoauth.Clients[oauthtest.Client](), gormoauth.Tokens[oauthtest.Token](), gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode]()
	users := gormoauth.Users[oauthtest.User]()
	var nobody *ratelimit.InProcess
	for rule, c := range map[string]struct {
		db     *gorm.DB
		config server.Config
		parts  []gormoauth.Part
		faults []string
	}{
		"a whole server": {db, good, []gormoauth.Part{clients, tokens, codes, users}, nil},
		"nothing at all": {nil, server.Config{}, nil, []string{
			"Config.Issuer: is missing", "Config.QueryClient is missing", "Config.SaveToken is missing"}},
		"no database": {nil, good, []gormoauth.Part{clients, tokens, codes, users}, []string{"the *gorm.DB is nil or not open; hand over what gorm.Open returned"}},
		"a database that is not open": {&gorm.DB{}, server.Config{}, []gormoauth.Part{clients, tokens, codes, users}, []string{
			"the *gorm.DB is nil or not open", "Config.Issuer: is missing"}},
		"an engine that is not supported": {sqlserver, good, []gormoauth.Part{clients, tokens, codes, users}, []string{
			`the *gorm.DB is of the engine "sqlserver", which is not supported; use one of sqlite, postgres, mysql`}},
		"each model, the condition, and the configuration": {db, server.Config{Issuer: "http://id.example", TokenPrefix: "A_B", RefreshTokenGrace: -1}, []gormoauth.Part{
			gormoauth.Clients[pointerClient](), gormoauth.Tokens[prefixedToken](), gormoauth.AuthorizationCodes[userlessCode](), gormoauth.Users[oauthtest.User](&oauthtest.User{}),
			gormoauth.Registration[pointerClient, prefixedToken](), gormoauth.FAPI2SecurityProfile[PushedRequest, Replay](), gormoauth.OpenID[oauthtest.User, oauthtest.SigningKey](),
		}, []string{
			"pointerClient embeds *models.ClientMixin; write models.ClientMixin, without the star",
			`prefixedToken has the column "client_id" of models.TokenMixin as "oauth_client_id"; remove embeddedPrefix`,
			"userlessCode has no field UserID; write UserID *uint",
			"oauthtest.User is given a condition that says nothing", `DPoPTokenValidator.BaseURL: "http://id.example" is not`,
			`Config.Issuer: "http://id.example" must be https`, "Config.TokenPrefix must be", "Config.RefreshTokenGrace must not be negative"}},
		"two faults of one model": {db, good, []gormoauth.Part{clients, users, gormoauth.Tokens[twoFaults]()}, []string{
			"declares a field Scope that hides the column", "has no field UserID"}},
		"ids of users that are none of tokens": {db, good, []gormoauth.Part{clients, tokens, codes, gormoauth.Users[uuidUser]()}, []string{
			"oauthtest.Token has a UserID of type *uint, which cannot hold the ids of gormoauth_test.uuidUser, whose ID is a uuid.UUID; write UserID *uuid.UUID",
			"oauthtest.AuthorizationCode has a UserID of type uint, which cannot hold the ids of gormoauth_test.uuidUser, whose ID is a uuid.UUID; write UserID uuid.UUID"}},
		"names that are no numbers": {db, good, []gormoauth.Part{clients, tokens, codes, gormoauth.Users[nameUser]()}, []string{
			"oauthtest.Token has a UserID of type *uint, which cannot hold the ids of gormoauth_test.nameUser, whose Name is a string",
			"oauthtest.AuthorizationCode has a UserID of type uint"}},
		"users who say another id than they are found by": {db, good, []gormoauth.Part{clients, tokens, codes, gormoauth.Users[otherIDUser]()}, []string{
			`otherIDUser returns "" from GetUserID where its primary key is "1"`}},
		"no users": {db, good, []gormoauth.Part{clients, tokens, codes}, []string{"who may still be served? Write gormoauth.Users[User]()"}},
		"no tokens": {db, good, []gormoauth.Part{clients, codes, users, gormoauth.OpenID[oauthtest.User, oauthtest.SigningKey]()}, []string{
			"OpenID needs tokens: write gormoauth.Tokens[Token]()", "Config.SaveToken is missing", "Config.RevokeGrant"}},
		"a part twice, and one that is nil": {db, good, []gormoauth.Part{clients, tokens, nil, gormoauth.Tokens[oauthtest.Token](), codes, users}, []string{
			"the part Tokens is given twice; leave one out", "a part is nil; leave it out"}},
		"what is nil behind an interface": {db, server.Config{Issuer: "x", FailedAuthentications: nobody, ClientAuthMethods: []server.ClientAuthMethod{nil}},
			[]gormoauth.Part{clients, tokens, codes, users}, []string{
				"server.Config.FailedAuthentications is a nil *ratelimit.InProcess; look at the error of its constructor",
				"a nil <nil> was given", `Config.Issuer: "x" is not an absolute URL`}},
	} {
		t.Run(rule, func(t *testing.T) {
			srv, err := gormoauth.New(c.db, c.config, c.parts...)
			if c.faults == nil {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.Nil(t, srv)
			for _, fault := range c.faults {
				assert.Equal(t, 1, strings.Count(err.Error(), fault), "%q in:\n%v", fault, err)
			}
			assert.Len(t, strings.Split(err.Error(), "\n"), len(c.faults), "and nothing else:\n%v", err)
		})
	}
}

func TestEveryFaultOfMCPAtOnce(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	_, err := gormoauth.MCP(db, gormoauth.MCPConfig{Resource: "http://mcp.example", Scopes: []string{"two words"}}, gormoauth.Clients[pointerClient](),
		gormoauth.AuthorizationCodes[userlessCode](), gormoauth.Users[oauthtest.User]())
	for _, fault := range []string{
		"pointerClient embeds *models.ClientMixin", "userlessCode has no field UserID", "MCP needs gormoauth.Clients[Client]() and gormoauth.Tokens[Token]()",
		"Config.Issuer: is missing", `Metadata.Resource: "http://mcp.example" must be https`, `Config.ScopesSupported: "two words" is not one scope`,
	} {
		assert.ErrorContains(t, err, fault)
	}
}

// The condition of users is not that of the tokens, which are asked for on the same
// handle.
func TestTheConditionOfUsersIsTheirsAlone(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	chained := db.Where("1 = 1") // a handle that GORM goes on with, where the program does
	srv, err := gormoauth.New(chained, server.Config{Issuer: oauthtest.Issuer, Logger: oauthtest.Logger(nil)}, gormoauth.Users[oauthtest.User]("disabled = ?", false),
		gormoauth.Clients[oauthtest.Client](), gormoauth.Tokens[oauthtest.Token](), gormoauth.AuthorizationCodes[oauthtest.AuthorizationCode]())
	require.NoError(t, err)
	chained.Where("nothing = ?", "that there is")
	p := oauthtest.New(t, db)
	p.Server = srv
	client := p.NewClient(oauthtest.Public)
	answer := p.Redeem(client, p.Code(client, "scope=profile"))
	assert.NotEmpty(t, answer.Body["access_token"], answer.Raw)
}

func TestAGrantThatIsNotCompleteIsRefusedWithItsExtensions(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	srv := oauthtest.New(t, db).Server
	err := srv.RegisterGrant(&grant.AuthorizationCode{}, &grant.RememberedConsent{}, &grant.RequestObjects{})
	for _, fault := range []string{"AuthorizationCode.SaveAuthorizationCode is missing", "RememberedConsent.Storage is missing", "RequestObjects.Replays is missing"} {
		assert.ErrorContains(t, err, fault)
	}
	var consents *grant.RememberedConsent
	assert.ErrorContains(t, srv.Register(consents), "a nil *grant.RememberedConsent was given")
}
