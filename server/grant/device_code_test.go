package grant_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/device"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// devices is a provider with the device grant.
type devices struct {
	*oauthtest.Provider
	endpoint *endpoint.DeviceAuthorization
}

func newDevices(t testing.TB, db *gorm.DB, change ...func(*endpoint.DeviceAuthorization)) devices {
	t.Helper()
	p := oauthtest.New(t, db)
	device := gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)
	for _, f := range change {
		f(device)
	}
	require.NoError(t, p.Server.RegisterEndpoint(device))
	require.NoError(t, p.Server.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db)))
	return devices{p, device}
}

func television(c *oauthtest.Client) {
	oauthtest.Public(c)
	oauthtest.Grants(deviceGrant, "refresh_token")(c)
}

// start asks for the codes.
func (d devices) start(t *testing.T, client *oauthtest.Client, body string) (a oauthtest.Answer, deviceCode, userCode string) {
	t.Helper()
	a = d.Post("/oauth/device_authorization", client, body)
	return a, a.Body["device_code"], a.Body["user_code"]
}

func (d devices) poll(client *oauthtest.Client, deviceCode string) oauthtest.Answer {
	return d.Token(client, "grant_type="+url.QueryEscape(deviceGrant)+"&device_code="+deviceCode)
}

// later polls when the interval is over.
func (d devices) later(client *oauthtest.Client, deviceCode string) oauthtest.Answer {
	d.Now = d.Now.Add(time.Minute)
	return d.poll(client, deviceCode)
}

func page(ctx context.Context, userCode string) *http.Request {
	return httptest.NewRequestWithContext(ctx, http.MethodGet, "/device?user_code="+url.QueryEscape(userCode), http.NoBody)
}

func (d devices) consent(userCode string, user storage.User) (*server.ConsentGrant, error) {
	return d.endpoint.GetConsentGrant(d.Server, page(d.T.Context(), userCode), user)
}

func (d devices) decide(userCode string, user storage.User, approved bool) error {
	return d.DecideDevice(d.endpoint, userCode, user, approved)
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return server.AsError(err).Code
}

