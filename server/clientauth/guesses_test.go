package clientauth_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// A client that did not fail by a wrong secret is never told to wait.
func TestWhatIsNoGuess(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db, func(c *server.Config) { c.FailedAuthentications = ratelimit.New(1, time.Hour) })
	require.NoError(t, p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db)}))
	signs := newKeyPair(t, "1")
	grants := oauthtest.Grants("authorization_code", "refresh_token", "client_credentials")
	web, public := p.NewClient(oauthtest.All(named("web"), grants)), p.NewClient(oauthtest.All(named("public"), oauthtest.Public))
	keyed := p.NewClient(oauthtest.All(named("keyed"), signsItself(signs.set(t), "")))
	setSecret(t, db, keyed, models.HashClientSecret("an old secret"))
	expired := p.NewClient(oauthtest.All(named("expired"), grants))
	require.NoError(t, db.Model(expired).UpdateColumn("client_secret_expires_at", p.Now.Unix()).Error)
	strict := p.NewClient(oauthtest.All(named("strict"), grants, insists))
	const service = "grant_type=client_credentials"
	for rule, ask := range map[string]func() oauthtest.Answer{
		"a stale refresh token":            func() oauthtest.Answer { return p.Refresh(web, "x", "") },
		"a code of nobody":                 func() oauthtest.Answer { return p.Redeem(web, "x") },
		"a grant that is not there":        func() oauthtest.Answer { return p.Token(web, "grant_type=x") },
		"a grant that is not the client's": func() oauthtest.Answer { return p.Token(web, "grant_type=password") },
		"a public client": func() oauthtest.Answer {
			return p.Token(nil, "grant_type=refresh_token", basic(public.ClientID, "")...)
		},
		"a confidential client, as if it were public": func() oauthtest.Answer { return p.Token(nil, service, basic(web.ClientID, "")...) },
		"the same in the body":                        func() oauthtest.Answer { return p.Token(nil, service+"&client_secret=&client_id="+web.ClientID) },
		"nobody, as if it were public":                func() oauthtest.Answer { return p.Token(nil, service+"&client_id=nobody") },
		"a secret that has expired":                   func() oauthtest.Answer { return p.Token(expired, service) },
		"a method that is not the client's":           func() oauthtest.Answer { return p.Token(nil, service, basic(keyed.ClientID, "an old secret")...) },
		"a method that the client forbids": func() oauthtest.Answer {
			return p.Token(nil, service+"&client_id="+strict.ClientID+"&client_secret="+strict.Secret)
		},
		"a header that is malformed": func() oauthtest.Answer { return p.Token(nil, service, "Authorization", "Basic %%%") },
		"no client authentication":   func() oauthtest.Answer { return p.Token(nil, service) },
	} {
		for range 3 {
			a := ask()
			assert.NotEqual(t, http.StatusOK, a.Status, rule)
			assert.NotEqual(t, http.StatusTooManyRequests, a.Status, "%s: %s", rule, a.Raw)
		}
	}
	assert.Equal(t, http.StatusOK, p.Token(web, service).Status)
	assert.Equal(t, http.StatusOK, p.Token(strict, service).Status)
}

func insists(c *oauthtest.Client) {
	c.ClientMetadata.Extra = map[string]json.RawMessage{clientmeta.RequireAuthMethod: json.RawMessage("true")}
}
