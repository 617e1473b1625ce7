package main

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"time"

	"golang.org/x/crypto/bcrypt"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
)

type demoUser struct {
	Username, Password, Name, Email string
	Personal                        personal
}

var demoUsers = []demoUser{
	{"alice", "wonderland", "Alice Liddell", "alice@example.com", personal{
		GivenName: "Alice", FamilyName: "Liddell", MiddleName: "Pleasance", Nickname: "Ali",
		Profile: "https://alice.example/about", Picture: "https://alice.example/picture.png", Website: "https://alice.example/",
		Gender: "female", Birthdate: "1992-05-04", ZoneInfo: "Europe/London", Locale: "en-GB", PhoneNumber: "+441632960100",
		Address: map[string]string{
			"formatted": "1 Looking-Glass Lane\nOxford\nOxfordshire\nOX1 0AA\nUnited Kingdom", "street_address": "1 Looking-Glass Lane",
			"locality": "Oxford", "region": "Oxfordshire", "postal_code": "OX1 0AA", "country": "United Kingdom",
		},
		UpdatedAt: 1_767_225_600,
	}},
	{"bob", "builder", "Bob Baumeister", "bob@example.com", personal{
		GivenName: "Bob", FamilyName: "Baumeister", MiddleName: "Emil", Nickname: "Bobby",
		Profile: "https://bob.example/about", Picture: "https://bob.example/picture.png", Website: "https://bob.example/",
		Gender: "male", Birthdate: "1999-04-12", ZoneInfo: "Europe/Berlin", Locale: "de-DE", PhoneNumber: "+493023125100",
		Address: map[string]string{
			"formatted": "Bauplatz 1\n10115 Berlin\nDeutschland", "street_address": "Bauplatz 1",
			"locality": "Berlin", "region": "Berlin", "postal_code": "10115", "country": "Deutschland",
		},
		UpdatedAt: 1_767_225_600,
	}},
}

type demoClient struct {
	id, secret string
	metadata   models.ClientMetadata
}

const (
	demoRedirectURI = "http://127.0.0.1:8081/callback"
	demoScope       = "openid profile email address phone offline_access"

	deviceCodeGrantType    = "urn:ietf:params:oauth:grant-type:device_code"
	jwtBearerGrantType     = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	tokenExchangeGrantType = "urn:ietf:params:oauth:grant-type:token-exchange"

	applicationType = "application_type"
	postLogout      = "post_logout_redirect_uris"

	demoSecret = "a demo's secret that everybody knows"
)

var demoService = demoClient{"demo-service", "demo-service-secret", models.ClientMetadata{
	ClientName:              "Demo service",
	TokenEndpointAuthMethod: models.ClientSecretBasic,
	GrantTypes:              []string{"client_credentials"},
	Scope:                   "profile email",
}}

// demoAPI is this program's API as a client that introspects tokens, as an API in another program
// would (RFC 7662). It gets no tokens itself.
var demoAPI = demoClient{"demo-api", "demo-api-secret", models.ClientMetadata{
	ClientName:              "Demo API",
	TokenEndpointAuthMethod: models.ClientSecretBasic,
	GrantTypes:              []string{},
}}

