package endpoint_test

import (
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
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// What anybody can have stored is bounded by address, and is gone a while later; a
// client that proved who it is, such as a server for many people, is not held to that.
func TestAFloodOfPublicRequests(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	p.Now = time.Now().AddDate(0, 0, -1) // what is stored has expired by now
	prune := gormoauth.CreatePruneFunc[oauthtest.Token, oauthtest.AuthorizationCode](db,
		gormoauth.CreatePushedRequestStorage[oauthtest.PushedRequest](db), gormoauth.CreateDeviceCodeStorage[oauthtest.DeviceCode](db))
	pushed := gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db)
	devices := gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)
	pushed.PublicRequests, devices.PublicRequests = ratelimit.New(3, time.Hour), ratelimit.New(3, time.Hour)
	require.NoError(t, p.Server.RegisterEndpoint(pushed))
	require.NoError(t, p.Server.RegisterEndpoint(devices))
	require.NoError(t, p.Server.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db)))

	for path, row := range map[string]struct {
		good   int
		stored any
		body   func(client *oauthtest.Client) string
	}{
		"/oauth/par": {http.StatusCreated, &oauthtest.PushedRequest{}, func(client *oauthtest.Client) string { return oauthtest.AuthorizeQuery(client, "") }},
		"/oauth/device_authorization": {http.StatusOK, &oauthtest.DeviceCode{}, func(client *oauthtest.Client) string {
			return "client_id=" + client.ClientID
		}},
	} {
		t.Run(path, func(t *testing.T) {
			web := func(c *oauthtest.Client) {
				c.ClientMetadata.GrantTypes = append(c.ClientMetadata.GrantTypes, "urn:ietf:params:oauth:grant-type:device_code")
			}
			public, confidential := p.NewClient(oauthtest.All(web, oauthtest.Public)), p.NewClient(web)
			from := func(address string, client *oauthtest.Client) oauthtest.Answer {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(row.body(client)))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.RemoteAddr = address
				if client.GetTokenEndpointAuthMethod() != models.None {
					r.SetBasicAuth(client.ClientID, client.Secret)
				}
				return p.Serve(r)
			}
			for range 3 {
				a := from("192.0.2.1:1", public)
				require.Equal(t, row.good, a.Status, a.Raw)
			}
			for range 2 {
				a := from("192.0.2.1:2", public)
				assert.Equal(t, http.StatusTooManyRequests, a.Status, a.Raw)
				assert.Equal(t, server.TemporarilyUnavailable, a.Body["error"])
				assert.NotEmpty(t, a.Header.Get("Retry-After"))
			}
			assert.EqualValues(t, 3, p.Rows(row.stored))
			assert.Equal(t, row.good, from("192.0.2.2:1", public).Status, "others may")
			for range 5 {
				assert.Equal(t, row.good, from("192.0.2.1:1", confidential).Status, "a server for many people")
			}
			assert.EqualValues(t, 9, p.Rows(row.stored))
			require.NoError(t, prune(t.Context(), gormstore.PruneOptions{KeepSpent: -1}))
			assert.Zero(t, p.Rows(row.stored))
		})
	}
}