func TestDeviceAuthorization(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		d := newDevices(t, db, func(e *endpoint.DeviceAuthorization) { e.Attempts = ratelimit.Unlimited{} })
		client, other := d.NewClient(television), d.NewClient(television)

		t.Run("the codes", func(t *testing.T) {
			a, deviceCode, userCode := d.start(t, client, "scope=profile")
			assert.Equal(t, http.StatusOK, a.Status)
			assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))
			assert.Equal(t, "600", a.Body["expires_in"])
			assert.Equal(t, "5", a.Body["interval"])
			assert.Equal(t, oauthtest.Issuer+"/device", a.Body["verification_uri"])
			assert.Equal(t, oauthtest.Issuer+"/device?user_code="+userCode, a.Body["verification_uri_complete"])
			assert.Regexp(t, `^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`, userCode)
			assert.True(t, strings.HasPrefix(deviceCode, "goa_dc_"), deviceCode)
			var row oauthtest.DeviceCode
			require.NoError(t, db.Last(&row).Error)
			assert.Equal(t, secret.Digest(deviceCode), row.DeviceCode, "nothing is kept in plaintext")
			assert.Equal(t, secret.Digest(strings.ReplaceAll(userCode, "-", "")), row.UserCode)
			assert.Nil(t, row.UserID)
		})
		t.Run("a device waits, and gets its token once", func(t *testing.T) {
			_, deviceCode, userCode := d.start(t, client, "scope=profile")
			assert.Equal(t, server.AuthorizationPending, d.poll(client, deviceCode).Body["error"])
			consent, err := d.consent(strings.ToLower(strings.ReplaceAll(userCode, "-", " ")), d.User)
			require.NoError(t, err, "however it is typed")
			assert.Equal(t, client.ClientID, consent.Client.GetClientID())
			assert.Equal(t, "profile", consent.Scope)
			assert.Equal(t, server.AuthorizationPending, d.later(client, deviceCode).Body["error"], "to look is not to approve")
			require.NoError(t, d.decide(userCode, d.User, true))
			assert.Equal(t, server.InvalidGrant, codeOf(d.decide(userCode, d.User, false)), "one decision counts")
			_, err = d.consent(userCode, d.User)
			assert.Equal(t, server.InvalidGrant, codeOf(err), "and the code is used up")

			tokens := d.poll(client, deviceCode)
			require.Equal(t, http.StatusOK, tokens.Status, tokens.Raw)
			assert.Equal(t, "profile", tokens.Body["scope"])
			assert.True(t, d.Valid(tokens.Body["access_token"]))
			again := d.Refresh(client, tokens.Body["refresh_token"], "").Body
			assert.True(t, d.Valid(again["access_token"]))

			assert.Equal(t, server.InvalidGrant, d.poll(client, deviceCode).Body["error"], "a second time")
			assert.False(t, d.Valid(again["access_token"]), "ends the grant")
			assert.Equal(t, server.InvalidGrant, d.Refresh(client, again["refresh_token"], "").Body["error"])
		})
		t.Run("a denial", func(t *testing.T) {
			_, deviceCode, userCode := d.start(t, client, "")
			require.NoError(t, d.decide(userCode, d.User, false))
			assert.Equal(t, server.AccessDenied, d.poll(client, deviceCode).Body["error"])
			assert.Equal(t, server.InvalidGrant, codeOf(d.decide(userCode, d.User, true)), "stands")
			assert.Equal(t, server.AccessDenied, d.poll(client, deviceCode).Body["error"])
		})
		t.Run("who polls too often has to slow down, more each time", func(t *testing.T) {
			_, deviceCode, userCode := d.start(t, client, "")
			for i, step := range []struct {
				seconds int
				want    string
			}{
				{0, server.AuthorizationPending}, {5, server.AuthorizationPending}, {4, server.SlowDown}, // now ten
				{9, server.SlowDown}, // now fifteen
				{15, server.AuthorizationPending}, {14, server.SlowDown}, {20, server.AuthorizationPending},
				{0, server.AuthorizationPending}, {1, server.AuthorizationPending}, // the same poll once more
				{19, server.AuthorizationPending}, {2, server.SlowDown},
			} {
				d.Now = d.Now.Add(time.Duration(step.seconds) * time.Second)
				a := d.poll(client, deviceCode)
				assert.Equal(t, step.want, a.Body["error"], "step %d", i)
				assert.Equal(t, http.StatusBadRequest, a.Status)
			}
			require.NoError(t, d.decide(userCode, d.User, true))
			assert.Equal(t, http.StatusOK, d.poll(client, deviceCode).Status, "whoever was approved need not wait")
		})
		t.Run("a patient device, and two instances whose clocks differ", func(t *testing.T) {
			_, deviceCode, _ := d.start(t, client, "")
			now, interval, slowed := d.Now, 5, 0
			for poll := range 12 {
				now = now.Add(time.Duration(interval) * time.Second)
				d.Now = now.Add(-time.Duration(poll%2) * 4 * time.Second)
				switch d.poll(client, deviceCode).Body["error"] {
				case server.SlowDown:
					slowed, interval = slowed+1, interval+5 // RFC 8628 section 3.5
				case server.AuthorizationPending:
				default:
					t.Fatal("the codes have ended")
				}
			}
			assert.LessOrEqual(t, slowed, 6, "it is not slowed down at every poll")
			d.Now = now
		})
		t.Run("an end", func(t *testing.T) {
			_, deviceCode, userCode := d.start(t, client, "")
			_, approved, approvedUserCode := d.start(t, client, "")
			require.NoError(t, d.decide(approvedUserCode, d.User, true))
			d.Now = d.Now.Add(10*time.Minute - time.Second)
			assert.Equal(t, server.AuthorizationPending, d.poll(client, deviceCode).Body["error"])
			d.Now = d.Now.Add(time.Second)
			assert.Equal(t, server.ExpiredToken, d.poll(client, deviceCode).Body["error"])
			assert.Equal(t, server.ExpiredToken, d.poll(client, approved).Body["error"], "also of what was approved")
			_, err := d.consent(userCode, d.User)
			assert.Equal(t, server.InvalidGrant, codeOf(err))
			assert.Equal(t, server.InvalidGrant, codeOf(d.decide(userCode, d.User, true)))
		})
		t.Run("another client learns nothing", func(t *testing.T) {
			_, deviceCode, userCode := d.start(t, client, "")
			for range 2 {
				assert.Equal(t, server.InvalidGrant, d.poll(other, deviceCode).Body["error"])
			}
			require.NoError(t, d.decide(userCode, d.User, true))
			assert.Equal(t, server.InvalidGrant, d.poll(other, deviceCode).Body["error"])
			assert.Equal(t, http.StatusOK, d.poll(client, deviceCode).Status, "and spoils nothing")
		})
		t.Run("what is refused", func(t *testing.T) {
			web, secret := d.NewClient(nil), d.NewClient(oauthtest.Grants(deviceGrant))
			for _, row := range []struct {
				rule         string
				client       *oauthtest.Client
				body, want   string
				wantedStatus int
			}{
				{"a client that may not", web, "", server.UnauthorizedClient, 400},
				{"no client", nil, "", server.InvalidClient, 401},
				{"a scope that is not the client's", client, "scope=admin", server.InvalidScope, 400},
				{"a scope that is none", client, "scope=%22", server.InvalidScope, 400},
				{"a parameter twice", client, "scope=profile&scope=email", server.InvalidRequest, 400},
			} {
				a, _, _ := d.start(t, row.client, row.body)
				assert.Equal(t, row.want, a.Body["error"], row.rule)
				assert.Equal(t, row.wantedStatus, a.Status, row.rule)
			}
			a, _, _ := d.start(t, secret, "")
			assert.Equal(t, http.StatusOK, a.Status, "a client with a secret authenticates")
			_, deviceCode, userCode := d.start(t, client, "")
			for rule, body := range map[string]string{"no code": "", "an unknown one": "&device_code=unknown", "a mistyped one": "&device_code=" + deviceCode + "A",
				"the user code": "&device_code=" + userCode, "two": "&device_code=" + deviceCode + "&device_code=" + deviceCode} {
				want := server.InvalidGrant
				if rule == "no code" || rule == "two" {
					want = server.InvalidRequest
				}
				assert.Equal(t, want, d.Token(client, "grant_type="+url.QueryEscape(deviceGrant)+body).Body["error"], rule)
			}
			for _, typed := range []string{"", "XXXX", "BBBB-BBBB", "1234-5678", userCode + "B", strings.Repeat("B", 5000)} {
				_, err := d.consent(typed, d.User)
				assert.Equal(t, server.InvalidGrant, codeOf(err), typed)
			}
			_, err := d.consent(userCode, nil)
			assert.Equal(t, server.AccessDenied, codeOf(err), "nobody signed in")
			assert.Equal(t, server.AccessDenied, codeOf(d.decide(userCode, (*oauthtest.User)(nil), true)), "a nil user approves nothing")
			assert.Equal(t, server.AuthorizationPending, d.poll(client, deviceCode).Body["error"])
		})
		t.Run("a disabled user", func(t *testing.T) {
			_, deviceCode, userCode := d.start(t, client, "")
			require.NoError(t, d.decide(userCode, d.User, true))
			require.NoError(t, db.Model(d.User).Update("disabled", true).Error)
			assert.Equal(t, server.InvalidGrant, d.poll(client, deviceCode).Body["error"])
			require.NoError(t, db.Model(d.User).Update("disabled", false).Error)
		})
		t.Run("statements", func(t *testing.T) {
			_, deviceCode, _ := d.start(t, client, "")
			assert.Equal(t, []string{"clients", "device_codes"}, d.Queried(func() { d.poll(client, deviceCode) }))
		})
	})
}

