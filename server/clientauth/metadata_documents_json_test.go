package clientauth_test

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/secret"
)

// putText serves a document as it is written: its client_id, and members behind it.
func (s *site) putText(path, members string) (clientID string) {
	clientID = s.URL + path
	s.mu.Lock()
	defer s.mu.Unlock()
	s.documents[path] = `{"client_id":"` + clientID + `",` + members + `}`
	return clientID
}

// signers is a server whose clients come by documents and sign by a key, where tokens can
// be exchanged by whoever has that grant type.
type signers struct {
	*oauthtest.Provider
	*site
	documents *clientauth.MetadataDocuments
	pair      keyPair
	// subject is the access token of a user for another client.
	subject string
}

func newSigners(t *testing.T, db *gorm.DB) *signers {
	t.Helper()
	p := &signers{pair: newKeyPair(t, "1")}
	p.Provider, p.documents, p.site = newDocuments(t, db)
	require.NoError(t, p.Provider.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db)}))
	exchange := gormoauth.CreateTokenExchangeGrant[oauthtest.Token](db)
	exchange.Policy = func(context.Context, *server.Request, *grant.Exchange) error { return nil }
	require.NoError(t, p.Provider.Server.RegisterGrant(exchange))
	other := p.NewClient(nil)
	p.subject = p.Redeem(other, p.Code(other, "scope=profile")).Body["access_token"]
	service := p.NewClient(oauthtest.Grants(oauthtest.EvilGrantType))
	require.Equal(t, http.StatusOK, p.Token(service, p.exchange().Encode()).Status, "who has the grant type may")
	return p
}

// forget has every document fetched anew.
func (p *signers) forget() {
	p.documents.Fetcher = fetch.New(fetch.Options{AllowPrivateAddresses: true})
}

