package grant_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/storage"
)

// oneConsent is storage of one consent, which can fail, or be changed by others.
type oneConsent struct {
	known, old, saved     *models.ConsentMixin
	queryFails, saveFails error
	saves, refuse         int
}

func (s *oneConsent) QueryConsent(context.Context, string, string) (*models.ConsentMixin, error) {
	return s.known, s.queryFails
}

func (s *oneConsent) SaveConsent(_ context.Context, old, consent *models.ConsentMixin, _ storage.User) (bool, error) {
	s.saves++
	s.old, s.saved = old, consent
	return s.saves > s.refuse, s.saveFails
}

// What is remembered is what was allowed before, as far as it lasts, and what is allowed now,
// each with its own date.
func TestEveryColumnOfAConsent(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	storage := new(oneConsent)
	remembered := &grant.RememberedConsent{Storage: storage}
	client := p.NewClient(nil)
	now := p.Now.Unix()
	old := now - 3600
	request := func(scope, audience, claims, details string) *server.Request {
		r := &server.Request{Server: p.Server, Client: client, User: p.User, Time: p.Now, Granted: models.Granted{Scope: scope, Audience: audience, AuthorizationDetails: details}}
		r.Authorization.Claims = claims
		return r
	}
	known := func(change func(*models.ConsentMixin)) *models.ConsentMixin {
		c := &models.ConsentMixin{ClientID: client.ClientID, Scope: "profile", Audience: "https://a.example", Claims: `{"a":1}`, AuthorizationDetails: `[{"type":"x"}]`, Revision: 7, GrantedAt: old}
		change(c)
		return c
	}
	same := func(*models.ConsentMixin) {}
	for name, row := range map[string]struct {
		known     *models.ConsentMixin
		expiresIn time.Duration
		request   *server.Request
		want      *models.ConsentMixin // nil if nothing is to be saved
		dates     map[string]int64     // details by their number
	}{
		"the first": {
			nil, 0, request("profile email", "https://a.example", `{"a":1}`, `[{"type":"x"}]`),
			&models.ConsentMixin{Scope: "profile email", Audience: "https://a.example", Claims: `{"a":1}`, AuthorizationDetails: `[{"type":"x"}]`},
			map[string]int64{"scope:profile": now, "scope:email": now, "resource:https://a.example": now, "claims": now, "detail": now},
		},
		"nothing at all":     {nil, 0, request("", "", "", ""), &models.ConsentMixin{}, map[string]int64{}},
		"what is known":      {known(same), 0, request("profile", "https://a.example", `{"a":1}`, `[{"type":"x"}]`), nil, nil},
		"less than is known": {known(same), 0, request("", "", "", ""), nil, nil},
		"another scope": {
			known(same), 0, request("email", "", "", ""),
			known(func(c *models.ConsentMixin) { c.Scope, c.Revision = "profile email", 8 }),
			map[string]int64{"scope:profile": old, "scope:email": now, "resource:https://a.example": old, "claims": old, "detail": old},
		},
		"another resource": {
			known(same), 0, request("profile", "https://b.example", "", ""),
			known(func(c *models.ConsentMixin) { c.Audience, c.Revision = "https://a.example https://b.example", 8 }),
			map[string]int64{"scope:profile": now, "resource:https://a.example": old, "resource:https://b.example": now, "claims": old, "detail": old},
		},
		"other claims": {
			known(same), 0, request("", "", `{"b":2}`, ""),
			known(func(c *models.ConsentMixin) { c.Claims, c.Revision = `{"b":2}`, 8 }),
			map[string]int64{"scope:profile": old, "resource:https://a.example": old, "claims": now, "detail": old},
		},
		"the first claims": {
			known(func(c *models.ConsentMixin) { c.Claims, c.AuthorizationDetails = "", "" }), 0, request("", "", `{"b":2}`, ""),
			known(func(c *models.ConsentMixin) { c.Claims, c.AuthorizationDetails, c.Revision = `{"b":2}`, "", 8 }),
			map[string]int64{"scope:profile": old, "resource:https://a.example": old, "claims": now},
		},
		"all of it has expired": {
			known(same), time.Hour, request("email", "", "", ""),
			&models.ConsentMixin{Scope: "email", Revision: 8}, map[string]int64{"scope:email": now},
		},
		"some of it has expired": {
			known(func(c *models.ConsentMixin) {
				c.Scope, c.PartsGrantedAt = "profile email", `{"scope:email":`+strconv.FormatInt(now-1, 10)+`}`
			}), time.Hour, request("phone", "", "", ""),
			&models.ConsentMixin{Scope: "email phone", Revision: 8}, map[string]int64{"scope:email": now - 1, "scope:phone": now},
		},
		"a second before it expires": {known(func(c *models.ConsentMixin) { c.GrantedAt = old + 1 }), time.Hour, request("profile", "https://a.example", `{"a":1}`, `[{"type":"x"}]`), nil, nil},
	} {
		*storage = oneConsent{known: row.known}
		remembered.ExpiresIn = row.expiresIn
		require.NoError(t, remembered.PrepareAuthorizationResponse(t.Context(), row.request, nil), name)
		if row.want == nil {
			assert.Nil(t, storage.saved, name)
			continue
		}
		if !assert.NotNil(t, storage.saved, name) {
			continue
		}
		assert.Same(t, row.known, storage.old, "%s: the revision that was read", name)
		var dates map[string]int64
		require.NoError(t, json.Unmarshal([]byte(storage.saved.PartsGrantedAt), &dates))
		for part, date := range dates {
			if len(part) > 7 && part[:7] == "detail:" {
				delete(dates, part)
				dates["detail"] = date
			}
		}
		assert.Equal(t, row.dates, dates, name)
		row.want.ClientID, row.want.GrantedAt, row.want.PartsGrantedAt = client.ClientID, now, storage.saved.PartsGrantedAt
		if row.known == nil {
			assert.Positive(t, storage.saved.Revision, name)
			row.want.Revision = storage.saved.Revision
		}
		assert.Equal(t, row.want, storage.saved, name)
	}

	// A consent that others change is read again, ten times; then the user is asked once more.
	*storage = oneConsent{refuse: 3}
	require.NoError(t, remembered.PrepareAuthorizationResponse(t.Context(), request("email", "", "", ""), nil))
	assert.Equal(t, 4, storage.saves)
	*storage = oneConsent{refuse: 100}
	require.NoError(t, remembered.PrepareAuthorizationResponse(t.Context(), request("email", "", "", ""), nil))
	assert.Equal(t, 10, storage.saves)
	away := errors.New("away")
	*storage = oneConsent{queryFails: away}
	assert.ErrorIs(t, remembered.PrepareAuthorizationResponse(t.Context(), request("email", "", "", ""), nil), away)
	*storage = oneConsent{saveFails: away}
	assert.ErrorIs(t, remembered.PrepareAuthorizationResponse(t.Context(), request("email", "", "", ""), nil), away)
	require.NoError(t, p.Server.Register(remembered))
	*storage = oneConsent{queryFails: away}
	_, err := p.Server.GetConsentGrant(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/authorize?"+oauthtest.AuthorizeQuery(client, "state=s"), http.NoBody), p.User)
	assert.ErrorIs(t, err, away)
}