var demoClients = []demoClient{
	{"demo-web", "demo-web-secret", demoCodeClient("Demo web app", models.ClientSecretBasic)},
	{"demo-post", "demo-post-secret", demoCodeClient("Demo web app (secret in the body)", models.ClientSecretPost)},
	{"demo-spa", "", demoCodeClient("Demo single-page app", models.None)},
	demoService,
	demoAPI,
	{"demo-legacy", "demo-legacy-secret", models.ClientMetadata{
		ClientName:              "Demo legacy app",
		TokenEndpointAuthMethod: models.ClientSecretBasic,
		RedirectURIs:            []string{demoRedirectURI},
		GrantTypes:              []string{"password", "implicit", "refresh_token"},
		ResponseTypes:           []string{"token"},
		Scope:                   "profile",
		Extra:                   demoNative,
	}},
	{"demo-hybrid", "demo-hybrid-secret", models.ClientMetadata{
		ClientName:              "Demo app of the hybrid flow",
		TokenEndpointAuthMethod: models.ClientSecretBasic,
		RedirectURIs:            []string{demoRedirectURI},
		GrantTypes:              []string{"authorization_code", "implicit", "refresh_token"},
		ResponseTypes:           []string{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"},
		Scope:                   demoScope,
		Extra:                   map[string]json.RawMessage{applicationType: demoNative[applicationType], postLogout: demoLogout[postLogout]},
	}},
	{"demo-device", "", models.ClientMetadata{
		ClientName:              "Demo television",
		TokenEndpointAuthMethod: models.None,
		GrantTypes:              []string{deviceCodeGrantType, "refresh_token"},
		Scope:                   "openid profile offline_access",
	}},
	{"demo-gateway", "demo-gateway-secret", models.ClientMetadata{
		ClientName:              "Demo gateway",
		TokenEndpointAuthMethod: models.ClientSecretBasic,
		GrantTypes:              []string{"client_credentials", tokenExchangeGrantType, jwtBearerGrantType},
		Scope:                   "profile email",
	}},
}

func demoCodeClient(name, authMethod string) models.ClientMetadata {
	return models.ClientMetadata{
		ClientName:              name,
		TokenEndpointAuthMethod: authMethod,
		RedirectURIs:            []string{demoRedirectURI},
		GrantTypes:              []string{"authorization_code", "refresh_token"},
		ResponseTypes:           []string{"code"},
		Scope:                   demoScope,
		Extra:                   demoLogout,
	}
}

// demoLogout is where the demo clients receive users who signed out.
var demoLogout = map[string]json.RawMessage{postLogout: json.RawMessage(`["http://127.0.0.1:8081/"]`)}

// demoNative is the application type of a demo client that runs on the user's own machine (OpenID
// Connect Dynamic Client Registration section 2).
var demoNative = map[string]json.RawMessage{applicationType: json.RawMessage(`"native"`)}

// seedDemo creates the demo accounts, or restores them to what the documentation says. An account
// of the same name that is not a demo account is not changed.
func seedDemo(tx *gorm.DB, srv *server.Server) error {
	var users []User
	var clients []Client
	var names, ids []string
	for _, u := range demoUsers {
		names = append(names, u.Username)
	}
	for _, c := range demoClients {
		ids = append(ids, c.id)
	}
	if err := tx.Where("username IN ?", names).Find(&users).Error; err != nil {
		return err
	}
	if err := tx.Where("client_id IN ?", ids).Find(&clients).Error; err != nil {
		return err
	}
	for _, demo := range demoUsers {
		var user User
		if i := slices.IndexFunc(users, func(u User) bool { return u.Username == demo.Username }); i >= 0 {
			user = users[i]
		}
		if err := seedUser(tx, demo, user); err != nil {
			return err
		}
	}
	for _, demo := range demoClients {
		var client Client
		if i := slices.IndexFunc(clients, func(c Client) bool { return c.ClientID == demo.id }); i >= 0 {
			client = clients[i]
		}
		if err := seedClient(tx, srv, demo, client); err != nil {
			return err
		}
	}
	return nil
}

// seedUser creates or restores a demo user. It writes nothing if nothing differs.
func seedUser(tx *gorm.DB, demo demoUser, user User) error {
	if user.ID != 0 && !user.Demo {
		return nil
	}
	before := user
	if bcrypt.CompareHashAndPassword([]byte(user.PasswordHash), []byte(demo.Password)) != nil {
		hash, err := hashPassword(demo.Password)
		if err != nil {
			return err
		}
		user.PasswordHash = hash
	}
	user.Username, user.Name, user.Email, user.Personal, user.Disabled, user.Demo = demo.Username, demo.Name, demo.Email, demo.Personal, false, true
	if reflect.DeepEqual(user, before) {
		return nil
	}
	return tx.Save(&user).Error
}

// seedClient creates or restores a demo client, unless the server would not serve it, such as a
// client with a secret under the FAPI profile.
func seedClient(tx *gorm.DB, srv *server.Server, demo demoClient, client Client) error {
	if client.ID != 0 && !client.Demo {
		return nil
	}
	before, stored := client, asJSON(client.ClientMetadata)
	metadata, err := srv.CheckClient(tx.Statement.Context, server.ClientCheck{Source: models.ClientByHand, Metadata: servedBy(srv, demo.metadata)})
	var invalid *clientmeta.Error
	switch {
	case errors.As(err, &invalid):
		return nil
	case err != nil:
		return err
	}
	if client.ClientIDIssuedAt == 0 {
		client.ClientIDIssuedAt = time.Now().Unix()
	}
	client.ClientID, client.ClientSecret, client.ClientSecretExpiresAt = demo.id, "", 0
	if demo.secret != "" {
		client.ClientSecret = models.HashClientSecret(demo.secret)
	}
	client.ClientMetadata, client.ClientSource, client.Demo, client.ClientDeletedAt = *metadata, models.ClientByHand, true, 0
	client.APIResources = ""
	if demo.id == demoAPI.id {
		client.APIResources = srv.Issuer()
	}
	if after := asJSON(client.ClientMetadata); client.ID != 0 && after == stored {
		before.ClientMetadata = client.ClientMetadata
		if reflect.DeepEqual(client, before) {
			return nil
		}
	}
	return tx.Save(&client).Error
}

func asJSON(metadata models.ClientMetadata) string {
	text, _ := json.Marshal(metadata) // it is stored as JSON
	return string(text)
}

// servedBy returns the grant types of a demo client that the server has with these flags: one
// exists only with a trusted issuer.
func servedBy(srv *server.Server, metadata models.ClientMetadata) models.ClientMetadata {
	supported, _ := srv.Metadata()["grant_types_supported"].([]string)
	metadata.GrantTypes = slices.DeleteFunc(slices.Clone(metadata.GrantTypes), func(grantType string) bool { return !slices.Contains(supported, grantType) })
	return metadata
}

// retireDemo locks the demo accounts of a database that was seeded once, because their passwords
// and secrets are public. What was issued to the demo clients is deleted after the start, see
// deletions.
func retireDemo(tx *gorm.DB) error {
	if err := tx.Model(&User{}).Where("demo = ?", true).UpdateColumn("disabled", true).Error; err != nil {
		return err
	}
	return tx.Model(&Client{}).Where("demo = ? AND client_deleted_at = 0", true).UpdateColumn("client_deleted_at", time.Now().Unix()).Error
}
