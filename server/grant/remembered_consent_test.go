package grant_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/storage"
)

type consentStorage = gormstore.Consents[oauthtest.Consent]

type folder struct {
	Name string `json:"name"`
}

func newRemembering(t *testing.T, db *gorm.DB, expiresIn time.Duration) (*oauthtest.Provider, *consentStorage) {
	t.Helper()
	p := oauthtest.New(t, db)
	consents := gormoauth.CreateConsentStorage[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](db)
	any := func(context.Context, *server.Request, grant.AuthorizationDetail) error { return nil }
	require.NoError(t, p.Server.Register(
		&grant.RememberedConsent{Storage: consents, ExpiresIn: expiresIn},
		grant.ResourceIndicators{Resources: []string{"https://a.example", "https://b.example"}},
		&grant.AuthorizationDetails{Types: map[string]grant.AuthorizationDetailType{"payment": {Check: any}, "folder": {Members: folder{}, Check: any, Remembered: true}}},
	))
	return p, consents
}

// asked reports whether the page has to ask.
func asked(t *testing.T, p *oauthtest.Provider, user storage.User, client *oauthtest.Client, more string) bool {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth/authorize?"+oauthtest.AuthorizeQuery(client, more), http.NoBody)
	consent, err := p.Server.GetConsentGrant(r, user)
	require.NoError(t, err, more)
	require.Contains(t, []server.Interaction{server.AskConsent, server.NoInteraction}, consent.Interaction)
	return consent.Interaction == server.AskConsent
}

// A consent stands for what it was given for, for that user and that client, and is
// asked for again when more is wanted.
func TestRememberedConsent(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p, consents := newRemembering(t, db, 0)
		client, other := p.NewClient(nil), p.NewClient(nil)
		stranger := &oauthtest.User{}
		require.NoError(t, db.Create(stranger).Error)
		folder := func(name string) string {
			return "&authorization_details=" + url.QueryEscape(`[{"type":"folder","name":"`+name+`"}]`)
		}
		const payment = `&authorization_details=%5B%7B%22type%22%3A%22payment%22%7D%5D`

		nobody, err := p.Server.GetConsentGrant(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?"+oauthtest.AuthorizeQuery(client, ""), http.NoBody), nil)
		require.NoError(t, err)
		assert.Equal(t, server.SignIn, nobody.Interaction)
		assert.True(t, asked(t, p, p.User, client, "scope=profile"), "nothing is known")
		p.Decide(oauthtest.AuthorizeQuery(client, "scope=profile"), "", nil)
		assert.True(t, asked(t, p, p.User, client, "scope=profile"), "a denial is no consent")
		p.Code(client, "scope=profile&resource=https://a.example"+folder("tea"))
		for _, row := range []struct {
			rule  string
			user  storage.User
			more  string
			asked bool
		}{
			{"the same", p.User, "scope=profile&resource=https://a.example" + folder("tea"), false},
			{"less", p.User, "", false},
			{"the same but for spaces and order", p.User, "&authorization_details=" + url.QueryEscape(`[ {"name":"tea" , "type":"folder"} ]`), false},
			{"more scope", p.User, "scope=profile+email", true},
			{"another scope", p.User, "scope=email", true},
			{"another resource", p.User, "scope=profile&resource=https://b.example", true},
			{"another detail", p.User, folder("jam"), true},
			{"a detail that is asked about each time", p.User, payment, true},
			{"another user", stranger, "scope=profile", true},
		} {
			assert.Equal(t, row.asked, asked(t, p, row.user, client, row.more), row.rule)
		}
		assert.True(t, asked(t, p, p.User, other, "scope=profile"), "another client")

		// It grows, and forgets nothing.
		p.Code(client, "scope=email")
		assert.False(t, asked(t, p, p.User, client, folder("tea")))
		p.Code(client, "resource=https://b.example"+folder("jam"))
		assert.False(t, asked(t, p, p.User, client, "scope=profile+email&resource=https://a.example&resource=https://b.example"+folder("tea")))
		assert.False(t, asked(t, p, p.User, client, folder("jam")))
		p.Code(client, payment)
		assert.True(t, asked(t, p, p.User, client, payment), "each time")

		// It is listed, and taken back with all that came of it.
		tokens := p.Redeem(client, p.Code(client, "scope=profile")).Body
		code := p.Code(client, "")
		of, err := consents.Of(t.Context(), p.User.GetUserID())
		require.NoError(t, err)
		require.Len(t, of, 1)
		assert.Equal(t, []string{client.ClientID, "profile email", "https://a.example https://b.example"}, []string{of[0].GetClientID(), of[0].Scope, of[0].Audience})
		require.NoError(t, consents.Revoke(t.Context(), stranger.GetUserID(), client.ClientID, p.Now))
		require.NoError(t, consents.Revoke(t.Context(), p.User.GetUserID(), other.ClientID, p.Now))
		assert.True(t, p.Valid(tokens["access_token"]), "another user's, and another client's, is another one's")
		require.NoError(t, consents.Revoke(t.Context(), p.User.GetUserID(), client.ClientID, p.Now))
		assert.False(t, p.Valid(tokens["access_token"]))
		assert.Equal(t, server.InvalidGrant, p.Refresh(client, tokens["refresh_token"], "").Body["error"])
		assert.Equal(t, server.InvalidGrant, p.Redeem(client, code).Body["error"])
		assert.True(t, asked(t, p, p.User, client, ""), "and asked for again")
	})
}