// RFC 8628 section 5.1.
func TestUserCodesCannotBeGuessed(t *testing.T) {
	d := newDevices(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	client := d.NewClient(television)
	_, _, userCode := d.start(t, client, "")
	for i := range 20 {
		_, err := d.consent(strings.Repeat(string("BCDFGHJKLMNPQRSTVWXZ"[i]), 8), d.User)
		require.Equal(t, server.InvalidGrant, codeOf(err))
	}
	_, err := d.consent(userCode, d.User)
	failure := server.AsError(err)
	assert.Equal(t, server.TemporarilyUnavailable, failure.Code, "also the right one")
	assert.Equal(t, http.StatusTooManyRequests, failure.Status)
	wait, err := strconv.Atoi(failure.Header.Get("Retry-After"))
	require.NoError(t, err)
	assert.InDelta(t, 30, wait, 2)
	assert.Equal(t, server.TemporarilyUnavailable, codeOf(d.decide(userCode, d.User, true)))
	another := &oauthtest.User{}
	require.NoError(t, d.DB.Create(another).Error)
	_, err = d.consent(userCode, another)
	assert.NoError(t, err, "another user is not to blame")
}

func TestUserCodesAreTaken(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		store := gormoauth.CreateDeviceCodeStorage[oauthtest.DeviceCode](db)
		first := &models.DeviceCodeMixin{DeviceCode: "1", UserCode: "same", ExpiresAt: 1 << 33}
		require.NoError(t, store.SaveDeviceCode(t.Context(), first, &server.Request{}))
		assert.ErrorIs(t, store.SaveDeviceCode(t.Context(), &models.DeviceCodeMixin{DeviceCode: "2", UserCode: "same"}, &server.Request{}), storage.ErrTaken)

		d := newDevices(t, db, func(e *endpoint.DeviceAuthorization) { e.Storage = &busy{Storage: e.Storage, times: 2} })
		a, _, userCode := d.start(t, d.NewClient(television), "")
		assert.Equal(t, http.StatusOK, a.Status, "a code that is taken is followed by another")
		assert.NotEmpty(t, userCode)
	})
}

