package endpoint_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/device"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// torn is a body that ends too early.
type torn struct{}

func (torn) Read([]byte) (int, error) { return 0, errors.New("the connection was lost") }

func TestARegistrationThatDoesNotArrive(t *testing.T) {
	r := newRegistrar(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	_, c := r.register(`{` + webClient + `}`)
	for method, target := range map[string]string{http.MethodPost: "/oauth/register", http.MethodPut: "/oauth/register?client_id=" + c.ID} {
		request := httptest.NewRequestWithContext(t.Context(), method, target, torn{})
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+c.Token)
		a := r.Serve(request)
		assert.Equal(t, http.StatusBadRequest, a.Status)
		assert.Equal(t, map[string]string{"error": server.InvalidRequest, "error_description": "The body could not be read."}, a.Body, method)
	}
}

// While a client gives its secret up, others rotate it: the secret that it names is that of
// before, and no longer its own.
func TestAnUpdateByASecretThatIsRotatedMeanwhile(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	r := newRegistrar(t, db)
	_, c := r.register(`{` + webClient + `}`)
	r.endpoint.Storage = &slow{r.endpoint.Storage, func() {
		_, err := gormoauth.CreateClientFactory[oauthtest.Client](db, r.Server).RotateSecret(t.Context(), c.ID, gormstore.SecretRotation{})
		require.NoError(t, err)
	}}
	a, told := r.send(http.MethodPut, "/oauth/register?client_id="+c.ID, c.Token, `{"client_id":"`+c.ID+`",`+webClient+`,"token_endpoint_auth_method":"none","client_secret":"`+c.Secret+`"}`)
	assert.Equal(t, http.StatusBadRequest, a.Status)
	assert.Equal(t, map[string]string{
		"error": server.InvalidRequest, "error_description": "The 'client_secret' is not the client's current secret. A client cannot choose its own.",
	}, a.Body)
	assert.Empty(t, told.Secret)
	_, now := r.send(http.MethodGet, "/oauth/register?client_id="+c.ID, c.Token, "")
	assert.Equal(t, models.ClientSecretBasic, now.Method, "nothing has changed")
}

// A client that no longer needs a secret has none left, neither its last one nor the one before.
func TestNothingIsLeftOfASecret(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	r := newRegistrar(t, db, func(e *endpoint.Registration) { e.SecretExpiresIn = 24 * time.Hour })
	_, c := r.register(`{` + webClient + `}`)
	update := func(more string) {
		a, _ := r.send(http.MethodPut, "/oauth/register?client_id="+c.ID, c.Token, `{"client_id":"`+c.ID+`",`+webClient+more+`}`)
		require.Equal(t, http.StatusOK, a.Status, a.Raw)
	}
	row := func() (client oauthtest.Client) {
		require.NoError(t, db.Where("client_id = ?", c.ID).First(&client).Error)
		return client
	}
	r.Now = r.Now.Add(20 * time.Hour)
	update("")
	before := row()
	require.NotEmpty(t, before.PreviousClientSecret)
	require.NotZero(t, before.PreviousClientSecretExpiresAt)
	update(`,"token_endpoint_auth_method":"none"`)
	after := row()
	assert.Equal(t, []any{"", int64(0), "", int64(0)}, []any{after.ClientSecret, after.ClientSecretExpiresAt, after.PreviousClientSecret, after.PreviousClientSecretExpiresAt})
}

// Metadata of the wrong type is refused by its name, also if it is inside of another member.
func TestMetadataOfTheWrongType(t *testing.T) {
	r := newRegistrar(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	for metadata, member := range map[string]string{
		`"redirect_uris":"https://a.example"`: "redirect_uris", `"client_name":7`: "client_name", `"contacts":[7]`: "contacts", `"grant_types":{}`: "grant_types",
	} {
		a, _ := r.register(`{` + metadata + `}`)
		assert.Contains(t, a.Body["error_description"], "The client metadata is not valid: "+member+" ", metadata)
		assert.Contains(t, a.Body["error_description"], "does not have the JSON type of RFC 7591 section 2; write it as defined there", metadata)
	}
}

// lateDevices are codes that somebody else decides on first.
type lateDevices struct{ device.Storage }

func (lateDevices) DecideDeviceCode(context.Context, string, device.Decision) (bool, error) {
	return false, nil
}

// Between the page of a device and the decision, the user may be disabled, and somebody else may
// decide.
func TestADecisionOnADeviceThatComesTooLate(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	devices := gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)
	require.NoError(t, errors.Join(p.Server.RegisterEndpoint(devices), p.Server.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db))))
	client := p.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants("urn:ietf:params:oauth:grant-type:device_code")))
	code := p.Post("/oauth/device_authorization", client, "scope=profile").Body["user_code"]
	require.NotEmpty(t, code)
	require.NoError(t, db.Model(p.User).Update("disabled", true).Error)
	err := p.DecideDevice(devices, code, p.User, true)
	assert.Equal(t, "access_denied: The resource owner is gone or disabled.", server.AsError(err).Error())
	require.NoError(t, db.Model(p.User).Update("disabled", false).Error)

	known := devices.Storage
	devices.Storage = lateDevices{known}
	for _, approved := range []bool{true, false} {
		err = p.DecideDevice(devices, code, p.User, approved)
		assert.Equal(t, server.InvalidGrant, server.AsError(err).Code)
		assert.ErrorContains(t, err, "The code is unknown, was already used or has expired.")
	}
	devices.Storage = known
	assert.NoError(t, p.DecideDevice(devices, code, p.User, true))
}