func (*signers) form(grantType string, more ...string) url.Values {
	form := url.Values{"grant_type": {grantType}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}

func (p *signers) exchange() url.Values {
	return p.form(oauthtest.EvilGrantType, "subject_token", p.subject, "subject_token_type", "urn:ietf:params:oauth:token-type:access_token")
}

// as posts to the token endpoint as a client that signs by the key.
func (p *signers) as(clientID string, pair keyPair, form url.Values) oauthtest.Answer {
	p.T.Helper()
	form.Set("client_assertion_type", jwtBearer)
	form.Set("client_assertion", signAssertion(p.T.(*testing.T), pair.private, jose.ES256, pair.id, map[string]any{
		"iss": clientID, "sub": clientID, "aud": oauthtest.Issuer, "exp": p.Now.Unix() + 60, "jti": secret.Generate("j", secret.AccessToken),
	}))
	return p.Token(nil, form.Encode())
}

func (p *signers) signIn(clientID string) {
	p.T.Helper()
	code := p.Code(by(clientID), "scope=profile&redirect_uri="+url.QueryEscape(oauthtest.RedirectURI))
	a := p.as(clientID, p.pair, p.form("authorization_code", "code", code, "code_verifier", oauthtest.Verifier, "redirect_uri", oauthtest.RedirectURI))
	require.Equal(p.T, http.StatusOK, a.Status, a.Raw)
	require.Equal(p.T, "profile", a.Body["scope"])
	a = p.as(clientID, p.pair, p.form("refresh_token", "refresh_token", a.Body["refresh_token"]))
	require.Equal(p.T, http.StatusOK, a.Status, a.Raw)
}

// honest are the members of a document, or of a row, by which a client has what it is
// to have.
func (p *signers) honest() string {
	return `"client_name":"An app","redirect_uris":["` + oauthtest.RedirectURI + `"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"scope":"profile",` +
		`"token_endpoint_auth_method":"private_key_jwt","jwks":` + string(p.pair.set(p.T.(*testing.T)))
}

// hasNoMore asserts that a client has what it is to have, and nothing that a lookalike of
// a member says.
func (p *signers) hasNoMore(when, clientID string) {
	p.T.Helper()
	for what, form := range map[string]url.Values{
		"a token of its own": p.form("client_credentials"), "with the scope": p.form("client_credentials", "scope", oauthtest.EvilScope), "another user's token": p.exchange(),
	} {
		a := p.as(clientID, p.pair, form)
		assert.Equal(p.T, server.UnauthorizedClient, a.Body["error"], "%s: %s: %s", when, what, a.Raw)
	}
	query := func(more string) string { return oauthtest.AuthorizeQuery(by(clientID), more) }
	for what, more := range map[string]string{"the scope": "scope=" + oauthtest.EvilScope, "the redirect URI": "redirect_uri=" + url.QueryEscape(oauthtest.EvilRedirectURI)} {
		for _, a := range []oauthtest.Answer{p.Consent(query(more)), p.Grant(query(more))} {
			assert.NotEmpty(p.T, a.Params()["error"], "%s: %s: %s", when, what, a.Raw)
			assert.NotContains(p.T, a.To, "evil", "%s: %s", when, what)
		}
	}
	found, err := p.Provider.Server.QueryClient(p.T.Context(), clientID)
	require.NoError(p.T, err)
	require.NotNil(p.T, found, when)
	metadata := found.(*oauthtest.Client).ClientMetadata
	assert.Equal(p.T, []string{"authorization_code", "refresh_token"}, metadata.GrantTypes, when)
	assert.Equal(p.T, []string{oauthtest.RedirectURI}, metadata.RedirectURIs, when)
	assert.Equal(p.T, "profile", metadata.Scope, when)
}

// stored returns the metadata of a client as it stands in its row.
func (p *signers) stored(clientID string) (text string) {
	p.T.Helper()
	require.NoError(p.T, p.DB.Model(&oauthtest.Client{}).Where("client_id = ?", models.ClientKey(clientID)).Pluck("client_metadata", &text).Error)
	return text
}

// lookalikes are members whose names look like others, folded or not.
func lookalikes() map[string]string {
	all := oauthtest.FoldedMetadata()
	maps.Copy(all, oauthtest.StrangeMetadata())
	return all
}

// What stands in a document by the lookalike of a name means nothing, at first and for
// ever: also once its client has a row, which is read back, and after the document was
// fetched again.
func TestALookalikeInADocumentMeansNothing(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newSigners(t, db)
		number := 0
		for rule, members := range lookalikes() {
			for _, text := range []string{p.honest() + "," + members, members + "," + p.honest()} {
				number++
				clientID := p.putText("/client/"+strconv.Itoa(number), text)
				p.hasNoMore(rule+": before", clientID)
				for range 2 {
					p.signIn(clientID)
					p.hasNoMore(rule+": after a sign-in of its own", clientID)
				}
				assert.NotContains(t, p.stored(clientID), oauthtest.EvilScope, rule)
				assert.NotContains(t, p.stored(clientID), `\u`, "%s: of such a name nothing is stored", rule)
				assert.NotContains(t, p.stored(clientID), oauthtest.EvilRedirectURI, rule)
				p.forget()
				asked := p.asked.Load()
				p.Now = p.Now.Add(24 * time.Hour)
				p.signIn(clientID)
				assert.Less(t, asked, p.asked.Load(), "it was fetched again")
				p.hasNoMore(rule+": a day later", clientID)
				p.Now = p.Now.Add(-24 * time.Hour)
			}
		}
	})
}

// A document that can be read in two ways is none, whether its client is new or known.
func TestADocumentHasOneReading(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newSigners(t, db)
		number := 0
		for rule, members := range oauthtest.DoubleMetadata() {
			for _, text := range []string{p.honest() + "," + members, members + "," + p.honest()} {
				number++
				path := "/client/" + strconv.Itoa(number)
				clientID := p.putText(path, text)
				refused := func() {
					assert.Equal(t, server.InvalidClient, p.Consent(oauthtest.AuthorizeQuery(by(clientID), "")).Body["error"], rule)
					assert.Equal(t, server.InvalidClient, p.as(clientID, p.pair, p.form("client_credentials")).Body["error"], rule)
				}
				refused()
				p.putText(path, p.honest())
				p.forget()
				p.signIn(clientID)
				p.putText(path, text)
				p.forget()
				p.hasNoMore(rule+": for an hour it counts as it was", clientID)
				p.Now = p.Now.Add(time.Hour)
				refused()
				p.Now = p.Now.Add(-time.Hour)
			}
		}
	})
}

