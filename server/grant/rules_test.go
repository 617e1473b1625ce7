package grant_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/cnf"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Authorization details are a JSON array of objects, or nothing.
func TestParseAuthorizationDetails(t *testing.T) {
	for text, want := range map[string][]grant.AuthorizationDetail{
		"": nil, "[]": {}, `[{"type":"a"}]`: {{"type": json.RawMessage(`"a"`)}},
	} {
		details, err := grant.ParseAuthorizationDetails(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, details, text)
	}
	for _, text := range []string{"x", "{}", `[{"type":"a","type":"b"}]`, `["a"]`, `[`} {
		details, err := grant.ParseAuthorizationDetails(text)
		assert.ErrorContains(t, err, "grant: authorization_details is not a JSON array of objects without duplicate members: ", text)
		assert.Nil(t, details, text)
	}
}

// A detail is decoded into a struct of its type, and the client is told which member is wrong.
func TestADetailThatIsNotOfItsType(t *testing.T) {
	detail := grant.AuthorizationDetail{"type": json.RawMessage(`"payment"`), "amount": json.RawMessage(`7`)}
	var known struct {
		Amount int `json:"amount"`
	}
	require.NoError(t, detail.Decode(&known))
	assert.Equal(t, 7, known.Amount)
	var text struct {
		Amount string `json:"amount"`
	}
	for want, into := range map[string]any{
		"The member 'amount' of an authorization detail does not have the JSON type that its type defines.": &text,
		"An authorization detail has the member 'amount', which its type does not define. Leave it out.":    new(struct{}),
		"An authorization detail cannot be parsed as its type.":                                             new([]string),
	} {
		failure := server.AsError(detail.Decode(into))
		assert.Equal(t, server.InvalidAuthorizationDetails, failure.Code)
		assert.Equal(t, want, failure.Text())
	}
}

// A token is bound to a certificate where it is issued to the client itself, and not if it is
// bound to another key already.
func TestWhatABoundTokenIsBoundTo(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	require.NoError(t, p.Server.Register(gormoauth.CreateDPoP[oauthtest.Replay](db), &grant.CertificateBoundTokens{}))
	client := p.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants("authorization_code", "implicit"), func(c *oauthtest.Client) {
		c.ClientMetadata.Extra = map[string]json.RawMessage{"tls_client_certificate_bound_access_tokens": json.RawMessage("true")}
	}))
	certificate, key := p.NewCertificate(nil, nil), oauthtest.NewKey(t)
	redeem := func() string {
		return "grant_type=authorization_code&client_id=" + client.ClientID + "&code_verifier=" + oauthtest.Verifier + "&code=" + p.Code(client, "")
	}
	proof := func() []string {
		return []string{"DPoP", p.DPoP(key, http.MethodPost, oauthtest.Issuer+"/oauth/token")}
	}
	chain := []*oauthtest.Certificate{certificate}
	byKey, byCertificate := cnf.New(cnf.JWKThumbprint, oauthtest.Thumbprint(t, key)), cnf.OfCertificate(certificate.Certificate)
	for rule, row := range map[string]struct {
		answer      func() oauthtest.Answer
		kind, bound string
		failure     string
	}{
		"a certificate":                {func() oauthtest.Answer { return p.PostTLS("/oauth/token", redeem(), chain) }, "Bearer", byCertificate, ""},
		"a proof":                      {func() oauthtest.Answer { return p.PostTLS("/oauth/token", redeem(), nil, proof()...) }, "DPoP", byKey, ""},
		"a proof beside a certificate": {func() oauthtest.Answer { return p.PostTLS("/oauth/token", redeem(), chain, proof()...) }, "DPoP", byKey, ""},
		"nothing":                      {func() oauthtest.Answer { return p.PostTLS("/oauth/token", redeem(), nil) }, "", "", server.InvalidRequest},
		"a token that the browser has": {func() oauthtest.Answer { return p.Grant("response_type=token&client_id=" + client.ClientID) }, "Bearer", "", ""},
	} {
		a := row.answer()
		assert.Equal(t, row.failure, a.Params()["error"], "%s: %s", rule, a.Raw)
		if row.failure != "" {
			continue
		}
		var token oauthtest.Token
		require.NoError(t, db.Last(&token).Error)
		assert.Equal(t, []string{row.kind, row.bound}, []string{a.Params()["token_type"], token.GetConfirmation()}, rule)
	}
}

// The addresses at which clients present certificates are those of the setting, if there are any.
func TestTheAliasesOfEndpoints(t *testing.T) {
	for _, aliases := range []map[string]string{nil, {}, {"token_endpoint": "https://mtls.id.example/oauth/token"}} {
		p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
		require.NoError(t, p.Server.Register(&grant.CertificateBoundTokens{EndpointAliases: aliases}))
		metadata := p.Server.Metadata()
		assert.Equal(t, true, metadata["tls_client_certificate_bound_access_tokens"])
		if len(aliases) == 0 {
			assert.NotContains(t, metadata, "mtls_endpoint_aliases")
			continue
		}
		assert.Equal(t, aliases, metadata["mtls_endpoint_aliases"])
	}
}