// busy has the first user codes already.
type busy struct {
	device.Storage
	times int
}

func (b *busy) SaveDeviceCode(ctx context.Context, record *models.DeviceCodeMixin, req *server.Request) error {
	if b.times--; b.times >= 0 {
		return storage.ErrTaken
	}
	return b.Storage.SaveDeviceCode(ctx, record, req)
}

func TestDeviceAuthorizationIsConfigured(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	assert.ErrorContains(t, p.Server.RegisterEndpoint(&endpoint.DeviceAuthorization{}), "Storage is missing")
	assert.ErrorContains(t, p.Server.RegisterGrant(&grant.DeviceCode{}), "Storage is missing")
	storage := gormoauth.CreateDeviceCodeStorage[oauthtest.DeviceCode](db)
	assert.ErrorContains(t, p.Server.RegisterEndpoint(&endpoint.DeviceAuthorization{Storage: storage, Interval: -1}), "must not be negative")
	assert.ErrorContains(t, p.Server.RegisterEndpoint(&endpoint.DeviceAuthorization{Storage: storage, VerificationURI: "/device"}), "absolute URL")
	_, err := (&endpoint.DeviceAuthorization{Storage: storage}).GetConsentGrant(p.Server, page(t.Context(), "BBBB-BBBB"), p.User)
	assert.ErrorContains(t, err, "not registered")

	d := newDevices(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), func(e *endpoint.DeviceAuthorization) {
		e.VerificationURI, e.ExpiresIn, e.Interval = "https://tv.example/?a=b", time.Minute, time.Second
	})
	a, _, userCode := d.start(t, d.NewClient(television), "")
	assert.Equal(t, "https://tv.example/?a=b&user_code="+userCode, a.Body["verification_uri_complete"])
	assert.Equal(t, "60", a.Body["expires_in"])
	assert.Equal(t, "1", a.Body["interval"])
	var metadata map[string]any
	require.NoError(t, json.Unmarshal([]byte(d.Get("/.well-known/oauth-authorization-server").Raw), &metadata))
	assert.Equal(t, oauthtest.Issuer+"/oauth/device_authorization", metadata["device_authorization_endpoint"])
	assert.Contains(t, metadata["grant_types_supported"], deviceGrant)
}