// A client that anybody could pretend to be is asked about every time (RFC 8252
// section 8.6).
func TestAClientThatAnybodyCouldBeIsAskedAbout(t *testing.T) {
	p, _ := newRemembering(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), 0)
	for uri, want := range map[string]bool{"https://client.example/cb": false, "http://127.0.0.1/cb": true, "com.example:/cb": true} {
		public := p.NewClient(oauthtest.All(oauthtest.Public, func(c *oauthtest.Client) { c.ClientMetadata.RedirectURIs = []string{uri} }))
		p.Grant(oauthtest.AuthorizeQuery(public, "scope=profile"))
		assert.Equal(t, want, asked(t, p, p.User, public, "scope=profile"), uri)
	}
	confidential := p.NewClient(func(c *oauthtest.Client) { c.ClientMetadata.RedirectURIs = []string{"http://127.0.0.1/cb"} })
	p.Grant(oauthtest.AuthorizeQuery(confidential, ""))
	assert.False(t, asked(t, p, p.User, confidential, ""), "one with a secret is nobody else")
}

// A consent may end, and what it was for with it.
func TestAConsentThatExpires(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p, _ := newRemembering(t, db, time.Hour)
		client := p.NewClient(nil)
		p.Code(client, "scope=profile")
		p.Now = p.Now.Add(59 * time.Minute)
		assert.False(t, asked(t, p, p.User, client, "scope=profile"))
		p.Now = p.Now.Add(time.Minute)
		assert.True(t, asked(t, p, p.User, client, "scope=profile"))
		p.Code(client, "scope=email")
		assert.False(t, asked(t, p, p.User, client, "scope=email"))
		assert.True(t, asked(t, p, p.User, client, "scope=profile"), "what had ended does not come back")
	})
}

// brokenConsents fail, or lose every race.
type brokenConsents struct{ queryErr, saveErr error }

func (b brokenConsents) QueryConsent(context.Context, string, string) (*models.ConsentMixin, error) {
	return nil, b.queryErr
}

func (b brokenConsents) SaveConsent(context.Context, *models.ConsentMixin, *models.ConsentMixin, storage.User) (bool, error) {
	return false, b.saveErr
}

func TestConsentsThatCannotBeKept(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	for rule, row := range map[string]struct {
		storage brokenConsents
		want    string
	}{
		"a query that fails":      {brokenConsents{queryErr: errors.New("secret reason")}, server.ServerError},
		"a write that fails":      {brokenConsents{saveErr: errors.New("secret reason")}, server.ServerError},
		"others are always first": {brokenConsents{}, ""},
	} {
		p := oauthtest.New(t, db)
		require.NoError(t, p.Server.Register(&grant.RememberedConsent{Storage: row.storage}))
		a := p.Grant(oauthtest.AuthorizeQuery(p.NewClient(nil), ""))
		assert.Equal(t, row.want, a.Query.Get("error"), rule)
		assert.Equal(t, row.want == "", a.Query.Has("code"), rule)
		assert.NotContains(t, a.Query.Get("error_description"), "secret", rule)
	}
	p := oauthtest.New(t, db)
	assert.ErrorContains(t, p.Server.Register(&grant.RememberedConsent{ExpiresIn: -1}), "RememberedConsent.Storage is missing: write gormoauth.CreateConsentStorage")
}

// Each part of a consent has a time of its own, which a consent to something else does not
// renew, and one to the same part does.
func TestEachPartOfAConsentHasItsOwnTime(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		const life = 10 * 24 * time.Hour
		p, _ := newRemembering(t, db, life)
		client := p.NewClient(nil)
		began := p.Now
		on := func(day int) { p.Now = began.Add(time.Duration(day) * 24 * time.Hour) }
		tea := "&authorization_details=" + url.QueryEscape(`[{"type":"folder","name":"tea"}]`)
		p.Code(client, "scope=profile&resource=https://a.example"+tea)
		on(9)
		p.Code(client, "scope=email&resource=https://b.example")
		assert.False(t, asked(t, p, p.User, client, "scope=profile+email&resource=https://a.example&resource=https://b.example"+tea))
		on(11)
		for more, want := range map[string]bool{
			"scope=email": false, "scope=email&resource=https://b.example": false,
			"scope=profile": true, "scope=email&resource=https://a.example": true, "scope=email" + tea: true,
		} {
			assert.Equal(t, want, asked(t, p, p.User, client, more), "on day 11: %s", more)
		}
		p.Code(client, "scope=profile+email")
		on(20)
		assert.False(t, asked(t, p, p.User, client, "scope=email"), "it was consented to again, with something else, on day 11")
		on(22)
		assert.True(t, asked(t, p, p.User, client, "scope=email"))

		// A row of an older release has one date for all.
		p.Code(client, "scope=profile")
		require.NoError(t, db.Model(&oauthtest.Consent{}).Where("1 = 1").Updates(map[string]any{"parts_granted_at": nil, "scope": "profile email"}).Error)
		on(31)
		assert.False(t, asked(t, p, p.User, client, "scope=profile+email"))
		on(33)
		assert.True(t, asked(t, p, p.User, client, "scope=email"))
	})
}

// A consent that was revoked does not come back: not by one who had read it before it was
// revoked, and saves it after the user has consented anew.
func TestARevokedConsentDoesNotComeBack(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p, consents := newRemembering(t, db, 0)
		client := p.NewClient(nil)
		p.Code(client, "scope=profile+email")
		read, err := consents.QueryConsent(t.Context(), p.User.GetUserID(), client.ClientID)
		require.NoError(t, err)
		require.NoError(t, consents.Revoke(t.Context(), p.User.GetUserID(), client.ClientID, p.Now))
		p.Code(client, "scope=profile")
		union := *read
		union.Revision++
		saved, err := consents.SaveConsent(t.Context(), read, &union, p.User)
		require.NoError(t, err)
		assert.False(t, saved)
		assert.True(t, asked(t, p, p.User, client, "scope=email"))
		assert.False(t, asked(t, p, p.User, client, "scope=profile"))
	})
}