// A client may have to sign its requests, and by the algorithm that it registered.
func TestARequestObjectByItsAlgorithm(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	objects := &grant.RequestObjects{Replays: gormoauth.CreateReplayStorage[oauthtest.Replay](db), Required: true}
	require.NoError(t, p.Server.Register(objects))
	assert.Equal(t, true, p.Server.Metadata()["require_signed_request_object"])
	key := oauthtest.NewKey(t)
	for registered, want := range map[string]string{`"ES256"`: "", `"RS256"`: server.InvalidRequestObject, `7`: server.InvalidRequestObject, "": ""} {
		client := p.StoreClient(func(c *oauthtest.Client) {
			oauthtest.Public(c)
			c.ClientMetadata.JWKs = oauthtest.KeySet(t, key)
			if registered != "" {
				c.ClientMetadata.Extra = map[string]json.RawMessage{"request_object_signing_alg": json.RawMessage(registered)}
			}
		})
		object := oauthtest.SignJWT(t, key, jose.ES256, nil, map[string]any{
			"iss": client.ClientID, "aud": oauthtest.Issuer, "response_type": "code", "code_challenge": oauthtest.Challenge, "code_challenge_method": "S256", "state": nil, "scope": "profile",
		})
		a := p.Consent("client_id=" + client.ClientID + "&state=s&request=" + object)
		assert.Equal(t, want, a.Body["error"], "%s: %s", registered, a.Raw)
		if want != "" {
			assert.Contains(t, a.Body["error_description"], "'request_object_signing_alg'")
			line := a.Refusal()
			assert.Equal(t, "ES256", line.Keys["values.algorithm"])
			assert.Equal(t, map[string]string{`"RS256"`: "RS256", `7`: ""}[registered], line.Keys["values.registered_algorithm"])
			continue
		}
		granted := p.Grant("client_id=" + client.ClientID + "&state=s&request=" + object)
		assert.NotEmpty(t, granted.Query.Get("code"), granted.Raw)
		assert.False(t, granted.Query.Has("state"), "what is null is not there, and what is beside the object does not count")
	}
	err := objects.CheckClientMetadata(t.Context(), &server.Request{Server: p.Server}, &models.ClientMetadata{ResponseTypes: []string{"code"}})
	assert.EqualError(t, err, "jwks: is missing, but the client's authorization requests must be signed; register its keys")
}

// A token of another issuer that is bound to a key is exchanged by its key alone, and a token that
// only looks like a JWT has no claims.
func TestWhatAnExchangedTokenSays(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newExchange(t, db)
	require.NoError(t, p.Server.Register(gormoauth.CreateDPoP[oauthtest.Replay](db)))
	signer, key := oauthtest.NewKey(t), oauthtest.NewKey(t)
	p.grant.Keys = func(context.Context, string) (*jose.JSONWebKeySet, error) {
		return jwk.ParseSet(oauthtest.KeySet(t, signer))
	}
	p.grant.QueryUser = func(context.Context, *server.Request, *assertion.Assertion) (storage.User, error) { return p.User, nil }
	foreign := func(more ...any) string {
		return oauthtest.SignJWT(t, signer, jose.ES256, nil, oauthtest.Claims(map[string]any{
			"iss": "https://other.example", "sub": "alice", "aud": oauthtest.Issuer, "exp": p.Now.Unix() + 60, "iat": p.Now.Unix(), "jti": rand.Text(), "scope": "profile",
		}, more...))
	}
	thumbprint := oauthtest.Thumbprint(t, key)
	ask := func(subject string, header ...string) oauthtest.Answer {
		return p.Token(p.service, "grant_type="+exchangeGrant+"&subject_token_type="+jwtType+"&subject_token="+subject, header...)
	}
	assert.Equal(t, http.StatusOK, ask(foreign()).Status, ask(foreign()).Raw)
	proof := func() []string {
		return []string{"DPoP", p.DPoP(key, http.MethodPost, oauthtest.Issuer+"/oauth/token")}
	}
	for cnf, good := range map[string]bool{
		`{"jkt":"` + thumbprint + `"}`: true, `{ "jkt": "` + thumbprint + `" }`: true, `{"jkt":"x"}`: false, `{"jkt":"` + thumbprint + `","x5t#S256":"x"}`: false,
		`{"jkt":"` + thumbprint + `","jkt":"` + thumbprint + `"}`: false, `{}`: false, `"x"`: false, `{"jkt":7}`: false,
	} {
		bound := func() string {
			return oauthtest.SignRaw(t, signer, `{"alg":"ES256","kid":"1"}`, `{"iss":"https://other.example","sub":"alice","aud":"`+oauthtest.Issuer+`","exp":1800000060,"scope":"profile","jti":"`+rand.Text()+`","cnf":`+cnf+`}`)
		}
		assert.Equal(t, http.StatusBadRequest, ask(bound()).Status, cnf)
		a := ask(bound(), proof()...)
		assert.Equal(t, good, a.Status == http.StatusOK, "%s: %s", cnf, a.Raw)
	}
}