// A device is let in, or sent away, by a POST from the page that showed what it asks for.
func TestOnlyAPOSTFromThePageConnectsADevice(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		d := newDevices(t, db, func(e *endpoint.DeviceAuthorization) { e.Attempts = ratelimit.Unlimited{} })
		bob := &oauthtest.User{}
		require.NoError(t, db.Create(bob).Error)
		session := func(user storage.User, id string) storage.User {
			return server.SignedIn{User: user, Authentication: server.Authentication{SessionID: id}}
		}
		alice := session(d.User, "s")
		const yes = "user_code={code}&confirm=yes&decision={decision}"
		for _, row := range []struct {
			rule   string
			method string
			query  string
			body   string
			header string
			user   storage.User
			change func(c *oauthtest.Client)
			done   bool
		}{
			{rule: "the form of the page", body: yes, done: true},
			{rule: "the code in the address of the form", query: "user_code={code}", body: "confirm=yes&decision={decision}", done: true},
			{rule: "typed as a person does", body: strings.Replace(yes, "{code}", "{typed}", 1), done: true},
			{rule: "no field", body: "user_code={code}&confirm=yes"},
			{rule: "another field", body: "user_code={code}&confirm=yes&decision=x"},
			{rule: "the field of another device", body: strings.Replace(yes, "{decision}", "{another}", 1)},
			{rule: "the field in the address", query: "decision={decision}", body: "user_code={code}&confirm=yes"},
			{rule: "by GET", method: http.MethodGet, query: yes},
			{rule: "by HEAD", method: http.MethodHead, query: yes},
			{rule: "by OPTIONS", method: http.MethodOptions, query: yes},
			{rule: "another site", body: yes, header: "cross-site"},
			{rule: "another host of the site", body: yes, header: "same-site"},
			{rule: "bob, who has signed in since", body: yes, user: session(bob, "s")},
			{rule: "another session", body: yes, user: session(d.User, "another")},
			{rule: "the client has another name now", body: yes, change: func(c *oauthtest.Client) { c.ClientMetadata.ClientName = "Another" }},
		} {
			for _, approved := range []bool{true, false} {
				client := d.NewClient(television)
				_, deviceCode, userCode := d.start(t, client, "")
				_, _, anotherCode := d.start(t, client, "")
				consent, err := d.consent(userCode, alice)
				require.NoError(t, err)
				assert.False(t, consent.Deciding)
				another, err := d.consent(anotherCode, alice)
				require.NoError(t, err)
				fill := strings.NewReplacer("{code}", userCode, "{typed}", strings.ToLower(strings.ReplaceAll(userCode, "-", "+")),
					"{decision}", string(consent.Decision), "{another}", string(another.Decision)).Replace
				method, user := row.method, row.user
				if method == "" {
					method = http.MethodPost
				}
				if user == nil {
					user = alice
				}
				if row.change != nil {
					row.change(client)
					require.NoError(t, db.Save(client).Error)
				}
				request := func() *http.Request {
					r := httptest.NewRequestWithContext(t.Context(), method, "/device?"+fill(row.query), strings.NewReader(fill(row.body)))
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					r.Header.Set("Sec-Fetch-Site", row.header)
					return r
				}
				again, err := d.endpoint.GetConsentGrant(d.Server, request(), user)
				require.NoError(t, err, row.rule)
				assert.Equal(t, row.done, again.Deciding, row.rule)
				err = d.endpoint.Decide(d.Server, request(), user, approved)
				assert.Equal(t, row.done, err == nil, "%s: %v", row.rule, err)
				if !row.done {
					require.ErrorIs(t, err, server.ErrNoDecision, row.rule)
					assert.Equal(t, "authorization_pending", d.later(client, deviceCode).Body["error"], row.rule)
				}
			}
		}
	})
}