// plant stores a client of a document as an older program may have left it, in a row that
// counts for an hour.
func (p *signers) plant(path, members string) (clientID string) {
	p.T.Helper()
	clientID = p.putText(path, p.honest())
	key, long := models.SplitClientID(clientID)
	row := &oauthtest.Client{ClientMixin: models.ClientMixin{
		ClientID: key, LongClientID: long, ClientSource: models.ClientByDocument, ClientIDIssuedAt: p.Now.Unix(), DocumentFetchedAt: p.Now.Unix(), DocumentExpiresAt: p.Now.Add(time.Hour).Unix(),
	}}
	require.NoError(p.T, p.DB.Create(row).Error)
	require.NoError(p.T, p.DB.Model(row).UpdateColumn("client_metadata", gorm.Expr("?", "{"+members+"}")).Error)
	return clientID
}

// A row that an older program wrote, which kept what it did not know, is read without it:
// its client goes on, the doctor names it, and it is mended once the document is fetched
// again.
func TestALookalikeInARowMeansNothing(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newSigners(t, db)
		number := 0
		for rule, members := range lookalikes() {
			number++
			clientID := p.plant("/row/"+strconv.Itoa(number), p.honest()+","+members)
			asked := p.asked.Load()
			p.signIn(clientID)
			assert.Equal(t, asked, p.asked.Load(), "the row counts, and its document is not asked for")
			p.hasNoMore(rule, clientID)
			if _, folds := oauthtest.FoldedMetadata()[rule]; folds {
				finding := gormstore.DiagnoseFor(t.Context(), p.Provider.Server, db, oauthtest.Models()...).String()
				assert.Contains(t, finding, strconv.Quote(clientID)+`: "`, rule)
				assert.Contains(t, finding, "is not the name of a known member, but a case-insensitive reader would take it for one", rule)
			}
			p.forget()
			p.Now = p.Now.Add(time.Hour)
			p.signIn(clientID)
			p.hasNoMore(rule+": fetched again", clientID)
			assert.NotContains(t, p.stored(clientID), oauthtest.EvilRedirectURI, "%s: the row is mended", rule)
			assert.NotContains(t, gormstore.DiagnoseFor(t.Context(), p.Provider.Server, db, oauthtest.Models()...).String(), clientID, rule)
			p.Now = p.Now.Add(-time.Hour)
		}
	})
}

// What a row says twice it does not say at all: the client has neither the one nor the
// other until its document is fetched again.
func TestWhatARowSaysTwiceMeansNothing(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := newSigners(t, db)
		for number, rule := range []string{"twice", "twice, once with escapes"} {
			clientID := p.plant("/row/"+strconv.Itoa(number), p.honest()+","+oauthtest.DoubleMetadata()[rule])
			for _, form := range []url.Values{p.form("client_credentials"), p.exchange(), p.form("refresh_token", "refresh_token", "x")} {
				assert.Equal(t, server.UnauthorizedClient, p.as(clientID, p.pair, form).Body["error"], "%s: it is known, by its key", rule)
			}
			assert.NotEmpty(t, p.Consent(oauthtest.AuthorizeQuery(by(clientID), "redirect_uri="+url.QueryEscape(oauthtest.EvilRedirectURI))).Body["error"], rule)
			finding := gormstore.DiagnoseFor(t.Context(), p.Provider.Server, db, oauthtest.Models()...).String()
			for _, member := range []string{"grant_types", "redirect_uris", "scope"} {
				assert.Contains(t, finding, strconv.Quote(clientID)+`: "`+member+`" is given twice`, rule)
			}
			p.Now = p.Now.Add(time.Hour)
			p.signIn(clientID)
			p.hasNoMore(rule+": fetched again", clientID)
			p.Now = p.Now.Add(-time.Hour)
		}
	})
}