// A pushed request whose row nobody can read is a failure, and its client may have a long id.
func TestTheRowOfAPushedRequest(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newPushed(t, db, false)
	client := p.StoreClient(func(c *oauthtest.Client) {
		oauthtest.Public(c)
		c.ClientID, c.LongClientID = models.SplitClientID("https://client.example/" + strings.Repeat("a", 500))
	})
	client.ClientID = client.GetClientID()
	push := func() string {
		a := p.Post("/oauth/par", client, strings.Replace(oauthtest.AuthorizeQuery(client, ""), "&client_id="+client.ClientID, "", 1))
		require.Equal(t, http.StatusCreated, a.Status, a.Raw)
		return a.Body["request_uri"]
	}
	assert.NotEmpty(t, p.Grant(byReference(client, push())).Query.Get("code"))
	broken := push()
	require.NoError(t, db.Model(&oauthtest.PushedRequest{}).Where("request_uri = ?", secret.Digest(broken)).Update("parameters", "a=%zz").Error)
	a := p.Consent(byReference(client, broken))
	assert.Equal(t, server.ServerError, a.Body["error"])
	assert.Contains(t, a.Refusal().Keys["cause"], "read pushed request")
}

// A diagnosis of APIs says nothing of a client that cannot be looked up, and goes on.
func TestAPIsThatCannotBeLookedUp(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.QueryClient = func(_ context.Context, clientID string) (storage.Client, error) {
			if clientID == "a" {
				return nil, errors.New("away")
			}
			return nil, nil
		}
	})
	e := &endpoint.Introspection{QueryToken: gormoauth.CreateQueryTokenFunc[oauthtest.Token](db), APIs: map[string][]string{"a": {apiA}, "b": {apiA}}}
	var where []string
	for _, one := range e.Diagnose(t.Context(), p.Server) {
		where = append(where, one.Where)
	}
	assert.Equal(t, []string{`endpoint.Introspection.APIs["b"]`}, where)
}

// Every column of a device authorization that nobody has decided on.
func TestTheRowOfADevice(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	require.NoError(t, errors.Join(p.Server.RegisterEndpoint(gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)), p.Server.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db))))
	client := p.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants("urn:ietf:params:oauth:grant-type:device_code")))
	a := p.Post("/oauth/device_authorization", client, "scope=profile")
	var row oauthtest.DeviceCode
	require.NoError(t, db.Last(&row).Error)
	presented := secret.Present(a.Body["device_code"])
	assert.Equal(t, models.DeviceCodeMixin{
		DeviceCode: presented.Digest, UserCode: secret.Digest(strings.ReplaceAll(a.Body["user_code"], "-", "")), IssuedAt: p.Now.Unix(), ExpiresAt: p.Now.Unix() + 600, PollInterval: 5,
		Authorization: models.Authorization{ClientID: client.ClientID, GrantID: presented.GrantID, Issuer: oauthtest.Issuer}, Scope: "profile",
	}, row.DeviceCodeMixin)
}

// The state of a token that nothing ends has no end, and the client of a token that an API asks
// about may have ended its grants.
func TestWhatAnAPIIsToldOfATokensEnd(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	require.NoError(t, p.Server.RegisterEndpoint(gormoauth.CreateIntrospectionEndpoint[oauthtest.Token](db)))
	client, api := p.NewClient(nil), p.NewClient(apiAt(apiA))
	tokens := p.Redeem(client, p.Code(client, "scope=profile")).Body
	require.NoError(t, db.Model(&oauthtest.Token{}).Where("1 = 1").Updates(map[string]any{"audience": apiA, "refresh_token_expires_at": 0}).Error)
	a := p.Introspect(client, "token="+tokens["refresh_token"])
	assert.Equal(t, "true", a.Body["active"])
	assert.NotContains(t, a.Body, "exp")

	active := func() string { return p.Introspect(api, "token="+tokens["access_token"]).Body["active"] }
	assert.Equal(t, "true", active())
	require.NoError(t, db.Model(api).Update("generation", 1).Error)
	assert.Equal(t, "true", active(), "an end of the API's own grants is not one of the token's")
	require.NoError(t, db.Model(client).Update("generation", 1).Error)
	assert.Equal(t, "false", active())
}

// A registration access token comes alone in a header of its scheme, or there is none.
func TestWhatIsNoRegistrationAccessToken(t *testing.T) {
	r := newRegistrar(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	_, c := r.register(`{` + webClient + `}`)
	for _, row := range []struct {
		headers []string
		want    string // the body
		status  int
	}{
		{nil, "{}", http.StatusUnauthorized},
		{[]string{"Bearer " + c.Token, "Bearer " + c.Token}, "{}", http.StatusUnauthorized},
		{[]string{"Basic " + c.Token}, "{}", http.StatusUnauthorized},
		{[]string{c.Token}, "{}", http.StatusUnauthorized},
		{[]string{"Bearer " + strings.Repeat("x", 1018)}, "{}", http.StatusUnauthorized},
		{[]string{"Bearer " + strings.Repeat("x", 1017)}, `{"error":"invalid_token","error_description":"The registration access token is not valid for this client."}`, http.StatusUnauthorized},
		{[]string{"bEARER  " + c.Token + " "}, "", http.StatusOK},
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/register?client_id="+c.ID, http.NoBody)
		request.Header["Authorization"] = row.headers
		a := r.Serve(request)
		assert.Equal(t, row.status, a.Status, row.headers)
		if row.want != "" {
			assert.Equal(t, row.want, strings.TrimSpace(a.Raw), row.headers)
			assert.Equal(t, row.want != "{}", strings.Contains(a.Header.Get("WWW-Authenticate"), "error="), row.headers)
		}
	}
}
